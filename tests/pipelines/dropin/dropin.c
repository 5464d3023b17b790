/*
 * dropin.c - the ways in which programs use libjpeg.so.62, for test_library.py.
 *
 *   dropin MODE FILE     writes the decoded data to stdout
 *
 * An error from libjpeg is printed, and the exit code is 1.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jrequant.h>

#define THREADS 8

static const char *path;

typedef struct {
  struct jpeg_decompress_struct in;
  struct jpeg_error_mgr err;
  FILE *file;
  unsigned char *pixels;
  size_t size;
} job;

static void start(job *j, const char *mode)
{
  static UINT16 tables[1][DCTSIZE2];
  int i;

  j->file = fopen(path, "rb");
  if (!j->file)
    exit(4);
  j->in.err = jpeg_std_error(&j->err);
  jpeg_create_decompress(&j->in);
  jpeg_stdio_src(&j->in, j->file);
  jpeg_read_header(&j->in, TRUE);
  j->in.raw_data_out = !strcmp(mode, "raw");
  j->in.buffered_image = !strcmp(mode, "buffered");
  j->in.quantize_colors = !strcmp(mode, "colors");
  if (!strcmp(mode, "565")) {
    j->in.out_color_space = JCS_RGB565;
    j->in.dither_mode = JDITHER_NONE;
  }
  if (!strcmp(mode, "own")) {
    for (i = 0; i < DCTSIZE2; i++)
      tables[0][i] = 60;
    jpeg_set_requant_tables(&j->in, (const UINT16 (*)[DCTSIZE2])tables, 1);
  }
  jpeg_start_decompress(&j->in);
}

static void read_rows(job *j)
{
  size_t stride = (size_t)j->in.output_width * j->in.output_components;
  JSAMPROW row;

  j->size = stride * j->in.output_height;
  free(j->pixels);
  j->pixels = malloc(j->size);
  while (j->in.output_scanline < j->in.output_height) {
    row = j->pixels + j->in.output_scanline * stride;
    jpeg_read_scanlines(&j->in, &row, 1);
  }
}

static void finish(job *j)
{
  jpeg_finish_decompress(&j->in);
  jpeg_destroy_decompress(&j->in);
  fclose(j->file);
}

static void *decode(void *data)
{
  job *j = data;

  start(j, "rows");
  read_rows(j);
  finish(j);
  return NULL;
}

static void *start_only(void *data)
{
  start(data, "rows");
  return NULL;
}

static void in_thread(pthread_t *thread, void *(*body)(void *), job *j)
{
  if (pthread_create(thread, NULL, body, j))
    exit(4);
}

/* All threads start at once, so that they need the tables at the same time. */
static void many_threads(job *first)
{
  static job jobs[THREADS];
  pthread_t threads[THREADS];
  int i;

  for (i = 0; i < THREADS; i++)
    in_thread(&threads[i], decode, &jobs[i]);
  for (i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    if (jobs[i].size != jobs[0].size ||
        memcmp(jobs[i].pixels, jobs[0].pixels, jobs[0].size))
      exit(5);
  }
  *first = jobs[0];
}

/* Like libvips: one thread starts the decoder, and another one reads. */
static void handed_over(job *j)
{
  pthread_t thread;

  in_thread(&thread, start_only, j);
  pthread_join(thread, NULL);
  read_rows(j);
  finish(j);
}

/* Read every pass and the pixels of the last one, then the file's coefficients. */
static void buffered(job *j)
{
  start(j, "buffered");
  do {
    jpeg_start_output(&j->in, j->in.input_scan_number);
    read_rows(j);
    jpeg_finish_output(&j->in);
  } while (!jpeg_input_complete(&j->in) ||
           j->in.output_scan_number != j->in.input_scan_number);
}

static void write_coefficients(job *j)
{
  jvirt_barray_ptr *arrays = jpeg_read_coefficients(&j->in);
  jpeg_component_info *component = j->in.comp_info;
  JBLOCKARRAY row;
  JDIMENSION y;

  for (y = 0; y < component->height_in_blocks; y++) {
    row = (*j->in.mem->access_virt_barray)((j_common_ptr)&j->in, arrays[0], y,
                                           1, FALSE);
    fwrite(row[0], sizeof(JBLOCK), component->width_in_blocks, stdout);
  }
}

/* Write components that are not subsampled, one plane after another. */
static void raw(job *j)
{
  JSAMPROW rows[3][DCTSIZE];
  JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
  size_t stride, height;
  JDIMENSION y;
  int c, i;

  start(j, "raw");
  stride = (size_t)j->in.comp_info[0].width_in_blocks * DCTSIZE;
  height = (size_t)j->in.comp_info[0].height_in_blocks * DCTSIZE;
  j->size = 3 * stride * height;
  j->pixels = malloc(j->size);
  for (y = 0; y < j->in.output_height; y += DCTSIZE) {
    for (c = 0; c < 3; c++)
      for (i = 0; i < DCTSIZE; i++)
        rows[c][i] = j->pixels + ((size_t)c * height + y + i) * stride;
    jpeg_read_raw_data(&j->in, planes, DCTSIZE);
  }
  finish(j);
}

/* Read two rows at a time: of pixels of two bytes, where the first row does not
 * begin at a multiple of four bytes, or of quantized colors. */
static void read_pairs(job *j, const char *mode)
{
  const size_t offset = 2;
  size_t stride, y;
  JSAMPROW rows[2];

  start(j, mode);
  stride = (size_t)j->in.output_width * (strcmp(mode, "565") ? 1 : 2);
  j->pixels = calloc(1, offset + stride * (j->in.output_height + 1));
  while ((y = j->in.output_scanline) < j->in.output_height) {
    rows[0] = j->pixels + offset + y * stride;
    rows[1] = rows[0] + stride;
    jpeg_read_scanlines(&j->in, rows, 2);
  }
  j->size = stride * j->in.output_scanline;
  memmove(j->pixels, j->pixels + offset, j->size);
  finish(j);
}

/* Read the same image again, with the same object. */
static void twice(job *j)
{
  start(j, "rows");
  read_rows(j);
  jpeg_finish_decompress(&j->in);
  rewind(j->file);
  jpeg_stdio_src(&j->in, j->file);
  jpeg_read_header(&j->in, TRUE);
  jpeg_start_decompress(&j->in);
  read_rows(j);
  finish(j);
}

/* Write the columns from 16 to 48 of the rows from 8 on. */
static void crop(job *j)
{
  JDIMENSION x = 16, width = 32;

  start(j, "rows");
  jpeg_crop_scanline(&j->in, &x, &width);
  jpeg_skip_scanlines(&j->in, 8);
  read_rows(j);
  finish(j);
}

/* Transcode onto steps of 60, MCU by MCU, or do what the library has to refuse. */
static void transcode(job *j, const char *mode)
{
  static jpeg_requantizer requantizers[MAX_COMPONENTS];
  struct jpeg_compress_struct out;
  struct jpeg_error_mgr err;
  UINT16 steps[DCTSIZE2];
  int i;

  start(j, "raw");
  out.err = jpeg_std_error(&err);
  jpeg_create_compress(&out);
  jpeg_stdio_dest(&out, stdout);
  jpeg_copy_critical_parameters(&j->in, &out);
  for (i = 0; i < DCTSIZE2; i++)
    steps[i] = 60;
  for (i = 0; i < NUM_QUANT_TBLS; i++) {
    if (out.quant_tbl_ptrs[i])
      memcpy(out.quant_tbl_ptrs[i]->quantval, steps, sizeof(steps));
  }
  for (i = 0; i < out.num_components; i++)
    jpeg_init_requantizer(&requantizers[i],
                          j->in.comp_info[i].quant_table->quantval, steps);
  out.optimize_coding = !strcmp(mode, "transcode-optimize");
  if (!strcmp(mode, "transcode-larger"))
    out.image_height += DCTSIZE;
  if (!strcmp(mode, "transcode-sampling"))
    out.comp_info[0].h_samp_factor = 2;
  jpeg_write_requantized(&out, &j->in, requantizers);
  jpeg_finish_compress(&out);
  jpeg_destroy_compress(&out);
  finish(j);
}

int main(int argc, char **argv)
{
  static job j;
  const char *mode;

  if (argc != 3)
    return 2;
  mode = argv[1];
  path = argv[2];
  if (!strcmp(mode, "threads")) {
    many_threads(&j);
  } else if (!strcmp(mode, "handover")) {
    handed_over(&j);
  } else if (!strcmp(mode, "buffered")) {
    buffered(&j);
  } else if (!strcmp(mode, "coefficients")) {
    buffered(&j);
    write_coefficients(&j);
    return 0;
  } else if (!strcmp(mode, "raw")) {
    raw(&j);
  } else if (!strcmp(mode, "twice")) {
    twice(&j);
  } else if (!strcmp(mode, "crop")) {
    crop(&j);
  } else if (!strcmp(mode, "565") || !strcmp(mode, "colors")) {
    read_pairs(&j, mode);
  } else if (!strncmp(mode, "transcode", 9)) {
    transcode(&j, mode);
    return 0;
  } else { /* "rows" or "own" */
    start(&j, mode);
    read_rows(&j);
    finish(&j);
  }
  fwrite(j.pixels, 1, j.size, stdout);
  return 0;
}
