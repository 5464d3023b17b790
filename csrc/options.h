/*
 * options.h - the callers' structs of options, which may be shorter or longer
 * than ours: pyfd.h gives the rules.
 */

#ifndef PYFD_OPTIONS_H
#define PYFD_OPTIONS_H

#include "pyfd.h"

/* Copy the options that a caller gives over the defaults.  Returns a
 * pyfd_code. */
int pyfd_take_limits(pyfd_limits *limits, const pyfd_limits *given,
                     pyfd_status *status);
int pyfd_take_reading(pyfd_reading *reading, const pyfd_reading *given,
                      pyfd_status *status);
int pyfd_take_writing(pyfd_writing *writing, const pyfd_writing *given,
                      pyfd_status *status);

#endif /* PYFD_OPTIONS_H */
