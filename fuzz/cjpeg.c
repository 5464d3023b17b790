/*
 * cjpeg.c - encoding through libjpeg's interface: two images with one object,
 * of every color space and sampling, with every way to encode, into a buffer
 * of a few bytes, which may suspend the encoder; with and without tables.
 */

#include "libjpeg.h"

#define SIDE 48
#define COLORS 17
#define MAX_PLANES 4
#define RAW_ROWS (MAX_SAMP_FACTOR * DCTSIZE)

enum {
  RAW = 1,
  OPTIMIZED = 2,
  PROGRESSIVE = 4,
  ARITHMETIC = 8,
  SUSPENDING = 16,
  OWN_SCANS = 32,
  TO_MEMORY = 64,
  ABORTED = 128
};

typedef struct {
  struct jpeg_compress_struct out;
  error_manager errors;
  small_destination target;
  jpeg_scan_info scans[MAX_SCANS];
  const uint8_t *samples;
  uint8_t *rows, *file;
  unsigned long file_size;
  size_t size;
  uint32_t seed;
  uint64_t sum;
} job;

static void set_scans(job *j)
{
  jpeg_scan_info *scan;
  int i, count = 1 + (int)(draw(&j->seed) % MAX_SCANS);

  for (scan = j->scans; scan < j->scans + count; scan++) {
    scan->comps_in_scan = 1 + (int)(draw(&j->seed) % MAX_COMPS_IN_SCAN);
    for (i = 0; i < MAX_COMPS_IN_SCAN; i++)
      scan->component_index[i] = i;
    if (scan->comps_in_scan == 1)
      scan->component_index[0] = (int)(draw(&j->seed) % 4);
    scan->Ss = draw(&j->seed) % 2 ? 0 : (int)(draw(&j->seed) % DCTSIZE2);
    scan->Se =
        draw(&j->seed) % 2 ? scan->Ss : (int)(draw(&j->seed) % DCTSIZE2);
    scan->Al = (int)(draw(&j->seed) % 4);
    scan->Ah = draw(&j->seed) % 2 ? 0 : scan->Al + 1;
  }
  j->out.scan_info = j->scans;
  j->out.num_scans = count;
}

static void set_sampling(job *j)
{
  int i;

  for (i = 0; i < j->out.num_components; i++) {
    j->out.comp_info[i].h_samp_factor =
        1 + (int)(draw(&j->seed) % MAX_SAMP_FACTOR);
    j->out.comp_info[i].v_samp_factor =
        1 + (int)(draw(&j->seed) % MAX_SAMP_FACTOR);
  }
}

static void set_options(job *j, const uint8_t *o)
{
  static const int components[COLORS] = {1, 1, 3, 3, 4, 4, 3, 4, 3,
                                         4, 4, 4, 4, 4, 4, 4, 3};
  uint16_t tables[MAX_PLANES * DCTSIZE2];
  const int count = o[3] % 5;

  j->out.in_color_space = (J_COLOR_SPACE)(o[0] % COLORS);
  j->out.input_components = components[o[0] % COLORS];
  j->out.image_width = 1 + draw(&j->seed) % SIDE;
  j->out.image_height = 1 + draw(&j->seed) % SIDE;
  jpeg_set_defaults(&j->out);
  if (o[0] & 32)
    jpeg_set_colorspace(&j->out, (J_COLOR_SPACE)(draw(&j->seed) % COLORS));
  jpeg_set_quality(&j->out, (int)(draw(&j->seed) % 101),
                   (int)(draw(&j->seed) % 2));
  if (o[0] & 64)
    set_sampling(j);
  j->out.raw_data_in = !!(o[1] & RAW);
  j->out.optimize_coding = !!(o[1] & OPTIMIZED);
  j->out.arith_code = !!(o[1] & ARITHMETIC);
  if (o[1] & PROGRESSIVE)
    jpeg_simple_progression(&j->out);
  if (o[1] & OWN_SCANS)
    set_scans(j);
  j->out.dct_method = (J_DCT_METHOD)(o[2] % 3);
  j->out.smoothing_factor = o[2] & 4 ? (int)(draw(&j->seed) % 101) : 0;
  j->out.restart_interval = o[2] & 8 ? draw(&j->seed) % 20 : 0;
  j->out.restart_in_rows = o[2] & 16 ? (int)(draw(&j->seed) % 4) : 0;
  j->out.write_Adobe_marker ^= !!(o[2] & 32);
  fill_tables(tables, count, option32(o + 4), PYFD_ENCODER_STEP);
  jpeg_override_quant_tables(&j->out, (const UINT16(*)[DCTSIZE2])tables,
                             count);
}

static uint8_t sample(job *j)
{
  return j->size > 0 ? j->samples[draw(&j->seed) / 16 % j->size] : 0;
}

/* Empty the buffer.  If there is nothing in it, then it is too small. */
static void resume(job *j)
{
  if (!empty_after_suspension(&j->target))
    longjmp(j->errors.jump, 1);
}

static void write_rows(job *j)
{
  const size_t stride =
      (size_t)j->out.image_width * (size_t)j->out.input_components;
  JSAMPROW row;
  size_t i;

  row = j->rows = malloc(stride);
  while (j->out.next_scanline < j->out.image_height) {
    for (i = 0; i < stride; i++)
      row[i] = i % 3 ? row[i / 2] : sample(j);
    while (jpeg_write_scanlines(&j->out, &row, 1) == 0)
      resume(j);
  }
}

static void write_planes(job *j)
{
  JSAMPROW rows[MAX_COMPONENTS][RAW_ROWS];
  JSAMPARRAY planes[MAX_COMPONENTS];
  size_t total = 0, stride, y;
  jpeg_component_info *component;
  uint8_t *place;
  int i;

  for (i = 0; i < j->out.num_components; i++) {
    component = &j->out.comp_info[i];
    total += (size_t)component->width_in_blocks * DCTSIZE2 *
             (size_t)component->v_samp_factor;
  }
  place = j->rows = malloc(total);
  for (i = 0; i < j->out.num_components; i++) {
    component = &j->out.comp_info[i];
    planes[i] = rows[i];
    stride = (size_t)component->width_in_blocks * DCTSIZE;
    for (y = 0; y < (size_t)component->v_samp_factor * DCTSIZE; y++) {
      rows[i][y] = place;
      place += stride;
    }
  }
  while (j->out.next_scanline < j->out.image_height) {
    for (y = 0; y < total; y++)
      j->rows[y] = y % 3 ? j->rows[y / 2] : sample(j);
    while (jpeg_write_raw_data(&j->out, planes, RAW_ROWS) == 0)
      resume(j);
  }
}

static void open_target(job *j, uint8_t option)
{
  if (option & TO_MEMORY)
    init_memory(&j->out, &j->file, &j->file_size);
  else
    init_small(&j->out, &j->target, 1 + draw(&j->seed) % 700,
               option & SUSPENDING);
}

static void encode(job *j, const uint8_t *options)
{
  open_target(j, options[1]);
  set_options(j, options);
  jpeg_start_compress(&j->out, TRUE);
  if (options[2] & 64)
    jpeg_write_marker(&j->out, JPEG_COM, j->samples,
                      draw(&j->seed) % (j->size + 1));
  if (j->out.raw_data_in)
    write_planes(j);
  else
    write_rows(j);
  if (options[1] & ABORTED && draw(&j->seed) % 2) {
    jpeg_abort_compress(&j->out);
    return;
  }
  jpeg_finish_compress(&j->out);
  if (options[1] & TO_MEMORY)
    digest(&j->sum, j->file, j->file_size);
}

/* Forget what an image leaves. */
static void end_image(job *j)
{
  digest(&j->sum, &j->target.sum, sizeof(j->target.sum));
  digest(&j->sum, &j->errors.pub.msg_code, sizeof(int));
  free(j->rows);
  free(j->target.buffer);
  j->rows = NULL;
  memset(&j->target, 0, sizeof(j->target));
}

/* The second image begins in the middle of the first one's options. */
static uint64_t run(const uint8_t *data, size_t size, int content)
{
  static job j;
  volatile int image;

  memset(&j, 0, sizeof(j));
  j.out.err = init_errors(&j.errors);
  j.samples = data + OPTIONS;
  j.size = size - OPTIONS;
  j.seed = option32(data + 4);
  j.sum = FNV_OFFSET;
  memory_content = content;
  jpeg_create_compress(&j.out);
  for (image = 0; image < 2; image++) {
    if (setjmp(j.errors.jump) == 0)
      encode(&j, data + image * OPTIONS / 2);
    else
      jpeg_abort_compress(&j.out);
    end_image(&j);
  }
  jpeg_destroy_compress(&j.out);
  memory_content = -1;
  return j.sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size < OPTIONS + OPTIONS / 2)
    return 0;
  choose_limits(option32(data) ^ option32(data + 4));
  if (run(data, size, 0x11) != run(data, size, 0xEE))
    abort();
  return 0;
}
