/*
 * requantize.c - re-quantization, whose output must be a complete file that
 * re-quantizes to itself, with a radius too; and on several threads, which
 * must do what one does.
 */

#include "fuzz.h"

typedef struct {
  const uint8_t *data;
  size_t size;
  pyfd_reading reading;
  pyfd_writing writing;
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  int num_tables;
} job;

/* Check that several threads write this file, or fail like this. */
static void check_shared(const job *j, int code, const uint8_t *file,
                         size_t size, const pyfd_status *status)
{
  fuzz_pool pool = {.count = 0};
  const pyfd_helpers helpers = {fuzz_ask, &pool};
  pyfd_reading reading = j->reading;
  pyfd_status found;
  uint8_t *again;
  size_t again_size;
  int shared;

  reading.workers = WORKERS;
  reading.helpers = &helpers;
  shared = pyfd_requantize(j->data, j->size, &fuzz_limits, &reading, j->tables,
                           j->num_tables, &j->writing, NULL, 0, &again,
                           &again_size, &found);
  fuzz_join(&pool);
  check_same_file(code, status, file, size, shared, &found, again, again_size);
}

static int requantize(const job *j, uint8_t **file, size_t *size)
{
  pyfd_status status;
  int code = pyfd_requantize(j->data, j->size, &fuzz_limits, &j->reading,
                             j->tables, j->num_tables, &j->writing, NULL, 0,
                             file, size, &status);

  check_status(code, &status);
  check_shared(j, code, *file, *size, &status);
  return code;
}

static job choose(const uint8_t *data, size_t size)
{
  job j = {.data = data + OPTIONS,
           .size = size - OPTIONS,
           .reading = fuzz_reading(data[3]),
           .writing = PYFD_DEFAULT_WRITING};

  j.writing.progressive = data[0] & 1;
  j.writing.optimize = data[1] & 1;
  j.writing.keep_density = data[0] & 2;
  j.writing.trim = data[0] & 4;
  j.writing.radius = data[0] & 8 ? 1 + data[0] / 64 : 0;
  j.writing.file_radius = data[0] & 16 ? 1 + data[0] / 64 : 0;
  j.writing.restart_rows = data[2] / 4 % 8;
  j.reading.orientation = data[1] / 2 % 9;
  j.num_tables = 1 + data[2] % 4;
  fill_tables(j.tables, j.num_tables, option32(data + 4),
              data[0] & 24 ? PYFD_ENCODER_STEP : PYFD_DECODER_STEP);
  return j;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint8_t *once = NULL, *again = NULL;
  size_t once_size, again_size;
  job j;
  int code;

  if (size < OPTIONS)
    return 0;
  j = choose(data, size);
  if (requantize(&j, &once, &once_size) != PYFD_OK)
    return 0;
  j.data = once;
  j.size = once_size;
  j.reading = fuzz_strict;
  code = requantize(&j, &again, &again_size);
  if (code == PYFD_OK &&
      (once_size != again_size || memcmp(once, again, once_size) != 0))
    abort();
  if (code != PYFD_OK && code != PYFD_LIMIT)
    abort();
  pyfd_free(once);
  pyfd_free(again);
  return 0;
}
