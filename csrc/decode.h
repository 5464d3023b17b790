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

typedef struct {
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  uint8_t *out;
  size_t out_size;
  /* What a session does a part of: */
  const struct strip_work *strips;
  struct stage_work *stages;
} pyfd_decode_job;

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

/* Start decompression to the pixels that the session's job asks for. */
void pyfd_start_pixels(pyfd_session *s, pyfd_rows *rows);

/* Read `count` rows of the result's `height`, from the number `first` on, and
 * what is behind the last one, if it is among them.  The rows of a region or
 * of a strip are the reading's. */
void pyfd_read_pixels(pyfd_session *s, pyfd_rows *rows, JDIMENSION first,
                      JDIMENSION count, JDIMENSION height);

/* Decode a result of this size in strips, between restart markers, in the
 * threads that the caller offers.  Returns whether that has worked; if not,
 * nothing of the scan is read yet. */
int pyfd_decode_in_strips(pyfd_session *s, JDIMENSION width,
                          JDIMENSION height);

/* Do the same for a file without restart markers: one thread reads symbols,
 * and another one makes pixels.  Regions, smaller sizes and gray pixels are
 * left out, because nearly all of their time goes into symbols. */
int pyfd_decode_in_stages(pyfd_session *s);

#endif /* PYFD_DECODE_H */
