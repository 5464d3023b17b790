/* decode.c - decoding, plain or onto tables, in every mode, scale and
 * orientation. */

#include "fuzz.h"

static size_t output_size(const pyfd_header *header,
                          const pyfd_reading *reading)
{
  size_t width = (header->width + reading->scale - 1) / reading->scale;
  size_t height = (header->height + reading->scale - 1) / reading->scale;
  size_t channels = reading->color == PYFD_L      ? 1
                    : reading->color == PYFD_CMYK ? 4
                                                  : 3;

  return width * height * channels;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const int colors[5] = {PYFD_RGB, PYFD_L, PYFD_YCBCR, PYFD_CMYK,
                                PYFD_BGR};
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
  reading.color = (uint32_t)colors[data[0] % 5];
  reading.scale = 1u << data[1] % 4;
  reading.orientation = data[1] / 4 % 9;
  num_tables = data[2] % 5;
  fill_tables(tables, num_tables, option32(data + 4), PYFD_DECODER_STEP);
  if (pyfd_probe(data + OPTIONS, size - OPTIONS, &fuzz_limits, &header, NULL,
                 0, &status) != PYFD_OK)
    return 0;
  out_size = output_size(&header, &reading);
  out = malloc(out_size);
  code = pyfd_decode(data + OPTIONS, size - OPTIONS, &fuzz_limits, &reading,
                     tables, num_tables, out, out_size, &status);
  check_status(code, &status);
  if (code == PYFD_OK)
    read_all(out, out_size);
  free(out);
  return 0;
}
