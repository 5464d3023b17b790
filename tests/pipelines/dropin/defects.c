/*
 * defects.c - calls that made libjpeg-turbo 2.1.5 write corrupt files or use
 * freed memory, for test_defects_encoding.py.
 *
 *   defects MODE [ARGUMENT...]     writes a file or what was found to stdout
 *
 * An error from libjpeg is printed, and the exit code is 1.
 */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define SIDE 256

static struct jpeg_compress_struct out;
static struct jpeg_decompress_struct in;
static struct jpeg_error_mgr out_err, in_err;
static unsigned char *file; /* the last one written */
static unsigned long size;

static void create(void)
{
  out.err = jpeg_std_error(&out_err);
  jpeg_create_compress(&out);
  in.err = jpeg_std_error(&in_err);
  jpeg_create_decompress(&in);
}

static void destroy(void)
{
  jpeg_destroy_compress(&out);
  jpeg_destroy_decompress(&in);
}

/* ---- files ---- */

static void set_image(int side, int components)
{
  out.image_width = out.image_height = side;
  out.input_components = components;
  out.in_color_space = components == 1 ? JCS_GRAYSCALE : JCS_RGB;
}

/* Write noise of some strength. */
static void write_noise(int strength)
{
  unsigned char row[3 * SIDE];
  JSAMPROW rows[1] = {row};
  unsigned state = 1;
  size_t i;

  while (out.next_scanline < out.image_height) {
    for (i = 0; i < sizeof(row); i++) {
      state = state * 1103515245u + 12345u;
      row[i] = (unsigned char)(128 + (state >> 16) % (strength + 1));
    }
    jpeg_write_scanlines(&out, rows, 1);
  }
}

static void to_memory(void)
{
  free(file);
  file = NULL;
  jpeg_mem_dest(&out, &file, &size);
}

/* Write an image with default options except those named. */
static void write_image(const char *option, int strength)
{
  to_memory();
  set_image(SIDE, !strcmp(option, "gray") ? 1 : 3);
  jpeg_set_defaults(&out);
  out.optimize_coding = !strcmp(option, "optimize");
  out.arith_code = !strcmp(option, "arithmetic");
  if (!strcmp(option, "progressive"))
    jpeg_simple_progression(&out);
  jpeg_start_compress(&out, TRUE);
  write_noise(strength);
  jpeg_finish_compress(&out);
}

static void put_file(void)
{
  fwrite(file, 1, size, stdout);
}

/* Write a file with options, and then one without, with the same object. */
static void reuse(const char *option)
{
  if (strcmp(option, "new"))
    write_image(option, 0);
  write_image("", 100);
  put_file();
}

/* Write images whose Huffman tables are the first one's. */
static void keep_tables(int strength)
{
  write_image("optimize", 0);
  out.optimize_coding = FALSE;
  to_memory();
  jpeg_start_compress(&out, TRUE);
  write_noise(strength);
  jpeg_finish_compress(&out);
  put_file();
}

static void arithmetic_after_progressive(void)
{
  write_image("progressive", 100);
  to_memory();
  out.scan_info = NULL;
  out.arith_code = TRUE;
  jpeg_start_compress(&out, TRUE);
  write_noise(100);
  jpeg_finish_compress(&out);
  put_file();
}

/* Write a gray image of two blocks: in the first one, the AC coefficients
 * alternate between two values. */
static void write_coefficients(const char *option, int dc, int a, int b)
{
  jvirt_barray_ptr array[1];
  JBLOCKROW blocks;
  int i;

  to_memory();
  set_image(2 * DCTSIZE, 1);
  out.image_height = DCTSIZE;
  jpeg_set_defaults(&out);
  out.arith_code = !strcmp(option, "arithmetic");
  out.optimize_coding = !strcmp(option, "optimize");
  if (!strcmp(option, "progressive"))
    jpeg_simple_progression(&out);
  array[0] = (*out.mem->request_virt_barray)((j_common_ptr)&out, JPOOL_IMAGE,
                                             TRUE, 2, 1, 1);
  jpeg_write_coefficients(&out, array);
  blocks = (*out.mem->access_virt_barray)((j_common_ptr)&out, array[0], 0, 1,
                                          TRUE)[0];
  for (i = 1; i < DCTSIZE2; i++)
    blocks[0][i] = (JCOEF)(i % 2 ? a : b);
  blocks[0][0] = (JCOEF)dc;
  jpeg_finish_compress(&out);
  put_file();
}

static void many_restarts(void)
{
  to_memory();
  set_image(SIDE, 3);
  jpeg_set_defaults(&out);
  out.restart_interval = 65536 + 2;
  jpeg_start_compress(&out, TRUE);
  write_noise(100);
  jpeg_finish_compress(&out);
  put_file();
}

/* ---- the buffer in memory ---- */

static jmp_buf escape;

static void leave(j_common_ptr cinfo)
{
  (void)cinfo;
  longjmp(escape, 1);
}

/* Fail after the buffer has grown, and tell whether the pointer is the one of
 * the buffer that is written to. */
static void fail_in_memory(void)
{
  write_image("", 100); /* larger than the first buffer */
  to_memory();
  out_err.error_exit = leave;
  if (setjmp(escape) == 0) {
    jpeg_start_compress(&out, TRUE);
    write_noise(100);
    jpeg_write_coefficients(&out, NULL);
  }
  printf("%d", out.dest->next_output_byte > file &&
                   out.dest->next_output_byte < file + 65536);
  jpeg_abort_compress(&out);
}

/* Free the buffer, and go on without calling jpeg_mem_dest() again. */
static void forget_buffer(void)
{
  write_image("", 100);
  free(file);
  file = NULL;
  jpeg_start_compress(&out, TRUE);
  write_noise(100);
  jpeg_finish_compress(&out);
  put_file();
}

/* ---- calls at the wrong time ---- */

static void read_image(const char *option)
{
  JSAMPROW rows[1] = {malloc(3 * SIDE)};

  jpeg_mem_src(&in, file, size);
  jpeg_read_header(&in, TRUE);
  in.do_fancy_upsampling = strcmp(option, "merged") != 0;
  in.quantize_colors = !strcmp(option, "quantized");
  in.two_pass_quantize = FALSE;
  jpeg_start_decompress(&in);
  if ((in.cconvert && !in.do_fancy_upsampling) ||
      (in.cquantize && !in.quantize_colors))
    exit(3); /* the previous image's, which are freed */
  jpeg_skip_scanlines(&in, 1);
  while (in.output_scanline < in.output_height)
    jpeg_read_scanlines(&in, rows, 1);
  fwrite(rows[0], 1, (size_t)SIDE * in.output_components, stdout);
  jpeg_finish_decompress(&in);
  free(rows[0]);
}

/* Use a decompressor otherwise than it was started. */
static void change_mind(const char *what)
{
  JSAMPLE colors[3][2] = {{0, 255}, {0, 255}, {0, 255}};
  JSAMPROW colormap[3] = {colors[0], colors[1], colors[2]};
  JDIMENSION x = 8, width = 16;

  jpeg_mem_src(&in, file, size);
  jpeg_read_header(&in, TRUE);
  in.buffered_image = strcmp(what, "skip") && strcmp(what, "crop");
  in.raw_data_out = !strcmp(what, "crop-raw") || !strcmp(what, "late-pixels");
  jpeg_start_decompress(&in);
  if (!strcmp(what, "late-pixels") || !strcmp(what, "late-colors")) {
    in.quantize_colors = in.raw_data_out == FALSE;
    in.raw_data_out = FALSE;
    in.colormap = colormap;
    in.actual_number_of_colors = 2;
    jpeg_start_output(&in, 1);
  } else if (!strcmp(what, "skip")) {
    jpeg_skip_scanlines(&in, 1);
    printf("%u", jpeg_skip_scanlines(&in, 0xFFFFFFFF));
  } else {
    if (!strcmp(what, "crop"))
      x = 0xFFFFFFF8;
    jpeg_crop_scanline(&in, &x, &width);
  }
}

static void misuse(const char *what)
{
  static const JOCTET profile[255 * 65519 + 1];
  JHUFF_TBL *table;

  write_image("", 100);
  if (!strcmp(what, "m_byte")) {
    jpeg_write_m_byte(&out, 0);
  } else if (!strcmp(what, "copy")) {
    read_image("");
    jpeg_copy_critical_parameters(&in, &out);
  } else if (!strncmp(what, "destroyed", 9)) {
    jpeg_mem_src(&in, file, size);
    destroy();
    if (!strcmp(what, "destroyed-dest"))
      to_memory();
    if (!strcmp(what, "destroyed-src"))
      jpeg_mem_src(&in, file, size);
    if (!strcmp(what, "destroyed-tables"))
      jpeg_suppress_tables(&out, TRUE);
    if (!strcmp(what, "destroyed-markers"))
      jpeg_save_markers(&in, JPEG_COM, 100);
    if (!strcmp(what, "destroyed-processor"))
      jpeg_set_marker_processor(&in, JPEG_COM, NULL);
  } else if (!strcmp(what, "components")) {
    out.num_components = 0x2AAAAAAB; /* 6 times as many fit 4 bytes */
    jpeg_simple_progression(&out);
  } else if (!strcmp(what, "codes")) {
    table = out.dc_huff_tbl_ptrs[0];
    memset(table->bits, 255, sizeof(table->bits));
    table->sent_table = FALSE;
    jpeg_write_tables(&out);
  } else if (!strcmp(what, "profile")) {
    jpeg_start_compress(&out, TRUE);
    jpeg_write_icc_profile(&out, profile, sizeof(profile));
  } else {
    change_mind(what);
  }
}

int main(int argc, char **argv)
{
  const char *mode = argc > 1 ? argv[1] : "";

  create();
  if (!strcmp(mode, "reuse"))
    reuse(argv[2]);
  else if (!strcmp(mode, "keep-tables"))
    keep_tables(atoi(argv[2]));
  else if (!strcmp(mode, "arithmetic-after-progressive"))
    arithmetic_after_progressive();
  else if (!strcmp(mode, "coefficients"))
    write_coefficients(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
  else if (!strcmp(mode, "restarts"))
    many_restarts();
  else if (!strcmp(mode, "fail-in-memory"))
    fail_in_memory();
  else if (!strcmp(mode, "forget-buffer"))
    forget_buffer();
  else if (!strcmp(mode, "read")) {
    write_image("", 100);
    for (argv += 2; *argv; argv++)
      read_image(*argv);
  } else if (!strcmp(mode, "misuse"))
    misuse(argv[2]);
  else
    return 2;
  destroy();
  free(file);
  return 0;
}
