/*
 * markers.c - the marker walk: header, metadata, limits.
 *
 * The walk takes time linear in the file's size, and allocates nothing.  It
 * skips and accepts the bytes between markers as libjpeg does (jdmarker.c:
 * next_marker), so both see the same segments.  See ITU-T T.81, Annex B.
 *
 * Another thread, or another process, may change the data during the walk.
 * So no byte that a decision rests on is read a second time.
 */

#include "markers.h"

#include <string.h>

#include "kinds.h"
#include "options.h"
#include "segments.h"
#include "status.h"

/* What a block counts that is smoothed, and the coefficients that smoothing
 * makes up (jdcoefct.c: SAVED_COEFS) */
#define SMOOTHING 12
#define SMOOTHED 9

/*
 * Check whether a marker's code is damage to a scan's data.  Codes below SOF0
 * have no meaning, and in a scan libjpeg looks for the next marker after them
 * (jdmarker.c: jpeg_resync_to_restart).
 */
static int is_damage(const pyfd_walker *w, uint8_t code)
{
  return w->num_scans > 0 && code > TEM && code < SOF0;
}

/*
 * Find the next marker and step past it.  The bytes before it, in no segment,
 * are entropy-coded data, restart markers, fill bytes, stuffed zeros or
 * garbage.  Returns the marker's code, or -1 at the end of the data.
 */
static int next_marker(pyfd_walker *w)
{
  const uint8_t *p = w->data + w->pos, *end = w->data + w->size, *first;
  uint8_t code;

  while (p < end && (p = memchr(p, 0xFF, (size_t)(end - p))) != NULL) {
    first = p;
    while (p < end && *p == 0xFF)
      p++;
    if (p == end)
      break;
    code = *p;
    if (code == 0 && p - first > 1 && w->num_scans > 0) {
      /* T.81 B.1.1.2: fill bytes stand before markers only.  libjpeg takes
       * these bytes for one of 0xFF, without a warning. */
      pyfd_note(w, "fill bytes before 0xFF%02X in a scan", code);
    } else if (is_damage(w, code)) {
      pyfd_note(w, "unknown marker 0x%02X", code);
    } else if (code != 0 && code != TEM && !(code >= RST0 && code <= RST7)) {
      w->marker_pos = (size_t)(p - w->data);
      w->pos = w->marker_pos + 1;
      return code;
    }
    p++;
  }
  w->marker_pos = w->pos = w->size;
  return -1;
}

/* Take a segment whose stated length is less than that of the length itself.
 * libjpeg reads on after the length if it would skip the content anyway. */
static int skip_bogus(pyfd_walker *w, int marker)
{
  static const char message[] = "marker segment 0x%02X of impossible length";

  if (!pyfd_is_metadata(marker) && !(marker == DNL && w->num_scans > 0))
    return pyfd_fail(w->status, PYFD_CORRUPT, message, marker);
  pyfd_note(w, message, marker);
  w->pos += 2;
  return pyfd_count_segment(w, marker);
}

/* Read the next marker with its segment.  *marker is -1 at the end of the
 * data. */
static int step(pyfd_walker *w, int *marker)
{
  const uint8_t *p;
  size_t length, before = w->pos;

  *marker = next_marker(w);
  w->work += w->marker_pos - before;
  if (*marker == -1)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "truncated: no end-of-image marker (EOI)");
  if (*marker == EOI)
    return PYFD_OK;
  if (*marker == SOI)
    return pyfd_fail(w->status, PYFD_CORRUPT, "two start-of-image markers");
  if (w->size - w->pos < 2)
    return pyfd_fail(w->status, PYFD_CORRUPT, "truncated in a marker segment");
  p = w->data + w->pos;
  length = pyfd_read16(p);
  if (length < 2)
    return skip_bogus(w, *marker);
  if (length > w->size - w->pos)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "marker segment 0x%02X reaches past the end", *marker);
  w->pos += length;
  return pyfd_read_segment(w, *marker, p + 2, length - 2);
}

/* Start a walk, which keeps a pointer to limits. */
static int start(pyfd_walker *w, const uint8_t *data, size_t size,
                 const pyfd_limits *limits, pyfd_header *header,
                 pyfd_status *status)
{
  const char *kind;

  memset(w, 0, sizeof(*w));
  memset(w->bits_left, -1, sizeof(w->bits_left));
  w->data = data;
  w->size = size;
  w->limits = limits;
  w->header = header;
  w->status = status;
  w->pos = 2;
  if (pyfd_check_limit(status, "max_bytes", limits->max_bytes, size, "has"))
    return PYFD_LIMIT;
  if (size >= 2 && data[0] == 0xFF && data[1] == SOI)
    return PYFD_OK;
  kind = size == 0 ? "no bytes" : pyfd_name_kind(data, size);
  if (kind != NULL)
    return pyfd_fail(status, PYFD_UNSUPPORTED, "not a JPEG: %s", kind);
  return pyfd_fail(status, PYFD_CORRUPT,
                   "not a JPEG file (no start-of-image marker)");
}

/* Walk up to the first SOS, and read it. */
static int walk_header(pyfd_walker *w)
{
  int marker, code;

  do {
    code = step(w, &marker);
    if (code == PYFD_OK && marker == EOI)
      return pyfd_fail(w->status, PYFD_CORRUPT, "no image in the file");
  } while (code == PYFD_OK && marker != SOS);
  return code;
}

/* State the first damage that was noted. */
static void describe_damage(const pyfd_walker *w)
{
  if (w->status->warnings > 0)
    pyfd_fail(w->status, PYFD_OK, w->noted, w->noted_byte);
}

/* Walk up to the first SOS with a walker that keeps a pointer to limits. */
static int probe(pyfd_walker *w, const uint8_t *data, size_t size,
                 const pyfd_limits *given, pyfd_limits *limits,
                 pyfd_header *header, pyfd_segment *segments, size_t capacity,
                 pyfd_status *status)
{
  int code;

  memset(header, 0, sizeof(*header));
  memset(status, 0, sizeof(*status));
  code = pyfd_take_limits(limits, given, status);
  if (code == PYFD_OK)
    code = start(w, data, size, limits, header, status);
  if (code != PYFD_OK)
    return code;
  w->segments = segments;
  w->capacity = capacity;
  code = walk_header(w);
  if (code == PYFD_OK)
    describe_damage(w);
  return code;
}

int pyfd_probe(const uint8_t *data, size_t size, const pyfd_limits *limits,
               pyfd_header *header, pyfd_segment *segments, size_t capacity,
               pyfd_status *status)
{
  pyfd_walker w;
  pyfd_limits ours;

  return probe(&w, data, size, limits, &ours, header, segments, capacity,
               status);
}

int pyfd_open(const uint8_t *data, size_t size, const pyfd_limits *limits,
              pyfd_segment *segments, size_t capacity, pyfd_found *found)
{
  pyfd_walker *w = (pyfd_walker *)found->walker;
  pyfd_limits ours;
  int code;

  _Static_assert(sizeof(*w) <= sizeof(found->walker), "a walker's size");
  code = probe(w, data, size, limits, &ours, found->header, segments, capacity,
               found->status);
  w->warnings = found->status->warnings;
  return code;
}

/* Count the work of smoothing, by which a decoder makes up the bits of the
 * lowest coefficients that progressive scans have left out. */
static void count_smoothing(pyfd_walker *w)
{
  uint64_t blocks = 0;
  int i, k, smoothed = 0;

  for (i = 0; i < (int)w->header->num_components; i++) {
    blocks += pyfd_blocks(w->header, i);
    for (k = 1; k <= SMOOTHED; k++)
      smoothed |= w->bits_left[i][k] != 0;
  }
  if (w->header->progressive && smoothed)
    w->work += SMOOTHING * blocks;
}

/* Check the work so far.  Returns a pyfd_code: the given one if it is within
 * the limit. */
static int check_work(const pyfd_walker *w, int code)
{
  int over = pyfd_check_limit(w->status, "max_work", w->limits->max_work,
                              w->work, "needs at least");

  return over == PYFD_OK ? code : over;
}

/* Walk from the first SOS to the end. */
static int walk_scans(pyfd_walker *w, pyfd_walk *walk)
{
  pyfd_status *status = w->status;
  int marker = SOS;
  int code = check_work(w, PYFD_OK);

  if (code != PYFD_OK)
    return code;
  while (code == PYFD_OK && marker != EOI)
    code = check_work(w, step(w, &marker));
  count_smoothing(w);
  code = check_work(w, code);
  walk->end = code == PYFD_OK ? w->pos : w->marker_pos;
  walk->work = w->work;
  walk->intact = code == PYFD_OK && status->warnings == 0;
  /* The caller decides about a file that is corrupt after its first scan: a
   * strict decoder refuses it, with the message that is left here; a lenient
   * one decodes the part before the damage. */
  if (code == PYFD_CORRUPT)
    code = (int)(status->code = PYFD_OK);
  if (code == PYFD_OK)
    describe_damage(w);
  return code;
}

int pyfd_walk_file(const uint8_t *data, size_t size, const pyfd_limits *limits,
                   pyfd_walk *walk, pyfd_status *status)
{
  pyfd_walker w;
  int code = start(&w, data, size, limits, &walk->header, status);

  if (code == PYFD_OK)
    code = walk_header(&w);
  return code == PYFD_OK ? walk_scans(&w, walk) : code;
}

int pyfd_walk_on(const pyfd_found *found, const uint8_t *data, size_t size,
                 const pyfd_limits *limits, pyfd_walk *walk,
                 pyfd_status *status)
{
  pyfd_walker w = *(const pyfd_walker *)found->walker;

  /* The pointers of the first call may no longer be valid. */
  if (w.size != size)
    return pyfd_fail(status, PYFD_ARGUMENT,
                     "the input changed during the call");
  w.data = data;
  walk->header = found->header[0];
  w.header = &walk->header;
  w.limits = limits;
  w.status = status;
  w.segments = NULL;
  w.capacity = 0;
  status->warnings = w.warnings;
  return walk_scans(&w, walk);
}
