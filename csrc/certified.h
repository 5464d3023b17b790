/*
 * certified.h - the search for blocks that hold.
 *
 * The decoder cuts pixels at 0 and 255, rounds them to 8 bits and drops those
 * beyond the image's edges, so a block that was encoded and decoded may lie
 * off its tables' grid, and a perturbation may move it.  Then there are other
 * coefficients close to it whose pixels stay on the grid.
 */

#ifndef PYFD_CERTIFIED_H
#define PYFD_CERTIFIED_H

#include "certificate.h"
#include "edges.h"
#include "file_radius.h"

/* Blocks of an image without subsampling, to be encoded such that they hold */
typedef struct {
  pyfd_image image;
  pyfd_component components[PYFD_CHANNELS];
  int epsilon, file_epsilon; /* for pixels and for files; -1: not asked for */
  pyfd_reach reach;
  pyfd_edge right, bottom; /* where the image's sides are not whole blocks */
} pyfd_certified;

/* Set up the blocks of an image that must hold at epsilon (0...255), for files
 * at file_epsilon, or both; -1 asks for nothing.  Returns whether they can:
 * whether a flat block of level 128 does. */
int pyfd_set_certified(pyfd_certified *certified, const pyfd_image *image,
                       const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                       int epsilon, int file_epsilon);

/* Replace the quantized blocks of all components at one place with others that
 * hold, and whose pixels are as close as possible to the image's, unless these
 * hold. */
void pyfd_certify_blocks(const pyfd_certified *certified, uint32_t row,
                         uint32_t column, int16_t *blocks[PYFD_CHANNELS]);

#endif /* PYFD_CERTIFIED_H */
