/*
 * transcode.h - re-quantization MCU by MCU, of the whole image or of a strip.
 */

#ifndef PYFD_TRANSCODE_H
#define PYFD_TRANSCODE_H

#include "encode.h"
#include "turned.h"

typedef struct {
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  const uint8_t *segments;
  size_t segments_size;
  jpeg_requantizer requantizers[PYFD_MAX_COMPONENTS];
  pyfd_encode_job certified;       /* with a radius */
  const struct strip_work *strips; /* of which a session reads one, */
  uint64_t max_size;               /* and writes so many bytes */
} pyfd_requantize_job;

/* Set up the compressor for an image with this header, and the requantizers
 * for the tables of the file that was read, turned if there is a turner. */
void pyfd_set_requantized(pyfd_session *s, const pyfd_header *header,
                          const pyfd_turner *turner, uint64_t max_size);

/* Re-quantize the file that was opened in strips, in the threads that the
 * caller offers, onto a file with restart markers.  Returns whether that has
 * worked; if not, nothing of the scan is read yet. */
int pyfd_requantize_strips(pyfd_session *s);

#endif /* PYFD_TRANSCODE_H */
