/*
 * raw_data.c - libjpeg's raw-data interface, as the oracle of test_yuv.py.
 *
 *   raw_data < REQUEST > FILE
 *
 * A request is eight numbers of 32 bits (see main()), the tables in natural
 * order, 64 numbers of 16 bits each, and the planes, which fill whole MCUs.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define MAX_LINES 32 /* of a component in an MCU */

static void fill(void *bytes, size_t size)
{
  if (fread(bytes, 1, size, stdin) != size)
    exit(2);
}

int main(void)
{
  struct jpeg_compress_struct cinfo;
  struct jpeg_error_mgr errors;
  uint32_t width, height, h, v, progressive, optimize, num_tables, i, j;
  uint32_t request[8], wide[3], lines[3];
  uint16_t table[64];
  unsigned int steps[64];
  JSAMPROW rows[3][MAX_LINES];
  JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
  uint8_t *samples[3];
  unsigned char *file = NULL;
  unsigned long size = 0;
  size_t bytes;

  fill(request, sizeof(request));
  width = request[0];
  height = request[1];
  h = request[3];
  v = request[4];
  progressive = request[5];
  optimize = request[6];
  num_tables = request[7];

  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_compress(&cinfo);
  jpeg_mem_dest(&cinfo, &file, &size);
  cinfo.image_width = width;
  cinfo.image_height = height;
  cinfo.input_components = (int)request[2];
  cinfo.in_color_space = request[2] == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
  jpeg_set_defaults(&cinfo);
  cinfo.comp_info[0].h_samp_factor = (int)h;
  cinfo.comp_info[0].v_samp_factor = (int)v;
  cinfo.raw_data_in = TRUE;
  cinfo.dct_method = JDCT_ISLOW;
  cinfo.optimize_coding = optimize != 0;
  for (i = 0; i < num_tables; i++) {
    fill(table, sizeof(table));
    for (j = 0; j < 64; j++)
      steps[j] = table[j];
    jpeg_add_quant_table(&cinfo, (int)i, steps, 100, FALSE);
  }
  for (i = 0; i < request[2]; i++)
    cinfo.comp_info[i].quant_tbl_no =
        (int)(i < num_tables ? i : num_tables - 1);
  if (progressive)
    jpeg_simple_progression(&cinfo);

  for (i = 0; i < request[2]; i++) {
    wide[i] = (width + 8 * h - 1) / (8 * h) * 8 * (i == 0 ? h : 1);
    lines[i] = 8 * (i == 0 ? v : 1);
    bytes = (size_t)wide[i] * lines[i] * ((height + 8 * v - 1) / (8 * v));
    samples[i] = malloc(bytes);
    fill(samples[i], bytes);
  }
  jpeg_start_compress(&cinfo, TRUE);
  while (cinfo.next_scanline < height) {
    for (i = 0; i < request[2]; i++) {
      for (j = 0; j < lines[i]; j++, samples[i] += wide[i])
        rows[i][j] = samples[i];
    }
    jpeg_write_raw_data(&cinfo, planes, 8 * v);
  }
  jpeg_finish_compress(&cinfo);
  fwrite(file, 1, size, stdout);
  return 0;
}
