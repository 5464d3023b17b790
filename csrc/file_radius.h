/*
 * file_radius.h - how far a stranger's file may be from a block of ours.
 */

#ifndef PYFD_FILE_RADIUS_H
#define PYFD_FILE_RADIUS_H

#include "dct.h"

/*
 * Take one component's block of a file: its quantized coefficients, their
 * steps, and its decoded samples (less 128), which must not be cut.
 *
 * Return the largest e, at most `most`, such that no file that
 * pyfd_why_uncovered() accepts, and whose samples in this block are within e
 * of these and not cut either, has coefficients there that are quantized to
 * others than these.  Return -1 if not even e = 0 will do.
 *
 * All samples of a block of RGB or gray pixels, and of every other within e of
 * them, are within e and not cut if the pixels are in e + 1 ... 254 - e; the
 * caller must see to that.  docs/files-theorem.md has the proof.
 */
int pyfd_file_radius(const pyfd_values *quantized, const pyfd_values *steps,
                     const pyfd_values *samples, int most);

/*
 * Bound that from the steps alone, 1...8191, within -1...255: every block has
 * at least the least, and none more than the most, if it is decoded from its
 * coefficients and not cut.  The most is that of a flat block at level 128.
 */
void pyfd_bound_file_radius(const pyfd_values *steps, int *least, int *most);

#endif /* PYFD_FILE_RADIUS_H */
