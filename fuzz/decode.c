/* decode.c - a decode, plain or onto tables, in every mode and scale. */

#include "fuzz.h"

static size_t output_size(const pyfd_header *header, int color, int scale)
{
  size_t width = (header->width + (uint32_t)scale - 1) / (uint32_t)scale;
  size_t height = (header->height + (uint32_t)scale - 1) / (uint32_t)scale;

  return width * height * (color == PYFD_L ? 1 : color == PYFD_CMYK ? 4 : 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const int colors[5] = {PYFD_RGB, PYFD_L, PYFD_YCBCR, PYFD_CMYK,
                                PYFD_BGR};
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  pyfd_status status;
  pyfd_header header;
  int color, scale, num_tables, code;
  uint8_t *out;
  size_t out_size;

  if (size < OPTIONS)
    return 0;
  color = colors[data[0] % 5];
  scale = 1 << data[1] % 4;
  num_tables = data[2] % 5;
  fill_tables(tables, num_tables, option32(data + 4), 32767);
  if (pyfd_probe(data + OPTIONS, size - OPTIONS, &fuzz_limits, &header, NULL,
                 0, &status) != PYFD_OK)
    return 0;
  out_size = output_size(&header, color, scale);
  out = malloc(out_size);
  code = pyfd_decode(data + OPTIONS, size - OPTIONS, &fuzz_limits, data[3] & 1,
                     tables, num_tables, color, scale, out, out_size, &status);
  check_status(code, &status);
  if (code == PYFD_OK)
    read_all(out, out_size);
  free(out);
  return 0;
}
