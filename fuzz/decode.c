/*
 * decode.c - decoding, plain or onto tables, in every mode, scale and
 * orientation; of regions, whose pixels must be those of the whole; of files
 * whose header has been read before, as Python does it; and on several
 * threads, which must do what one does.
 */

#include "fuzz.h"

#include "binding.h"

typedef struct {
  uint32_t width, height, channels;
} shape;

typedef struct {
  const uint8_t *data;
  size_t size;
  const uint16_t *tables;
  int num_tables;
} job;

static shape scaled(const pyfd_header *header, const pyfd_reading *reading)
{
  shape whole;

  whole.width = (header->width + reading->scale - 1) / reading->scale;
  whole.height = (header->height + reading->scale - 1) / reading->scale;
  whole.channels = reading->color == PYFD_L      ? 1
                   : reading->color == PYFD_CMYK ? 4
                                                 : 3;
  return whole;
}

/* Check that several threads give these pixels, or fail like this. */
static void check_shared(const job *j, const pyfd_reading *reading,
                         const uint8_t *out, size_t size, int code,
                         const pyfd_status *status)
{
  fuzz_pool pool = {.count = 0};
  const pyfd_helpers helpers = {fuzz_ask, &pool};
  pyfd_reading how = *reading;
  pyfd_status found;
  uint8_t *again = malloc(size);
  int shared;

  how.workers = WORKERS;
  how.helpers = &helpers;
  shared = pyfd_decode(j->data, j->size, &fuzz_limits, &how, j->tables,
                       j->num_tables, again, size, &found);
  fuzz_join(&pool);
  check_same(code, status, shared, &found);
  if (code == PYFD_OK && memcmp(again, out, size) != 0)
    abort();
  free(again);
}

/* Return the pixels, or NULL if the call fails. */
static uint8_t *decode(const job *j, const pyfd_reading *reading, shape of)
{
  const size_t size = (size_t)of.width * of.height * of.channels;
  pyfd_status status;
  uint8_t *out = malloc(size);
  int code = pyfd_decode(j->data, j->size, &fuzz_limits, reading, j->tables,
                         j->num_tables, out, size, &status);

  check_status(code, &status);
  check_shared(j, reading, out, size, code, &status);
  if (code == PYFD_OK) {
    read_all(out, size);
    return out;
  }
  free(out);
  return NULL;
}

/* Decode a file whose header has been read before.  The outcome must be that
 * of decode(). */
static void check_opened(const job *j, const pyfd_reading *reading, shape of,
                         const uint8_t *pixels)
{
  const size_t size = (size_t)of.width * of.height * of.channels;
  pyfd_found found;
  uint8_t *out = malloc(size);
  int code = pyfd_open(j->data, j->size, &fuzz_limits, NULL, 0, &found);

  if (code == PYFD_OK)
    code = pyfd_decode_opened(&found, j->data, j->size, &fuzz_limits, reading,
                              j->tables, j->num_tables, out, size);
  check_status(code, found.status);
  if ((code == PYFD_OK) != (pixels != NULL) ||
      (pixels != NULL && memcmp(out, pixels, size) != 0))
    abort();
  free(out);
}

/* Decode a file after the header of another one of the same size. */
static void decode_changed(const job *j, const pyfd_reading *reading, shape of,
                           uint32_t place, uint8_t value)
{
  const size_t size = (size_t)of.width * of.height * of.channels;
  pyfd_found found;
  uint8_t *out = malloc(size), *before = malloc(j->size);
  int code;

  memcpy(before, j->data, j->size);
  before[place % j->size] = value;
  code = pyfd_open(before, j->size, &fuzz_limits, NULL, 0, &found);
  free(before);
  if (code == PYFD_OK) {
    code = pyfd_decode_opened(&found, j->data, j->size, &fuzz_limits, reading,
                              j->tables, j->num_tables, out, size);
    check_status(code, found.status);
  }
  free(out);
}

/* Choose a region, in 256ths of the sides. */
static shape choose_region(pyfd_reading *part, const uint8_t *choice,
                           shape whole)
{
  shape of = whole;

  part->left = choice[0] * whole.width / 256;
  part->top = choice[1] * whole.height / 256;
  part->width = 1 + choice[2] * (whole.width - part->left - 1) / 256;
  part->height = 1 + choice[3] * (whole.height - part->top - 1) / 256;
  of.width = part->width;
  of.height = part->height;
  return of;
}

/* Check a region against the whole image. */
static void check_region(const job *j, const pyfd_reading *part, shape of,
                         shape whole, const uint8_t *pixels)
{
  uint8_t *found = decode(j, part, of);
  uint32_t y;

  if (pixels != NULL && found == NULL)
    abort();
  for (y = 0; pixels != NULL && y < of.height; y++) {
    if (memcmp(found + (size_t)y * of.width * of.channels,
               pixels + ((size_t)(part->top + y) * whole.width + part->left) *
                            of.channels,
               (size_t)of.width * of.channels) != 0)
      abort();
  }
  free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const int colors[5] = {PYFD_RGB, PYFD_L, PYFD_YCBCR, PYFD_CMYK,
                                PYFD_BGR};
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  pyfd_reading reading;
  pyfd_status status;
  pyfd_header header;
  shape whole, of;
  uint8_t *pixels;
  job j;

  if (size < OPTIONS)
    return 0;
  reading = fuzz_reading(data[3]);
  reading.color = (uint32_t)colors[data[0] % 5];
  reading.scale = 1u << data[1] % 4;
  j.data = data + OPTIONS;
  j.size = size - OPTIONS;
  j.tables = tables;
  j.num_tables = data[2] % 5;
  fill_tables(tables, j.num_tables, option32(data + 4), PYFD_DECODER_STEP);
  if (pyfd_probe(j.data, j.size, &fuzz_limits, &header, NULL, 0, &status) !=
      PYFD_OK)
    return 0;
  whole = of = scaled(&header, &reading);
  pixels = decode(&j, &reading, whole);
  check_opened(&j, &reading, whole, pixels);
  decode_changed(&j, &reading, whole, option32(data + 4), data[6]);
  if (data[3] & 2) {
    of = choose_region(&reading, data + 4, whole);
    check_region(&j, &reading, of, whole, pixels);
  }
  free(pixels);
  reading.orientation = data[1] / 4 % 9;
  if (reading.orientation > 1)
    free(decode(&j, &reading, of));
  return 0;
}
