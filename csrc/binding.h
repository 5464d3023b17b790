/*
 * binding.h - what only pyfd/_core/binding.py uses: the structs that C fills
 * in, one for each kind of call, and the handing over of files.  Python
 * allocates a struct at once, which takes less time than allocating its parts.
 * C takes an array of one element as a pointer.
 *
 * build.py passes the part between the two "cffi" lines to cffi.
 */

#ifndef PYFD_BINDING_H
#define PYFD_BINDING_H

#include "pyfd.h"

/* cffi: begin */

typedef struct {
  pyfd_status status[1];
  pyfd_header header[1];
  pyfd_segment segments[16]; /* nearly every file has no more */
} pyfd_found;

typedef struct {
  pyfd_status status[1];
  uint8_t *data[1];
  size_t size[1];
} pyfd_made;

typedef struct {
  pyfd_status status[1];
  pyfd_statistics statistics[1];
} pyfd_counted;

typedef struct {
  pyfd_status status[1];
  char why[256];
} pyfd_covered;

/* Give the memory of a part of a written file back to the system, as far as it
 * is whole pages.  The part's content is lost; pyfd_free() frees the rest. */
void pyfd_forget(uint8_t *part, size_t size);

/* cffi: end */

#endif /* PYFD_BINDING_H */
