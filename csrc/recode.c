/*
 * recode.c - see recode.h.
 */

#include "recode.h"

#include <stdlib.h>

#include "orient.h"

/* What a block counts in a scan at most; see pyfd.Limits.max_work. */
#define WORK_OF_A_BLOCK (2 + PYFD_BLOCK / 16)

/* The scans of libjpeg's progressive script with one component or with three,
 * counted once for each component in them */
#define SCANS_OF_GRAY 6
#define SCANS_OF_COLOR 14

static void charge(pyfd_session *s, const char *name, uint64_t limit,
                   uint64_t needed, const char *what)
{
  pyfd_require(s,
               pyfd_check_limit(s->errors.status, name, limit, needed, what));
}

/* Return the number of 8x8 blocks of a component of the output. */
static uint64_t blocks_of(const pyfd_encode_job *job)
{
  const uint64_t wide = (job->width + PYFD_SIDE - 1) / PYFD_SIDE;
  const uint64_t high = (job->height + PYFD_SIDE - 1) / PYFD_SIDE;

  return wide * high;
}

/* Charge all that is in memory at a time, before it is: the input and the
 * pixels with the coefficients of the input, and then with those of the output
 * and the output. */
static void charge_memory(pyfd_session *s, pyfd_encode_job *job, uint64_t size)
{
  const int whole = s->writing.progressive || s->writing.optimize;
  const uint64_t held = s->size + size;
  const uint64_t read =
      s->walk.header.multiscan ? s->walk.header.coefficient_bytes : 0;
  uint64_t written = job->segments_size;

  if (whole)
    written +=
        blocks_of(job) * (uint64_t)job->channels * PYFD_BLOCK * sizeof(JCOEF);
  charge(s, "max_memory", s->limits.max_memory,
         held + (read > written ? read : written), "needs");
  job->max_size = s->limits.max_memory - held;
  if (whole)
    job->max_size -= written - job->segments_size;
}

/* Charge the work of writing more than one pass over the coefficients. */
static void charge_work(pyfd_session *s, const pyfd_encode_job *job)
{
  uint64_t scans = (uint64_t)job->channels;

  if (s->writing.progressive)
    scans = job->channels == 1 ? SCANS_OF_GRAY : SCANS_OF_COLOR;
  else if (!s->writing.optimize)
    return;
  charge(s, "max_work", s->limits.max_work,
         scans * blocks_of(job) * WORK_OF_A_BLOCK, "may need for its output");
}

void pyfd_recode(pyfd_session *s, pyfd_encode_job *job)
{
  const pyfd_header *header = &s->walk.header;
  const pyfd_turn turn = pyfd_turn_of(s);
  uint8_t *pixels;
  pyfd_rows rows;
  size_t size;

  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 1,
                                    PYFD_ENCODER_STEP, s->errors.status));
  pyfd_open_input(s);
  if (header->num_components == PYFD_MAX_COMPONENTS)
    pyfd_refuse(s, "four components cannot be certified");
  job->channels = header->color_space == PYFD_L ? 1 : PYFD_CHANNELS;
  job->width = turn.transposed ? header->height : header->width;
  job->height = turn.transposed ? header->width : header->height;
  job->h_samp = job->v_samp = 1;
  size = (size_t)job->width * job->height * (size_t)job->channels;
  charge_memory(s, job, size);
  charge_work(s, job);
  pixels = malloc(size);
  if (pixels == NULL)
    pyfd_fail(s->errors.status, PYFD_MEMORY, "not enough memory");
  pyfd_require(s, pixels == NULL ? PYFD_MEMORY : PYFD_OK);
  job->pixels = pixels;
  pyfd_start_rows(s, job->channels == 1 ? PYFD_L : PYFD_RGB, &rows);
  pyfd_read_turned(s, &rows, turn, pixels, 0, header->height, header->height);
  jpeg_finish_decompress(&s->in); /* frees its coefficients */
  s->job = job;
  s->writing.color = 0; /* which is about the pixels of pyfd_encode() */
  pyfd_encode_pixels(s);
}
