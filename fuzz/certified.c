/*
 * certified.c - encoding with a radius.  It must work if and only if a flat
 * block of level 128 has the radius.  Then all decoded blocks have it, and no
 * perturbation within it changes what is encoded.  Several threads must do
 * what one does.
 */

#include "fuzz.h"

#define SIDE 24
#define CHANNELS 3
#define PIXELS (SIDE * SIDE * CHANNELS)
#define BLOCKS (SIDE / 8 * SIDE / 8 * CHANNELS)
#define COEFFICIENTS (BLOCKS * PYFD_BLOCK)
#define TRIALS 4

typedef struct {
  uint32_t width, height;
  int channels;
  uint16_t tables[CHANNELS * PYFD_BLOCK];
  pyfd_writing plain, writing; /* without and with a radius */
} options;

static uint32_t draw(uint32_t *seed)
{
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* Make steps of twice what a perturbation moves a coefficient by, and up to
 * slack more, which is next to what the radius takes; or any steps. */
static void make_tables(options *o, uint32_t epsilon, uint32_t slack,
                        uint32_t seed)
{
  static const double norms[8] = {2.82843, 2.56292, 2.61313, 2.56292,
                                  2.82843, 2.56292, 2.61313, 2.56292};
  int i;

  if (slack == 0 && seed % 2 == 0) {
    fill_tables(o->tables, CHANNELS, seed, PYFD_ENCODER_STEP);
    return;
  }
  for (i = 0; i < CHANNELS * PYFD_BLOCK; i++)
    o->tables[i] = (uint16_t)(2 * norms[i / 8 % 8] * norms[i % 8] * epsilon +
                              1 + draw(&seed) % (slack + 1));
}

static options choose(const uint8_t *data)
{
  static const uint32_t strengths[16] = {0, 1,  2,  3,  4,   5,   6,   8,
                                         9, 16, 31, 60, 126, 127, 128, 255};
  static const uint32_t slacks[4] = {0, 2, 10, 40};
  static const uint32_t colors[4] = {0, PYFD_RGB, PYFD_BGR, PYFD_YCBCR};
  const uint32_t epsilon = strengths[data[3] % 16];
  options o = {.plain = PYFD_DEFAULT_WRITING};

  o.channels = data[0] & 1 ? 1 : 3;
  o.width = 1 + data[1] % SIDE;
  o.height = 1 + data[2] % SIDE;
  o.plain.progressive = data[0] >> 1 & 1;
  o.plain.optimize = data[0] >> 2 & 1;
  o.plain.restart_rows = data[3] >> 6;
  o.writing = o.plain;
  if (data[0] & 8) {
    o.writing.file_radius = epsilon + 1;
    o.width = (o.width + 7) & ~7u;
    o.height = (o.height + 7) & ~7u;
  }
  if (o.writing.file_radius == 0 || data[0] & 16)
    o.writing.radius = epsilon + 1;
  if (o.channels == 3)
    o.writing.color = colors[data[0] >> 5 & 3];
  make_tables(&o, epsilon, slacks[data[3] / 16 % 4], option32(data + 4));
  return o;
}

/* Check that several threads write this file, or fail like this. */
static void check_shared(const options *o, const uint8_t *pixels,
                         const pyfd_writing *writing, int code,
                         const uint8_t *file, size_t size,
                         const pyfd_status *status)
{
  fuzz_pool pool = {.count = 0};
  const pyfd_helpers helpers = {fuzz_ask, &pool};
  pyfd_writing how = *writing;
  pyfd_status found;
  uint8_t *again;
  size_t again_size;
  int shared;

  how.workers = WORKERS;
  how.helpers = &helpers;
  shared =
      pyfd_encode(pixels, o->width, o->height, o->channels, 1, 1, o->tables,
                  CHANNELS, &how, NULL, 0, &again, &again_size, &found);
  fuzz_join(&pool);
  check_same_file(code, status, file, size, shared, &found, again, again_size);
}

static int encode(const options *o, const uint8_t *pixels,
                  const pyfd_writing *writing, uint8_t **file, size_t *size)
{
  pyfd_status status;
  int code;

  code = pyfd_encode(pixels, o->width, o->height, o->channels, 1, 1, o->tables,
                     CHANNELS, writing, NULL, 0, file, size, &status);
  check_status(code, &status);
  check_shared(o, pixels, writing, code, *file, *size, &status);
  return code;
}

/* Return whether all blocks have the radii. */
static int holds(const options *o, const uint8_t *pixels, uint32_t width,
                 uint32_t height)
{
  const size_t blocks = (size_t)((width + 7) / 8) * ((height + 7) / 8);
  const size_t count = blocks * (size_t)o->channels;
  uint16_t found[BLOCKS];
  pyfd_status status;
  size_t i;

  if (o->writing.radius > 0) {
    if (pyfd_certify(pixels, width, height, o->channels, 1, 1, o->tables,
                     CHANNELS, (int)o->writing.radius - 1, found, count,
                     &status) != PYFD_OK)
      abort();
    for (i = 0; i < count; i++) {
      if (!found[i])
        return 0;
    }
  }
  if (o->writing.file_radius > 0) {
    if (pyfd_find_file_radii(pixels, width, height, o->channels, o->tables,
                             CHANNELS, found, blocks, &status) != PYFD_OK)
      abort();
    for (i = 0; i < blocks; i++) {
      if (found[i] < o->writing.file_radius)
        return 0;
    }
  }
  return 1;
}

static int can_hold(const options *o)
{
  uint8_t flat[PYFD_BLOCK * CHANNELS];

  memset(flat, 128, sizeof(flat));
  return holds(o, flat, 8, 8);
}

/* Read a file's coefficients. */
static void read_file(const options *o, const uint8_t *file, size_t size,
                      int16_t coefficients[COEFFICIENTS])
{
  const size_t blocks = (size_t)((o->width + 7) / 8) * ((o->height + 7) / 8);
  uint16_t tables[PYFD_MAX_COMPONENTS * PYFD_BLOCK];
  pyfd_status status;

  memset(coefficients, 0, COEFFICIENTS * sizeof(*coefficients));
  if (pyfd_read_coefficients(file, size, &fuzz_limits, &fuzz_strict,
                             coefficients,
                             blocks * (size_t)o->channels * PYFD_BLOCK, tables,
                             &status) != PYFD_OK)
    abort();
}

/* Check that pixels are encoded to the given coefficients. */
static void check_encoded(const options *o, const uint8_t *pixels,
                          const pyfd_writing *writing,
                          const int16_t coefficients[COEFFICIENTS])
{
  int16_t found[COEFFICIENTS];
  uint8_t *file;
  size_t size;

  if (encode(o, pixels, writing, &file, &size) != PYFD_OK)
    abort();
  read_file(o, file, size, found);
  if (memcmp(found, coefficients, sizeof(found)) != 0)
    abort();
  pyfd_free(file);
}

/* Move pixels by up to epsilon: by any number, or as far as possible. */
static void perturb(const options *o, const uint8_t *pixels, uint32_t *seed,
                    int farthest, uint8_t moved[PIXELS])
{
  const size_t count = (size_t)o->width * o->height * (size_t)o->channels;
  const int epsilon = (int)o->writing.radius - 1;
  size_t i;
  int to;

  for (i = 0; i < count; i++) {
    to = farthest ? (int)(draw(seed) % 2) * 2 * epsilon
                  : (int)(draw(seed) % (2 * (uint32_t)epsilon + 1));
    to += pixels[i] - epsilon;
    moved[i] = (uint8_t)(to < 0 ? 0 : to > 255 ? 255 : to);
  }
}

static void check_file(const options *o, const uint8_t *file, size_t size,
                       uint32_t seed)
{
  const size_t count = (size_t)o->width * o->height * (size_t)o->channels;
  int16_t coefficients[COEFFICIENTS];
  uint8_t pixels[PIXELS], moved[PIXELS];
  pyfd_reading reading = fuzz_strict;
  pyfd_writing certified = o->writing;
  pyfd_status status;
  int i;

  reading.color = o->channels == 1 ? PYFD_L : PYFD_RGB;
  if (pyfd_decode(file, size, &fuzz_limits, &reading, NULL, 0, pixels, count,
                  &status) != PYFD_OK)
    abort();
  if (!holds(o, pixels, o->width, o->height))
    abort();
  read_file(o, file, size, coefficients);
  check_encoded(o, pixels, &o->plain, coefficients);
  certified.color = 0; /* of what was decoded */
  check_encoded(o, pixels, &certified, coefficients);
  for (i = 0; o->writing.radius > 0 && i < TRIALS; i++) {
    perturb(o, pixels, &seed, i % 2, moved);
    check_encoded(o, moved, &o->plain, coefficients);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint8_t pixels[PIXELS], *file;
  options o;
  size_t i, file_size;
  int code;

  if (size <= OPTIONS)
    return 0;
  o = choose(data);
  for (i = 0; i < PIXELS; i++)
    pixels[i] = data[OPTIONS + i % (size - OPTIONS)];
  code = encode(&o, pixels, &o.writing, &file, &file_size);
  if (code != (can_hold(&o) ? PYFD_OK : PYFD_ARGUMENT))
    abort();
  if (code == PYFD_OK) {
    check_file(&o, file, file_size, option32(data + 4));
    pyfd_free(file);
  }
  return 0;
}
