/*
 * work.h - steps of a call that several threads take: this one, and those of
 * the caller's pool (see pyfd_helpers).
 */

#ifndef PYFD_WORK_H
#define PYFD_WORK_H

#include "pyfd.h"

/* Call step(steps, i) for each i from 0 to count - 1, in this thread and in at
 * most workers - 1 others.  Returns when all steps are done. */
void pyfd_share_work(const pyfd_helpers *helpers, uint32_t workers,
                     void (*step)(void *steps, uint32_t i), void *steps,
                     uint32_t count);

#endif /* PYFD_WORK_H */
