/*
 * snap.c - what stands in for a decode: pyfd_snap(), whose pixels must be
 * those of three calls, and pyfd_why_uncovered(), which must refuse what a
 * strict reader of the coefficients refuses.
 */

#include "fuzz.h"

static void compare(const uint8_t *data, size_t size,
                    const pyfd_header *header, const pyfd_reading *reading,
                    const uint16_t *tables, int num_tables,
                    const uint8_t *snapped, size_t out_size)
{
  static const pyfd_writing writing = PYFD_DEFAULT_WRITING;
  uint8_t *pixels = malloc(out_size), *file = NULL;
  pyfd_status status;
  size_t file_size;

  if (pyfd_decode(data, size, &fuzz_limits, reading, NULL, 0, pixels, out_size,
                  &status) != PYFD_OK ||
      pyfd_encode(pixels, header->width, header->height, 3, 1, 1, tables,
                  num_tables, &writing, NULL, 0, &file, &file_size,
                  &status) != PYFD_OK)
    abort();
  if (file_size <= fuzz_limits.max_bytes &&
      (pyfd_decode(file, file_size, &fuzz_limits, &fuzz_strict, tables,
                   num_tables, pixels, out_size, &status) != PYFD_OK ||
       memcmp(pixels, snapped, out_size) != 0))
    abort();
  pyfd_free(file);
  free(pixels);
}

static void check_coverage(const uint8_t *data, size_t size, int strict_code)
{
  char why[256];
  pyfd_status status;
  int code;

  code =
      pyfd_why_uncovered(data, size, &fuzz_limits, why, sizeof(why), &status);
  check_status(code, &status);
  if (memchr(why, 0, sizeof(why)) == NULL)
    abort();
  /* Pixels need more memory, and upsampling by whole factors */
  if (strict_code != PYFD_LIMIT && strict_code != PYFD_UNSUPPORTED &&
      code != PYFD_LIMIT && code != strict_code)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  pyfd_reading reading;
  pyfd_status status;
  pyfd_header header;
  int num_tables, code;
  uint8_t *out;
  size_t out_size;

  if (size < OPTIONS)
    return 0;
  reading = fuzz_reading(data[3]);
  num_tables = 1 + data[2] % 4;
  fill_tables(tables, num_tables, option32(data + 4), PYFD_ENCODER_STEP);
  data += OPTIONS;
  size -= OPTIONS;
  if (pyfd_probe(data, size, &fuzz_limits, &header, NULL, 0, &status) !=
      PYFD_OK)
    return 0;
  out_size = (size_t)header.width * header.height * 3;
  out = malloc(out_size);
  code = pyfd_snap(data, size, &fuzz_limits, &reading, tables, num_tables, out,
                   out_size, &status);
  check_status(code, &status);
  if (code == PYFD_OK)
    compare(data, size, &header, &reading, tables, num_tables, out, out_size);
  if (reading.strict)
    check_coverage(data, size, code);
  free(out);
  return 0;
}
