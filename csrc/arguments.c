/*
 * arguments.c - see arguments.h.
 */

#include "arguments.h"

#include "markers.h"
#include "segments.h"
#include "status.h"

#define MAX_SAMPLING 4 /* of a component (T.81 B.2.2) */
#define MAX_AC 1023
#define MIN_DC -1024
#define MAX_DC 1023

int pyfd_check_tables(const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                      int least, int largest, pyfd_status *status)
{
  int i, j;

  if (num_tables < least || num_tables > PYFD_MAX_COMPONENTS)
    return pyfd_fail(status, PYFD_ARGUMENT, "tables must be %d to %d", least,
                     PYFD_MAX_COMPONENTS);
  for (i = 0; i < num_tables; i++) {
    for (j = 0; j < PYFD_BLOCK; j++) {
      if (tables[i][j] < 1 || tables[i][j] > largest)
        return pyfd_fail(status, PYFD_ARGUMENT, "steps must be 1 to %d",
                         largest);
    }
  }
  return PYFD_OK;
}

int pyfd_check_segments(const uint8_t *segments, size_t size,
                        pyfd_status *status)
{
  size_t length;

  for (; size > 0; segments += length, size -= length) {
    length = size < 4 ? 0 : 2 + (size_t)pyfd_read16(segments + 2);
    if (length < 4 || length > size || segments[0] != 0xFF ||
        !((segments[1] >= APP0 && segments[1] <= APP15) || segments[1] == COM))
      return pyfd_fail(status, PYFD_ARGUMENT,
                       "segments must be whole APPn and COM segments");
  }
  return PYFD_OK;
}

static uint32_t count_components(uint32_t color_space)
{
  switch (color_space) {
  case PYFD_L:
    return 1;
  case PYFD_YCBCR:
  case PYFD_RGB:
    return 3;
  case PYFD_CMYK:
  case PYFD_YCCK:
    return 4;
  default:
    return 0;
  }
}

int pyfd_check_frame(pyfd_header *header, pyfd_status *status)
{
  uint32_t i;

  if (header->width < 1 || header->width > PYFD_MAX_SIDE ||
      header->height < 1 || header->height > PYFD_MAX_SIDE)
    return pyfd_fail(status, PYFD_ARGUMENT, "sides must be 1 to %d",
                     PYFD_MAX_SIDE);
  if (header->num_components < 1 ||
      header->num_components != count_components(header->color_space))
    return pyfd_fail(status, PYFD_ARGUMENT,
                     "no file has this color space and number of components");
  for (i = 0; i < header->num_components; i++) {
    if (header->h_samp[i] < 1 || header->h_samp[i] > MAX_SAMPLING ||
        header->v_samp[i] < 1 || header->v_samp[i] > MAX_SAMPLING)
      return pyfd_fail(status, PYFD_ARGUMENT,
                       "sampling factors must be 1 to %d", MAX_SAMPLING);
  }
  pyfd_count_blocks(header);
  return PYFD_OK;
}

int pyfd_check_coefficients(const int16_t *coefficients, size_t num_blocks,
                            int component, pyfd_status *status)
{
  int i, beyond;

  for (; num_blocks > 0; num_blocks--, coefficients += PYFD_BLOCK) {
    beyond = 0;
    for (i = 1; i < PYFD_BLOCK; i++)
      beyond |= coefficients[i] < -MAX_AC || coefficients[i] > MAX_AC;
    if (beyond)
      return pyfd_fail(status, PYFD_ARGUMENT,
                       "component %d has an AC coefficient beyond +-%d",
                       component, MAX_AC);
    if (coefficients[0] < MIN_DC || coefficients[0] > MAX_DC)
      return pyfd_fail(status, PYFD_ARGUMENT,
                       "component %d has a DC coefficient beyond %d...%d",
                       component, MIN_DC, MAX_DC);
  }
  return PYFD_OK;
}
