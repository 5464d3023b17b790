/*
 * strips.c - see strips.h.
 */

#define JPEG_INTERNALS

#include "strips.h"

#include <string.h>

#include "segments.h"

/* Strips for each worker at most, so that none waits long for the others; so
 * many rows of each, if there are more strips than workers, that those which
 * are read twice take little time */
#define ROUNDS 4
#define ROWS_OF_A_ROUND 32

/* Smaller strips take no less time than asking for help. */
#ifndef PYFD_STRIP_PIXELS
#define PYFD_STRIP_PIXELS 65536
#define PYFD_STRIP_ROWS 8
#endif

/* What a thread holds at most: rows of each component, twelve for eight and
 * the context, rows that are upsampled or turned, tables, and the buffers that
 * its strips start to write to, however small they are */
#define ROWS_OF_A_BLOCK 12
#define ROWS_OF_PIXELS (16 + 4 * 4)
#define TABLES (256 << 10)
#define BUFFERS (ROUNDS * PYFD_FIRST_BUFFER)

static uint64_t least(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

void pyfd_cut_strips(pyfd_strips *strips, uint32_t workers, uint32_t rows,
                     uint64_t pixels, uint32_t unit, int overlap)
{
  const uint32_t units = (rows + unit - 1) / unit;
  const uint64_t high = overlap ? ROWS_OF_A_ROUND : PYFD_STRIP_ROWS;
  uint64_t rounds, count, i, end;
  pyfd_strip *strip;

  strips->count = 0;
  if (workers < 2)
    return;
  rounds = least(ROUNDS, rows / (high * workers));
  count = workers * (rounds > 1 ? rounds : 1);
  count = least(least(count, PYFD_MAX_STRIPS), pixels / PYFD_STRIP_PIXELS);
  count = least(least(count, rows / PYFD_STRIP_ROWS), units);
  strips->count = count > 1 ? (uint32_t)count : 0;
  for (i = 0; i < strips->count; i++) {
    strip = &strips->at[i];
    strip->first = (uint32_t)(units * i / count) * unit;
    end = least(units * (i + 1) / count * unit, rows);
    strip->rows = (uint32_t)end - strip->first;
  }
}

uint32_t pyfd_rows_of_interval(const pyfd_session *s)
{
  const struct jpeg_decompress_struct *in = &s->in;
  const uint32_t high = in->comps_in_scan == 1
                            ? (uint32_t)in->cur_comp_info[0]->v_samp_factor
                            : 1;
  const uint32_t row = in->MCUs_per_row * high;

  return in->restart_interval % row == 0 ? in->restart_interval / row : 1;
}

uint64_t pyfd_bytes_of_readers(const pyfd_session *s)
{
  const pyfd_header *h = &s->walk.header;
  const uint64_t readers = least(s->reading.workers, PYFD_MAX_STRIPS) + 1;
  uint64_t bytes = TABLES + BUFFERS;
  uint32_t i;

  for (i = 0; i < h->num_components; i++)
    bytes += (uint64_t)h->blocks_wide[i] * 8 * h->v_samp[i] * ROWS_OF_A_BLOCK;
  bytes += (uint64_t)h->width * PYFD_MAX_COMPONENTS * ROWS_OF_PIXELS;
  return s->size + readers * bytes;
}

int pyfd_may_share(const pyfd_session *s, uint64_t held)
{
  const pyfd_limits *l = &s->limits;

  return s->reading.workers > 1 && s->reading.helpers != NULL &&
         s->errors.strict && !s->walk.header.multiscan &&
         s->walk.work <= l->max_work / 2 &&
         pyfd_bytes_of_readers(s) + held <= l->max_memory;
}

int pyfd_may_read_strips(const pyfd_session *s, uint64_t held)
{
  return s->in.restart_interval > 0 && pyfd_may_share(s, held);
}

/* Find the restart marker that ends interval `last` - 1, from the data of
 * interval `first` on.  Returns the data behind it, or NULL unless all of
 * these markers are in order. */
static const uint8_t *find_interval(const uint8_t *p, const uint8_t *end,
                                    uint32_t first, uint32_t last)
{
  uint32_t i = first;

  while (i < last) {
    p = memchr(p, 0xFF, (size_t)(end - p));
    if (p == NULL)
      return NULL;
    while (p < end && *p == 0xFF)
      p++;
    if (p == end || (*p != 0 && *p != RST0 + i % 8))
      return NULL;
    if (*p++ != 0)
      i++;
  }
  return p;
}

int pyfd_find_strips(const pyfd_session *s, pyfd_strips *strips,
                     const uint32_t *mcus)
{
  const uint8_t *p = s->in.src->next_input_byte;
  const uint8_t *end = p + s->in.src->bytes_in_buffer;
  uint32_t i, intervals = 0;
  pyfd_strip *strip;

  for (i = 0; i < strips->count; i++) {
    strip = &strips->at[i];
    strip->intervals = mcus[i] / s->in.restart_interval;
    p = find_interval(p, end, intervals, strip->intervals);
    if (p == NULL)
      return 0;
    intervals = strip->intervals;
    strip->offset = (size_t)(p - s->data);
  }
  return 1;
}

void pyfd_start_strip(pyfd_session *s, const pyfd_session *whole,
                      const pyfd_strip *strip, pyfd_status *status, void *job)
{
  pyfd_start_session(s, status, job);
  s->data = whole->data;
  s->size = whole->size;
  s->limits = whole->limits;
  s->reading = whole->reading;
  s->reading.helpers = NULL;
  s->walk = whole->walk;
  s->strip = strip;
}

JDIMENSION pyfd_enter_strip(pyfd_session *s)
{
  const pyfd_strip *strip = s->strip;
  struct jpeg_source_mgr *src = s->in.src;

  src->next_input_byte = s->data + strip->offset;
  src->bytes_in_buffer = s->walk.end - strip->offset;
  s->in.marker->next_restart_num = (int)(strip->intervals % 8);
  return strip->intervals * s->in.restart_interval;
}

void pyfd_check_behind(pyfd_session *s)
{
  JBLOCK blocks[D_MAX_BLOCKS_IN_MCU];
  JBLOCKROW rows[D_MAX_BLOCKS_IN_MCU];
  int i;

  memset(blocks, 0, sizeof(blocks));
  for (i = 0; i < D_MAX_BLOCKS_IN_MCU; i++)
    rows[i] = &blocks[i];
  (*s->in.entropy->decode_mcu)(&s->in, rows);
}
