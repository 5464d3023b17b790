/*
 * certificate.h - the proof that a block of coefficients cannot be changed.
 *
 * A block holds at a strength epsilon if all pixels within epsilon of the
 * given ones, and within 0...255, are quantized to the same coefficients.
 */

#ifndef PYFD_CERTIFICATE_H
#define PYFD_CERTIFICATE_H

#include "image.h"

/* Compute a block's scaled coefficients. */
void pyfd_transform(const pyfd_component *component, const pyfd_pixels *pixels,
                    pyfd_values *scaled);

/* What a perturbation of one strength adds to scaled coefficients */
typedef struct {
  int epsilon;
  pyfd_values most;  /* no perturbation adds more */
  pyfd_values least; /* one adds more if no pixel is cut at 0 or 255 */
} pyfd_reach;

void pyfd_set_reach(pyfd_reach *reach, int epsilon);

/* Decide whether the block holds with these quantized coefficients, which need
 * not be those of its pixels. */
int pyfd_block_holds(const pyfd_component *component, const pyfd_reach *reach,
                     const pyfd_pixels *pixels, const pyfd_values *quantized);

/* Decide whether the block holds with those of its pixels. */
int pyfd_block_is_safe(const pyfd_component *component,
                       const pyfd_reach *reach, const pyfd_pixels *pixels);

/* The strength that moves a scaled coefficient by 1, by frequency */
typedef struct {
  float strength[PYFD_BLOCK];
} pyfd_gains;

void pyfd_set_gains(pyfd_gains *gains);

/* Return the smallest strength at which the block does not hold, or
 * PYFD_MAX_RADIUS. */
int pyfd_block_radius(const pyfd_component *component, const pyfd_gains *gains,
                      const pyfd_pixels *pixels);

#endif /* PYFD_CERTIFICATE_H */
