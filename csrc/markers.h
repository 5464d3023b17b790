/*
 * markers.h - our own walk over a file's markers, before libjpeg sees a byte.
 */

#ifndef PYFD_MARKERS_H
#define PYFD_MARKERS_H

#include "pyfd.h"

/* What the walk found.  libjpeg is given data[0...end) and nothing else, so
 * whatever it meets has been counted against the limits. */
typedef struct {
  pyfd_header header;
  size_t end;   /* just past EOI, or where the file stops making sense */
  int complete; /* EOI was there */
} pyfd_walk;

/* Walk the whole file.  Returns a pyfd_code. */
int pyfd_walk_file(const uint8_t *data, size_t size, const pyfd_limits *limits,
                   pyfd_walk *walk, pyfd_status *status);

/* Fill in the block counts from the size and the sampling factors. */
void pyfd_count_blocks(pyfd_header *header);

/* Describe a failure; returns code. */
int pyfd_fail(pyfd_status *status, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Check one value against one limit; returns PYFD_OK or PYFD_LIMIT. */
int pyfd_check_limit(pyfd_status *status, const char *name, uint64_t limit,
                     uint64_t value, const char *what);

#endif /* PYFD_MARKERS_H */
