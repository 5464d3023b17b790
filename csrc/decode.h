/*
 * decode.h - the rows of a file's pixels.
 */

#ifndef PYFD_DECODE_H
#define PYFD_DECODE_H

#include "session.h"

typedef struct {
  uint32_t color;           /* a pyfd_color */
  int from_cmyk;            /* libjpeg gives CMYK, which becomes RGB or BGR */
  size_t channels;          /* of a pixel */
  JDIMENSION before, width; /* pixels of libjpeg's rows: left out, taken */
  size_t size;              /* of a row of pixels */
  ptrdiff_t step;           /* from one row to the next in memory: the size */
  JSAMPARRAY line;          /* a row of libjpeg's, if it is not the result */
} pyfd_rows;

/* Start decompression of the file that pyfd_open_input() has opened, to pixels
 * of this color. */
void pyfd_start_rows(pyfd_session *s, uint32_t color, pyfd_rows *rows);

/* Take only `width` pixels of each row of libjpeg's, behind the first
 * `before`. */
void pyfd_select_columns(pyfd_session *s, pyfd_rows *rows, JDIMENSION before,
                         JDIMENSION width);

/* Read so many rows, which must be left. */
void pyfd_read_rows(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                    JDIMENSION count);

#endif /* PYFD_DECODE_H */
