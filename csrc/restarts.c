/*
 * restarts.c - see restarts.h.
 */

#include "restarts.h"

#include <stdlib.h>
#include <string.h>

#include "segments.h"

#define LONGEST_INTERVAL 65535 /* MCUs (T.81 B.2.4.4) */
#define MARKER 2               /* bytes of a marker */

uint32_t pyfd_restart_rows(uint32_t rows, uint32_t mcus_per_row)
{
  const uint32_t most = LONGEST_INTERVAL / mcus_per_row;

  return rows < most ? rows : most;
}

void pyfd_set_restarts(pyfd_session *s)
{
  struct jpeg_compress_struct *out = &s->out;
  uint32_t wide = 8;
  int i, most = 1;

  /* A block of a single component is an MCU, whatever its factors. */
  for (i = 0; i < out->num_components && out->num_components > 1; i++) {
    if (out->comp_info[i].h_samp_factor > most)
      most = out->comp_info[i].h_samp_factor;
  }
  wide *= (uint32_t)most;
  if (s->writing.restart_rows > 0)
    out->restart_in_rows = (int)pyfd_restart_rows(
        s->writing.restart_rows, (out->image_width + wide - 1) / wide);
}

int pyfd_finish_part(pyfd_part *part, uint32_t intervals)
{
  uint8_t *p = part->data + MARKER, *end = part->data + part->size;
  int marker;

  part->frame = part->scan = 0;
  while (part->scan == 0 && end - p > 2 * MARKER && p[0] == 0xFF) {
    marker = p[1];
    if (marker == SOF0 || marker == SOF1)
      part->frame = (size_t)(p - part->data);
    p += MARKER + pyfd_read16(p + MARKER);
    if (marker == SOS)
      part->scan = (size_t)(p - part->data);
  }
  end -= MARKER; /* EOI */
  if (part->frame == 0 || part->scan == 0 || p > end)
    return 0;
  while ((p = memchr(p, 0xFF, (size_t)(end - p))) != NULL) {
    p++;
    if (*p >= RST0 && *p <= RST7)
      *p = (uint8_t)(RST0 + intervals++ % 8);
  }
  return 1;
}

int pyfd_join_parts(pyfd_session *s, const pyfd_part *parts,
                    const uint32_t *intervals, uint32_t count, uint32_t height)
{
  pyfd_destination *d = &s->destination;
  size_t size = parts[0].size;
  uint8_t *p;
  uint32_t i;

  for (i = 1; i < count; i++)
    size += parts[i].size - parts[i].scan;
  d->buffer = p = malloc(size);
  if (p == NULL)
    return 0;
  d->capacity = size;
  d->pub.free_in_buffer = 0;
  memcpy(p, parts[0].data, parts[0].size);
  p += parts[0].size;
  for (i = 1; i < count; i++) {
    p[-1] = (uint8_t)(RST0 + (intervals[i] - 1) % 8); /* instead of EOI */
    memcpy(p, parts[i].data + parts[i].scan, parts[i].size - parts[i].scan);
    p += parts[i].size - parts[i].scan;
  }
  p = d->buffer + parts[0].frame + MARKER + 2 + 1; /* length, precision */
  p[0] = (uint8_t)(height >> 8);
  p[1] = (uint8_t)height;
  return 1;
}
