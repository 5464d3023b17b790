/*
 * yuv.c - the encoding of planes of YCbCr to files.
 */

#include "restarts.h"

#include <string.h>

#define MAX_LINES (MAX_SAMP_FACTOR * DCTSIZE) /* of a component in an MCU */

/* One component's samples on their way to libjpeg, which reads whole blocks */
typedef struct {
  const pyfd_plane *plane;
  size_t columns, rows;      /* of samples */
  size_t padding;            /* samples between the last column and a block */
  JSAMPARRAY copies;         /* NULL: libjpeg reads the plane itself */
  JSAMPROW lines[MAX_LINES]; /* of the current row of MCUs */
} component;

typedef struct {
  const pyfd_plane *planes;
  int num_planes;
  pyfd_header frame;
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  const uint8_t *segments;
  size_t segments_size;
  component components[PYFD_YCBCR_COMPONENTS];
} yuv_job;

static size_t distance(ptrdiff_t stride)
{
  return stride < 0 ? 0 - (size_t)stride : (size_t)stride;
}

/* Check that a plane has its rows, and that they do not overlap.  Nothing here
 * overflows, whatever the caller's numbers are. */
static void check_plane(pyfd_session *s, const component *c)
{
  const pyfd_plane *plane = c->plane;
  const size_t stride = distance(plane->stride);
  size_t row;

  if (plane->samples == NULL)
    pyfd_refuse(s, "a plane is NULL");
  if (plane->step < 1)
    pyfd_refuse(s, "a plane's step must be 1 or more");
  if (plane->size < 1 || (c->columns - 1) > (plane->size - 1) / plane->step)
    pyfd_refuse(s, "a plane is smaller than its rows and columns");
  row = (c->columns - 1) * plane->step + 1;
  if (c->rows > 1 && stride < row)
    pyfd_refuse(s, "a plane's stride is shorter than its rows");
  if (c->rows > 1 && c->rows - 1 > (plane->size - row) / stride)
    pyfd_refuse(s, "a plane is smaller than its rows and columns");
}

static void check(pyfd_session *s)
{
  yuv_job *job = s->job;
  pyfd_header *frame = &job->frame;
  int i;

  if (job->num_planes != 1 && job->num_planes != PYFD_YCBCR_COMPONENTS)
    pyfd_refuse(s, "planes must be 1 or 3");
  if (s->writing.radius > 0 || s->writing.file_radius > 0)
    pyfd_refuse(s, "planes cannot be certified: a radius takes pixels");
  if (s->writing.color != 0 && s->writing.color != frame->color_space)
    pyfd_refuse(s, "three planes are YCbCr, and one is gray");
  pyfd_require(s, pyfd_check_frame(frame, s->errors.status));
  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 1,
                                    PYFD_ENCODER_STEP, s->errors.status));
  pyfd_require(s, pyfd_check_segments(job->segments, job->segments_size,
                                      s->errors.status));
  if (job->planes == NULL)
    pyfd_refuse(s, "a plane is NULL");
  for (i = 0; i < job->num_planes; i++) {
    component *c = &job->components[i];
    const uint32_t across = i > 0 ? frame->h_samp[0] : 1;
    const uint32_t down = i > 0 ? frame->v_samp[0] : 1;

    c->plane = &job->planes[i];
    c->columns = (frame->width + across - 1) / across;
    c->rows = (frame->height + down - 1) / down;
    check_plane(s, c);
  }
}

/* Copy a row of samples, and repeat the last one up to the end of a block. */
static void copy_row(const component *c, const uint8_t *from, uint8_t *to)
{
  const size_t columns = c->columns, step = c->plane->step;
  size_t i;

  if (step == 1) {
    memcpy(to, from, columns);
  } else if (step == 2) { /* NV12; the compiler makes vectors of it */
    for (i = 0; i < columns; i++)
      to[i] = from[2 * i];
  } else {
    for (i = 0; i < columns; i++)
      to[i] = from[step * i];
  }
  memset(to + columns, to[columns - 1], c->padding);
}

static void prepare(pyfd_session *s, int index)
{
  yuv_job *job = s->job;
  component *c = &job->components[index];
  const size_t wide = (size_t)job->frame.blocks_wide[index] * DCTSIZE;

  c->padding = wide - c->columns;
  if (c->padding > 0 || c->plane->step > 1)
    c->copies = (*s->out.mem->alloc_sarray)(
        (j_common_ptr)&s->out, JPOOL_IMAGE, (JDIMENSION)wide,
        (JDIMENSION)(s->out.comp_info[index].v_samp_factor * DCTSIZE));
}

/* Find a component's rows in the next row of MCUs.  Below the image, the last
 * one is repeated, as libjpeg repeats it. */
static JSAMPARRAY next_lines(component *c, size_t first, size_t count)
{
  const uint8_t *from;
  size_t i;

  for (i = 0; i < count; i++) {
    if (first + i >= c->rows) {
      c->lines[i] = c->lines[i - 1];
      continue;
    }
    from = c->plane->samples + (ptrdiff_t)(first + i) * c->plane->stride;
    if (c->copies == NULL) {
      c->lines[i] = (JSAMPROW)from; /* to which libjpeg does not write */
    } else {
      copy_row(c, from, c->copies[i]);
      c->lines[i] = c->copies[i];
    }
  }
  return c->lines;
}

static void write_planes(pyfd_session *s)
{
  yuv_job *job = s->job;
  struct jpeg_compress_struct *out = &s->out;
  const JDIMENSION lines = (JDIMENSION)out->max_v_samp_factor * DCTSIZE;
  JSAMPARRAY planes[PYFD_YCBCR_COMPONENTS];
  size_t count;
  int i;

  for (i = 0; i < job->num_planes; i++)
    prepare(s, i);
  while (out->next_scanline < out->image_height) {
    for (i = 0; i < job->num_planes; i++) {
      count = (size_t)out->comp_info[i].v_samp_factor * DCTSIZE;
      planes[i] = next_lines(&job->components[i],
                             out->next_scanline / lines * count, count);
    }
    jpeg_write_raw_data(out, planes, lines);
  }
}

static void encode(pyfd_session *s)
{
  yuv_job *job = s->job;
  struct jpeg_compress_struct *out = &s->out;

  check(s);
  pyfd_open_output(s, UINT64_MAX);
  out->image_width = job->frame.width;
  out->image_height = job->frame.height;
  out->input_components = job->num_planes;
  out->in_color_space = pyfd_libjpeg_color(job->frame.color_space);
  jpeg_set_defaults(out);
  out->raw_data_in = TRUE;
  if (job->num_planes > 1) {
    out->comp_info[0].h_samp_factor = (int)job->frame.h_samp[0];
    out->comp_info[0].v_samp_factor = (int)job->frame.v_samp[0];
  }
  pyfd_set_restarts(s);
  jpeg_override_quant_tables(out, job->tables, job->num_tables);
  out->optimize_coding = s->writing.optimize != 0;
  if (s->writing.progressive)
    jpeg_simple_progression(out);
  jpeg_start_compress(out, TRUE);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  write_planes(s);
  jpeg_finish_compress(out);
}

int pyfd_encode_yuv(const pyfd_plane *planes, int num_planes, uint32_t width,
                    uint32_t height, int h_samp, int v_samp,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status)
{
  const int gray = num_planes == 1;
  pyfd_session s;
  yuv_job job = {
      .planes = planes,
      .num_planes = num_planes,
      .frame = {.width = width,
                .height = height,
                .num_components = (uint32_t)num_planes,
                .color_space = gray ? PYFD_L : PYFD_YCBCR,
                .h_samp = {gray ? 1 : (uint32_t)h_samp, 1, 1},
                .v_samp = {gray ? 1 : (uint32_t)v_samp, 1, 1}},
      .tables = (const uint16_t (*)[PYFD_BLOCK])tables,
      .num_tables = num_tables,
      .segments = segments,
      .segments_size = segments_size,
  };

  pyfd_start_session(&s, status, &job);
  return pyfd_run_writer(&s, encode, writing, out, out_size);
}
