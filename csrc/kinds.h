/*
 * kinds.h - the names of files that are not JPEGs.
 */

#ifndef PYFD_KINDS_H
#define PYFD_KINDS_H

#include <stddef.h>
#include <stdint.h>

/* Return what a file is that does not begin with SOI, such as "a PNG file", or
 * NULL if that is not known. */
const char *pyfd_name_kind(const uint8_t *data, size_t size);

#endif /* PYFD_KINDS_H */
