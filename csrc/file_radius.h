/*
 * file_radius.h - how far a stranger's file may be from a block of ours.
 */

#ifndef PYFD_FILE_RADIUS_H
#define PYFD_FILE_RADIUS_H

#include "certificate.h"

/*
 * Take one component's block of a file: its quantized coefficients, their
 * steps, and its decoded samples (less 128), which must not be cut.
 *
 * Return the largest e, at most `most` (0...255), such that no file that
 * pyfd_why_uncovered() accepts, and whose samples in this block are within e
 * of these and not cut either, has coefficients there that are quantized to
 * others than these.  Return -1 if not even e = 0 will do.
 */
int pyfd_component_strength(const pyfd_values *quantized,
                            const pyfd_values *steps,
                            const pyfd_values *samples, int most);

/*
 * Bound that from the steps alone, 1...8191, within -1...255: every block has
 * at least the least, and none more than the most, if it is decoded from its
 * coefficients and not cut.  The most is that of a flat block at level 128.
 */
void pyfd_bound_strength(const pyfd_values *steps, int *least, int *most);

/*
 * Do the same for all components at one place: for files whose pixels there
 * are within e of these, which must be those of the coefficients and the
 * samples.  The radius for files is one more.
 */
int pyfd_block_strength(const pyfd_component *components, int channels,
                        const pyfd_values *quantized,
                        const pyfd_values *samples, const pyfd_pixels *pixels,
                        int most);

#endif /* PYFD_FILE_RADIUS_H */
