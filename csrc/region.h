/*
 * region.h - a part of the image, decoded without most of the rest.
 */

#ifndef PYFD_REGION_H
#define PYFD_REGION_H

#include "session.h"

/* Check whether the reading asks for a part of the image. */
int pyfd_has_region(const pyfd_reading *reading);

/* Refuse a region that does not lie within the image, which
 * pyfd_open_input() has opened. */
void pyfd_check_region(pyfd_session *s);

/* Return how many MCUs of a single scan lie above all rows that those from
 * `top` on depend on, after jpeg_start_decompress(). */
JDIMENSION pyfd_mcus_above(const pyfd_session *s, JDIMENSION top);

/* Go to the region's first row, after jpeg_start_decompress().  Returns how
 * many pixels libjpeg's rows then have before those of the region. */
JDIMENSION pyfd_enter_region(pyfd_session *s);

#endif /* PYFD_REGION_H */
