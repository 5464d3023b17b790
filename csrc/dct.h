/*
 * dct.h - the DCT, for arithmetic.c to compile.
 */

#ifndef PYFD_DCT_H
#define PYFD_DCT_H

#include "rows.h"

#define CONST_BITS 13 /* fraction bits of the constants */
#define PASS1_BITS 2  /* fraction bits of the results of the first pass */
#define SCALE_BITS 3  /* both passes scale by 8, which the inverse removes */

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

/*
 * All decoders agree if nothing exceeds these powers of 2: SIMD adds and
 * subtracts pairs of coefficients, and of the first pass's results, at 16
 * bits, and C keeps 10 bits of a sample.
 */
#define LARGEST_TERM (1 << 14)
#define LARGEST_SAMPLE (1 << 9)

/* Leave gray samples where decoders differ: with larger terms, the next sums
 * may not fit 32 bits. */
ALWAYS_INLINE int give_up(pyfd_values *samples)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    samples->at[i] = 0;
  return 0;
}

ALWAYS_INLINE int inverse(const pyfd_values *quantized,
                          const pyfd_values *steps, pyfd_values *samples)
{
  const int shift1 = CONST_BITS - PASS1_BITS;
  const int shift2 = CONST_BITS + PASS1_BITS + SCALE_BITS;
  const row *k = (const row *)quantized->at, *step = (const row *)steps->at;
  row *out = (row *)samples->at, in[PYFD_SIDE], half[PYFD_SIDE];
  row even, odd, wrong = {0};
  int i, u, rows = 1;

  for (i = 0; i < PYFD_SIDE; i++) {
    in[i] = k[i] * step[i];
    wrong |= outside(in[i], LARGEST_TERM, 2 * LARGEST_TERM - 1);
    rows = has_nonzero(in[i]) ? i + 1 : rows;
  }
  if (has_nonzero(wrong))
    return give_up(samples);
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
  if (has_nonzero(wrong))
    return give_up(samples);
  for (i = 0; i < PYFD_SIDE; i++) {
    out[i] = (times((int32_t *)&half[i], (const row *)basis) +
              (1 << (shift2 - 1))) >>
             shift2;
    wrong |= outside(out[i], LARGEST_SAMPLE, 2 * LARGEST_SAMPLE - 1);
  }
  return !has_nonzero(wrong);
}

#endif /* PYFD_DCT_H */
