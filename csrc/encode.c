/*
 * encode.c - the encoding of pixels to files.
 */

#include "encode.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "binding.h"
#include "orient.h"
#include "restarts.h"
#include "work.h"

#define ROWS 64 /* passed to libjpeg at a time */

static void write_rows(struct jpeg_compress_struct *out, const uint8_t *pixels,
                       size_t stride)
{
  JSAMPROW rows[ROWS];
  JDIMENSION i;

  while (out->next_scanline < out->image_height) {
    for (i = 0; i < ROWS && out->next_scanline + i < out->image_height; i++) {
      /* libjpeg does not write to its input, although it is not const. */
      rows[i] = (JSAMPROW)(pixels + (out->next_scanline + i) * stride);
    }
    jpeg_write_scanlines(out, rows, i);
  }
}

static void certify_blocks(void *data, JDIMENSION row, JDIMENSION column,
                           JBLOCKROW *blocks)
{
  int16_t *of_components[PYFD_CHANNELS];
  const pyfd_certified *certified = data;
  int i;

  for (i = 0; i < certified->image.channels; i++)
    of_components[i] = *blocks[i];
  pyfd_certify_blocks(certified, row, column, of_components);
}

/* Let libjpeg write only blocks whose radii are large enough. */
static void certify(pyfd_session *s, const pyfd_image *image)
{
  pyfd_encode_job *job = s->job;
  const uint32_t radius = s->writing.radius;
  const uint32_t file_radius = s->writing.file_radius;

  if (radius > PYFD_MAX_RADIUS || file_radius > PYFD_MAX_RADIUS)
    pyfd_refuse(s, "a radius is at most 256");
  if (job->channels == 3 && job->h_samp * job->v_samp > 1)
    pyfd_refuse(s, "subsampled chroma cannot be certified block by block");
  if (file_radius > 0 &&
      (job->width % PYFD_SIDE > 0 || job->height % PYFD_SIDE > 0))
    pyfd_refuse(s, "a radius for files takes sides that are multiples of 8");
  if (!pyfd_set_certified(&job->certified, image, job->tables, job->num_tables,
                          (int)radius - 1, (int)file_radius - 1))
    pyfd_refuse(s, "no image has this radius with these tables");
  jpeg_filter_blocks(&s->out, certify_blocks, &job->certified);
}

static J_COLOR_SPACE input_color(const pyfd_image *image)
{
  if (image->channels == 1)
    return JCS_GRAYSCALE;
  return image->color == 0 ? JCS_RGB : pyfd_libjpeg_color(image->color);
}

static pyfd_image image_of(const pyfd_session *s)
{
  const pyfd_encode_job *job = s->job;
  const pyfd_image image = {job->pixels, job->width, job->height,
                            job->channels, s->writing.color};

  return image;
}

static void check_arguments(pyfd_session *s)
{
  const pyfd_encode_job *job = s->job;
  const pyfd_image image = image_of(s);

  pyfd_require(s, pyfd_check_image(&image, job->tables, job->num_tables,
                                   s->errors.status));
  pyfd_require(s, pyfd_check_segments(job->segments, job->segments_size,
                                      s->errors.status));
}

void pyfd_encode_pixels(pyfd_session *s)
{
  pyfd_encode_job *job = s->job;
  struct jpeg_compress_struct *out = &s->out;
  const pyfd_image image = image_of(s);

  check_arguments(s);
  pyfd_open_output(s, job->max_size);
  out->image_width = job->width;
  out->image_height = job->height;
  out->input_components = job->channels;
  out->in_color_space = input_color(&image);
  jpeg_set_defaults(out);
  pyfd_copy_density(s);
  if (job->channels == 3) {
    out->comp_info[0].h_samp_factor = job->h_samp;
    out->comp_info[0].v_samp_factor = job->v_samp;
  }
  pyfd_set_restarts(s);
  jpeg_override_quant_tables(out, job->tables, job->num_tables);
  out->optimize_coding = s->writing.optimize != 0;
  if (s->writing.progressive)
    jpeg_simple_progression(out);
  if (s->writing.radius > 0 || s->writing.file_radius > 0)
    certify(s, &image);
  jpeg_start_compress(out, TRUE);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  write_rows(out, job->pixels, (size_t)job->width * (size_t)job->channels);
  jpeg_finish_compress(out);
}

/* ---- in strips ---- */

typedef struct {
  const pyfd_session *whole;
  pyfd_strips strips;
  uint32_t lines;                      /* of pixels in a row of iMCUs */
  uint32_t intervals[PYFD_MAX_STRIPS]; /* before each strip */
  pyfd_part parts[PYFD_MAX_STRIPS];
  atomic_int failed;
} strip_work;

/* Encode a strip as if it were an image. */
static void encode_strip(void *data, uint32_t index)
{
  strip_work *work = data;
  const pyfd_strip *strip = &work->strips.at[index];
  pyfd_encode_job job = *(const pyfd_encode_job *)work->whole->job;
  pyfd_part *part = &work->parts[index];
  const uint32_t before = strip->first * work->lines;
  const uint32_t height = strip->rows * work->lines;
  pyfd_writing how = work->whole->writing;
  pyfd_status status;
  pyfd_session s;

  if (atomic_load(&work->failed))
    return;
  job.pixels += (size_t)before * job.width * (size_t)job.channels;
  job.height -= before;
  if (job.height > height)
    job.height = height;
  if (index > 0)
    job.segments_size = 0;
  how.size = sizeof(how); /* the caller's may be another */
  pyfd_start_session(&s, &status, &job);
  if (pyfd_run_writer(&s, pyfd_encode_pixels, &how, &part->data,
                      &part->size) != PYFD_OK ||
      !pyfd_finish_part(part, work->intervals[index]))
    atomic_store(&work->failed, 1);
}

/* Cut the rows into strips of whole restart intervals. */
static void cut(const pyfd_session *s, strip_work *work)
{
  const pyfd_encode_job *job = s->job;
  const int color = job->channels > 1;
  const uint32_t wide = 8 * (color ? (uint32_t)job->h_samp : 1);
  const uint32_t unit = pyfd_restart_rows(s->writing.restart_rows,
                                          (job->width + wide - 1) / wide);
  uint32_t i;

  work->lines = 8 * (color ? (uint32_t)job->v_samp : 1);
  pyfd_cut_strips(&work->strips, s->writing.workers,
                  (job->height + work->lines - 1) / work->lines,
                  (uint64_t)job->width * job->height, unit, 0);
  for (i = 0; i < work->strips.count; i++)
    work->intervals[i] = work->strips.at[i].first / unit;
}

/* Encode in strips, in the threads that the caller offers.  Returns whether
 * that has worked. */
static int encode_in_strips(pyfd_session *s)
{
  const pyfd_encode_job *job = s->job;
  const pyfd_writing *how = &s->writing;
  strip_work *work;
  uint32_t i;
  int done = 0;

  if (how->restart_rows == 0 || how->workers < 2 || how->helpers == NULL ||
      how->progressive || how->optimize || job->h_samp < 1 ||
      job->h_samp > MAX_SAMP_FACTOR || job->v_samp < 1 ||
      job->v_samp > MAX_SAMP_FACTOR)
    return 0;
  check_arguments(s); /* of the whole, which a strip does not know */
  work = calloc(1, sizeof(*work));
  if (work == NULL)
    return 0;
  work->whole = s;
  cut(s, work);
  if (work->strips.count > 0) {
    pyfd_share_work(how->helpers, how->workers, encode_strip, work,
                    work->strips.count);
    done = !atomic_load(&work->failed) &&
           pyfd_join_parts(s, work->parts, work->intervals, work->strips.count,
                           job->height);
  }
  for (i = 0; i < work->strips.count; i++)
    free(work->parts[i].data);
  free(work);
  return done;
}

static void encode(pyfd_session *s)
{
  if (!encode_in_strips(s))
    pyfd_encode_pixels(s);
}

int pyfd_encode(const uint8_t *pixels, uint32_t width, uint32_t height,
                int channels, int h_samp, int v_samp, const uint16_t *tables,
                int num_tables, const pyfd_writing *writing,
                const uint8_t *segments, size_t segments_size, uint8_t **out,
                size_t *out_size, pyfd_status *status)
{
  pyfd_session s;
  pyfd_encode_job job;

  job.pixels = pixels;
  job.width = width;
  job.height = height;
  job.channels = channels;
  job.h_samp = h_samp;
  job.v_samp = v_samp;
  job.tables = (const uint16_t (*)[PYFD_BLOCK])tables;
  job.num_tables = num_tables;
  job.segments = segments;
  job.segments_size = segments_size;
  job.max_size = UINT64_MAX;

  pyfd_start_session(&s, status, &job);
  return pyfd_run_writer(&s, encode, writing, out, out_size);
}

/* Give back what a file does not take of its buffer: many of them are held at
 * once. */
static void shrink(pyfd_made *made)
{
  uint8_t *less = realloc(made->data[0], made->size[0]);

  if (less != NULL)
    made->data[0] = less;
}

size_t pyfd_encode_many(pyfd_picture *pictures, size_t count, int h_samp,
                        int v_samp, const uint16_t *tables, int num_tables,
                        const uint8_t *segments, size_t segments_size)
{
  pyfd_picture *p;
  size_t failed = 0;

  for (p = pictures; p < pictures + count; p++) {
    if (pyfd_encode(p->pixels, p->width, p->height, p->channels, h_samp,
                    v_samp, tables, num_tables, p->writing, segments,
                    segments_size, p->made->data, p->made->size,
                    p->made->status) == PYFD_OK)
      shrink(p->made);
    else
      failed++;
  }
  return failed;
}
