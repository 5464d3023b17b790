/*
 * arithmetic.h - the codec's arithmetic on one block of 8x8 samples, in
 * integers: libjpeg's accurate DCT in both directions, its color conversion,
 * and the interval arithmetic through both that proves what a perturbation can
 * reach.
 *
 * The DCT is a sequence of fixed-point operations whose sums are exact until a
 * pass ends.  So each pass is a product with an integer matrix and a rounding
 * shift, and the results are libjpeg's, bit for bit, SIMD or not.
 */

#ifndef PYFD_ARITHMETIC_H
#define PYFD_ARITHMETIC_H

#include "pyfd.h"

#define PYFD_SIDE 8
#define PYFD_CHANNELS 3
#define PYFD_GRAY 3

/* 64 values in natural order: samples less 128, or coefficients.  The forward
 * DCT scales its coefficients by 8. */
typedef struct {
  int32_t at[PYFD_BLOCK];
} __attribute__((aligned(32))) pyfd_values;

/* The smallest and the largest values that something can have */
typedef struct {
  pyfd_values low, high;
} pyfd_bounds;

/* 8x8 pixels: planes of R, G and B, 0...255.  A gray image has one plane; the
 * others are 0. */
typedef struct {
  pyfd_values plane[PYFD_CHANNELS];
} pyfd_pixels;

/* The arithmetic, with the instructions that this processor has.  If
 * JSIMD_FORCENONE or JSIMD_FORCESSE2 is "1" in the environment, then with
 * those that every processor has, as in libjpeg-turbo. */
typedef struct {
  /* The forward DCT of samples */
  void (*forward)(const pyfd_values *samples, pyfd_values *out);

  /* The exact bounds of the forward DCT's results: each sample moves on its
   * own, and reaches a coefficient on one path, with one sign. */
  void (*forward_bounds)(pyfd_bounds *values);

  /* The samples of quantized coefficients, which a decoder then cuts at -128
   * and 127.  Returns whether every decoder gives the same ones: SIMD
   * saturates or wraps around at 16 bits, and C wraps around at 10.  The
   * products of coefficients and steps must fit 32 bits. */
  int (*inverse)(const pyfd_values *quantized, const pyfd_values *steps,
                 pyfd_values *samples);

  /* The samples of one component of pixels: 0, 1 and 2 are Y, Cb and Cr,
   * PYFD_GRAY is the only one of gray pixels */
  void (*to_component)(const pyfd_pixels *pixels, int component,
                       pyfd_values *samples);

  /* The bounds of these samples if each pixel moves by at most epsilon, but
   * not beyond 0 or 255 */
  void (*component_bounds)(const pyfd_pixels *pixels, int component,
                           int epsilon, pyfd_bounds *samples);

  /* The RGB pixels of three planes, Y, Cb and Cr, which a decoder then cuts at
   * 0 and 255 */
  void (*to_pixels)(const pyfd_values *samples, pyfd_pixels *pixels);

  /* Cut values at the lowest and the highest that are allowed; return whether
   * any was beyond. */
  int (*cut)(pyfd_values *values, int32_t lowest, int32_t highest);

  /* The sum of the squared differences of two planes */
  int32_t (*difference)(const pyfd_values *a, const pyfd_values *b);

  /* Scaled coefficients, divided by 8 times the steps, rounded half away from
   * zero */
  void (*quantize)(const pyfd_values *scaled, const pyfd_values *steps,
                   pyfd_values *quantized);

  /* The largest amounts by which scaled coefficients can rise and fall and
   * still be quantized to these; negative if they are not now */
  void (*room)(const pyfd_values *scaled, const pyfd_values *quantized,
               const pyfd_values *steps, pyfd_values *room);

  /* Whether none of the values is smaller than these */
  int (*is_least)(const pyfd_values *values, const pyfd_values *least);

  /* Whether all of a block's scaled coefficients, from the lowest to the
   * highest, are quantized to these */
  int (*within)(const pyfd_bounds *scaled, const pyfd_values *quantized,
                const pyfd_values *steps);

  /* The strength of one component's block of a file, with these quantized
   * coefficients, steps, and decoded samples, none of which was cut: the
   * largest e, at most `most` (0...255), such that no file that
   * pyfd_why_uncovered() accepts, and whose samples in this block are within e
   * of these and not cut either, has coefficients there that are quantized to
   * others than these.  -1 if not even e = 0 will do. */
  int (*strength)(const pyfd_values *quantized, const pyfd_values *steps,
                  const pyfd_values *samples, int most);
} pyfd_arithmetic;

const pyfd_arithmetic *pyfd_choose_arithmetic(void);

/* Return the L1 norm of basis function u of the forward DCT, times 2^13. */
int pyfd_gain(int u);

/* Fill in the orthonormal DCT: rows are frequencies, columns samples. */
void pyfd_basis(float basis[PYFD_SIDE][PYFD_SIDE]);

#endif /* PYFD_ARITHMETIC_H */
