/*
 * rows.h - rows of 8 values as vectors.
 */

#ifndef PYFD_ROWS_H
#define PYFD_ROWS_H

#include "arithmetic.h"

#define WHITE 255  /* the largest sample */
#define CENTER 128 /* is 0 after the level shift */

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

/* Return the rows' bits outside of 0...limit, limit being a power of 2 less 1,
 * for values to which so much is added. */
ALWAYS_INLINE row outside(row values, int32_t added, int32_t limit)
{
  return (values + added) & ~limit;
}

#endif /* PYFD_ROWS_H */
