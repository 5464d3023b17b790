/*
 * dct.c - see dct.h.
 */

#include "dct.h"

#include <stdlib.h>
#include <string.h>

#define CONST_BITS 13 /* fraction bits of the constants */
#define PASS1_BITS 2  /* fraction bits of the results of the first pass */
#define SCALE_BITS 3  /* both passes scale by 8, which the inverse removes */
#define COLOR_BITS 16

#define WHITE 255
#define CENTER 128

/* 2^13 times the square root of 8 times the orthonormal DCT, with libjpeg's
 * rounded constants: rows are frequencies, columns samples.  (Loeffler,
 * Ligtenberg and Moschytz, ICASSP 1989; multiplied out.) */
static const int32_t basis[PYFD_SIDE][PYFD_SIDE] = {
    {8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192},
    {11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363},
    {10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703},
    {9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633},
    {8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192},
    {6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437},
    {4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433},
    {2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260},
};

/* The same, transposed: rows are samples */
static const int32_t transposed[PYFD_SIDE][PYFD_SIDE]
    __attribute__((aligned(32))) = {
        {8192, 11363, 10703, 9633, 8192, 6437, 4433, 2260},
        {8192, 9633, 4433, -2259, -8192, -11362, -10704, -6436},
        {8192, 6437, -4433, -11362, -8192, 2261, 10704, 9633},
        {8192, 2260, -10703, -6436, 8192, 9633, -4433, -11363},
        {8192, -2260, -10703, 6436, 8192, -9633, -4433, 11363},
        {8192, -6437, -4433, 11362, -8192, -2261, 10704, -9633},
        {8192, -9633, 4433, 2259, -8192, 11362, -10704, 6436},
        {8192, -11363, 10703, -9633, 8192, -6437, 4433, -2260},
};

/* A row of a block: GCC and Clang compile its arithmetic to what vectors the
 * processor has. */
typedef int32_t row __attribute__((vector_size(32), may_alias));

/* No row is ever passed between functions that are not inlined, so the calling
 * convention that GCC warns of does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE int32_t magnitude(int32_t value)
{
  return value < 0 ? -value : value;
}

ALWAYS_INLINE row minimum(row a, row b)
{
  row less = a < b;

  return (a & less) | (b & ~less);
}

ALWAYS_INLINE row maximum(row a, row b)
{
  row less = a < b;

  return (b & less) | (a & ~less);
}

ALWAYS_INLINE row absolute(row a)
{
  row sign = a >> 31;

  return (a ^ sign) - sign;
}

ALWAYS_INLINE int has_nonzero(row a)
{
  typedef int64_t halves __attribute__((vector_size(32)));
  const halves parts = (halves)a;

  return (parts[0] | parts[1] | parts[2] | parts[3]) != 0;
}

/* Return the sum over x of in[x] * weights[x], which is a row. */
ALWAYS_INLINE row times(const int32_t *in, const row *weights)
{
  row sum = in[0] * weights[0];
  int x;

  for (x = 1; x < PYFD_SIDE; x++)
    sum += in[x] * weights[x];
  return sum;
}

/* Return the sum over y < 4 of weights[y] * in[y]. */
ALWAYS_INLINE row half_weighted(const int32_t *weights, const row *in)
{
  return weights[0] * in[0] + weights[1] * in[1] + weights[2] * in[2] +
         weights[3] * in[3];
}

/* Add the lower half of 8 rows, mirrored, to the upper half, and subtract it:
 * basis functions of even frequencies are symmetric, the others
 * antisymmetric. */
ALWAYS_INLINE void fold(const row *in, row *sums, row *differences)
{
  int i;

  for (i = 0; i < PYFD_SIDE / 2; i++) {
    sums[i] = in[i] + in[PYFD_SIDE - 1 - i];
    differences[i] = in[i] - in[PYFD_SIDE - 1 - i];
  }
}

/* ---- the DCT ---- */

ALWAYS_INLINE void forward(const pyfd_values *samples, pyfd_values *out)
{
  const int shift1 = CONST_BITS - PASS1_BITS, shift2 = CONST_BITS + PASS1_BITS;
  row *result = (row *)out->at, half[PYFD_SIDE];
  row folded[2][PYFD_SIDE / 2];
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    half[i] = (times(samples->at + PYFD_SIDE * i, (const row *)transposed) +
               (1 << (shift1 - 1))) >>
              shift1;
  fold(half, folded[0], folded[1]);
  for (i = 0; i < PYFD_SIDE; i++)
    result[i] =
        (half_weighted(basis[i], folded[i % 2]) + (1 << (shift2 - 1))) >>
        shift2;
}

/*
 * The smallest sum of a pass takes the low values where the weights are
 * positive, and the high ones where they are negative.  Twice that is the sum
 * of weight * (low + high) - |weight| * (high - low).
 */
ALWAYS_INLINE void forward_bounds(pyfd_bounds *values)
{
  const int shift1 = CONST_BITS - PASS1_BITS, shift2 = CONST_BITS + PASS1_BITS;
  row *low = (row *)values->low.at, *high = (row *)values->high.at;
  row middle[PYFD_SIDE], reach[PYFD_SIDE], sizes[PYFD_SIDE], m, r;
  row folded[2][PYFD_SIDE / 2], reaches[PYFD_SIDE / 2];
  int32_t of_row[PYFD_SIDE / 2];
  int i, j;

  for (i = 0; i < PYFD_SIDE; i++)
    sizes[i] = absolute(((const row *)transposed)[i]);
  for (i = 0; i < PYFD_SIDE; i++) {
    middle[i] = low[i] + high[i];
    reach[i] = high[i] - low[i];
    m = times((int32_t *)&middle[i], (const row *)transposed) + (1 << shift1);
    r = times((int32_t *)&reach[i], sizes);
    low[i] = (m - r) >> (shift1 + 1);
    high[i] = (m + r) >> (shift1 + 1);
    middle[i] = low[i] + high[i];
    reach[i] = high[i] - low[i];
  }
  fold(middle, folded[0], folded[1]);
  for (i = 0; i < PYFD_SIDE / 2; i++)
    reaches[i] = reach[i] + reach[PYFD_SIDE - 1 - i];
  for (i = 0; i < PYFD_SIDE; i++) {
    for (j = 0; j < PYFD_SIDE / 2; j++)
      of_row[j] = magnitude(basis[i][j]);
    m = half_weighted(basis[i], folded[i % 2]) + (1 << shift2);
    r = half_weighted(of_row, reaches);
    low[i] = (m - r) >> (shift2 + 1);
    high[i] = (m + r) >> (shift2 + 1);
  }
}

/* Return the rows' bits outside of 0...limit, limit being a power of 2 less 1,
 * for values to which so much is added. */
ALWAYS_INLINE row outside(row values, int32_t added, int32_t limit)
{
  return (values + added) & ~limit;
}

/* Cut the values of a block where some were found outside the limits. */
ALWAYS_INLINE void cut(row *values, int32_t lowest, int32_t highest)
{
  const row zero = {0};
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    values[i] = minimum(maximum(values[i], zero + lowest), zero + highest);
}

/*
 * All decoders agree if nothing exceeds these powers of 2: SIMD adds and
 * subtracts pairs of coefficients, and of the first pass's results, at 16
 * bits, and C keeps 10 bits of a sample.
 */
#define LARGEST_TERM (1 << 14)
#define LARGEST_SAMPLE (1 << 9)

ALWAYS_INLINE int inverse(const pyfd_values *quantized,
                          const pyfd_values *steps, pyfd_values *samples)
{
  const int shift1 = CONST_BITS - PASS1_BITS;
  const int shift2 = CONST_BITS + PASS1_BITS + SCALE_BITS;
  const row *k = (const row *)quantized->at, *step = (const row *)steps->at;
  row *out = (row *)samples->at, in[PYFD_SIDE], half[PYFD_SIDE];
  row even, odd, wrong = {0}, large = {0};
  int i, u, rows = 1;

  for (i = 0; i < PYFD_SIDE; i++) {
    in[i] = k[i] * step[i];
    wrong |= outside(in[i], LARGEST_TERM, 2 * LARGEST_TERM - 1);
    rows = has_nonzero(in[i]) ? i + 1 : rows;
  }
  for (i = 0; i < PYFD_SIDE / 2; i++) {
    even = (in[0] << CONST_BITS) + (1 << (shift1 - 1));
    odd = transposed[i][1] * in[1];
    for (u = 2; u < rows; u += 2) { /* coarse tables leave few rows */
      even += transposed[i][u] * in[u];
      odd += transposed[i][u + 1] * in[u + 1];
    }
    half[i] = (even + odd) >> shift1;
    half[PYFD_SIDE - 1 - i] = (even - odd) >> shift1;
    wrong |= outside(half[i], LARGEST_TERM, 2 * LARGEST_TERM - 1);
    wrong |=
        outside(half[PYFD_SIDE - 1 - i], LARGEST_TERM, 2 * LARGEST_TERM - 1);
  }
  for (i = 0; i < PYFD_SIDE; i++) {
    out[i] = (times((int32_t *)&half[i], (const row *)basis) +
              (1 << (shift2 - 1))) >>
             shift2;
    wrong |= outside(out[i], LARGEST_SAMPLE, 2 * LARGEST_SAMPLE - 1);
    large |= outside(out[i], CENTER, WHITE);
  }
  if (has_nonzero(large))
    cut(out, -CENTER, WHITE - CENTER);
  return !has_nonzero(wrong);
}

/* ---- color ---- */

/* The weights of R, G and B, and what is added before the shift; the
 * components are level-shifted. */
static const int32_t to_ycc[PYFD_CHANNELS + 1][PYFD_CHANNELS + 1] = {
    {19595, 38470, 7471, (1 << 15) - (CENTER << COLOR_BITS)},
    {-11059, -21709, 32768, (1 << 15) - 1},
    {32768, -27439, -5329, (1 << 15) - 1},
    {1 << COLOR_BITS, 0, 0, -(CENTER << COLOR_BITS)},
};

ALWAYS_INLINE void to_component(const pyfd_pixels *pixels, int component,
                                pyfd_values *samples)
{
  const int32_t *weights = to_ycc[component];
  const row *r = (const row *)pixels->plane[0].at;
  const row *g = (const row *)pixels->plane[1].at;
  const row *b = (const row *)pixels->plane[2].at;
  row *out = (row *)samples->at;
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    out[i] = (weights[0] * r[i] + weights[1] * g[i] + weights[2] * b[i] +
              weights[3]) >>
             COLOR_BITS;
}

ALWAYS_INLINE void component_bounds(const pyfd_pixels *pixels, int component,
                                    int epsilon, pyfd_bounds *samples)
{
  row *low = (row *)samples->low.at, *high = (row *)samples->high.at;
  const row black = {0}, white = black + WHITE;
  int i, channel;

  for (i = 0; i < PYFD_SIDE; i++)
    low[i] = high[i] = black + to_ycc[component][PYFD_CHANNELS];
  for (channel = 0; channel < PYFD_CHANNELS; channel++) {
    const row *in = (const row *)pixels->plane[channel].at;
    const int32_t weight = to_ycc[component][channel];

    for (i = 0; i < PYFD_SIDE; i++) {
      row darker = weight * maximum(in[i] - epsilon, black);
      row lighter = weight * minimum(in[i] + epsilon, white);

      low[i] += weight < 0 ? lighter : darker;
      high[i] += weight < 0 ? darker : lighter;
    }
  }
  for (i = 0; i < PYFD_SIDE; i++) {
    low[i] >>= COLOR_BITS;
    high[i] >>= COLOR_BITS;
  }
}

ALWAYS_INLINE void to_pixels(const pyfd_values samples[PYFD_CHANNELS],
                             pyfd_pixels *pixels)
{
  const row *luma = (const row *)samples[0].at;
  const row *blue = (const row *)samples[1].at;
  const row *red = (const row *)samples[2].at;
  const int32_t half = 1 << (COLOR_BITS - 1);
  row *r = (row *)pixels->plane[0].at, *g = (row *)pixels->plane[1].at;
  row *b = (row *)pixels->plane[2].at, large = {0};
  int i;

  for (i = 0; i < PYFD_SIDE; i++) {
    r[i] = luma[i] + CENTER + ((91881 * red[i] + half) >> COLOR_BITS);
    g[i] = luma[i] + CENTER +
           ((-22554 * blue[i] - 46802 * red[i] + half) >> COLOR_BITS);
    b[i] = luma[i] + CENTER + ((116130 * blue[i] + half) >> COLOR_BITS);
    large |= outside(r[i] | g[i] | b[i], 0, WHITE);
  }
  if (has_nonzero(large)) {
    cut(r, 0, WHITE);
    cut(g, 0, WHITE);
    cut(b, 0, WHITE);
  }
}

/* Return the sum of the squared differences of two planes. */
ALWAYS_INLINE int32_t difference(const pyfd_values *a, const pyfd_values *b)
{
  row sum = {0}, each;
  int i;

  for (i = 0; i < PYFD_SIDE; i++) {
    each = ((const row *)a->at)[i] - ((const row *)b->at)[i];
    sum += each * each;
  }
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

/* ---- quantization ---- */

typedef float floats __attribute__((vector_size(32)));

/* Quotients of numbers below 2^24 are exact enough to be cut: a quotient that
 * is no whole number differs from one by more than it is rounded by. */
ALWAYS_INLINE void quantize(const pyfd_values *scaled,
                            const pyfd_values *steps, pyfd_values *quantized)
{
  const row *in = (const row *)scaled->at, *step = (const row *)steps->at;
  row *out = (row *)quantized->at, sign, size;
  int i;

  for (i = 0; i < PYFD_SIDE; i++) {
    sign = in[i] >> 31;
    size = __builtin_convertvector(
        __builtin_convertvector(absolute(in[i]) + 4 * step[i], floats) /
            __builtin_convertvector(8 * step[i], floats),
        row);
    out[i] = (size ^ sign) - sign;
  }
}

/*
 * A scaled coefficient is quantized to k if it differs from 8 * k * step by
 * less than 4 * step, or by 4 * step on the side of zero: halves are rounded
 * away from zero.  (A true comparison is -1.)
 */
ALWAYS_INLINE row lowest_offset(row k, row step)
{
  return -4 * step - (k <= 0);
}

ALWAYS_INLINE row highest_offset(row k, row step)
{
  return 4 * step + (k >= 0);
}

ALWAYS_INLINE void room(const pyfd_values *scaled,
                        const pyfd_values *quantized, const pyfd_values *steps,
                        pyfd_values *result)
{
  const row *in = (const row *)scaled->at, *k = (const row *)quantized->at;
  const row *step = (const row *)steps->at;
  row *out = (row *)result->at, offset;
  int i;

  for (i = 0; i < PYFD_SIDE; i++) {
    offset = in[i] - 8 * k[i] * step[i];
    out[i] = minimum(offset - lowest_offset(k[i], step[i]),
                     highest_offset(k[i], step[i]) - offset);
  }
}

ALWAYS_INLINE int is_least(const pyfd_values *values, const pyfd_values *least)
{
  row lacks = {0};
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    lacks |= ((const row *)values->at)[i] - ((const row *)least->at)[i];
  return !has_nonzero(lacks >> 31);
}

ALWAYS_INLINE int within(const pyfd_bounds *scaled,
                         const pyfd_values *quantized,
                         const pyfd_values *steps)
{
  const row *low = (const row *)scaled->low.at;
  const row *high = (const row *)scaled->high.at;
  const row *k = (const row *)quantized->at, *step = (const row *)steps->at;
  row inside = ~(low[0] & 0), center;
  int i, all = -1;

  for (i = 0; i < PYFD_SIDE; i++) {
    center = 8 * k[i] * step[i];
    inside &= low[i] - center >= lowest_offset(k[i], step[i]);
    inside &= high[i] - center <= highest_offset(k[i], step[i]);
  }
  for (i = 0; i < PYFD_SIDE; i++)
    all &= inside[i];
  return all != 0;
}

/* ---- one copy for each set of instructions ---- */

#define ARITHMETIC(name, target)                                              \
  target static void forward_##name(const pyfd_values *samples,               \
                                    pyfd_values *out)                         \
  {                                                                           \
    forward(samples, out);                                                    \
  }                                                                           \
  target static void forward_bounds_##name(pyfd_bounds *values)               \
  {                                                                           \
    forward_bounds(values);                                                   \
  }                                                                           \
  target static int inverse_##name(const pyfd_values *quantized,              \
                                   const pyfd_values *steps,                  \
                                   pyfd_values *samples)                      \
  {                                                                           \
    return inverse(quantized, steps, samples);                                \
  }                                                                           \
  target static void to_component_##name(const pyfd_pixels *pixels,           \
                                         int component, pyfd_values *samples) \
  {                                                                           \
    to_component(pixels, component, samples);                                 \
  }                                                                           \
  target static void component_bounds_##name(const pyfd_pixels *pixels,       \
                                             int component, int epsilon,      \
                                             pyfd_bounds *samples)            \
  {                                                                           \
    component_bounds(pixels, component, epsilon, samples);                    \
  }                                                                           \
  target static void to_pixels_##name(const pyfd_values *samples,             \
                                      pyfd_pixels *pixels)                    \
  {                                                                           \
    to_pixels(samples, pixels);                                               \
  }                                                                           \
  target static int32_t difference_##name(const pyfd_values *a,               \
                                          const pyfd_values *b)               \
  {                                                                           \
    return difference(a, b);                                                  \
  }                                                                           \
  target static void quantize_##name(const pyfd_values *scaled,               \
                                     const pyfd_values *steps,                \
                                     pyfd_values *quantized)                  \
  {                                                                           \
    quantize(scaled, steps, quantized);                                       \
  }                                                                           \
  target static void room_##name(                                             \
      const pyfd_values *scaled, const pyfd_values *quantized,                \
      const pyfd_values *steps, pyfd_values *result)                          \
  {                                                                           \
    room(scaled, quantized, steps, result);                                   \
  }                                                                           \
  target static int is_least_##name(const pyfd_values *values,                \
                                    const pyfd_values *least)                 \
  {                                                                           \
    return is_least(values, least);                                           \
  }                                                                           \
  target static int within_##name(const pyfd_bounds *scaled,                  \
                                  const pyfd_values *quantized,               \
                                  const pyfd_values *steps)                   \
  {                                                                           \
    return within(scaled, quantized, steps);                                  \
  }                                                                           \
  static const pyfd_arithmetic arithmetic_##name = {forward_##name,           \
                                                    forward_bounds_##name,    \
                                                    inverse_##name,           \
                                                    to_component_##name,      \
                                                    component_bounds_##name,  \
                                                    to_pixels_##name,         \
                                                    difference_##name,        \
                                                    quantize_##name,          \
                                                    room_##name,              \
                                                    is_least_##name,          \
                                                    within_##name};

ARITHMETIC(any, )
#ifdef __x86_64__
ARITHMETIC(avx2, __attribute__((target("avx2"))))
#endif

const pyfd_arithmetic *pyfd_choose_arithmetic(void)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && !getenv("JSIMD_FORCENONE") &&
      !getenv("JSIMD_FORCESSE2"))
    return &arithmetic_avx2;
#endif
  return &arithmetic_any;
}

void pyfd_basis(float out[PYFD_SIDE][PYFD_SIDE])
{
  const float scale = (1 << CONST_BITS) * 2.828427125f;
  int u, x;

  for (u = 0; u < PYFD_SIDE; u++) {
    for (x = 0; x < PYFD_SIDE; x++)
      out[u][x] = (float)basis[u][x] / scale;
  }
}

int pyfd_gain(int u)
{
  int x, gain = 0;

  for (x = 0; x < PYFD_SIDE; x++)
    gain += magnitude(basis[u][x]);
  return gain;
}
