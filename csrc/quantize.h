/*
 * quantize.h - the quantization, for arithmetic.c to compile.
 */

#ifndef PYFD_QUANTIZE_H
#define PYFD_QUANTIZE_H

#include "rows.h"

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

#endif /* PYFD_QUANTIZE_H */
