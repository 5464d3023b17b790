/*
 * arithmetic.c - see arithmetic.h.
 */

#include "arithmetic.h"

#include <stdlib.h>
#include <string.h>

#include "color.h"
#include "dct.h"
#include "quantize.h"
#include "strength.h"

ALWAYS_INLINE int cut(pyfd_values *values, int32_t lowest, int32_t highest)
{
  row *at = (row *)values->at, large = {0};
  const row low = (large & 0) + lowest, high = (large & 0) + highest;
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    large |= (at[i] < low) | (at[i] > high);
  if (!has_nonzero(large))
    return 0;
  for (i = 0; i < PYFD_SIDE; i++)
    at[i] = minimum(maximum(at[i], low), high);
  return 1;
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
  target static int cut_##name(pyfd_values *values, int32_t lowest,           \
                               int32_t highest)                               \
  {                                                                           \
    return cut(values, lowest, highest);                                      \
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
  target static int strength_##name(const pyfd_values *quantized,             \
                                    const pyfd_values *steps,                 \
                                    const pyfd_values *samples, int most)     \
  {                                                                           \
    return strength(quantized, steps, samples, most);                         \
  }                                                                           \
  static const pyfd_arithmetic arithmetic_##name = {                          \
      forward_##name,      forward_bounds_##name,   inverse_##name,           \
      to_component_##name, component_bounds_##name, to_pixels_##name,         \
      cut_##name,          difference_##name,       quantize_##name,          \
      room_##name,         is_least_##name,         within_##name,            \
      strength_##name};

ARITHMETIC(any, )
#ifdef __x86_64__
ARITHMETIC(avx2, __attribute__((target("avx2"))))
#endif

#ifdef __x86_64__
static int is_set(const char *variable)
{
  const char *value = getenv(variable);

  return value != NULL && strcmp(value, "1") == 0;
}

static const pyfd_arithmetic *find_arithmetic(void)
{
  if (__builtin_cpu_supports("avx2") && !is_set("JSIMD_FORCENONE") &&
      !is_set("JSIMD_FORCESSE2"))
    return &arithmetic_avx2;
  return &arithmetic_any;
}

/* Another thread may change the environment, so it is read only once, as in
 * libjpeg-turbo.  Threads that find nothing here all find the same. */
const pyfd_arithmetic *pyfd_choose_arithmetic(void)
{
  static const pyfd_arithmetic *chosen;
  const pyfd_arithmetic *found = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

  if (found == NULL) {
    found = find_arithmetic();
    __atomic_store_n(&chosen, found, __ATOMIC_RELAXED);
  }
  return found;
}
#else
const pyfd_arithmetic *pyfd_choose_arithmetic(void)
{
  return &arithmetic_any;
}
#endif

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
