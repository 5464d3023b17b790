/*
 * transcode_strips.c - see pyfd_requantize_strips() in transcode.h.
 */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "restarts.h"
#include "transcode.h"
#include "work.h"

typedef struct strip_work {
  const pyfd_session *whole;
  pyfd_strips strips;
  uint32_t lines;                      /* of pixels in a row of iMCUs */
  uint32_t mcus[PYFD_MAX_STRIPS];      /* before each strip */
  uint32_t intervals[PYFD_MAX_STRIPS]; /* of the output before each */
  pyfd_part parts[PYFD_MAX_STRIPS];    /* of the output */
  atomic_int failed;
} strip_work;

/* Pass over the MCUs between the restart marker and the strip. */
static void pass_mcus(pyfd_session *s, uint32_t count)
{
  JBLOCK blocks[D_MAX_BLOCKS_IN_MCU];
  JBLOCKROW rows[D_MAX_BLOCKS_IN_MCU];
  int i;

  for (i = 0; i < D_MAX_BLOCKS_IN_MCU; i++)
    rows[i] = &blocks[i];
  for (; count > 0; count--) {
    memset(blocks, 0, sizeof(blocks));
    jpeg_read_mcu(&s->in, rows);
  }
}

/* Let libjpeg take the strip for the whole image. */
static void shorten(pyfd_session *s, pyfd_header *header, uint32_t lines)
{
  struct jpeg_decompress_struct *in = &s->in;
  const uint32_t before = s->strip->first * lines;
  const uint32_t height = s->strip->rows * lines;
  int i;

  *header = s->walk.header;
  header->height -= before;
  if (header->height > height)
    header->height = height;
  pyfd_count_blocks(header);
  in->total_iMCU_rows = s->strip->rows;
  for (i = 0; i < in->num_components; i++)
    in->comp_info[i].height_in_blocks = header->blocks_high[i];
}

static void requantize_strip(pyfd_session *s)
{
  pyfd_requantize_job *job = s->job;
  const strip_work *work = job->strips;
  const uint32_t before = work->mcus[s->strip - work->strips.at];
  const uint32_t rows = s->strip->first + s->strip->rows;
  pyfd_header header;
  int is_last;

  pyfd_open_input(s);
  s->in.out_color_space = s->in.jpeg_color_space;
  s->in.raw_data_out = TRUE;
  jpeg_start_decompress(&s->in);
  is_last = rows == s->in.total_iMCU_rows;
  pass_mcus(s, before - pyfd_enter_strip(s));
  shorten(s, &header, work->lines);
  pyfd_set_requantized(s, &header, NULL, job->max_size);
  jpeg_write_requantized(&s->out, &s->in, job->requantizers);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  jpeg_finish_compress(&s->out);
  if (is_last)
    jpeg_finish_decompress(&s->in);
  else
    pyfd_check_behind(s);
}

static void write_strip(void *data, uint32_t index)
{
  strip_work *work = data;
  const pyfd_session *whole = work->whole;
  pyfd_requantize_job job = *(const pyfd_requantize_job *)whole->job;
  pyfd_part *part = &work->parts[index];
  pyfd_writing how = whole->writing;
  pyfd_status status;
  pyfd_session s;

  if (atomic_load(&work->failed))
    return;
  job.strips = work;
  /* All parts are in memory twice when they are joined. */
  job.max_size = (whole->limits.max_memory - pyfd_bytes_of_readers(whole)) /
                 2 / work->strips.count;
  if (index > 0)
    job.segments_size = 0;
  how.size = sizeof(how); /* the caller's may be another */
  pyfd_start_strip(&s, whole, &work->strips.at[index], &status, &job);
  if (pyfd_run_writer(&s, requantize_strip, &how, &part->data, &part->size) !=
          PYFD_OK ||
      !pyfd_finish_part(part, work->intervals[index]))
    atomic_store(&work->failed, 1);
}

/* Cut the rows into strips of whole intervals of the output.  Returns whether
 * they can be read at once. */
static int cut(pyfd_session *s, strip_work *work)
{
  const struct jpeg_decompress_struct *in = &s->in;
  const pyfd_header *h = &s->walk.header;
  const uint32_t in_imcu = in->comps_in_scan == 1 ? h->v_samp[0] : 1;
  const uint32_t unit =
      pyfd_restart_rows(s->writing.restart_rows, in->MCUs_per_row);
  const uint32_t read = pyfd_rows_of_interval(s);
  uint32_t i, first;

  work->lines = (uint32_t)in->max_v_samp_factor * DCTSIZE;
  pyfd_cut_strips(&work->strips, s->reading.workers, in->total_iMCU_rows,
                  (uint64_t)h->width * h->height,
                  read % unit == 0 ? read : unit, 0);
  for (i = 0; i < work->strips.count; i++) {
    first = work->strips.at[i].first * in_imcu;
    work->mcus[i] = first * in->MCUs_per_row;
    work->intervals[i] = first / unit;
  }
  return work->strips.count > 0 &&
         pyfd_find_strips(s, &work->strips, work->mcus);
}

int pyfd_requantize_strips(pyfd_session *s)
{
  strip_work *work;
  uint32_t i;
  int done = 0;

  if (s->writing.restart_rows == 0 || !pyfd_may_read_strips(s, 0))
    return 0;
  work = calloc(1, sizeof(*work));
  if (work == NULL)
    return 0;
  work->whole = s;
  if (cut(s, work)) {
    pyfd_share_work(s->reading.helpers, s->reading.workers, write_strip, work,
                    work->strips.count);
    done = !atomic_load(&work->failed) &&
           pyfd_join_parts(s, work->parts, work->intervals, work->strips.count,
                           s->walk.header.height);
  }
  for (i = 0; i < work->strips.count; i++)
    free(work->parts[i].data);
  free(work);
  return done;
}
