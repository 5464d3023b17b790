/*
 * decode_stages.c - see pyfd_decode_in_stages() in decode.h.
 *
 * Each stage has a session of its own on the whole file, set up in the same
 * way.  One does all that libjpeg does with the scan and what is behind it;
 * the other gets its MCUs in the place of an entropy decoder.
 */

#define JPEG_INTERNALS

#include "decode.h"

#include <string.h>

#include "orient.h"
#include "region.h"
#include "ring.h"
#include "strips.h"
#include "work.h"

/* Two threads take longer to begin than they save if there are fewer. */
#ifndef PYFD_STAGE_PIXELS
#define PYFD_STAGE_PIXELS (2 << 20)
#endif

/* In the order in which threads take them: whoever makes pixels waits for the
 * other one to begin, but not long, and a thread may take both. */
enum { PIXELS, SYMBOLS, STAGES };

typedef struct stage_work {
  const pyfd_session *whole;
  pyfd_ring ring;
  int done; /* the pixels are those of an intact file */
} stage_work;

static uint32_t count_mcus(const pyfd_session *s)
{
  return s->in.MCUs_per_row * s->in.MCU_rows_in_scan;
}

/* Open the input for a stage.  Another thread may have changed it. */
static stage_work *open_stage(pyfd_session *s, pyfd_rows *rows)
{
  const pyfd_decode_job *job = s->job;
  stage_work *work = job->stages;

  pyfd_open_input(s);
  pyfd_start_pixels(s, rows);
  if (count_mcus(s) != work->ring.mcus ||
      s->in.blocks_in_MCU != (int)work->ring.mcu_blocks ||
      s->in.restart_interval != 0)
    pyfd_leave(s, PYFD_CORRUPT);
  return work;
}

static void read_symbols(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  JBLOCKROW rows[D_MAX_BLOCKS_IN_MCU];
  pyfd_rows unused;
  pyfd_ring *ring = &open_stage(s, &unused)->ring;
  uint32_t i;
  int block;

  for (i = 0; i < ring->mcus; i++) {
    rows[0] = pyfd_next_room(ring);
    if (rows[0] == NULL)
      pyfd_leave(s, PYFD_CORRUPT);
    for (block = 1; block < in->blocks_in_MCU; block++)
      rows[block] = rows[0] + block;
    memset(rows[0], 0, ring->mcu_blocks * sizeof(JBLOCK));
    if (!(*in->entropy->decode_mcu)(in, rows))
      pyfd_leave(s, PYFD_CORRUPT);
  }
  (*in->inputctl->finish_input_pass)(in);
  in->output_scanline = in->output_height;
  jpeg_finish_decompress(in);
}

/* Take an MCU from the ring, instead of decoding it. */
static boolean take_mcu(j_decompress_ptr cinfo, JBLOCKROW *blocks)
{
  pyfd_session *s = cinfo->client_data;
  const pyfd_decode_job *job = s->job;
  pyfd_ring *ring = &job->stages->ring;
  const JBLOCK *mcu = pyfd_next_mcu(ring);

  if (mcu == NULL)
    pyfd_leave(s, PYFD_CORRUPT);
  if (blocks != NULL) /* libjpeg's are one after the other, too */
    memcpy(blocks[0], mcu, ring->mcu_blocks * sizeof(JBLOCK));
  return TRUE;
}

static void make_pixels(pyfd_session *s)
{
  const pyfd_decode_job *job = s->job;
  const JDIMENSION height = s->walk.header.height;
  pyfd_rows rows;
  stage_work *work = open_stage(s, &rows);

  if (!pyfd_await_symbols(&work->ring))
    pyfd_leave(s, PYFD_CORRUPT);
  s->in.client_data = s;
  s->in.entropy->decode_mcu = take_mcu;
  pyfd_read_turned(s, &rows, pyfd_turn_of(s), job->out, 0, height, height);
  work->done = 1; /* and the other one, or there were no last MCUs */
}

static void do_stage(void *data, uint32_t index)
{
  static const pyfd_strip all = {0, 0, 0, 0}; /* walked over, like a part */
  stage_work *work = data;
  pyfd_decode_job job = *(const pyfd_decode_job *)work->whole->job;
  pyfd_status status;
  pyfd_session s;

  job.stages = work;
  pyfd_start_strip(&s, work->whole, &all, &status, &job);
  if (index == PIXELS) {
    pyfd_run(&s, make_pixels);
    pyfd_leave_ring(&work->ring);
  } else if (pyfd_claim_symbols(&work->ring)) {
    pyfd_end_symbols(&work->ring, pyfd_run(&s, read_symbols) == PYFD_OK);
  }
}

static int may_decode(const pyfd_session *s)
{
  const pyfd_decode_job *job = s->job;
  const pyfd_header *h = &s->walk.header;

  return s->in.restart_interval == 0 && !pyfd_has_region(&s->reading) &&
         s->reading.scale == 1 && s->reading.color != PYFD_L &&
         (uint64_t)h->width * h->height >= PYFD_STAGE_PIXELS &&
         pyfd_may_share(s, job->out_size + PYFD_RING_BYTES);
}

int pyfd_decode_in_stages(pyfd_session *s)
{
  stage_work work = {.whole = s};

  if (!may_decode(s) || !pyfd_start_ring(&work.ring, count_mcus(s),
                                         (uint32_t)s->in.blocks_in_MCU))
    return 0;
  pyfd_share_work(s->reading.helpers, STAGES, do_stage, &work, STAGES);
  pyfd_free_ring(&work.ring);
  return work.done;
}
