/*
 * decoding.c - reads a file in a way that the library once got wrong, for
 *   test_defects_decoding.py.
 *
 *   decoding rows FILE SCALE FANCY X WIDTH LINES...
 *     writes "X WIDTH HEIGHT COMPONENTS\n" and those rows that it reads of the
 *     columns from X on.  SCALE is in eighths.  A number of LINES is a number of
 *     rows to read or, if it is negative, to skip; they are used in turn.
 *   decoding again FILE
 *     skips all rows in buffered-image mode, and then writes the rows of a second
 *     output pass.
 *   decoding colors FILE SPACE
 *     writes for each pixel, in the J_COLOR_SPACE of that number, the index of a
 *     color of a map, whose colors are 27 combinations of three levels.
 *   decoding palette FILE X
 *     finds 16 colors in two passes, and writes the indices of the columns from X on.
 *   decoding markers FILE POSITION CHANGE
 *     saves all markers, suspends after POSITION bytes, changes the list of
 *     markers, goes on, and prints each marker's text.
 *   decoding header FILE POSITION
 *     suspends after POSITION bytes, and prints the width and the height.
 *   decoding compress FILE DCT
 *     compresses an image with the tables of the file.
 *
 * An error from libjpeg is printed, and the exit code is 1.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static struct jpeg_decompress_struct in;
static struct jpeg_error_mgr err;
static unsigned char data[1 << 20];
static size_t size;

static void open_file(const char *path)
{
  FILE *file = fopen(path, "rb");

  if (!file)
    exit(4);
  size = fread(data, 1, sizeof(data), file);
  fclose(file);
  in.err = jpeg_std_error(&err);
  jpeg_create_decompress(&in);
  jpeg_mem_src(&in, data, size);
}

/* ---- rows and colors ---- */

#define MOST_ROWS 5

/* Ask for rows, write those that come, and return their number */
static int read_rows(unsigned char *first, int n)
{
  size_t width = (size_t)in.output_width * in.output_components;
  unsigned char *rows[MOST_ROWS];
  int i;

  for (i = 0; i < n; i++)
    rows[i] = first + i * width;
  n = (int)jpeg_read_scanlines(&in, rows, n);
  fwrite(first, width, n, stdout);
  return n;
}

static void rows(char **words, int lines)
{
  JDIMENSION x, width;
  unsigned char *row;
  int i, n;

  jpeg_read_header(&in, TRUE);
  in.scale_num = atoi(words[0]);
  in.scale_denom = 8;
  in.do_fancy_upsampling = atoi(words[1]);
  jpeg_start_decompress(&in);
  x = atoi(words[2]);
  width = atoi(words[3]) ? atoi(words[3]) : in.output_width;
  jpeg_crop_scanline(&in, &x, &width);
  printf("%u %u %u %d\n", x, width, in.output_height, in.output_components);
  row = malloc((size_t)width * in.output_components * MOST_ROWS);
  for (i = 0; in.output_scanline < in.output_height; i = (i + 1) % lines) {
    n = atoi(words[4 + i]);
    if (n < 0)
      jpeg_skip_scanlines(&in, -n);
    while (n > 0 && in.output_scanline < in.output_height)
      n -= read_rows(row, n < MOST_ROWS ? n : MOST_ROWS);
  }
}

static void again(void)
{
  unsigned char *row;

  jpeg_read_header(&in, TRUE);
  in.buffered_image = TRUE;
  jpeg_start_decompress(&in);
  jpeg_start_output(&in, 1);
  jpeg_skip_scanlines(&in, in.output_height);
  jpeg_finish_output(&in);
  jpeg_start_output(&in, 1);
  row = malloc((size_t)in.output_width * in.output_components);
  while (in.output_scanline < in.output_height)
    read_rows(row, 1);
  jpeg_finish_output(&in);
  jpeg_finish_decompress(&in);
}

static void colors(int space)
{
  static const unsigned char levels[3] = {40, 128, 215};
  unsigned char map[3][27], *components[3] = {map[0], map[1], map[2]}, *row;
  int i;

  for (i = 0; i < 27; i++) {
    map[0][i] = levels[i / 9];
    map[1][i] = levels[i / 3 % 3];
    map[2][i] = levels[i % 3];
  }
  jpeg_read_header(&in, TRUE);
  in.out_color_space = (J_COLOR_SPACE)space;
  in.quantize_colors = TRUE;
  in.dither_mode = JDITHER_NONE;
  in.colormap = components;
  in.actual_number_of_colors = 27;
  jpeg_start_decompress(&in);
  row = malloc(in.output_width);
  while (in.output_scanline < in.output_height)
    read_rows(row, 1);
}

static void palette(JDIMENSION x)
{
  JDIMENSION width;
  unsigned char *row;

  jpeg_read_header(&in, TRUE);
  in.quantize_colors = in.two_pass_quantize = TRUE;
  in.desired_number_of_colors = 16;
  jpeg_start_decompress(&in);
  width = in.output_width - x;
  jpeg_crop_scanline(&in, &x, &width);
  row = malloc(in.output_width);
  while (in.output_scanline < in.output_height)
    read_rows(row, 1);
}

/* ---- suspension ---- */

static boolean no_more(j_decompress_ptr cinfo)
{
  return FALSE;
}

static void suspend_at(size_t position)
{
  in.src->fill_input_buffer = no_more;
  in.src->bytes_in_buffer = position;
}

static void resume(size_t position)
{
  in.src->bytes_in_buffer += size - position;
}

static jpeg_saved_marker_ptr new_marker(const char *text)
{
  jpeg_saved_marker_ptr marker = calloc(1, sizeof(*marker));

  marker->marker = JPEG_COM;
  marker->data = (JOCTET *)text;
  marker->data_length = strlen(text);
  return marker;
}

static void markers(size_t position, const char *change)
{
  jpeg_saved_marker_ptr first, second, last, marker;
  int i;

  jpeg_save_markers(&in, JPEG_COM, 0xFFFF);
  for (i = 0; i < 16; i++)
    jpeg_save_markers(&in, JPEG_APP0 + i, 0xFFFF);
  suspend_at(position);
  if (jpeg_read_header(&in, TRUE) != JPEG_SUSPENDED)
    exit(5);
  first = in.marker_list;
  second = first->next;
  for (last = first; last->next; last = last->next) {}
  if (!strcmp(change, "hide")) /* whoever walks through the list crashes */
    first->next = (jpeg_saved_marker_ptr)(size_t)8;
  if (!strcmp(change, "clear"))
    in.marker_list = NULL;
  if (!strcmp(change, "drop first"))
    in.marker_list = second;
  if (!strcmp(change, "prepend")) {
    in.marker_list = new_marker("new");
    in.marker_list->next = first;
  }
  if (!strcmp(change, "append"))
    last->next = new_marker("new");
  if (!strcmp(change, "replace"))
    in.marker_list = new_marker("new");
  resume(position);
  if (jpeg_read_header(&in, TRUE) != JPEG_HEADER_OK)
    exit(5);
  if (!strcmp(change, "hide"))
    first->next = second;
  for (marker = in.marker_list; marker; marker = marker->next)
    printf("%.*s\n", (int)marker->data_length, marker->data);
}

static void header(size_t position)
{
  suspend_at(position);
  jpeg_read_header(&in, TRUE);
  in.buffered_image = TRUE;
  jpeg_start_decompress(&in);
  while (jpeg_consume_input(&in) != JPEG_SUSPENDED) {}
  printf("%u %u\n", in.image_width, in.image_height);
}

/* ---- compression ---- */

static void compress(int dct)
{
  struct jpeg_compress_struct out;
  struct jpeg_error_mgr out_err;
  unsigned char row[3 * 8] = {0}, *rows[1] = {row};

  jpeg_read_header(&in, TRUE);
  out.err = jpeg_std_error(&out_err);
  jpeg_create_compress(&out);
  jpeg_stdio_dest(&out, stdout);
  jpeg_copy_critical_parameters(&in, &out);
  out.in_color_space = JCS_RGB;
  out.input_components = 3;
  out.image_width = out.image_height = 8;
  out.dct_method = (J_DCT_METHOD)dct;
  jpeg_start_compress(&out, TRUE);
  while (out.next_scanline < out.image_height)
    jpeg_write_scanlines(&out, rows, 1);
  jpeg_finish_compress(&out);
}

int main(int argc, char **argv)
{
  const char *mode = argc > 2 ? argv[1] : "";

  if (argc < 3)
    return 2;
  open_file(argv[2]);
  if (!strcmp(mode, "rows") && argc > 7)
    rows(argv + 3, argc - 7);
  else if (!strcmp(mode, "again"))
    again();
  else if (!strcmp(mode, "colors") && argc > 3)
    colors(atoi(argv[3]));
  else if (!strcmp(mode, "palette") && argc > 3)
    palette(atoi(argv[3]));
  else if (!strcmp(mode, "markers") && argc > 4)
    markers(atoi(argv[3]), argv[4]);
  else if (!strcmp(mode, "header") && argc > 3)
    header(atoi(argv[3]));
  else if (!strcmp(mode, "compress") && argc > 3)
    compress(atoi(argv[3]));
  else
    return 2;
  return 0;
}
