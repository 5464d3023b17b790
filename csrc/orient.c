/*
 * orient.c - see orient.h.
 */

#include "orient.h"

#include <string.h>

#define LINE 64  /* bytes in a line of the cache */
#define AHEAD 8  /* columns */
#define STRIP 16 /* rows that are read before they are turned */

/* Rows that libjpeg has written, to be turned, and their place in the result
 */
typedef struct {
  uint8_t *rows;
  size_t row_size; /* at least a byte more than the row needs */
  size_t width;    /* pixels in a row */
  size_t count;    /* rows */
  uint8_t *out;    /* the place of the first row, or of the first column, */
  ptrdiff_t step;  /* and how far each other one is from the one before */
} strip;

typedef void (*turn_method)(const strip *);

pyfd_turn pyfd_turn_of(pyfd_session *s)
{
  const uint32_t orientation = s->reading.orientation;
  pyfd_turn turn;

  if (orientation > PYFD_MAX_ORIENTATION)
    pyfd_refuse(s, "orientation must be 0 to 8");
  turn.transposed = orientation >= 5;
  turn.left_right = orientation == 2 || orientation == 3 || orientation == 6 ||
                    orientation == 7;
  turn.top_bottom = orientation == 3 || orientation == 4 || orientation == 7 ||
                    orientation == 8;
  return turn;
}

/* Copy pixels to be side by side, from places that are `apart`.  Pixels of 3
 * bytes are moved as 4, of which the next pixel overwrites the last. */
static inline void gather(uint8_t *to, const uint8_t *from, ptrdiff_t apart,
                          size_t count, size_t channels)
{
  const size_t moved = channels == 3 ? 4 : channels;

  for (; count > 1; count--, to += channels, from += apart)
    memcpy(to, from, moved);
  memcpy(to, from, channels);
}

/* Write rows from right to left. */
static inline void mirror(const strip *s, size_t channels)
{
  const uint8_t *last = s->rows + (s->width - 1) * channels;
  uint8_t *out = s->out;
  size_t y;

  for (y = 0; y < s->count; y++, out += s->step, last += s->row_size)
    gather(out, last, -(ptrdiff_t)channels, s->width, channels);
}

/* Write columns as rows.  Each of them lies in other lines of the cache, which
 * no processor foresees. */
static inline void transpose(const strip *s, size_t channels)
{
  const size_t last = s->count * channels - 1;
  const uint8_t *column = s->rows;
  uint8_t *out = s->out, *soon;
  size_t x;

  for (x = 0; x < s->width; x++, out += s->step, column += channels) {
    if (s->width - x > AHEAD) {
      soon = out + AHEAD * s->step;
      __builtin_prefetch(soon, 1);
      __builtin_prefetch(soon + last, 1);
    }
    gather(out, column, (ptrdiff_t)s->row_size, s->count, channels);
  }
}

/* Each is compiled for each number of channels, to move a pixel at once. */
#define FOR_CHANNELS(name, method, channels)                                  \
  static void name(const strip *s)                                            \
  {                                                                           \
    method(s, channels);                                                      \
  }
FOR_CHANNELS(mirror1, mirror, 1)
FOR_CHANNELS(mirror3, mirror, 3)
FOR_CHANNELS(mirror4, mirror, 4)
FOR_CHANNELS(transpose1, transpose, 1)
FOR_CHANNELS(transpose3, transpose, 3)
FOR_CHANNELS(transpose4, transpose, 4)

static turn_method method_for(pyfd_turn turn, size_t channels)
{
  switch (channels) {
  case 1:
    return turn.transposed ? transpose1 : mirror1;
  case 3:
    return turn.transposed ? transpose3 : mirror3;
  default:
    return turn.transposed ? transpose4 : mirror4;
  }
}

/* Read rows into a strip, and write them turned.  The strip's first row comes
 * last if it becomes the last column. */
static void read_strips(pyfd_session *session, pyfd_rows *rows, pyfd_turn turn,
                        strip *s, JDIMENSION first, JDIMENSION end,
                        JDIMENSION height)
{
  const turn_method write = method_for(turn, rows->channels);
  const int reversed = turn.transposed && turn.left_right;
  uint8_t *out = s->out;
  JDIMENSION y, left;

  rows->step = reversed ? -(ptrdiff_t)s->row_size : (ptrdiff_t)s->row_size;
  for (y = first; y < end; y += (JDIMENSION)s->count) {
    s->count = end - y < STRIP ? end - y : STRIP;
    pyfd_read_rows(session, rows,
                   s->rows + (reversed ? (s->count - 1) * s->row_size : 0),
                   (JDIMENSION)s->count);
    left = reversed ? height - y - (JDIMENSION)s->count : y;
    s->out = turn.transposed ? out + left * rows->channels
                             : out + (ptrdiff_t)y * s->step;
    (*write)(s);
  }
}

void pyfd_read_turned(pyfd_session *session, pyfd_rows *rows, pyfd_turn turn,
                      uint8_t *out, JDIMENSION first, JDIMENSION count,
                      JDIMENSION height)
{
  const size_t lines = turn.transposed ? rows->width : height;
  const size_t line = turn.transposed ? height * rows->channels : rows->size;
  strip s = {NULL, 0, rows->width, 0, out, (ptrdiff_t)line};

  if (turn.top_bottom) {
    s.out += (lines - 1) * line;
    s.step = -s.step;
  }
  if (!turn.transposed && !turn.left_right) {
    rows->step = s.step;
    pyfd_read_rows(session, rows, s.out + (ptrdiff_t)first * s.step, count);
    return;
  }
  /* An odd number of lines of the cache, so that the pixels of a column do not
   * all belong into the same place of it */
  s.row_size = LINE * ((rows->size / LINE + 1) | 1);
  s.rows = (*session->in.mem->alloc_large)((j_common_ptr)&session->in,
                                           JPOOL_IMAGE, STRIP * s.row_size);
  read_strips(session, rows, turn, &s, first, first + count, height);
}

void pyfd_copy_density(pyfd_session *s)
{
  const pyfd_turn turn = pyfd_turn_of(s);
  const struct jpeg_decompress_struct *in = &s->in;

  if (s->writing.keep_density && in->saw_JFIF_marker) {
    s->out.density_unit = in->density_unit;
    s->out.X_density = turn.transposed ? in->Y_density : in->X_density;
    s->out.Y_density = turn.transposed ? in->X_density : in->Y_density;
  }
}
