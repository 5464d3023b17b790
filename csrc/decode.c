/*
 * decode.c - the decoding of files to pixels.
 */

#include "session.h"

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

static void read_rows(pyfd_session *s, uint8_t *out, size_t stride)
{
  struct jpeg_decompress_struct *in = &s->in;
  JSAMPROW rows[ROWS];
  JDIMENSION i, n;

  while ((n = in->output_height - in->output_scanline) > 0) {
    n = n < ROWS ? n : ROWS;
    for (i = 0; i < n; i++)
      rows[i] = out + i * stride;
    out += jpeg_read_scanlines(in, rows, n) * stride;
  }
}

static void read_rows_from_cmyk(pyfd_session *s, uint8_t *out, int bgr)
{
  struct jpeg_decompress_struct *in = &s->in;
  JSAMPARRAY row = (*in->mem->alloc_sarray)((j_common_ptr)in, JPOOL_IMAGE,
                                            in->output_width * 4, 1);

  while (in->output_scanline < in->output_height) {
    jpeg_read_scanlines(in, row, 1);
    cmyk_to_rgb(row[0], out, in->output_width, bgr);
    out += (size_t)in->output_width * 3;
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
  int from_cmyk, channels;

  pyfd_open_input(s);
  if (!is_scale(reading->scale))
    pyfd_refuse(s, "scale must be 1, 2, 4 or 8");
  if (s->walk.header.multiscan)
    pyfd_charge_memory(s, job->out_size);
  from_cmyk =
      s->walk.header.num_components == 4 && reading->color != PYFD_CMYK;
  in->out_color_space =
      from_cmyk ? JCS_CMYK : pyfd_libjpeg_color(reading->color);
  in->scale_num = 1;
  in->scale_denom = reading->scale;
  jpeg_set_requant_tables(in, job->tables, job->num_tables);
  jpeg_start_decompress(in);
  pyfd_check_scans(s);

  channels = from_cmyk ? 3 : in->output_components;
  if (job->out_size !=
      (size_t)in->output_width * in->output_height * (size_t)channels)
    pyfd_refuse(s, "the buffer does not fit the image");
  if (from_cmyk)
    read_rows_from_cmyk(s, job->out, reading->color == PYFD_BGR);
  else
    read_rows(s, job->out, (size_t)in->output_width * (size_t)channels);
  if (reading->color == PYFD_CMYK)
    invert(job->out, job->out_size);
  s->errors.done = 1;
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
