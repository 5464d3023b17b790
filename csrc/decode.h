/*
 * decode.h - the rows of a file's pixels.
 */

#ifndef PYFD_DECODE_H
#define PYFD_DECODE_H

#include "session.h"

typedef struct {
  uint32_t color;  /* a pyfd_color */
  size_t size;     /* of a row of pixels */
  JSAMPARRAY cmyk; /* a row of CMYK that becomes RGB or BGR, or NULL */
} pyfd_rows;

/* Start decompression of the file that pyfd_open_input() has opened, to pixels
 * of this color. */
void pyfd_start_rows(pyfd_session *s, uint32_t color, pyfd_rows *rows);

/* Read so many rows, which must be left. */
void pyfd_read_rows(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                    JDIMENSION count);

#endif /* PYFD_DECODE_H */
