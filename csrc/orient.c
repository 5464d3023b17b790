/*
 * orient.c - see orient.h.
 */

#include "orient.h"

#include <string.h>

#define STRIP 16 /* rows that are read before they are turned */

/* Rows that were read, and their columns' place in the result */
typedef struct {
  const uint8_t *rows;
  size_t row_size;
  size_t width;   /* pixels in a row */
  size_t count;   /* rows */
  uint8_t *out;   /* the place of the first column, */
  ptrdiff_t step; /* and how far the others are from it */
} strip;

pyfd_turn pyfd_turn_of(uint32_t orientation)
{
  pyfd_turn turn;

  turn.transposed = orientation >= 5;
  turn.left_right = orientation == 2 || orientation == 3 || orientation == 6 ||
                    orientation == 7;
  turn.top_bottom = orientation == 3 || orientation == 4 || orientation == 7 ||
                    orientation == 8;
  return turn;
}

/* mirror() and transpose() are compiled for the usual numbers of channels, so
 * that a pixel is moved at once. */

static inline void mirror(uint8_t *row, size_t width, size_t channels)
{
  uint8_t *left = row, *right = row + (width - 1) * channels;
  uint8_t pixel[PYFD_MAX_COMPONENTS];

  for (; left < right; left += channels, right -= channels) {
    memcpy(pixel, left, channels);
    memcpy(left, right, channels);
    memcpy(right, pixel, channels);
  }
}

static void mirror_row(uint8_t *row, size_t width, size_t channels)
{
  if (channels == 1)
    mirror(row, width, 1);
  else if (channels == 3)
    mirror(row, width, 3);
  else
    mirror(row, width, channels);
}

static inline void transpose(const strip *from, size_t channels)
{
  const uint8_t *column = from->rows, *pixel;
  uint8_t *line = from->out, *to;
  size_t x, y;

  for (x = 0; x < from->width; x++, column += channels, line += from->step) {
    pixel = column;
    to = line;
    for (y = 0; y < from->count; y++, to += channels, pixel += from->row_size)
      memcpy(to, pixel, channels);
  }
}

static void transpose_strip(const strip *from, size_t channels)
{
  if (channels == 1)
    transpose(from, 1);
  else if (channels == 3)
    transpose(from, 3);
  else
    transpose(from, channels);
}

/* Read rows into columns. */
static void read_transposed(pyfd_session *s, pyfd_rows *rows, pyfd_turn turn,
                            uint8_t *out, JDIMENSION height)
{
  const size_t channels = rows->channels, line = height * channels;
  uint8_t *first, *buffer = (*s->in.mem->alloc_large)(
                      (j_common_ptr)&s->in, JPOOL_IMAGE, STRIP * rows->size);
  strip from = {buffer, rows->size, rows->width, 0, NULL, (ptrdiff_t)line};
  JDIMENSION y, n, left;

  if (turn.top_bottom) {
    out += (rows->width - 1) * line;
    from.step = -from.step;
  }
  if (turn.left_right) /* the last row becomes the first column */
    rows->step = -(ptrdiff_t)rows->size;
  for (y = 0; y < height; y += n) {
    n = height - y < STRIP ? height - y : STRIP;
    left = turn.left_right ? height - y - n : y;
    from.count = n;
    from.out = out + left * channels;
    first = turn.left_right ? buffer + (n - 1) * rows->size : buffer;
    pyfd_read_rows(s, rows, first, n);
    transpose_strip(&from, channels);
  }
}

void pyfd_read_turned(pyfd_session *s, pyfd_rows *rows, pyfd_turn turn,
                      uint8_t *out, JDIMENSION height)
{
  JDIMENSION n, i;

  if (turn.transposed) {
    read_transposed(s, rows, turn, out, height);
    return;
  }
  if (turn.top_bottom) {
    out += (height - 1) * rows->size;
    rows->step = -(ptrdiff_t)rows->size;
  }
  if (!turn.left_right) {
    pyfd_read_rows(s, rows, out, height);
    return;
  }
  for (; height > 0; height -= n) {
    n = height < STRIP ? height : STRIP;
    pyfd_read_rows(s, rows, out, n);
    for (i = 0; i < n; i++, out += rows->step)
      mirror_row(out, rows->width, rows->channels);
  }
}
