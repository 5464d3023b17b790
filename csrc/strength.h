/*
 * strength.h - how far a stranger's samples may be from ours, for arithmetic.c
 * to compile.  docs/files-theorem.md has the proof.
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

#ifndef PYFD_STRENGTH_H
#define PYFD_STRENGTH_H

#include "rows.h"

#define HALF 4
#define ONE 0x1p41

/* What the rounding of A to units of 2^-20 adds up to in a coefficient, from
 * the sum of the lengths of its rows: each product of two entries is off by no
 * more than half of the sum of their sizes, and 1/4. */
#define INEXACT(sum) (128 * (HALF * (sum) + 16))

/* Half a row: AVX2 has registers for so many doubles */
typedef int32_t ints __attribute__((vector_size(16), may_alias));
typedef double doubles __attribute__((vector_size(32)));
typedef int64_t longs __attribute__((vector_size(32)));

/* A, transposed: rows are samples */
static const int32_t inverse_rows[PYFD_SIDE][PYFD_SIDE]
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
  const row *weights = (const row *)inverse_rows;
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
      out[i][half] = (double)inverse_rows[0][i] * part[i % 2][0];
      for (j = 1; j < HALF; j++)
        out[i][half] += (double)inverse_rows[j][i] * part[i % 2][j];
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

ALWAYS_INLINE int strength(const pyfd_values *quantized,
                           const pyfd_values *steps,
                           const pyfd_values *samples, int most)
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

#endif /* PYFD_STRENGTH_H */
