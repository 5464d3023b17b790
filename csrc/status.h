/*
 * status.h - filling in the caller's pyfd_status.
 */

#ifndef PYFD_STATUS_H
#define PYFD_STATUS_H

#include "pyfd.h"

/* Describe a failure.  Returns code. */
int pyfd_fail(pyfd_status *status, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Check one value against one limit.  Returns PYFD_OK or PYFD_LIMIT, with
 * "NAME is LIMIT, but the file WHAT VALUE". */
int pyfd_check_limit(pyfd_status *status, const char *name, uint64_t limit,
                     uint64_t value, const char *what);

#endif /* PYFD_STATUS_H */
