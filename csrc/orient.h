/*
 * orient.h - the orientations of TIFF 6.0 (tag 274), which EXIF takes over.
 */

#ifndef PYFD_ORIENT_H
#define PYFD_ORIENT_H

#include "decode.h"

/* How to make an image upright: transpose it first, and then mirror it */
typedef struct {
  int transposed; /* its rows become columns */
  int left_right; /* columns go from right to left, */
  int top_bottom; /* rows from bottom to top */
} pyfd_turn;

/* Return the turn for the reading's orientation, or refuse it. */
pyfd_turn pyfd_turn_of(pyfd_session *s);

/* Read `count` rows of the `height` that the result has of the stored image,
 * from the one with the number `first` on, into the turned image. */
void pyfd_read_turned(pyfd_session *s, pyfd_rows *rows, pyfd_turn turn,
                      uint8_t *out, JDIMENSION first, JDIMENSION count,
                      JDIMENSION height);

/* Give the output the JFIF density of the input, turned, if there is one and
 * the options say so. */
void pyfd_copy_density(pyfd_session *s);

#endif /* PYFD_ORIENT_H */
