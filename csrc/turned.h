/*
 * turned.h - turning an image without loss, in the coefficient domain.
 *
 * Mirroring an image changes the sign of the coefficients of odd frequencies
 * in that direction, and transposing it transposes their blocks, the tables
 * and the sampling factors (T.81 A.3.3).
 */

#ifndef PYFD_TURNED_H
#define PYFD_TURNED_H

#include "orient.h"

typedef struct {
  pyfd_turn turn;
  uint8_t from[PYFD_BLOCK]; /* where each coefficient of a block comes from, */
  int16_t sign[PYFD_BLOCK]; /* and 0, or -1 to change its sign */
} pyfd_turner;

/* Set up a turner, and describe the turned image of the file that
 * pyfd_open_input() has opened.  An edge that would have to move, but does not
 * fill its iMCUs, is dropped with the option trim, or else refused. */
void pyfd_start_turning(pyfd_session *s, pyfd_turner *turner,
                        pyfd_header *turned);

/* Turn a block, or a table. */
void pyfd_turn_block(const pyfd_turner *turner, const JCOEF *from, JCOEF *to);
void pyfd_turn_table(const pyfd_turner *turner, const uint16_t *from,
                     uint16_t *to);

#endif /* PYFD_TURNED_H */
