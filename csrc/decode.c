/*
 * decode.c - the decoding of files to pixels.
 */

#define JPEG_INTERNALS

#include "decode.h"

#include <string.h>

#include "orient.h"
#include "region.h"

#define ROWS 16 /* passed to libjpeg at a time */

/* Invert CMYK, which four-component files hold inverted, as Adobe writes and
 * Pillow reads it. */
static void invert(uint8_t *row, size_t size)
{
  size_t i;

  for (i = 0; i < size; i++)
    row[i] = (uint8_t)(255 - row[i]);
}

/* Return a * b / 255, rounded. */
static unsigned multiply(unsigned a, unsigned b)
{
  unsigned product = a * b + 128;

  return (product + (product >> 8)) >> 8;
}

/* Convert inverted CMYK, as the file holds it, to RGB as Pillow does: K' -
 * C'K', clipped, where C' and K' are the complements. */
static void cmyk_to_rgb(const uint8_t *in, uint8_t *out, size_t width, int bgr)
{
  size_t x;
  int i, value;

  for (x = 0; x < width; x++, in += 4, out += 3) {
    for (i = 0; i < 3; i++) {
      value = (int)in[3] - (int)multiply(255u - in[i], in[3]);
      out[bgr ? 2 - i : i] = (uint8_t)(value < 0 ? 0 : value);
    }
  }
}

void pyfd_start_rows(pyfd_session *s, uint32_t color, pyfd_rows *rows)
{
  struct jpeg_decompress_struct *in = &s->in;
  const int from_cmyk =
      s->walk.header.num_components == 4 && color != PYFD_CMYK;

  /* libjpeg refuses what it cannot convert itself. */
  if (from_cmyk && color != PYFD_RGB && color != PYFD_BGR)
    pyfd_refuse(s, "four components are decoded to CMYK, RGB or BGR");
  in->out_color_space = from_cmyk ? JCS_CMYK : pyfd_libjpeg_color(color);
  jpeg_start_decompress(in);
  pyfd_check_scans(s);
  rows->color = color;
  rows->from_cmyk = from_cmyk;
  rows->channels = (size_t)(from_cmyk ? 3 : in->output_components);
  rows->line = NULL;
  pyfd_select_columns(s, rows, 0, in->output_width);
}

void pyfd_select_columns(pyfd_session *s, pyfd_rows *rows, JDIMENSION before,
                         JDIMENSION width)
{
  struct jpeg_decompress_struct *in = &s->in;

  rows->before = before;
  rows->width = width;
  rows->size = width * rows->channels;
  rows->step = (ptrdiff_t)rows->size;
  if (rows->line == NULL && (rows->from_cmyk || width < in->output_width))
    rows->line = (*in->mem->alloc_sarray)(
        (j_common_ptr)in, JPOOL_IMAGE,
        in->output_width * (JDIMENSION)in->output_components, 1);
}

/* Read rows that have to be converted or cropped. */
static void read_lines(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                       JDIMENSION count)
{
  const size_t before = rows->before * (size_t)s->in.output_components;

  for (; count > 0; count--, out += rows->step) {
    jpeg_read_scanlines(&s->in, rows->line, 1);
    if (rows->from_cmyk)
      cmyk_to_rgb(rows->line[0] + before, out, rows->width,
                  rows->color == PYFD_BGR);
    else
      memcpy(out, rows->line[0] + before, rows->size);
  }
}

void pyfd_read_rows(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                    JDIMENSION count)
{
  JSAMPROW pointers[ROWS];
  JDIMENSION i, n;

  if (rows->line != NULL) {
    read_lines(s, rows, out, count);
    return;
  }
  for (; count > 0; count -= n) {
    n = count < ROWS ? count : ROWS;
    for (i = 0; i < n; i++)
      pointers[i] = out + (ptrdiff_t)i * rows->step;
    n = jpeg_read_scanlines(&s->in, pointers, n);
    out += (ptrdiff_t)n * rows->step;
  }
}

static int is_scale(uint32_t scale)
{
  return scale == 1 || scale == 2 || scale == 4 || scale == 8;
}

void pyfd_start_pixels(pyfd_session *s, pyfd_rows *rows)
{
  const pyfd_decode_job *job = s->job;

  s->in.scale_num = 1;
  s->in.scale_denom = s->reading.scale;
  jpeg_set_requant_tables(&s->in, job->tables, job->num_tables);
  pyfd_start_rows(s, s->reading.color, rows);
}

void pyfd_read_pixels(pyfd_session *s, pyfd_rows *rows, JDIMENSION first,
                      JDIMENSION count, JDIMENSION height)
{
  const pyfd_decode_job *job = s->job;
  struct jpeg_decompress_struct *in = &s->in;

  if (pyfd_has_region(&s->reading))
    pyfd_select_columns(s, rows, pyfd_enter_region(s), s->reading.width);
  pyfd_read_turned(s, rows, pyfd_turn_of(s), job->out, first, count, height);
  /* What is below a region is not read. */
  if (in->output_scanline == in->output_height)
    jpeg_finish_decompress(in);
}

/* ---- all of it ---- */

static void decode(pyfd_session *s)
{
  pyfd_decode_job *job = s->job;
  const pyfd_reading *reading = &s->reading;
  const int in_part = pyfd_has_region(reading);
  JDIMENSION width, height;
  pyfd_rows rows;

  pyfd_turn_of(s);
  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 0,
                                    PYFD_DECODER_STEP, s->errors.status));
  if (!is_scale(reading->scale))
    pyfd_refuse(s, "scale must be 1, 2, 4 or 8");
  pyfd_open_input(s);
  pyfd_check_region(s);
  if (s->walk.header.multiscan)
    pyfd_charge_memory(s, job->out_size);
  pyfd_start_pixels(s, &rows);
  width = in_part ? reading->width : s->in.output_width;
  height = in_part ? reading->height : s->in.output_height;
  if (job->out_size != (uint64_t)width * height * rows.channels)
    pyfd_refuse(s, "the buffer does not fit the image");
  if (!pyfd_decode_in_strips(s, width, height) && !pyfd_decode_in_stages(s))
    pyfd_read_pixels(s, &rows, 0, height, height);
  if (reading->color == PYFD_CMYK)
    invert(job->out, job->out_size);
}

static int run(const pyfd_found *found, const uint8_t *data, size_t size,
               const pyfd_limits *limits, const pyfd_reading *reading,
               pyfd_decode_job *job, pyfd_status *status)
{
  pyfd_session s;

  pyfd_start_reader(&s, data, size, limits, reading, status, job);
  s.found = found;
  return pyfd_run(&s, decode);
}

int pyfd_decode(const uint8_t *data, size_t size, const pyfd_limits *limits,
                const pyfd_reading *reading, const uint16_t *tables,
                int num_tables, uint8_t *out, size_t out_size,
                pyfd_status *status)
{
  pyfd_decode_job job = {.tables = (const uint16_t (*)[PYFD_BLOCK])tables,
                         .num_tables = num_tables,
                         .out = out,
                         .out_size = out_size};

  return run(NULL, data, size, limits, reading, &job, status);
}

int pyfd_decode_opened(pyfd_found *found, const uint8_t *data, size_t size,
                       const pyfd_limits *limits, const pyfd_reading *reading,
                       const uint16_t *tables, int num_tables, uint8_t *out,
                       size_t out_size)
{
  pyfd_decode_job job = {.tables = (const uint16_t (*)[PYFD_BLOCK])tables,
                         .num_tables = num_tables,
                         .out = out,
                         .out_size = out_size};

  return run(found, data, size, limits, reading, &job, found->status);
}

size_t pyfd_open_many(pyfd_item *items, size_t count,
                      const pyfd_limits *limits)
{
  pyfd_item *item;
  size_t failed = 0;

  for (item = items; item < items + count; item++)
    failed += pyfd_open(item->data, item->size, limits, NULL, 0,
                        item->found) != PYFD_OK;
  return failed;
}

size_t pyfd_decode_many(pyfd_item *items, size_t count,
                        const pyfd_limits *limits, const uint16_t *tables,
                        int num_tables)
{
  pyfd_item *item;
  size_t failed = 0;

  for (item = items; item < items + count; item++) {
    if (item->out != NULL)
      failed += pyfd_decode_opened(item->found, item->data, item->size, limits,
                                   item->reading, tables, num_tables,
                                   item->out, item->out_size) != PYFD_OK;
  }
  return failed;
}
