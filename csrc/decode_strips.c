/*
 * decode_strips.c - see pyfd_decode_in_strips() in decode.h.
 */

#define JPEG_INTERNALS

#include "decode.h"

#include <stdatomic.h>

#include "region.h"
#include "strips.h"
#include "work.h"

/* The rows of the result, and those of each strip */
typedef struct strip_work {
  const pyfd_session *whole;
  JDIMENSION top, height, width, lines; /* lines: in a row of iMCUs */
  pyfd_strips strips;
  atomic_int failed;
} strip_work;

/* Return the first row of the image that belongs to a strip or to those below
 * it.  Each strip ends where the next one starts. */
static JDIMENSION row_of(const strip_work *work, uint32_t index)
{
  const JDIMENSION end = work->top + work->height;
  JDIMENSION row;

  if (index == work->strips.count)
    return end;
  row = work->strips.at[index].first * work->lines;
  if (row < work->top)
    return work->top;
  return row < end ? row : end;
}

static void read_strip(pyfd_session *s)
{
  const pyfd_decode_job *job = s->job;
  const strip_work *work = job->strips;
  pyfd_rows rows;

  pyfd_open_input(s);
  pyfd_start_pixels(s, &rows);
  pyfd_read_pixels(s, &rows, s->reading.top - work->top, s->reading.height,
                   work->height);
  if (s->in.output_scanline < s->in.output_height &&
      s->in.input_iMCU_row < s->in.total_iMCU_rows)
    pyfd_check_behind(s);
}

static void decode_strip(void *data, uint32_t index)
{
  strip_work *work = data;
  pyfd_decode_job job = *(const pyfd_decode_job *)work->whole->job;
  const pyfd_strip *strip = &work->strips.at[index];
  pyfd_status status;
  pyfd_session s;

  if (atomic_load(&work->failed))
    return;
  job.strips = work;
  pyfd_start_strip(&s, work->whole, strip, &status, &job);
  s.reading.width = work->width;
  s.reading.top = row_of(work, index);
  s.reading.height = row_of(work, index + 1) - s.reading.top;
  if (s.reading.height > 0 && pyfd_run(&s, read_strip) != PYFD_OK)
    atomic_store(&work->failed, 1);
}

/* Cut the rows into strips.  Returns whether they can be read at once.  A
 * strip whose upsampling takes samples of the row of iMCUs above starts one
 * row behind a restart marker, so that hardly more than this row is read
 * twice. */
static int cut(pyfd_session *s, strip_work *work)
{
  const struct jpeg_decompress_struct *in = &s->in;
  const pyfd_reading *r = &s->reading;
  const uint32_t context = in->upsample->need_context_rows ? 1 : 0;
  const uint64_t pixels = (uint64_t)work->width * work->height;
  const uint32_t unit = pyfd_rows_of_interval(s);
  uint32_t mcus[PYFD_MAX_STRIPS], i, above, rows;

  work->lines = (JDIMENSION)(in->min_DCT_scaled_size * in->max_v_samp_factor);
  above = work->top / work->lines / unit * unit;
  rows = (work->top + work->height + work->lines - 1) / work->lines - above;
  pyfd_cut_strips(&work->strips, r->workers, rows,
                  pixels * r->scale * r->scale, unit, (int)context);
  for (i = 0; i < work->strips.count; i++) {
    work->strips.at[i].first += above + (i > 0 ? context : 0);
    mcus[i] = pyfd_mcus_above(s, row_of(work, i));
  }
  return work->strips.count > 0 && pyfd_find_strips(s, &work->strips, mcus);
}

int pyfd_decode_in_strips(pyfd_session *s, JDIMENSION width, JDIMENSION height)
{
  const pyfd_decode_job *job = s->job;
  strip_work work = {.whole = s,
                     .top = pyfd_has_region(&s->reading) ? s->reading.top : 0,
                     .width = width,
                     .height = height};

  if (!pyfd_may_read_strips(s, job->out_size) || !cut(s, &work))
    return 0;
  pyfd_share_work(s->reading.helpers, s->reading.workers, decode_strip, &work,
                  work.strips.count);
  return !atomic_load(&work.failed);
}
