/*
 * edges.h - coefficients that survive the padding.
 *
 * In a block that reaches over the image's edge, what the decoder makes of the
 * pixels beyond it is dropped, and the encoder repeats the last pixel instead.
 * The coefficients come back only if the two are nearly the same.
 */

#ifndef PYFD_EDGES_H
#define PYFD_EDGES_H

#include "arithmetic.h"

typedef float pyfd_floats __attribute__((vector_size(32), aligned(32)));

/* What padding does to the 8 coefficients of a line across the edge, which is
 * linear up to roundings: a vector for each coefficient */
typedef struct {
  int pixels;                    /* within the image, 1...7 */
  pyfd_floats change[PYFD_SIDE]; /* of the line's coefficients, by padding */
  pyfd_floats inside[PYFD_SIDE]; /* the pixels within the image, else 0 */
} pyfd_edge;

/* Set up an edge with this number of pixels within the image, 1...7. */
void pyfd_set_edge(pyfd_edge *edge, int pixels);

/* Quantize a line's coefficients such that padding changes none of them by
 * more than allowed, with the least error within the image.  Returns 0 if no
 * such coefficients were found. */
int pyfd_fit_line(const pyfd_edge *edge, const float target[PYFD_SIDE],
                  const float steps[PYFD_SIDE], const float allowed[PYFD_SIDE],
                  int32_t quantized[PYFD_SIDE]);

#endif /* PYFD_EDGES_H */
