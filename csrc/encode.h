/*
 * encode.h - pixels that become a file, by pyfd_encode() or after decoding.
 */

#ifndef PYFD_ENCODE_H
#define PYFD_ENCODE_H

#include "session.h"

#include "certified.h"

typedef struct {
  const uint8_t *pixels;
  uint32_t width, height;
  int channels;
  int h_samp, v_samp;
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  const uint8_t *segments;
  size_t segments_size;
  uint64_t max_size; /* of the file */
  pyfd_certified certified;
} pyfd_encode_job;

/* Encode the pixels of s->job, a pyfd_encode_job, as s->writing says.  The
 * file has the JFIF density of the session's input, if writing asks for that.
 */
void pyfd_encode_pixels(pyfd_session *s);

#endif /* PYFD_ENCODE_H */
