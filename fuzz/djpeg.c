/*
 * djpeg.c - decoding through libjpeg's interface: every output color space,
 * scale, DCT and quantization of colors; crops and skipped rows; raw planes;
 * all passes of a progressive file; a source that suspends; with and without
 * tables and limits.
 */

#include "libjpeg.h"

#define MAX_ROWS 4
#define RAW_ROWS (MAX_SAMP_FACTOR * 2 * DCTSIZE)

enum {
  PLAIN_UPSAMPLING = 1,
  SMOOTHING = 2,
  ALL_PASSES = 4,
  SUSPENDING = 8,
  QUANTIZED = 16,
  TWO_PASSES = 32,
  RAW = 64,
  CROPPED = 128
};

typedef struct {
  struct jpeg_decompress_struct in;
  error_manager errors;
  chunked_source source;
  const uint8_t *options;
  uint8_t *rows;
  uint32_t seed;
  uint64_t sum;
} job;

static void set_options(job *j)
{
  const uint8_t *o = j->options;
  uint16_t tables[MAX_COMPONENTS * DCTSIZE2];
  const int count = o[4] % 5;

  if (o[0] % 32 < 17)
    j->in.out_color_space = (J_COLOR_SPACE)(o[0] % 32);
  j->in.scale_num = o[1] & 128 ? 8 : 1 + o[1] % 16;
  j->in.scale_denom = 8;
  j->in.dct_method = (J_DCT_METHOD)(o[0] / 32 % 3);
  j->in.do_fancy_upsampling = !(o[2] & PLAIN_UPSAMPLING);
  j->in.do_block_smoothing = !!(o[2] & SMOOTHING);
  j->in.buffered_image = !!(o[2] & ALL_PASSES);
  j->in.quantize_colors = !!(o[2] & QUANTIZED);
  j->in.two_pass_quantize = !!(o[2] & TWO_PASSES);
  j->in.raw_data_out = !!(o[2] & RAW);
  j->in.dither_mode = (J_DITHER_MODE)(o[3] % 3);
  j->in.desired_number_of_colors = 1 + (int)(draw(&j->seed) % 256);
  if (j->in.buffered_image) {
    j->in.enable_1pass_quant = TRUE;
    j->in.enable_2pass_quant = TRUE;
    j->in.enable_external_quant = TRUE;
  }
  fill_tables(tables, count, option32(o + 4), PYFD_DECODER_STEP);
  jpeg_set_requant_tables(&j->in, (const UINT16(*)[DCTSIZE2])tables, count);
}

static void open_file(job *j, const uint8_t *data, size_t size)
{
  if (j->options[2] & SUSPENDING)
    init_chunks(&j->in, &j->source, data, size, 1u + j->options[3] / 3);
  else
    jpeg_mem_src(&j->in, data, size);
  while (jpeg_read_header(&j->in, TRUE) == JPEG_SUSPENDED)
    give_more(&j->in);
}

static void crop(job *j)
{
  JDIMENSION x, width;

  if (!(j->options[2] & CROPPED) || j->in.output_width == 0)
    return;
  x = draw(&j->seed) % (j->in.output_width + 1);
  width = draw(&j->seed) % (j->in.output_width + 2 - x);
  jpeg_crop_scanline(&j->in, &x, &width);
  digest(&j->sum, &x, sizeof(x));
}

/* A source that suspends cannot be used to skip rows. */
static void skip(job *j)
{
  JDIMENSION count;

  if (!(j->options[2] & CROPPED) || j->options[2] & SUSPENDING ||
      draw(&j->seed) % 3)
    return;
  count = draw(&j->seed) % 40;
  count = jpeg_skip_scanlines(&j->in, count);
  digest(&j->sum, &count, sizeof(count));
}

static void read_rows(job *j)
{
  const size_t components = (size_t)j->in.output_components;
  const int is_565 = j->in.out_color_space == JCS_RGB565 && components == 3;
  const size_t stride = j->in.output_width * (is_565 ? 2 : components);
  JSAMPROW rows[MAX_ROWS];
  JDIMENSION count, i;

  free(j->rows);
  j->rows = malloc(MAX_ROWS * stride);
  for (i = 0; i < MAX_ROWS; i++)
    rows[i] = j->rows + i * stride;
  while (j->in.output_scanline < j->in.output_height) {
    count = jpeg_read_scanlines(&j->in, rows, 1 + draw(&j->seed) % MAX_ROWS);
    if (count == 0)
      give_more(&j->in);
    for (i = 0; i < count; i++)
      digest(&j->sum, rows[i], stride);
    skip(j);
  }
}

static void read_planes(job *j)
{
  JSAMPROW rows[MAX_COMPONENTS][RAW_ROWS];
  JSAMPARRAY planes[MAX_COMPONENTS];
  size_t stride[MAX_COMPONENTS], height[MAX_COMPONENTS], total = 0;
  jpeg_component_info *component;
  uint8_t *place;
  size_t y;
  int i;

  for (i = 0; i < j->in.num_components; i++) {
    component = &j->in.comp_info[i];
    stride[i] = (size_t)component->width_in_blocks *
                (size_t)component->DCT_scaled_size;
    height[i] =
        (size_t)component->v_samp_factor * (size_t)component->DCT_scaled_size;
    total += stride[i] * height[i];
  }
  free(j->rows);
  place = j->rows = malloc(total);
  for (i = 0; i < j->in.num_components; i++) {
    planes[i] = rows[i];
    for (y = 0; y < height[i]; y++, place += stride[i])
      rows[i][y] = place;
  }
  while (j->in.output_scanline < j->in.output_height) {
    while (jpeg_read_raw_data(&j->in, planes, RAW_ROWS) == 0)
      give_more(&j->in);
    read_all(j->rows, total);
  }
}

/* Choose how the next pass is quantized, which may differ from the last. */
static void choose_quantizer(job *j)
{
  int i, c;

  if (!j->in.quantize_colors || draw(&j->seed) % 2)
    return;
  j->in.two_pass_quantize = draw(&j->seed) % 2;
  j->in.dither_mode = (J_DITHER_MODE)(draw(&j->seed) % 3);
  j->in.colormap = NULL;
  if (draw(&j->seed) % 3 || j->in.out_color_components > 3)
    return;
  j->in.actual_number_of_colors = 1 + (int)(draw(&j->seed) % 256);
  j->in.colormap =
      (*j->in.mem->alloc_sarray)((j_common_ptr)&j->in, JPOOL_IMAGE,
                                 (JDIMENSION)j->in.actual_number_of_colors, 3);
  for (c = 0; c < 3; c++) {
    for (i = 0; i < j->in.actual_number_of_colors; i++)
      j->in.colormap[c][i] = (JSAMPLE)draw(&j->seed);
  }
  if (j->in.out_color_components == 3)
    jpeg_new_colormap(&j->in);
}

static void read_passes(job *j)
{
  int done, pass = 0;

  do {
    if (pass++ > 0)
      choose_quantizer(j);
    while (!jpeg_start_output(&j->in, j->in.input_scan_number))
      give_more(&j->in);
    read_rows(j);
    while (!jpeg_finish_output(&j->in))
      give_more(&j->in);
    done = jpeg_input_complete(&j->in) &&
           j->in.output_scan_number == j->in.input_scan_number;
  } while (!done);
}

static void decode(job *j, const uint8_t *data, size_t size)
{
  open_file(j, data, size);
  j->in.progress = &j->errors.progress;
  if (is_too_large(&j->in))
    return;
  set_options(j);
  while (!jpeg_start_decompress(&j->in))
    give_more(&j->in);
  if (j->in.buffered_image) {
    read_passes(j);
  } else if (j->in.raw_data_out) {
    read_planes(j);
  } else {
    crop(j);
    read_rows(j);
  }
  while (!jpeg_finish_decompress(&j->in))
    give_more(&j->in);
}

static uint64_t run(const uint8_t *data, size_t size, int content)
{
  static job j;

  memset(&j, 0, sizeof(j));
  j.in.err = init_errors(&j.errors);
  j.options = data;
  j.seed = option32(data + 4);
  j.sum = FNV_OFFSET;
  memory_content = content;
  if (setjmp(j.errors.jump) == 0) {
    jpeg_create_decompress(&j.in);
    decode(&j, data + OPTIONS, size - OPTIONS);
  }
  digest(&j.sum, &j.errors.pub.num_warnings, sizeof(long));
  digest(&j.sum, &j.errors.pub.msg_code, sizeof(int));
  jpeg_destroy_decompress(&j.in);
  memory_content = -1;
  free(j.source.given);
  free(j.rows);
  return j.sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size < OPTIONS)
    return 0;
  choose_limits(option32(data) ^ option32(data + 4));
  if (run(data, size, 0x11) != run(data, size, 0xEE))
    abort();
  return 0;
}
