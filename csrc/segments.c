/*
 * segments.c - see segments.h.
 */

#include "segments.h"

#include <inttypes.h>
#include <string.h>

#include "markers.h"
#include "status.h"
#include "tables.h"

/* The size of a frame header of 255 components; a scan header is smaller */
#define LONGEST_HEADER (6 + 3 * 255)

static uint32_t round_up(uint32_t value, uint32_t to)
{
  return (value + to - 1) / to * to;
}

/* T.81 B.2.2: the frame header */
static int read_sof(pyfd_walker *w, const uint8_t *p, size_t size)
{
  pyfd_header *h = w->header;
  uint32_t i;
  int code;

  if (w->saw_sof)
    return pyfd_fail(w->status, PYFD_CORRUPT, "two frame headers (SOF)");
  if (size < 6 || size != 6 + 3 * (size_t)p[5])
    return pyfd_fail(w->status, PYFD_CORRUPT, "bad length of SOF");
  h->height = pyfd_read16(p + 1);
  h->width = pyfd_read16(p + 3);
  h->num_components = p[5];
  if (p[0] != 8)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                     "%d-bit samples (only 8-bit samples are supported)",
                     p[0]);
  if (h->width == 0 || h->num_components == 0)
    return pyfd_fail(w->status, PYFD_CORRUPT, "empty image");
  if (h->height == 0)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                     "height given after the first scan (DNL)");
  if (h->num_components == 2 || h->num_components > PYFD_MAX_COMPONENTS)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                     "%" PRIu32 " components (only 1, 3 and 4 are supported)",
                     h->num_components);
  code = pyfd_check_limit(w->status, "max_pixels", w->limits->max_pixels,
                          (uint64_t)h->width * h->height, "has");
  if (code != PYFD_OK)
    return code;
  if (h->width > PYFD_MAX_SIDE || h->height > PYFD_MAX_SIDE)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                     "%" PRIu32 "x%" PRIu32 " pixels (sides beyond %d)",
                     h->width, h->height, PYFD_MAX_SIDE);
  for (i = 0, p += 6; i < h->num_components; i++, p += 3) {
    w->component_id[i] = p[0];
    h->h_samp[i] = p[1] >> 4;
    h->v_samp[i] = p[1] & 15;
    w->table_of[i] = p[2];
    if (h->h_samp[i] < 1 || h->h_samp[i] > 4 || h->v_samp[i] < 1 ||
        h->v_samp[i] > 4)
      return pyfd_fail(w->status, PYFD_CORRUPT, "bad sampling factors %ux%u",
                       h->h_samp[i], h->v_samp[i]);
  }
  w->saw_sof = 1;
  return PYFD_OK;
}

/* Record JFIF and Adobe segments, from which the color space is guessed.  The
 * data may change in between, but only the guess would be another. */
static void examine_app(pyfd_walker *w, int marker, const uint8_t *p,
                        size_t size)
{
  if (marker == APP0 && size >= 14 && !memcmp(p, "JFIF", 5)) {
    w->saw_jfif = 1;
  } else if (marker == APP14 && size >= 12 && !memcmp(p, "Adobe", 5)) {
    w->saw_adobe = 1;
    w->adobe_transform = p[11];
  }
}

static int read_metadata(pyfd_walker *w, int marker, const uint8_t *p,
                         size_t size)
{
  pyfd_segment *segment;

  w->metadata_bytes += size;
  examine_app(w, marker, p, size);
  if (w->header->num_segments < w->capacity) {
    segment = &w->segments[w->header->num_segments];
    segment->offset = (uint64_t)(p - w->data);
    segment->size = (uint32_t)size;
    segment->marker = (uint32_t)marker;
  }
  w->header->num_segments++;
  return pyfd_check_limit(w->status, "max_metadata", w->limits->max_metadata,
                          w->metadata_bytes, "holds at least");
}

/* Guess it as libjpeg does (jdapimin.c: default_decompress_parms). */
static uint32_t guess_color_space(const pyfd_walker *w)
{
  switch (w->header->num_components) {
  case 1:
    return PYFD_L;
  case 3:
    if (w->saw_jfif)
      return PYFD_YCBCR;
    if (w->saw_adobe)
      return w->adobe_transform == 0 ? PYFD_RGB : PYFD_YCBCR;
    return memcmp(w->component_id, "RGB", 3) ? PYFD_YCBCR : PYFD_RGB;
  default:
    return w->saw_adobe && w->adobe_transform != 0 ? PYFD_YCCK : PYFD_CMYK;
  }
}

/* T.81 A.1.1 and A.2.4: the sizes of components in blocks */
void pyfd_count_blocks(pyfd_header *h)
{
  uint32_t i, max_h = 1, max_v = 1;

  for (i = 0; i < h->num_components; i++) {
    max_h = h->h_samp[i] > max_h ? h->h_samp[i] : max_h;
    max_v = h->v_samp[i] > max_v ? h->v_samp[i] : max_v;
  }
  h->coefficient_bytes = 0;
  for (i = 0; i < h->num_components; i++) {
    h->blocks_wide[i] =
        round_up(h->width * h->h_samp[i], max_h * 8) / (max_h * 8);
    h->blocks_high[i] =
        round_up(h->height * h->v_samp[i], max_v * 8) / (max_v * 8);
    h->coefficient_bytes +=
        (uint64_t)round_up(h->blocks_wide[i], h->h_samp[i]) *
        round_up(h->blocks_high[i], h->v_samp[i]) *
        (PYFD_BLOCK * sizeof(int16_t));
  }
}

/* Derive the fields that depend on the frame header and the tables so far. */
static int finish_header(pyfd_walker *w, uint32_t components_in_scan)
{
  pyfd_header *h = w->header;
  uint32_t i;

  pyfd_count_blocks(h);
  h->color_space = guess_color_space(w);
  h->multiscan = h->progressive || components_in_scan < h->num_components;
  h->num_qtables = 0;
  for (i = 0; i < h->num_components; i++) {
    if (h->num_qtables == i && w->table_of[i] < 4 &&
        w->table_defined[w->table_of[i]]) {
      memcpy(h->qtables[i], w->tables[w->table_of[i]], sizeof(h->qtables[i]));
      h->num_qtables++;
    }
  }
  if (h->num_qtables == 0 ||
      (!h->multiscan && h->num_qtables < h->num_components))
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "component %" PRIu32 " has no quantization table",
                     h->num_qtables);
  return PYFD_OK;
}

/* Find the components of a scan as libjpeg does (jdmarker.c: get_sos): in the
 * frame's order (T.81 B.2.3).  Several may have one id. */
static int find_components(pyfd_walker *w, const uint8_t *pairs, int count,
                           int *components)
{
  int i, j, component = -1, n = (int)w->header->num_components;

  for (i = 0; i < count; i++, pairs += 2) {
    for (j = i; j < n && w->component_id[j] != pairs[0]; j++)
      ;
    if (j < n && j > component) {
      components[i] = component = j;
      continue;
    }
    for (j = 0; j < n && w->component_id[j] != pairs[0]; j++)
      ;
    if (j == n)
      return pyfd_fail(w->status, PYFD_CORRUPT,
                       "a scan of component %d, which does not exist",
                       pairs[0]);
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "component ID %d twice or out of order in a scan",
                     pairs[0]);
  }
  return PYFD_OK;
}

/*
 * T.81 G.1.1: check that a progressive file may send these bits of these
 * coefficients now.  libjpeg only warns of a scan that is out of order, and a
 * refinement scan of a few bytes makes it visit every coefficient of every
 * block.  In order, there are at most 14 scans for each coefficient.
 */
static int check_progression(pyfd_walker *w, const uint8_t *p,
                             const int *components, int count)
{
  int start = p[0], end = p[1], high = p[2] >> 4, low = p[2] & 15;
  int bad = start == 0 ? end != 0 : (end < start || end > 63 || count != 1);
  int i, k, expected;
  int8_t *bits;

  bad |= (high != 0 && low != high - 1) || low > 13;
  for (i = 0; i < count && !bad; i++) {
    bits = w->bits_left[components[i]];
    bad = start > 0 && bits[0] < 0;
    for (k = start; k <= end; k++) {
      expected = bits[k] < 0 ? 0 : bits[k];
      bad |= high != expected;
      bits[k] = (int8_t)low;
    }
  }
  if (bad)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "a scan out of the order of progression (Ss=%d Se=%d "
                     "Ah=%d Al=%d)",
                     start, end, high, low);
  return PYFD_OK;
}

/* T.81 A.2: check that a sequential file sends each component once.  libjpeg
 * would decode it as often as it is sent. */
static int check_sequence(pyfd_walker *w, const int *components, int count)
{
  int i;

  for (i = 0; i < count; i++) {
    if (w->component_seen[components[i]])
      return pyfd_fail(w->status, PYFD_CORRUPT, "component %d sent twice",
                       w->component_id[components[i]]);
  }
  return PYFD_OK;
}

/* T.81 B.2.3: the scan header */
static int read_sos(pyfd_walker *w, const uint8_t *p, size_t size)
{
  int components[4], code, i, count;

  if (!w->saw_sof)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "a scan (SOS) before the frame header (SOF)");
  if (size < 1 || p[0] < 1 || p[0] > 4 || size != 4 + 2 * (size_t)p[0])
    return pyfd_fail(w->status, PYFD_CORRUPT, "bad length of SOS");
  count = *p++;
  code = find_components(w, p, count, components);
  if (code == PYFD_OK)
    code = pyfd_check_limit(w->status, "max_scans", w->limits->max_scans,
                            ++w->num_scans, "has at least");
  if (code == PYFD_OK)
    code = w->num_scans == 1
               ? finish_header(w, (uint32_t)count)
               : pyfd_check_tables_of_scan(w, p, components, count);
  if (code == PYFD_OK)
    code = w->header->progressive
               ? check_progression(w, p + 2 * count, components, count)
               : check_sequence(w, components, count);
  for (i = 0; i < count && code == PYFD_OK; i++) {
    w->component_seen[components[i]] = 1;
    w->work += pyfd_blocks(w->header, components[i]);
  }
  return code;
}

/* Read a frame or scan header from a copy, because its fields, such as the
 * number of components, are checked before they are used. */
static int read_copy(pyfd_walker *w, int marker, const uint8_t *p, size_t size)
{
  uint8_t copy[LONGEST_HEADER];

  memcpy(copy, p, size < sizeof(copy) ? size : sizeof(copy));
  return marker == SOS ? read_sos(w, copy, size) : read_sof(w, copy, size);
}

/* Refuse a marker.  After the first scan, kinds of file that are unsupported
 * would have been seen before, so it is damage. */
static int refuse(pyfd_walker *w, int marker)
{
  static const char *const processes[4] = {"lossless or hierarchical",
                                           "hierarchical", "arithmetic-coded",
                                           "arithmetic-coded hierarchical"};

  if (w->num_scans > 0)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "marker 0x%02X after the first scan", marker);
  if (marker == DAC)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED, "arithmetic-coded (DAC)");
  if (marker == DHP || marker == EXP)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED, "hierarchical");
  if (marker == SOF55 || marker == LSE)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED, "JPEG-LS (0x%02X)", marker);
  if (marker == JPG || (marker >= JPG0 && marker <= JPG13))
    return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                     "an extension of JPEG (0x%02X)", marker);
  if (marker > SOF2 && marker <= SOF15)
    return pyfd_fail(w->status, PYFD_UNSUPPORTED, "%s (SOF%d)",
                     processes[(marker - SOF0) / 4], marker - SOF0);
  return pyfd_fail(w->status, PYFD_CORRUPT, "unknown marker 0x%02X", marker);
}

/* T.81 B.2.4.4: the restart interval.  Before the first scan, libjpeg refuses
 * the file if the length is wrong. */
static int read_dri(pyfd_walker *w, size_t size)
{
  if (size == 2 || w->num_scans == 0)
    return PYFD_OK;
  return pyfd_fail(w->status, PYFD_CORRUPT, "bad length of DRI");
}

/* T.81 B.2.5: check the number of lines that may follow the first scan.  One
 * that repeats the frame header's changes nothing, however often and behind
 * whichever scan, and libjpeg skips all. */
static int read_dnl(pyfd_walker *w, const uint8_t *p, size_t size)
{
  if (size != 2 && w->num_scans > 0) {
    pyfd_note(w, "marker segment 0x%02X (DNL) of a wrong length", DNL);
    return PYFD_OK;
  }
  if (size == 2 && w->num_scans > 0 && pyfd_read16(p) == w->header->height)
    return PYFD_OK;
  return pyfd_fail(w->status, PYFD_UNSUPPORTED,
                   "height given after the first scan (DNL)");
}

void pyfd_note(pyfd_walker *w, const char *message, int byte)
{
  if (w->status->warnings++ == 0) {
    w->noted = message;
    w->noted_byte = byte;
  }
}

int pyfd_is_metadata(int marker)
{
  return (marker >= APP0 && marker <= APP15) || marker == COM;
}

int pyfd_count_segment(pyfd_walker *w, int marker)
{
  return pyfd_check_limit(w->status, "max_segments", w->limits->max_segments,
                          ++w->num_segments, "has at least");
}

int pyfd_read_segment(pyfd_walker *w, int marker, const uint8_t *p,
                      size_t size)
{
  int code = pyfd_count_segment(w, marker);

  if (code != PYFD_OK)
    return code;
  if (pyfd_is_metadata(marker))
    return read_metadata(w, marker, p, size);
  switch (marker) {
  case SOF0:
  case SOF1:
  case SOF2:
    if (!w->saw_sof)
      w->header->progressive = marker == SOF2;
    return read_copy(w, marker, p, size);
  case SOS:
    return read_copy(w, marker, p, size);
  case DQT:
    return pyfd_read_dqt(w, p, size);
  case DHT:
    return pyfd_read_dht(w, p, size);
  case DRI:
    return read_dri(w, size);
  case DNL:
    return read_dnl(w, p, size);
  default:
    return refuse(w, marker);
  }
}
