/*
 * coefficients.c - read coefficients and write them.  Coefficients that can be
 * written must be read back unchanged, and the statistics gathered from a file
 * must be those of its coefficients.
 */

#include "fuzz.h"

static size_t count_coefficients(const pyfd_header *header)
{
  size_t count = 0;
  uint32_t i;

  for (i = 0; i < header->num_components; i++)
    count += (size_t)header->blocks_wide[i] * header->blocks_high[i];
  return count * PYFD_BLOCK;
}

/* Clamp to the range that can be written. */
static void clamp(int16_t *coefficients, size_t count)
{
  size_t i;
  int low;

  for (i = 0; i < count; i++) {
    low = i % PYFD_BLOCK == 0 ? -1024 : -1023;
    if (coefficients[i] < low)
      coefficients[i] = (int16_t)low;
    if (coefficients[i] > 1023)
      coefficients[i] = 1023;
  }
}

static void round_trip(const pyfd_header *header, const int16_t *coefficients,
                       size_t count, const uint16_t *tables,
                       const pyfd_writing *writing)
{
  uint16_t tables_again[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  int16_t *again;
  pyfd_status status;
  uint8_t *file;
  size_t file_size;
  int code;

  code = pyfd_write_coefficients(header, coefficients, count, tables, writing,
                                 NULL, 0, &file, &file_size, &status);
  check_status(code, &status);
  if (code != PYFD_OK)
    return;
  again = malloc(count * sizeof(*again));
  code = pyfd_read_coefficients(file, file_size, &fuzz_limits, &fuzz_strict,
                                again, count, tables_again, &status);
  check_status(code, &status);
  if (code == PYFD_OK &&
      (memcmp(again, coefficients, count * sizeof(*again)) != 0 ||
       memcmp(tables_again, tables,
              header->num_components * PYFD_BLOCK * sizeof(*tables)) != 0))
    abort();
  if (code != PYFD_OK && code != PYFD_LIMIT && code != PYFD_UNSUPPORTED)
    abort();
  free(again);
  pyfd_free(file);
}

static void compare_statistics(const uint8_t *data, size_t size,
                               const pyfd_header *header,
                               const int16_t *coefficients,
                               const uint16_t *tables)
{
  pyfd_statistics found;
  pyfd_status status;
  uint32_t i;
  size_t block, k;
  int64_t value;
  int code;

  code = pyfd_gather_statistics(data, size, &fuzz_limits, &fuzz_strict, &found,
                                &status);
  check_status(code, &status);
  if (code == PYFD_CORRUPT)
    abort();
  if (code != PYFD_OK)
    return;
  for (i = 0; i < header->num_components; i++) {
    if (found.blocks[i] !=
        (uint64_t)header->blocks_wide[i] * header->blocks_high[i])
      abort();
    for (block = 0; block < found.blocks[i]; block++) {
      for (k = 0; k < PYFD_BLOCK; k++) {
        value = (int64_t)*coefficients++ * tables[i * PYFD_BLOCK + k];
        value = value < -32767 ? -32767 : value > 32767 ? 32767 : value;
        found.sums[i][k] -= value;
        found.squares[i][k] -= (uint64_t)(value * value);
      }
    }
  }
  for (i = 0; i < PYFD_YCBCR_COMPONENTS; i++) {
    for (k = 0; k < PYFD_BLOCK; k++) {
      if (found.sums[i][k] != 0 || found.squares[i][k] != 0)
        abort();
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  int16_t *coefficients;
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  pyfd_reading reading;
  pyfd_status status;
  pyfd_header header;
  size_t count;
  int code;

  if (size < OPTIONS)
    return 0;
  reading = fuzz_reading(data[3]);
  writing.progressive = data[0] & 1;
  writing.optimize = data[1] & 1;
  if (pyfd_probe(data + OPTIONS, size - OPTIONS, &fuzz_limits, &header, NULL,
                 0, &status) != PYFD_OK)
    return 0;
  count = count_coefficients(&header);
  if (count * sizeof(*coefficients) > fuzz_limits.max_memory)
    return 0;
  coefficients = malloc(count * sizeof(*coefficients));
  code =
      pyfd_read_coefficients(data + OPTIONS, size - OPTIONS, &fuzz_limits,
                             &reading, coefficients, count, tables, &status);
  check_status(code, &status);
  if (code == PYFD_OK) {
    read_all(tables, header.num_components * PYFD_BLOCK * sizeof(*tables));
    if (reading.strict)
      compare_statistics(data + OPTIONS, size - OPTIONS, &header, coefficients,
                         tables);
    round_trip(&header, coefficients, count, tables, &writing);
    clamp(coefficients, count);
    round_trip(&header, coefficients, count, tables, &writing);
  }
  free(coefficients);
  return 0;
}
