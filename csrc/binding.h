/*
 * binding.h - what pyfd/_core/binding.py has C fill in, in one piece for each
 * kind of call: Python allocates it at once, which takes less time than the
 * parts do.  An array of one element is a pointer to C.
 *
 * build.py hands what stands between the two "cffi" lines to cffi.
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

/* cffi: end */

#endif /* PYFD_BINDING_H */
