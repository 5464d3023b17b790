/*
 * options.c - see options.h.
 */

#include "options.h"

#include <string.h>

#include "status.h"

#define LARGEST 4096 /* a larger size is garbage */

/* Where a struct ended when it was first published, which never changes */
#define END_OF(type, field)                                                   \
  (offsetof(type, field) + sizeof(((type *)NULL)->field))
#define FIRST_LIMITS END_OF(pyfd_limits, max_metadata)
#define FIRST_READING END_OF(pyfd_reading, scale)
#define FIRST_WRITING END_OF(pyfd_writing, keep_density)

/* From here on, fields are as wide as a pointer. */
#define FIRST_POINTER offsetof(pyfd_reading, helpers)
_Static_assert(FIRST_POINTER == offsetof(pyfd_writing, helpers), "pointers");

/* Padding would be taken for a field once a later version has one there. */
#define HAS_NO_PADDING(type, field)                                           \
  _Static_assert(sizeof(type) == END_OF(type, field), #type)
HAS_NO_PADDING(pyfd_limits, max_work);
HAS_NO_PADDING(pyfd_reading, helpers);
HAS_NO_PADDING(pyfd_writing, helpers);

/* Copy given over known.  A size that cuts a field is wrong: all fields of a
 * struct are field_size bytes wide or a multiple of it, or as wide as a
 * pointer.  Every byte beyond the known fields must have the value unset. */
static int take(const char *name, void *known, size_t known_size,
                const void *given, uint64_t size, size_t field_size,
                size_t first_size, int unset, pyfd_status *status)
{
  const uint8_t *bytes = given;
  size_t i;

  if (size < first_size || size > LARGEST || size % field_size != 0 ||
      (size > FIRST_POINTER && size % sizeof(void *) != 0))
    return pyfd_fail(status, PYFD_ARGUMENT,
                     "%s has the wrong size: see its default", name);
  for (i = known_size; i < size; i++) {
    if (bytes[i] != unset)
      return pyfd_fail(status, PYFD_ARGUMENT,
                       "%s sets a field that this version of pyfd lacks",
                       name);
  }
  memcpy(known, given, size < known_size ? (size_t)size : known_size);
  return PYFD_OK;
}

int pyfd_take_limits(pyfd_limits *limits, const pyfd_limits *given,
                     pyfd_status *status)
{
  static const pyfd_limits defaults = PYFD_DEFAULT_LIMITS;

  *limits = defaults;
  return take("pyfd_limits", limits, sizeof(*limits), given, given->size,
              sizeof(given->size), FIRST_LIMITS, UINT8_MAX, status);
}

int pyfd_take_reading(pyfd_reading *reading, const pyfd_reading *given,
                      pyfd_status *status)
{
  static const pyfd_reading defaults = PYFD_DEFAULT_READING;

  *reading = defaults;
  return take("pyfd_reading", reading, sizeof(*reading), given, given->size,
              sizeof(given->size), FIRST_READING, 0, status);
}

int pyfd_take_writing(pyfd_writing *writing, const pyfd_writing *given,
                      pyfd_status *status)
{
  static const pyfd_writing defaults = PYFD_DEFAULT_WRITING;

  *writing = defaults;
  return take("pyfd_writing", writing, sizeof(*writing), given, given->size,
              sizeof(given->size), FIRST_WRITING, 0, status);
}
