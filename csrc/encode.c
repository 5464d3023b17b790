/*
 * encode.c - the encoding of pixels to files.
 */

#include "encode.h"

#include "orient.h"

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

void pyfd_encode_pixels(pyfd_session *s)
{
  pyfd_encode_job *job = s->job;
  struct jpeg_compress_struct *out = &s->out;
  const pyfd_image image = {job->pixels, job->width, job->height,
                            job->channels, s->writing.color};

  pyfd_require(s, pyfd_check_image(&image, job->tables, job->num_tables,
                                   s->errors.status));
  pyfd_require(s, pyfd_check_segments(job->segments, job->segments_size,
                                      s->errors.status));
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
  return pyfd_run_writer(&s, pyfd_encode_pixels, writing, out, out_size);
}
