/*
 * file_radius.h - how far a stranger's file may be from a block of ours.
 */

#ifndef PYFD_FILE_RADIUS_H
#define PYFD_FILE_RADIUS_H

#include "certificate.h"

/*
 * Return the strength (see arithmetic.h) of all components at one place: for
 * files whose pixels there are within e of these, which must be those of the
 * coefficients and the samples.  The radius for files is one more.
 */
int pyfd_block_strength(const pyfd_component *components, int channels,
                        const pyfd_values *quantized,
                        const pyfd_values *samples, const pyfd_pixels *pixels,
                        int most);

#endif /* PYFD_FILE_RADIUS_H */
