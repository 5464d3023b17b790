/*
 * requantize.c - re-quantization, whose output must be a complete file that
 * re-quantizes to itself, with a radius too.
 */

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  uint8_t *once = NULL, *again = NULL;
  size_t once_size, again_size;
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  pyfd_reading reading;
  pyfd_status status;
  int num_tables, code;

  if (size < OPTIONS)
    return 0;
  reading = fuzz_reading(data[3]);
  writing.progressive = data[0] & 1;
  writing.optimize = data[1] & 1;
  writing.keep_density = data[0] & 2;
  writing.trim = data[0] & 4;
  writing.radius = data[0] & 8 ? 1 + data[0] / 64 : 0;
  writing.file_radius = data[0] & 16 ? 1 + data[0] / 64 : 0;
  reading.orientation = data[1] / 2 % 9;
  num_tables = 1 + data[2] % 4;
  fill_tables(tables, num_tables, option32(data + 4),
              data[0] & 24 ? PYFD_ENCODER_STEP : PYFD_DECODER_STEP);
  code = pyfd_requantize(data + OPTIONS, size - OPTIONS, &fuzz_limits,
                         &reading, tables, num_tables, &writing, NULL, 0,
                         &once, &once_size, &status);
  check_status(code, &status);
  if (code != PYFD_OK)
    return 0;
  code = pyfd_requantize(once, once_size, &fuzz_limits, &fuzz_strict, tables,
                         num_tables, &writing, NULL, 0, &again, &again_size,
                         &status);
  check_status(code, &status);
  if (code == PYFD_OK &&
      (once_size != again_size || memcmp(once, again, once_size) != 0))
    abort();
  if (code != PYFD_OK && code != PYFD_LIMIT)
    abort();
  pyfd_free(once);
  pyfd_free(again);
  return 0;
}
