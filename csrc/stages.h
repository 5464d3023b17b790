/*
 * stages.h - one image without restart markers on several threads.
 *
 * Nothing tells where to start reading in the middle of such a scan.  So one
 * thread reads it all, to a ring of rows of iMCUs.  The others make pixels of
 * them, strip by strip, and so does this one when the ring is full: nobody
 * waits for a helper that has yet to come.  Whatever goes wrong in a thread,
 * the call is done again in one piece, as it is after strips (see strips.h).
 */

#ifndef PYFD_STAGES_H
#define PYFD_STAGES_H

#include "decode.h"

/* What makes pixels of a session that has opened the file */
typedef struct {
  void (*start)(pyfd_session *s, pyfd_rows *rows);
  /* Read libjpeg's next rows, which are `count` from the number `first` on. */
  void (*read)(pyfd_session *s, pyfd_rows *rows, JDIMENSION first,
               JDIMENSION count);
} pyfd_pixels;

/* Decode all rows of the file that was opened, and whose decompression has
 * been started, in sessions of their own.  The result has so many bytes.
 * Returns whether that has worked. */
int pyfd_decode_in_stages(const pyfd_session *whole, const pyfd_pixels *pixels,
                          uint64_t out_size);

#endif /* PYFD_STAGES_H */
