/*
 * image.h - uncompressed pixels, and the blocks into which they are encoded.
 */

#ifndef PYFD_IMAGE_H
#define PYFD_IMAGE_H

#include "arithmetic.h"

/* Rows of pixels */
typedef struct {
  const uint8_t *pixels;
  uint32_t width, height;
  int channels;   /* 1 or 3 */
  uint32_t color; /* of 3 channels: as in pyfd_writing */
} pyfd_image;

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

/* Check an image and the tables that encode it.  Returns a pyfd_code. */
int pyfd_check_image(const pyfd_image *image,
                     const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                     pyfd_status *status);

/* Set up the component with this index, 0...2. */
void pyfd_set_component(pyfd_component *component, int index, int channels,
                        int across, int down, const uint16_t *steps);

/* Copy the pixels that a block covers, in RGB, padded as libjpeg pads them.
 * The row and the column count blocks. */
void pyfd_load_pixels(const pyfd_image *image, const pyfd_component *component,
                      uint32_t row, uint32_t column, pyfd_pixels *pixels);

#endif /* PYFD_IMAGE_H */
