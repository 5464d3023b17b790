/*
 * strips.h - one image on several threads.
 *
 * Restart markers (T.81 E.2.4) make the parts of a scan independent, so that
 * strips of rows can be decoded or encoded in any order.  Every strip has a
 * session of its own.  Whatever goes wrong in one, the call is done again in
 * one piece, which says what it always says.  So files that are well-formed
 * are read in strips, and all others as if there were none.
 */

#ifndef PYFD_STRIPS_H
#define PYFD_STRIPS_H

#include "session.h"

#define PYFD_MAX_STRIPS 256

/* A strip of an image, in rows of iMCUs */
struct pyfd_strip {
  uint32_t first, rows;
  /* Where reading starts: behind the restart marker that ends so many
   * intervals, or at the start of the scan */
  uint32_t intervals;
  size_t offset; /* in the file */
};

typedef struct {
  uint32_t count; /* 0: the image is not worth it */
  pyfd_strip at[PYFD_MAX_STRIPS];
} pyfd_strips;

/* Cut so many rows of iMCUs, which have so many pixels, into strips for the
 * workers.  All but the last are a multiple of `unit` rows high.  With an
 * overlap, some rows are read for two strips. */
void pyfd_cut_strips(pyfd_strips *strips, uint32_t workers, uint32_t rows,
                     uint64_t pixels, uint32_t unit, int overlap);

/* Return how many rows of iMCUs are in a restart interval of the input, or 1
 * if they are not whole. */
uint32_t pyfd_rows_of_interval(const pyfd_session *s);

/* Return a bound of what is in memory while several threads read the file that
 * was opened: the file, and what they hold. */
uint64_t pyfd_bytes_of_readers(const pyfd_session *s);

/* Decide whether several threads may read the file that was opened: it has one
 * scan, the caller has threads, and the limits allow for the readers and
 * `held` bytes more, and for the work of reading everything twice. */
int pyfd_may_share(const pyfd_session *s, uint64_t held);

/* Decide whether they may read strips of it: it has restart intervals, too. */
int pyfd_may_read_strips(const pyfd_session *s, uint64_t held);

/* Find where the reading of each strip starts, which needs the MCUs from
 * mcus[i] on, in one pass over the scan that libjpeg is about to read.  Return
 * 0 unless all restart markers up to there are in order. */
int pyfd_find_strips(const pyfd_session *s, pyfd_strips *strips,
                     const uint32_t *mcus);

/* Start a session on a strip of the file that another one has opened. */
void pyfd_start_strip(pyfd_session *s, const pyfd_session *whole,
                      const pyfd_strip *strip, pyfd_status *status, void *job);

/* Go to the place where the strip's reading starts, before the first MCU.
 * Returns how many MCUs of the scan are before it. */
JDIMENSION pyfd_enter_strip(pyfd_session *s);

/* Read an MCU behind the strip, which must not end the scan: a decoder looks
 * at what is left of a restart interval when it comes to the next. */
void pyfd_check_behind(pyfd_session *s);

#endif /* PYFD_STRIPS_H */
