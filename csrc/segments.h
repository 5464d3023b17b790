/*
 * segments.h - the reading of one marker segment, for the walk in markers.c.
 */

#ifndef PYFD_SEGMENTS_H
#define PYFD_SEGMENTS_H

#include "pyfd.h"

/* ITU-T T.81, table B.1 */
enum {
  TEM = 0x01,
  SOF0 = 0xC0,
  SOF1 = 0xC1,
  SOF2 = 0xC2,
  DHT = 0xC4,
  JPG = 0xC8,
  DAC = 0xCC,
  SOF15 = 0xCF,
  RST0 = 0xD0,
  RST7 = 0xD7,
  SOI = 0xD8,
  EOI = 0xD9,
  SOS = 0xDA,
  DQT = 0xDB,
  DNL = 0xDC,
  DRI = 0xDD,
  DHP = 0xDE,
  EXP = 0xDF,
  APP0 = 0xE0,
  APP14 = 0xEE,
  APP15 = 0xEF,
  JPG0 = 0xF0,
  SOF55 = 0xF7, /* ITU-T T.87: JPEG-LS */
  LSE = 0xF8,
  JPG13 = 0xFD,
  COM = 0xFE
};

/* Whether a Huffman table can be used; libjpeg checks this in the scans that
 * use it */
typedef enum { NO_CODES, GOOD_CODES, BAD_CODES } pyfd_codes;

/* The state of a walk */
typedef struct {
  const uint8_t *data;
  size_t size;
  size_t pos;        /* of the next byte to look at */
  size_t marker_pos; /* of the last marker's code */
  const pyfd_limits *limits;
  pyfd_status *status;
  pyfd_header *header;
  pyfd_segment *segments;
  size_t capacity;
  uint64_t num_segments, num_scans, metadata_bytes;
  int saw_sof, saw_jfif, saw_adobe, adobe_transform;
  uint8_t component_id[PYFD_MAX_COMPONENTS];
  uint8_t table_of[PYFD_MAX_COMPONENTS]; /* component's table slot */
  uint16_t tables[4][PYFD_BLOCK];        /* slots, natural order */
  int table_defined[4];
  pyfd_codes codes[2][4]; /* Huffman tables: slots for DC and for AC */
  /* Per coefficient, the low bits that progressive scans have yet to send; -1
   * before the first scan.  libjpeg keeps the same in coef_bits. */
  int8_t bits_left[PYFD_MAX_COMPONENTS][PYFD_BLOCK];
  int component_seen[PYFD_MAX_COMPONENTS]; /* in a scan, so far */
  const char *noted; /* the first damage that only a strict reader refuses */
  int noted_byte;
  uint64_t work;     /* see pyfd.Limits.max_work */
  uint32_t warnings; /* in the header; only while a walk is interrupted */
} pyfd_walker;

static inline uint32_t pyfd_read16(const uint8_t *p)
{
  return (uint32_t)p[0] << 8 | p[1];
}

/* Note damage that only a strict reader refuses; its message names a byte. */
void pyfd_note(pyfd_walker *w, const char *message, int byte);

/* Check whether it is the marker of a segment of metadata: APPn or COM. */
int pyfd_is_metadata(int marker);

/* Count a segment.  Returns a pyfd_code. */
int pyfd_count_segment(pyfd_walker *w, int marker);

/* Check a segment's content against the standard and the limits, and record
 * it.  Returns a pyfd_code. */
int pyfd_read_segment(pyfd_walker *w, int marker, const uint8_t *p,
                      size_t size);

#endif /* PYFD_SEGMENTS_H */
