/*
 * markers.h - our own walk over a file's markers, before libjpeg sees a byte.
 *
 * It is our own because limits must be checked before the work is done, which
 * libjpeg does not offer, and because another parser would have to see the
 * same segments as libjpeg in every damaged file.
 */

#ifndef PYFD_MARKERS_H
#define PYFD_MARKERS_H

#include "binding.h"

/* The result of a walk.  libjpeg gets data[0...end) and nothing else, so
 * everything that it reads has been counted against the limits. */
typedef struct {
  pyfd_header header;
  size_t end;    /* just past EOI, or where the file stops making sense */
  int intact;    /* no damage was found */
  uint64_t work; /* see pyfd.Limits.max_work */
} pyfd_walk;

/* Walk the whole file.  limits must have this version's size.  Returns a
 * pyfd_code.  Of damage that it can overlook, status has the first and, in
 * part, the number. */
int pyfd_walk_file(const uint8_t *data, size_t size, const pyfd_limits *limits,
                   pyfd_walk *walk, pyfd_status *status);

/* Walk the rest of a file that pyfd_open() has accepted.  If the size is not
 * the one that it had then, the code is PYFD_ARGUMENT. */
int pyfd_walk_on(const pyfd_found *found, const uint8_t *data, size_t size,
                 const pyfd_limits *limits, pyfd_walk *walk,
                 pyfd_status *status);

/* Return how many blocks a component has. */
static inline uint64_t pyfd_blocks(const pyfd_header *header, int component)
{
  return (uint64_t)header->blocks_wide[component] *
         header->blocks_high[component];
}

/* Fill in the block counts from the size and the sampling factors. */
void pyfd_count_blocks(pyfd_header *header);

#endif /* PYFD_MARKERS_H */
