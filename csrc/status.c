/*
 * status.c - see status.h.
 */

#include "status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int pyfd_fail(pyfd_status *status, int code, const char *format, ...)
{
  va_list args;

  status->code = (uint32_t)code;
  va_start(args, format);
  vsnprintf(status->message, sizeof(status->message), format, args);
  va_end(args);
  return code;
}

int pyfd_check_limit(pyfd_status *status, const char *name, uint64_t limit,
                     uint64_t value, const char *what)
{
  if (value <= limit)
    return PYFD_OK;
  snprintf(status->limit, sizeof(status->limit), "%s", name);
  status->allowed = limit;
  status->needed = value;
  return pyfd_fail(status, PYFD_LIMIT,
                   "%s is %" PRIu64 ", but the file %s %" PRIu64, name, limit,
                   what, value);
}
