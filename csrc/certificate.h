/*
 * certificate.h - the proof that a block of coefficients cannot be changed.
 *
 * A block holds at a strength epsilon if all pixels within epsilon of the
 * given ones, and within 0...255, are quantized to the same coefficients.
 */

#ifndef PYFD_CERTIFICATE_H
#define PYFD_CERTIFICATE_H

#include "dct.h"

/* Uncompressed pixels: rows of gray or RGB */
typedef struct {
  const uint8_t *pixels;
  uint32_t width, height;
  int channels; /* 1 or 3 */
} pyfd_image;

/* Check the arguments that Python has checked already, because C's callers may
 * not have.  Returns a pyfd_code. */
int pyfd_check_image(const pyfd_image *image,
                     const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                     pyfd_status *status);

/* What is the same for all blocks of a component */
typedef struct {
  const pyfd_arithmetic *arithmetic;
  int component;    /* as pyfd_arithmetic's functions take it */
  int across, down; /* pixels per sample, 1 or 2 */
  pyfd_values steps;
} pyfd_component;

/* A block covers 8x8 pixels for each pixel of a sample: first those of the
 * samples' upper left pixels, and so on, at most PYFD_PHASES. */
#define PYFD_PHASES 4

/* Set up the component with this index, 0...2. */
void pyfd_set_component(pyfd_component *component, int index, int channels,
                        int across, int down, const uint16_t *steps);

/* Copy the pixels that a block covers, padded as libjpeg pads them.  The row
 * and the column count blocks. */
void pyfd_load_pixels(const pyfd_image *image, const pyfd_component *component,
                      uint32_t row, uint32_t column, pyfd_pixels *pixels);

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

/* Decide whether the block holds with the quantized coefficients, which are
 * those of its pixels or not. */
int pyfd_block_holds(const pyfd_component *component, const pyfd_reach *reach,
                     const pyfd_pixels *pixels, const pyfd_values *quantized);

#endif /* PYFD_CERTIFICATE_H */
