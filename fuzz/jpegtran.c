/*
 * jpegtran.c - copying a file's coefficients and markers into another file, of
 * any kind, with upstream's transupp.c, which turns and crops; or
 * re-quantizing them MCU by MCU.  Tables for pixels must not change what is
 * copied.
 */

#include "libjpeg.h"

#include <transupp.h>

enum {
  OPTIMIZED = 1,
  PROGRESSIVE = 2,
  ARITHMETIC = 4,
  SUSPENDING = 8,
  TO_MEMORY = 16,
  WITH_TABLES = 32,
  REQUANTIZED = 64,
  BASELINE = 128
};

typedef struct {
  struct jpeg_decompress_struct in;
  struct jpeg_compress_struct out;
  error_manager in_errors, out_errors;
  chunked_source source;
  small_destination target;
  const uint8_t *options;
  uint8_t *file;
  unsigned long file_size;
  uint64_t sum;
} job;

static void open_file(job *j, const uint8_t *data, size_t size)
{
  if (j->options[0] & SUSPENDING)
    init_chunks(&j->in, &j->source, data, size, 1u + j->options[3]);
  else
    jpeg_mem_src(&j->in, data, size);
  jcopy_markers_setup(&j->in, (JCOPY_OPTION)(j->options[1] % 5));
  while (jpeg_read_header(&j->in, TRUE) == JPEG_SUSPENDED)
    give_more(&j->in);
  j->in.progress = &j->in_errors.progress;
}

static void open_target(job *j)
{
  if (j->options[0] & TO_MEMORY)
    init_memory(&j->out, &j->file, &j->file_size);
  else
    init_small(&j->out, &j->target, 1 + j->options[2], 0);
}

static void set_tables(job *j)
{
  uint16_t tables[4 * DCTSIZE2];

  if (!(j->options[0] & WITH_TABLES))
    return;
  fill_tables(tables, 4, option32(j->options + 4), PYFD_ENCODER_STEP);
  jpeg_set_requant_tables(&j->in, (const UINT16(*)[DCTSIZE2])tables, 4);
  jpeg_override_quant_tables(&j->out, (const UINT16(*)[DCTSIZE2])tables, 4);
}

static void set_transform(job *j, jpeg_transform_info *transform)
{
  const uint8_t *o = j->options;
  char crop[100];

  memset(transform, 0, sizeof(*transform));
  transform->transform = (JXFORM_CODE)(o[3] % 9);
  transform->perfect = o[3] / 9 % 4 == 3;
  transform->trim = o[3] / 36 & 1;
  transform->force_grayscale = o[3] / 72 & 1;
  if (o[1] & 128 || transform->transform == JXFORM_WIPE) {
    snprintf(crop, sizeof(crop), "%d%sx%d%s%c%d%c%d", 1 + o[4] % 64,
             o[1] & 64 ? "f" : "", 1 + o[5] % 64, o[1] & 32 ? "f" : "",
             o[6] & 128 ? '-' : '+', o[6] % 64, o[7] & 128 ? '-' : '+',
             o[7] % 64);
    if (!jtransform_parse_crop_spec(transform, crop))
      abort();
  }
}

static void set_encoding(job *j)
{
  const uint8_t *o = j->options;

  if (o[0] & BASELINE)
    return;
  j->out.optimize_coding = !!(o[0] & OPTIMIZED);
  j->out.arith_code = !!(o[0] & ARITHMETIC);
  if (o[0] & PROGRESSIVE)
    jpeg_simple_progression(&j->out);
  j->out.restart_interval = o[2] % 4 == 3 ? o[2] / 4 : 0;
}

static void copy(job *j)
{
  jpeg_transform_info transform;
  jvirt_barray_ptr *from, *to;

  set_transform(j, &transform);
  if (!jtransform_request_workspace(&j->in, &transform))
    return;
  while (!(from = jpeg_read_coefficients(&j->in)))
    give_more(&j->in);
  jpeg_copy_critical_parameters(&j->in, &j->out);
  to = jtransform_adjust_parameters(&j->in, &j->out, from, &transform);
  set_encoding(j);
  open_target(j);
  jpeg_write_coefficients(&j->out, to);
  jcopy_markers_execute(&j->in, &j->out, (JCOPY_OPTION)(j->options[1] % 5));
  jtransform_execute_transform(&j->in, &j->out, from, &transform);
  jpeg_finish_compress(&j->out);
  while (!jpeg_finish_decompress(&j->in))
    give_more(&j->in);
}

static void requantize(job *j)
{
  jpeg_requantizer requantizers[MAX_COMPONENTS];
  const uint8_t *o = j->options;
  uint16_t steps[DCTSIZE2];
  int i, c;

  j->in.raw_data_out = TRUE;
  jpeg_start_decompress(&j->in);
  jpeg_copy_critical_parameters(&j->in, &j->out);
  for (c = 0; c < j->in.num_components; c++) {
    if (!j->in.comp_info[c].quant_table) /* in a later scan */
      longjmp(j->in_errors.jump, 1);
    fill_tables(steps, 1, option32(o + 4) + (uint32_t)c, PYFD_DECODER_STEP);
    jpeg_init_requantizer(&requantizers[c],
                          j->in.comp_info[c].quant_table->quantval, steps);
    for (i = 0; i < DCTSIZE2; i++)
      j->out.quant_tbl_ptrs[j->out.comp_info[c].quant_tbl_no]->quantval[i] =
          steps[i];
  }
  set_encoding(j);
  open_target(j);
  jpeg_write_requantized(&j->out, &j->in, requantizers);
  jpeg_finish_compress(&j->out);
  jpeg_finish_decompress(&j->in);
}

static void transcode(job *j, const uint8_t *data, size_t size)
{
  open_file(j, data, size);
  if (is_too_large(&j->in))
    return;
  set_tables(j);
  if (j->options[0] & REQUANTIZED && !(j->options[0] & SUSPENDING))
    requantize(j);
  else
    copy(j);
  if (j->file)
    digest(&j->sum, j->file, j->file_size);
}

static uint64_t run(const uint8_t *data, size_t size, int content, int tables)
{
  static job j;
  uint8_t options[OPTIONS];

  memset(&j, 0, sizeof(j));
  memcpy(options, data, OPTIONS);
  if (!tables)
    options[0] &= (uint8_t)~WITH_TABLES;
  j.options = options;
  j.in.err = init_errors(&j.in_errors);
  j.out.err = init_errors(&j.out_errors);
  j.sum = FNV_OFFSET;
  memory_content = content;
  jpeg_create_decompress(&j.in);
  jpeg_create_compress(&j.out);
  if (setjmp(j.in_errors.jump) == 0 && setjmp(j.out_errors.jump) == 0)
    transcode(&j, data + OPTIONS, size - OPTIONS);
  digest(&j.sum, &j.in_errors.pub.msg_code, sizeof(int));
  digest(&j.sum, &j.out_errors.pub.msg_code, sizeof(int));
  digest(&j.sum, &j.target.sum, sizeof(j.target.sum));
  jpeg_destroy_compress(&j.out);
  jpeg_destroy_decompress(&j.in);
  memory_content = -1;
  free(j.source.given);
  free(j.target.buffer);
  return j.sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size < OPTIONS)
    return 0;
  choose_limits(option32(data) ^ option32(data + 4));
  if (run(data, size, 0x11, 0) != run(data, size, 0xEE, 1))
    abort();
  return 0;
}
