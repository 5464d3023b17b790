/*
 * restarts.h - the restart markers of files that are written, and files that
 * are put together from strips at them.
 */

#ifndef PYFD_RESTARTS_H
#define PYFD_RESTARTS_H

#include "strips.h"

/* A file of one strip of an image, from malloc */
typedef struct {
  uint8_t *data;
  size_t size;
  size_t frame,
      scan; /* where its SOF segment and its entropy-coded data are */
} pyfd_part;

/* Return how many rows of MCUs an interval has that is to have so many. */
uint32_t pyfd_restart_rows(uint32_t rows, uint32_t mcus_per_row);

/* Let the compressor, whose frame is set up, write the restart markers that
 * the options ask for. */
void pyfd_set_restarts(pyfd_session *s);

/* Find the places in a strip's file, which libjpeg has just written, and
 * number its restart markers as those of the image, in which there are so many
 * intervals before the strip.  Returns whether the file has them. */
int pyfd_finish_part(pyfd_part *part, uint32_t intervals);

/* Join the strips of an image of this height with restart markers between
 * them; intervals[i] are before strip i.  The file is the output of the
 * session.  Returns whether there was memory for it. */
int pyfd_join_parts(pyfd_session *s, const pyfd_part *parts,
                    const uint32_t *intervals, uint32_t count,
                    uint32_t height);

#endif /* PYFD_RESTARTS_H */
