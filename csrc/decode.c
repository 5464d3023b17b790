/*
 * decode.c - the decoding of files to pixels.
 */

#include "decode.h"

#include <string.h>

#define ROWS 16 /* passed to libjpeg at a time */

typedef struct {
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  uint8_t *out;
  size_t out_size;
} decode_job;

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
  rows->size = (size_t)in->output_width *
               (size_t)(from_cmyk ? 3 : in->output_components);
  rows->cmyk = NULL;
  if (from_cmyk)
    rows->cmyk = (*in->mem->alloc_sarray)((j_common_ptr)in, JPOOL_IMAGE,
                                          in->output_width * 4, 1);
}

static void read_cmyk(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                      JDIMENSION count)
{
  for (; count > 0; count--, out += rows->size) {
    jpeg_read_scanlines(&s->in, rows->cmyk, 1);
    cmyk_to_rgb(rows->cmyk[0], out, s->in.output_width,
                rows->color == PYFD_BGR);
  }
}

void pyfd_read_rows(pyfd_session *s, const pyfd_rows *rows, uint8_t *out,
                    JDIMENSION count)
{
  JSAMPROW pointers[ROWS];
  JDIMENSION i, n;

  if (rows->cmyk != NULL) {
    read_cmyk(s, rows, out, count);
    return;
  }
  for (; count > 0; count -= n) {
    n = count < ROWS ? count : ROWS;
    for (i = 0; i < n; i++)
      pointers[i] = out + i * rows->size;
    n = jpeg_read_scanlines(&s->in, pointers, n);
    out += n * rows->size;
  }
}

static int is_scale(uint32_t scale)
{
  return scale == 1 || scale == 2 || scale == 4 || scale == 8;
}

static void decode(pyfd_session *s)
{
  decode_job *job = s->job;
  const pyfd_reading *reading = &s->reading;
  struct jpeg_decompress_struct *in = &s->in;
  pyfd_rows rows;

  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 0,
                                    PYFD_DECODER_STEP, s->errors.status));
  if (!is_scale(reading->scale))
    pyfd_refuse(s, "scale must be 1, 2, 4 or 8");
  pyfd_open_input(s);
  if (s->walk.header.multiscan)
    pyfd_charge_memory(s, job->out_size);
  in->scale_num = 1;
  in->scale_denom = reading->scale;
  jpeg_set_requant_tables(in, job->tables, job->num_tables);
  pyfd_start_rows(s, reading->color, &rows);
  if (job->out_size != (uint64_t)rows.size * in->output_height)
    pyfd_refuse(s, "the buffer does not fit the image");
  pyfd_read_rows(s, &rows, job->out, in->output_height);
  if (reading->color == PYFD_CMYK)
    invert(job->out, job->out_size);
  jpeg_finish_decompress(in);
}

int pyfd_decode(const uint8_t *data, size_t size, const pyfd_limits *limits,
                const pyfd_reading *reading, const uint16_t *tables,
                int num_tables, uint8_t *out, size_t out_size,
                pyfd_status *status)
{
  pyfd_session s;
  decode_job job = {(const uint16_t (*)[PYFD_BLOCK])tables, num_tables, out,
                    out_size};

  pyfd_start_reader(&s, data, size, limits, reading, status, &job);
  return pyfd_run(&s, decode);
}
