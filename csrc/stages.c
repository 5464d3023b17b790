/*
 * stages.c - see stages.h.
 */

#define JPEG_INTERNALS

#include "stages.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "strips.h"
#include "work.h"

/* Rows of iMCUs in a strip, or more of them if they have fewer pixels */
#define STRIP_ROWS 4
#define STRIP_PIXELS 131072

#define CACHE_LINE 64 /* of which blocks are a multiple */

/* The ring has so many strips, and a row above them. */
#define RING_STRIPS 4

/* One thread reads, which takes a third of the time at least.  More than these
 * would have nothing to do. */
#define MOST_WORKERS 4

/* In a smaller image, it takes too long to open the file for each of them. */
#ifndef PYFD_STAGE_PIXELS
#define PYFD_STAGE_PIXELS (1 << 21)
#endif

/* What the threads of a call share */
typedef struct {
  const pyfd_session *whole;
  const pyfd_pixels *pixels;
  uint32_t workers;
  uint32_t blocks;     /* in an MCU */
  size_t mcus;         /* in the image */
  size_t mcus_of_row;  /* in a row of iMCUs */
  uint32_t rows;       /* of iMCUs in the image */
  uint32_t strip_rows; /* of iMCUs in a strip */
  uint32_t strips;     /* in the image */
  uint32_t context;    /* rows above and below that a strip depends on */
  JBLOCK *ring, *ring_end;
  pthread_mutex_t mutex; /* of all that follows */
  pthread_cond_t changed;
  uint32_t read_rows;        /* that are in the ring, or were */
  uint32_t next;             /* strip that nobody has taken */
  uint32_t oldest;           /* strip that is not done */
  uint8_t done[RING_STRIPS]; /* strips from the oldest on */
  int failed;
} stages;

/* A session that makes pixels of blocks in the ring */
typedef struct {
  stages *work;
  pyfd_session session;
  pyfd_status status;
  pyfd_rows rows;
  int started;
  uint32_t strip;
  JBLOCK *at; /* the next MCU */
} painter;

/* The session that reads the blocks, and one for the pixels when there is
 * nothing else to do */
typedef struct {
  stages *work;
  pyfd_session session;
  pyfd_status status;
  painter painter;
} reader;

static uint32_t least(uint32_t a, uint32_t b)
{
  return a < b ? a : b;
}

static uint32_t end_of_strip(const stages *w, uint32_t strip)
{
  return least((strip + 1) * w->strip_rows, w->rows);
}

/* ---- sessions on the file ---- */

static size_t mcus_of_row(const struct jpeg_decompress_struct *in)
{
  const int high =
      in->comps_in_scan == 1 ? in->cur_comp_info[0]->v_samp_factor : 1;

  return (size_t)in->MCUs_per_row * (size_t)high;
}

static size_t mcus_of(const struct jpeg_decompress_struct *in)
{
  return (size_t)in->MCUs_per_row * in->MCU_rows_in_scan;
}

static void start_session(pyfd_session *s, const stages *w,
                          pyfd_status *status, void *job)
{
  static const pyfd_strip all = {0, 0, 0, 0}; /* so that nothing is walked */

  pyfd_start_strip(s, w->whole, &all, status, job);
}

/* Open the file, and check that it has the blocks for which there is place:
 * another thread may have changed the data. */
static void open_file(pyfd_session *s, const stages *w, pyfd_rows *rows)
{
  const struct jpeg_decompress_struct *in = &s->in;

  s->job = w->whole->job;
  pyfd_open_input(s);
  (*w->pixels->start)(s, rows);
  if ((uint32_t)in->blocks_in_MCU != w->blocks || mcus_of(in) != w->mcus ||
      mcus_of_row(in) != w->mcus_of_row || in->total_iMCU_rows != w->rows)
    pyfd_refuse(s, "the input changed during the call");
}

/* ---- from blocks to pixels ---- */

/* Take an MCU from the ring, instead of decoding it.  libjpeg has zeroed its
 * own blocks, which follow the first. */
static boolean take_mcu(j_decompress_ptr cinfo, JBLOCKROW *blocks)
{
  painter *p = cinfo->client_data;
  const stages *w = p->work;
  uint32_t i;

  if (blocks != NULL) {
    memcpy(blocks[0], p->at, sizeof(JBLOCK));
    for (i = 1; i < w->blocks; i++)
      blocks[i] = p->at + i;
  }
  p->at += w->blocks;
  if (p->at == w->ring_end)
    p->at = w->ring;
  return TRUE;
}

static void start_painter(painter *p, stages *w)
{
  p->work = w;
  p->started = 0;
  p->at = w->ring;
  start_session(&p->session, w, &p->status, p);
}

static void paint(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  painter *p = s->job;
  const stages *w = p->work;
  JDIMENSION lines, first, end;

  if (p->started) {
    s->job = w->whole->job;
  } else {
    open_file(s, w, &p->rows);
    in->client_data = p;
    in->entropy->decode_mcu = take_mcu;
    p->started = 1;
  }
  lines = (JDIMENSION)(in->min_DCT_scaled_size * in->max_v_samp_factor);
  first = p->strip * w->strip_rows * lines;
  end = least(end_of_strip(w, p->strip) * lines, in->output_height);
  jpeg_skip_scanlines(in, first - in->output_scanline);
  (*w->pixels->read)(s, &p->rows, first, end - first);
  s->job = p;
}

/* Return whether all rows are read that the next strip needs. */
static int is_ready(const stages *w)
{
  return w->next < w->strips &&
         w->read_rows >= least(end_of_strip(w, w->next) + w->context, w->rows);
}

/* Take the next strip, which is ready.  The mutex is locked, but not
 * meanwhile. */
static void paint_strip(painter *p)
{
  stages *w = p->work;
  int code;

  p->strip = w->next++;
  pthread_mutex_unlock(&w->mutex);
  code = pyfd_go_on(&p->session, paint);
  pthread_mutex_lock(&w->mutex);
  w->failed |= code != PYFD_OK;
  w->done[p->strip % RING_STRIPS] = 1;
  for (; w->done[w->oldest % RING_STRIPS]; w->oldest++)
    w->done[w->oldest % RING_STRIPS] = 0;
  pthread_cond_broadcast(&w->changed);
}

static void paint_strips(stages *w)
{
  painter p;

  start_painter(&p, w);
  pthread_mutex_lock(&w->mutex);
  while (!w->failed && w->next < w->strips) {
    if (is_ready(w))
      paint_strip(&p);
    else
      pthread_cond_wait(&w->changed, &w->mutex);
  }
  pthread_mutex_unlock(&w->mutex);
  pyfd_end_session(&p.session);
}

/* ---- from the file to blocks ---- */

/* Wait until the ring has place for the rows before `end`, and make pixels
 * meanwhile.  Returns 0 if there is nothing left to read for. */
static int make_place(painter *p, uint32_t end)
{
  stages *w = p->work;
  int failed;

  pthread_mutex_lock(&w->mutex);
  while (!w->failed && end > (w->oldest + RING_STRIPS) * w->strip_rows) {
    if (is_ready(w))
      paint_strip(p);
    else
      pthread_cond_wait(&w->changed, &w->mutex);
  }
  failed = w->failed;
  pthread_mutex_unlock(&w->mutex);
  return !failed;
}

static void publish(stages *w, uint32_t rows)
{
  pthread_mutex_lock(&w->mutex);
  w->read_rows = rows;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->mutex);
}

/* Decode MCUs into the ring.  Returns where the next one belongs. */
static JBLOCK *read_mcus(pyfd_session *s, const stages *w, JBLOCK *at,
                         size_t count)
{
  JBLOCKROW blocks[D_MAX_BLOCKS_IN_MCU];
  uint32_t i;

  for (; count > 0; count--) {
    memset(at, 0, w->blocks * sizeof(JBLOCK));
    for (i = 0; i < w->blocks; i++)
      blocks[i] = at++;
    (*s->in.entropy->decode_mcu)(&s->in, blocks);
    if (at == w->ring_end)
      at = w->ring;
  }
  return at;
}

static void read_file(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  reader *r = s->job;
  stages *w = r->work;
  JBLOCK *at = w->ring;
  size_t read = 0, end;
  uint32_t strip, rows;
  pyfd_rows unused;

  open_file(s, w, &unused);
  for (strip = 0; strip < w->strips; strip++) {
    rows = end_of_strip(w, strip);
    end = rows < w->rows ? rows * w->mcus_of_row : w->mcus;
    if (!make_place(&r->painter, rows))
      return;
    at = read_mcus(s, w, at, end - read);
    read = end;
    publish(w, rows);
  }
  /* What libjpeg does after the last MCU and the last row: it reads on to EOI,
   * so that damage there is an error, too. */
  (*in->inputctl->finish_input_pass)(in);
  in->output_scanline = in->output_height;
  jpeg_finish_decompress(in);
}

static void read_blocks(stages *w)
{
  reader r;
  int code;

  r.work = w;
  start_painter(&r.painter, w);
  start_session(&r.session, w, &r.status, &r);
  code = pyfd_run(&r.session, read_file);
  pthread_mutex_lock(&w->mutex);
  w->failed |= code != PYFD_OK;
  pthread_cond_broadcast(&w->changed);
  while (!w->failed && is_ready(w))
    paint_strip(&r.painter);
  pthread_mutex_unlock(&w->mutex);
  pyfd_end_session(&r.painter.session);
}

/* ---- the call ---- */

/* Whoever comes first reads. */
static void take_part(void *work, uint32_t i)
{
  if (i == 0)
    read_blocks(work);
  else
    paint_strips(work);
}

/* Describe the work.  Returns how many bytes the ring takes. */
static uint64_t plan(stages *w)
{
  const struct jpeg_decompress_struct *in = &w->whole->in;
  const uint64_t pixels =
      (uint64_t)in->image_width * DCTSIZE * (uint64_t)in->max_v_samp_factor;

  w->workers = least(w->whole->reading.workers, MOST_WORKERS);
  w->blocks = (uint32_t)in->blocks_in_MCU;
  w->mcus = mcus_of(in);
  w->mcus_of_row = mcus_of_row(in);
  w->rows = in->total_iMCU_rows;
  w->context = in->upsample->need_context_rows ? 1 : 0;
  w->strip_rows = STRIP_ROWS;
  if (pixels * STRIP_ROWS < STRIP_PIXELS)
    w->strip_rows = (uint32_t)(STRIP_PIXELS / pixels);
  w->strips = (w->rows + w->strip_rows - 1) / w->strip_rows;
  return (RING_STRIPS * w->strip_rows + w->context) *
         (uint64_t)w->mcus_of_row * w->blocks * sizeof(JBLOCK);
}

/* Return whether the call may be shared, and has enough to share. */
static int may_share(const stages *w, uint64_t held)
{
  const pyfd_header *h = &w->whole->walk.header;

  return w->whole->in.restart_interval == 0 && w->strips > 1 &&
         (uint64_t)h->width * h->height >= PYFD_STAGE_PIXELS &&
         pyfd_may_read_twice(w->whole, (uint64_t)w->workers + 2, held);
}

int pyfd_decode_in_stages(const pyfd_session *whole, const pyfd_pixels *pixels,
                          uint64_t out_size)
{
  stages w = {.whole = whole, .pixels = pixels, .failed = 1};
  const uint64_t size = plan(&w);

  if (!may_share(&w, out_size + size))
    return 0;
  w.ring = aligned_alloc(CACHE_LINE, (size_t)size);
  if (w.ring == NULL)
    return 0;
  w.ring_end = w.ring + size / sizeof(JBLOCK);
  if (pthread_mutex_init(&w.mutex, NULL) == 0) {
    if (pthread_cond_init(&w.changed, NULL) == 0) {
      w.failed = 0;
      pyfd_share_work(whole->reading.helpers, w.workers, take_part, &w,
                      w.workers);
      pthread_cond_destroy(&w.changed);
    }
    pthread_mutex_destroy(&w.mutex);
  }
  free(w.ring);
  return !w.failed;
}
