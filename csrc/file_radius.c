/*
 * file_radius.c - see file_radius.h, and docs/files-theorem.md for the proof.
 *
 * The inverse DCT takes dequantized coefficients C to samples S (less 128) in
 * two passes, each of which is a product with the matrix B of its integer
 * constants and a shift that rounds:
 *
 *   W = B' C / 2^11 + f,  S = W B / 2^18 + g
 *
 * f and g are the roundings, 1/2 at most in size.  So with A' = 2^15 B^-1,
 *
 *   C = A S A' / 2 - A g A' / 2 - A f / 2^4
 *
 * where the last term is 1/8 at most.  Let l(u) be what row u of A adds up to
 * in size.  If a stranger's samples are within e of ours, his coefficient at
 * (u, v) differs from our k q by no more than
 *
 *   |(A S A')(u, v) / 2 - k q| + l(u) l(v) (e + 1/2) / 2 + 1/8
 *
 * and because it is an integer, it is quantized to k if this is less than
 * ceil(q / 2).  Everything below is in units of 2^-41, A itself in units of
 * 2^-20, and doubles hold integers up to 2^53: nothing is rounded.
 */

#include "file_radius.h"

#include <string.h>

#include "status.h"

#define HALF 4
#define WHITE 255
#define CENTER 128
#define ONE 0x1p41

/* What the rounding of A to units of 2^-20 adds up to in a coefficient, from
 * the sum of the lengths of its rows: each product of two entries is off by no
 * more than half of the sum of their sizes, and 1/4. */
#define INEXACT(sum) (128 * (HALF * (sum) + 16))

/* A row of integers, and half a row of doubles: what AVX2 has registers for */
typedef int32_t row __attribute__((vector_size(32), may_alias));
typedef int32_t ints __attribute__((vector_size(16), may_alias));
typedef double doubles __attribute__((vector_size(32)));
typedef int64_t longs __attribute__((vector_size(32)));

#pragma GCC diagnostic ignored "-Wpsabi" /* as in arithmetic.c */

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A, transposed: rows are samples */
static const int32_t transposed[PYFD_SIDE][PYFD_SIDE]
    __attribute__((aligned(32))) = {
        {524288, 727109, 685063, 616540, 524288, 411950, 283715, 144639},
        {524288, 616540, 283715, -144673, -524288, -727222, -684999, -411937},
        {524288, 411950, -283715, -727222, -524288, 144654, 684999, 616462},
        {524288, 144639, -685063, -411937, 524288, 616462, -283715, -727218},
        {524288, -144639, -685063, 411937, 524288, -616462, -283715, 727218},
        {524288, -411950, -283715, 727222, -524288, -144654, 684999, -616462},
        {524288, -616540, 283715, 144673, -524288, 727222, -684999, 411937},
        {524288, -727109, 685063, -616540, 524288, -411950, 283715, -144639},
};

/* l, rounded up */
static const double lengths[PYFD_SIDE] __attribute__((aligned(32))) = {
    4194304, 3800475, 3875111, 3800744, 4194304, 3800579, 3874855, 3800513};

/* Numbers for the frequencies, by halves of rows */
typedef doubles numbers[PYFD_SIDE][2];

/* Compute A S A' / 2.  The rows of A are symmetric if they are even, and
 * antisymmetric if they are odd. */
ALWAYS_INLINE void transform(const pyfd_values *samples, numbers out)
{
  const row *weights = (const row *)transposed;
  row passed[PYFD_SIDE], folded[2][HALF];
  doubles part[2][HALF];
  int i, j, half;

  for (i = 0; i < PYFD_SIDE; i++) {
    passed[i] = samples->at[PYFD_SIDE * i] * weights[0];
    for (j = 1; j < PYFD_SIDE; j++)
      passed[i] += samples->at[PYFD_SIDE * i + j] * weights[j];
  }
  for (i = 0; i < HALF; i++) {
    folded[0][i] = passed[i] + passed[PYFD_SIDE - 1 - i];
    folded[1][i] = passed[i] - passed[PYFD_SIDE - 1 - i];
  }
  for (half = 0; half < 2; half++) {
    for (i = 0; i < HALF; i++) {
      for (j = 0; j < 2; j++)
        part[j][i] = __builtin_convertvector(
            ((const ints *)&folded[j][i])[half], doubles);
    }
    for (i = 0; i < PYFD_SIDE; i++) {
      out[i][half] = (double)transposed[0][i] * part[i % 2][0];
      for (j = 1; j < HALF; j++)
        out[i][half] += (double)transposed[j][i] * part[i % 2][j];
    }
  }
}

/* Compute twice the amounts by which e + 1/2 levels may move coefficients.
 * Negative ones do not have to be exact. */
ALWAYS_INLINE void find_room(const pyfd_values *quantized,
                             const pyfd_values *steps,
                             const pyfd_values *samples, numbers room)
{
  const row *k = (const row *)quantized->at, *step = (const row *)steps->at;
  const longs no_sign = (longs){0} + INT64_MAX;
  numbers own;
  row product, threshold;
  doubles distance, length;
  int i, half;

  transform(samples, own);
  for (i = 0; i < PYFD_SIDE; i++) {
    product = k[i] * step[i];
    threshold = (step[i] + 1) >> 1;
    for (half = 0; half < 2; half++) {
      distance = own[i][half] - ONE * __builtin_convertvector(
                                          ((ints *)&product)[half], doubles);
      distance = (doubles)((longs)distance & no_sign);
      length = ((const doubles *)lengths)[half] + lengths[i];
      room[i][half] =
          ONE * __builtin_convertvector(((ints *)&threshold)[half], doubles);
      room[i][half] -= distance + ONE / 8 + INEXACT(length);
      room[i][half] *= 2;
    }
  }
}

/* Return whether no coefficient moves too far at this strength. */
ALWAYS_INLINE int suffices(numbers room, int strength)
{
  longs lacks = {0};
  int i, half;

  for (i = 0; i < PYFD_SIDE; i++) {
    for (half = 0; half < 2; half++)
      lacks |=
          lengths[i] * (2 * strength + 1) * ((const doubles *)lengths)[half] >=
          room[i][half];
  }
  return !(lacks[0] | lacks[1] | lacks[2] | lacks[3]);
}

/* Return the largest strength, at most `most`, at which a coefficient does not
 * move too far, or -1. */
ALWAYS_INLINE int largest(double room, double gain, int most)
{
  if (room < gain * (2 * most + 1))
    most = room < 0 ? -1 : (int)((room / gain + 1) / 2);
  while (most >= 0 && gain * (2 * most + 1) >= room)
    most--;
  return most;
}

ALWAYS_INLINE int radius(const pyfd_values *quantized,
                         const pyfd_values *steps, const pyfd_values *samples,
                         int most)
{
  numbers room;
  int i, j;

  find_room(quantized, steps, samples, room);
  if (suffices(room, most))
    return most;
  for (i = 0; i < PYFD_SIDE; i++) {
    for (j = 0; j < PYFD_SIDE; j++)
      most =
          largest(room[i][j / HALF][j % HALF], lengths[i] * lengths[j], most);
  }
  return most;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static int
radius_avx2(const pyfd_values *quantized, const pyfd_values *steps,
            const pyfd_values *samples, int most)
{
  return radius(quantized, steps, samples, most);
}
#endif

int pyfd_component_strength(const pyfd_values *quantized,
                            const pyfd_values *steps,
                            const pyfd_values *samples, int most)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2"))
    return radius_avx2(quantized, steps, samples, most);
#endif
  return radius(quantized, steps, samples, most);
}

/* Without rounding, A S A' / 2 would be k q.  The second pass's rounding moves
 * it by l(u) l(v) / 4 at most, the first one's by 1/8. */
void pyfd_bound_strength(const pyfd_values *steps, int *least, int *most)
{
  double gain, room, inexact;
  int i, j;

  *least = *most = WHITE;
  for (i = 0; i < PYFD_SIDE; i++) {
    for (j = 0; j < PYFD_SIDE; j++) {
      gain = lengths[i] * lengths[j];
      inexact = INEXACT(lengths[i] + lengths[j]);
      room = (steps->at[PYFD_SIDE * i + j] + 1) / 2 * ONE - ONE / 8 - inexact;
      *most = largest(2 * room, gain, *most);
      *least = largest(2 * (room - ONE / 8 - inexact) - gain, gain, *least);
    }
  }
}

/* ---- all components ---- */

/* Return the largest e, at most `most`, with all pixels in e + 1 ... 254 - e,
 * or something negative. */
static int uncut_strength(const pyfd_pixels *pixels, int channels, int most)
{
  int32_t value;
  int i, j;

  for (i = 0; i < channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++) {
      value = pixels->plane[i].at[j];
      value = value < WHITE - value ? value : WHITE - value;
      most = value - 1 < most ? value - 1 : most;
    }
  }
  return most;
}

int pyfd_block_strength(const pyfd_component *components, int channels,
                        const pyfd_values *quantized,
                        const pyfd_values *samples, const pyfd_pixels *pixels,
                        int most)
{
  int i, strength = uncut_strength(pixels, channels, most);

  for (i = 0; i < channels && strength >= 0; i++)
    strength = pyfd_component_strength(&quantized[i], &components[i].steps,
                                       &samples[i], strength);
  return strength < 0 ? -1 : strength;
}

/* ---- whole images ---- */

typedef struct {
  pyfd_image image;
  pyfd_component components[PYFD_CHANNELS];
  int least; /* strength of a block that is not cut, by the steps alone */
  int most;  /* of any block */
} radius_job;

/* Decode what the encoder makes of a component.  Return whether all decoders
 * make the same of it. */
static int pass_through(const pyfd_component *component,
                        const pyfd_pixels *pixels, pyfd_values *quantized,
                        pyfd_values *samples)
{
  const pyfd_arithmetic *arithmetic = component->arithmetic;
  pyfd_values scaled;

  pyfd_transform(component, pixels, &scaled);
  (*arithmetic->quantize)(&scaled, &component->steps, quantized);
  if (!(*arithmetic->inverse)(quantized, &component->steps, samples))
    return 0;
  (*arithmetic->cut)(samples, -CENTER, WHITE - CENTER);
  return 1;
}

static int are_pixels_of(const radius_job *job, const pyfd_values *samples,
                         const pyfd_pixels *pixels)
{
  pyfd_pixels made;
  int i;

  if (job->image.channels == PYFD_CHANNELS) {
    (*job->components->arithmetic->to_pixels)(samples, &made);
    return memcmp(&made, pixels, sizeof(made)) == 0;
  }
  for (i = 0; i < PYFD_BLOCK; i++)
    made.plane[0].at[i] = samples->at[i] + CENTER;
  return memcmp(made.plane, pixels->plane, sizeof(*made.plane)) == 0;
}

/* Return the radius for files of 8x8 pixels. */
static int radius_of(const radius_job *job, const pyfd_pixels *pixels)
{
  const int channels = job->image.channels;
  pyfd_values quantized[PYFD_CHANNELS], samples[PYFD_CHANNELS];
  int strength = uncut_strength(pixels, channels, job->most), i;

  if (strength < 0)
    return 0;
  for (i = 0; i < channels; i++) {
    if (!pass_through(&job->components[i], pixels, &quantized[i], &samples[i]))
      return 0;
  }
  if (!are_pixels_of(job, samples, pixels))
    return 0;
  if (strength <= job->least)
    return strength + 1;
  return 1 + pyfd_block_strength(job->components, channels, quantized, samples,
                                 pixels, strength);
}

static void set_job(radius_job *job, const uint16_t (*tables)[PYFD_BLOCK],
                    int num_tables)
{
  int i, least, most;

  job->least = job->most = WHITE;
  for (i = 0; i < job->image.channels; i++) {
    pyfd_set_component(&job->components[i], i, job->image.channels, 1, 1,
                       tables[i < num_tables ? i : num_tables - 1]);
    pyfd_bound_strength(&job->components[i].steps, &least, &most);
    job->least = least < job->least ? least : job->least;
    job->most = most < job->most ? most : job->most;
  }
}

int pyfd_find_file_radii(const uint8_t *pixels, uint32_t width,
                         uint32_t height, int channels, const uint16_t *tables,
                         int num_tables, uint16_t *out, size_t out_count,
                         pyfd_status *status)
{
  const uint16_t (*table)[PYFD_BLOCK] = (const uint16_t (*)[PYFD_BLOCK])tables;
  radius_job job = {.image = {pixels, width, height, channels}};
  const uint32_t high = (height + PYFD_SIDE - 1) / PYFD_SIDE;
  const uint32_t wide = (width + PYFD_SIDE - 1) / PYFD_SIDE;
  pyfd_pixels block;
  uint32_t row, column;

  memset(status, 0, sizeof(*status));
  if (pyfd_check_image(&job.image, table, num_tables, status) != PYFD_OK)
    return (int)status->code;
  if ((size_t)high * wide != out_count)
    return pyfd_fail(status, PYFD_ARGUMENT, "the buffer does not fit");
  set_job(&job, table, num_tables);
  memset(out, 0, out_count * sizeof(*out)); /* padded blocks: nothing */
  for (row = 0; row < height / PYFD_SIDE; row++) {
    for (column = 0; column < width / PYFD_SIDE; column++) {
      pyfd_load_pixels(&job.image, job.components, row, column, &block);
      out[(size_t)row * wide + column] = (uint16_t)radius_of(&job, &block);
    }
  }
  return PYFD_OK;
}
