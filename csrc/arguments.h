/*
 * arguments.h - checks of what a caller passes.
 *
 * Python has checked most of it already, with messages of its own; other
 * callers rely on these.
 */

#ifndef PYFD_ARGUMENTS_H
#define PYFD_ARGUMENTS_H

#include "pyfd.h"

/* Each function returns PYFD_OK, or PYFD_ARGUMENT and says why in status. */

/* Check least...PYFD_MAX_COMPONENTS tables with steps of 1...largest. */
int pyfd_check_tables(const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                      int least, int largest, pyfd_status *status);

/* Check that segments are whole APPn and COM segments. */
int pyfd_check_segments(const uint8_t *segments, size_t size,
                        pyfd_status *status);

/* Check that a file can have this size, color space and sampling, and count
 * its blocks. */
int pyfd_check_frame(pyfd_header *header, pyfd_status *status);

/* Check that Huffman codes can represent a component's coefficients (T.81
 * F.1.2): AC within +-1023, and DC so that no difference exceeds 2047. */
int pyfd_check_coefficients(const int16_t *coefficients, size_t num_blocks,
                            int component, pyfd_status *status);

#endif /* PYFD_ARGUMENTS_H */
