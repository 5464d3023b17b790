/*
 * two_builds.c - what libjpeg makes of files, for test_two_builds.py.
 *
 *   two_builds LIST     LIST names a file on each line
 *
 * Prints a line for everything that is done with a file: a digest of the
 * result, the number of warnings, a digest of their messages, and the error if
 * there is one.  Lines of warnings that need not be the same begin with
 * "excepted".
 */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <jrequant.h>

#define MAX_PIXELS (1 << 22)
#define MAX_SCANS 110
#define LARGE (1 << 19) /* pixels from which on less is done */
#define TABLES 3

typedef struct {
  struct jpeg_error_mgr pub;
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
  uint64_t messages, result;
  long warnings, excepted; /* excepted: need not be the same */
  char error[JMSG_LENGTH_MAX];
} outcome;

typedef struct {
  unsigned char *bytes;
  unsigned long size;
} file;

typedef struct {
  const char *name;
  int tables, scale; /* in eighths */
  J_DCT_METHOD dct;
  int plain_upsampling, gray, passes, colors, part;
} reading;

typedef struct {
  const char *name;
  int optimize, progressive, restarts, sampling, tables, smoothing;
  J_DCT_METHOD dct;
} writing;

static const reading readings[] = {
    {"plain", 0, 8},
    {"one table", 1, 8},
    {"three tables", 3, 8},
    {"fast", 0, 8, JDCT_IFAST, 1},
    {"fast onto tables", 3, 8, JDCT_IFAST, 1},
    {"float onto tables", 3, 8, JDCT_FLOAT, 0, 1},
    {"half", 0, 4},
    {"quarter onto tables", 3, 2, JDCT_ISLOW, 1},
    {"eighth onto tables", 1, 1},
    {"three eighths onto tables", 3, 3},
    {"double", 0, 16},
    {"passes", 0, 8, JDCT_ISLOW, 0, 0, 1},
    {"passes onto tables", 3, 8, JDCT_ISLOW, 0, 0, 1},
    {"64 colors onto tables", 3, 8, JDCT_ISLOW, 0, 0, 0, 64},
    {"a part", 0, 8, JDCT_ISLOW, 0, 0, 0, 0, 1},
};
static const writing writings[] = {
    {"plain"},
    {"optimized", 1},
    {"progressive", 0, 1},
    {"restarts", 0, 0, 7},
    {"progressive with restarts", 0, 1, 7},
    {"subsampled", 0, 0, 0, 2},
    {"onto tables", 1, 0, 0, 1, 3},
    {"fast, smoothed", 0, 0, 0, 2, 1, 30, JDCT_IFAST},
};

static UINT16 tables[TABLES][DCTSIZE2];

static void digest(uint64_t *sum, const void *bytes, size_t size)
{
  const unsigned char *p = bytes;

  while (size-- > 0)
    *sum = (*sum ^ *p++) * 1099511628211u;
}

static void leave(j_common_ptr cinfo)
{
  outcome *o = (outcome *)cinfo->err;

  (*cinfo->err->format_message)(cinfo, o->error);
  longjmp(o->jump, 1);
}

static void note(j_common_ptr cinfo, int level)
{
  outcome *o = (outcome *)cinfo->err;
  char message[JMSG_LENGTH_MAX] = "";

  if (level >= 0)
    return;
  /* Without the speed series, codes that do not exist are not noticed where
   * there is enough data for upstream's fast path. */
  if (cinfo->err->msg_code == JWRN_HUFF_BAD_CODE) {
    o->excepted++;
    return;
  }
  o->warnings++;
  /* Of extraneous bytes, those in the bit buffer are counted without stuffed
   * zeroes, and the speed series fills it differently. */
  if (cinfo->err->msg_code == JWRN_EXTRANEOUS_DATA)
    cinfo->err->msg_parm.i[0] = 1;
  (*cinfo->err->format_message)(cinfo, message);
  digest(&o->messages, message, strlen(message));
}

static void limit_scans(j_common_ptr cinfo)
{
  if (cinfo->is_decompressor &&
      ((j_decompress_ptr)cinfo)->input_scan_number > MAX_SCANS)
    ERREXIT(cinfo, JERR_NOTIMPL);
}

static void start(outcome *o)
{
  memset(o, 0, sizeof(*o));
  jpeg_std_error(&o->pub);
  o->pub.error_exit = leave;
  o->pub.emit_message = note;
  o->progress.progress_monitor = limit_scans;
}

static void report(const char *doing, const char *name, const outcome *o)
{
  printf("  %s, %s: %016llx, %ld warnings %016llx %s\n", doing, name,
         (unsigned long long)o->result, o->warnings,
         (unsigned long long)o->messages, o->error);
  if (o->excepted > 0)
    printf("  excepted: %ld warnings\n", o->excepted);
}

static void open_file(struct jpeg_decompress_struct *in, outcome *o, file from)
{
  jpeg_create_decompress(in);
  jpeg_mem_src(in, from.bytes, from.size);
  jpeg_read_header(in, TRUE);
  in->progress = &o->progress;
}

static void set_reading(struct jpeg_decompress_struct *in, const reading *r)
{
  in->scale_num = (unsigned int)r->scale;
  in->scale_denom = DCTSIZE;
  in->dct_method = r->dct;
  in->do_fancy_upsampling = !r->plain_upsampling;
  in->buffered_image = r->passes;
  if (r->gray && in->jpeg_color_space == JCS_YCbCr)
    in->out_color_space = JCS_GRAYSCALE;
  in->quantize_colors = r->colors > 0;
  in->desired_number_of_colors = r->colors;
  jpeg_set_requant_tables(in, (const UINT16(*)[DCTSIZE2])tables, r->tables);
}

/* Read an image's rows, and keep them if they are asked for. */
static void read_rows(struct jpeg_decompress_struct *in, outcome *o,
                      file *keep)
{
  const size_t stride = (size_t)in->output_width * in->output_components;
  JSAMPROW row;

  row = in->mem->alloc_large((j_common_ptr)in, JPOOL_IMAGE, stride);
  if (keep)
    keep->size = 0;
  while (in->output_scanline < in->output_height) {
    jpeg_read_scanlines(in, &row, 1);
    digest(&o->result, row, stride);
    if (keep) {
      memcpy(keep->bytes + keep->size, row, stride);
      keep->size += stride;
    }
  }
}

static void read_passes(struct jpeg_decompress_struct *in, outcome *o)
{
  do {
    jpeg_start_output(in, in->input_scan_number);
    read_rows(in, o, NULL);
    jpeg_finish_output(in);
  } while (!jpeg_input_complete(in) ||
           in->output_scan_number != in->input_scan_number);
}

static void decode(file from, const reading *r, outcome *o, file *keep)
{
  struct jpeg_decompress_struct in;
  JDIMENSION left, width;

  start(o);
  memset(&in, 0, sizeof(in));
  in.err = &o->pub;
  if (setjmp(o->jump) == 0) {
    open_file(&in, o, from);
    set_reading(&in, r);
    jpeg_start_decompress(&in);
    left = in.output_width / 3;
    width = in.output_width - 2 * left;
    if (r->part) {
      jpeg_crop_scanline(&in, &left, &width);
      jpeg_skip_scanlines(&in, in.output_height / 3);
    }
    if (r->passes)
      read_passes(&in, o);
    else
      read_rows(&in, o, keep);
    jpeg_finish_decompress(&in);
  }
  jpeg_destroy_decompress(&in);
}

static void set_writing(struct jpeg_compress_struct *out, const writing *w)
{
  out->optimize_coding = w->optimize;
  out->restart_interval = (unsigned int)w->restarts;
  if (w->progressive)
    jpeg_simple_progression(out);
}

static void encode(const file *pixels, JDIMENSION width, JDIMENSION height,
                   int channels, const writing *w, outcome *o)
{
  struct jpeg_compress_struct out;
  file to = {NULL, 0};
  JSAMPROW row;

  start(o);
  memset(&out, 0, sizeof(out));
  out.err = &o->pub;
  if (setjmp(o->jump) == 0) {
    jpeg_create_compress(&out);
    jpeg_mem_dest(&out, &to.bytes, &to.size);
    out.image_width = width;
    out.image_height = height;
    out.input_components = channels;
    out.in_color_space = channels == 1   ? JCS_GRAYSCALE
                         : channels == 3 ? JCS_RGB
                                         : JCS_CMYK;
    jpeg_set_defaults(&out);
    jpeg_set_quality(&out, 90, TRUE);
    set_writing(&out, w);
    out.dct_method = w->dct;
    out.smoothing_factor = w->smoothing;
    out.comp_info[0].h_samp_factor = w->sampling ? w->sampling : 1;
    out.comp_info[0].v_samp_factor = w->sampling ? w->sampling : 1;
    jpeg_override_quant_tables(&out, (const UINT16(*)[DCTSIZE2])tables,
                               w->tables);
    jpeg_start_compress(&out, TRUE);
    while (out.next_scanline < height) {
      row = pixels->bytes + (size_t)out.next_scanline * width * channels;
      jpeg_write_scanlines(&out, &row, 1);
    }
    jpeg_finish_compress(&out);
    digest(&o->result, to.bytes, to.size);
  }
  jpeg_destroy_compress(&out);
  free(to.bytes);
}

static void encode_all(const file *pixels, JDIMENSION width, JDIMENSION height,
                       int channels, int large)
{
  outcome o;
  size_t i;

  for (i = 0; i < (large ? 1 : sizeof(writings) / sizeof(*writings)); i++) {
    encode(pixels, width, height, channels, &writings[i], &o);
    report("encoded", writings[i].name, &o);
  }
}

/* ---- coefficients ---- */

static void init_requantizers(struct jpeg_decompress_struct *in,
                              struct jpeg_compress_struct *out,
                              jpeg_requantizer *requantizers)
{
  int c, t;

  for (c = 0; c < in->num_components; c++) {
    t = c < TABLES ? c : TABLES - 1;
    if (c >= NUM_QUANT_TBLS || !in->comp_info[c].quant_table)
      ERREXIT(in, JERR_NOTIMPL);
    jpeg_init_requantizer(&requantizers[c],
                          in->comp_info[c].quant_table->quantval, tables[t]);
    /* a table of its own for each component */
    if (!out->quant_tbl_ptrs[c])
      out->quant_tbl_ptrs[c] = jpeg_alloc_quant_table((j_common_ptr)out);
    memcpy(out->quant_tbl_ptrs[c]->quantval, tables[t], sizeof(tables[t]));
    out->comp_info[c].quant_tbl_no = c;
  }
}

static void requantize_arrays(struct jpeg_decompress_struct *in,
                              jvirt_barray_ptr *arrays,
                              const jpeg_requantizer *requantizers)
{
  const jpeg_requantize_method method = jpeg_get_requantize_method();
  jpeg_component_info *component;
  JBLOCKARRAY rows;
  JDIMENSION x, y;
  int c;

  for (c = 0; c < in->num_components; c++) {
    component = &in->comp_info[c];
    for (y = 0; y < component->height_in_blocks; y++) {
      rows = (*in->mem->access_virt_barray)((j_common_ptr)in, arrays[c], y, 1,
                                            TRUE);
      for (x = 0; x < component->width_in_blocks; x++)
        (*method)(&requantizers[c], rows[0][x], rows[0][x]);
    }
  }
}

/* Transcode: all coefficients in memory, re-quantized if w has tables; or MCU
 * by MCU, which one is for. */
static void transcode(file from, const writing *w, int by_mcu, outcome *o,
                      file *to)
{
  struct jpeg_decompress_struct in;
  struct jpeg_compress_struct out;
  jpeg_requantizer requantizers[MAX_COMPONENTS];
  jvirt_barray_ptr *arrays = NULL;

  start(o);
  memset(&in, 0, sizeof(in));
  memset(&out, 0, sizeof(out));
  in.err = out.err = &o->pub;
  to->bytes = NULL;
  to->size = 0;
  if (setjmp(o->jump) == 0) {
    jpeg_create_compress(&out);
    open_file(&in, o, from);
    if (by_mcu) {
      in.raw_data_out = TRUE;
      jpeg_start_decompress(&in);
    } else {
      arrays = jpeg_read_coefficients(&in);
    }
    jpeg_copy_critical_parameters(&in, &out);
    set_writing(&out, w);
    jpeg_mem_dest(&out, &to->bytes, &to->size);
    if (w->tables)
      init_requantizers(&in, &out, requantizers);
    if (by_mcu) {
      jpeg_write_requantized(&out, &in, requantizers);
    } else {
      if (w->tables)
        requantize_arrays(&in, arrays, requantizers);
      jpeg_write_coefficients(&out, arrays);
    }
    jpeg_finish_compress(&out);
    jpeg_finish_decompress(&in);
    digest(&o->result, to->bytes, to->size);
  } else {
    free(to->bytes);
    to->bytes = NULL;
  }
  jpeg_destroy_compress(&out);
  jpeg_destroy_decompress(&in);
}

static void transcode_all(file from, int large)
{
  size_t i;
  outcome o;
  file to;

  for (i = 0; i < (large ? 1 : 5); i++) {
    transcode(from, &writings[i], 0, &o, &to);
    report("copied", writings[i].name, &o);
    free(to.bytes);
  }
}

/* Check that decoding onto tables gives the pixels of the re-quantized file,
 * with tables and without, at every scale. */
static void check_exactness(file from)
{
  static const int scales[] = {8, 4, 2, 1};
  reading onto = {"", TABLES, 8}, plain = {"", 0, 8};
  writing plain_tables = {"", 0, 0, 0, 0, TABLES};
  outcome o, again;
  file whole, by_mcu;
  size_t i;
  int same = 1;

  transcode(from, &plain_tables, 0, &o, &whole);
  report("re-quantized", "in memory", &o);
  transcode(from, &plain_tables, 1, &again, &by_mcu);
  report("re-quantized", "by MCU", &again);
  if (!again.error[0] && !o.error[0])
    same = again.result == o.result;
  for (i = 0; whole.bytes && i < 4; i++) {
    onto.scale = plain.scale = scales[i];
    decode(from, &onto, &o, NULL);
    decode(whole, &plain, &again, NULL);
    same &= again.result == o.result;
    decode(whole, &onto, &again, NULL);
    same &= again.result == o.result;
  }
  printf("  exact: %s\n", !whole.bytes ? "none" : same ? "yes" : "no");
  free(whole.bytes);
  free(by_mcu.bytes);
}

static void process(file from, file pixels)
{
  struct jpeg_decompress_struct in;
  volatile int large = 0, channels = 0;
  volatile JDIMENSION width = 0, height = 0;
  outcome o;
  size_t i;

  start(&o);
  memset(&in, 0, sizeof(in));
  in.err = &o.pub;
  if (setjmp(o.jump) == 0) {
    open_file(&in, &o, from);
    jpeg_calc_output_dimensions(&in);
    width = in.image_width;
    height = in.image_height;
    channels = in.output_components;
    large = (size_t)width * height > LARGE;
  }
  report("header", "", &o);
  jpeg_destroy_decompress(&in);
  if (o.error[0] || (size_t)width * height > MAX_PIXELS)
    return;
  for (i = 0; i < sizeof(readings) / sizeof(*readings); i++) {
    if (large && i >= 3)
      break;
    pixels.size = 0;
    decode(from, &readings[i], &o, i == 0 ? &pixels : NULL);
    report("decoded", readings[i].name, &o);
    if (i == 0 && pixels.size == (size_t)width * height * channels)
      encode_all(&pixels, width, height, channels, large);
  }
  transcode_all(from, large);
  check_exactness(from);
}

static file load(const char *path)
{
  FILE *f = fopen(path, "rb");
  file loaded;

  if (!f)
    exit(2);
  fseek(f, 0, SEEK_END);
  loaded.size = (unsigned long)ftell(f);
  rewind(f);
  /* exactly as large as the file, for the sanitizer */
  loaded.bytes = malloc(loaded.size);
  if (fread(loaded.bytes, 1, loaded.size, f) != loaded.size)
    exit(2);
  fclose(f);
  return loaded;
}

int main(int argc, char **argv)
{
  char path[4096];
  FILE *list;
  file pixels = {malloc((size_t)MAX_PIXELS * MAX_COMPONENTS), 0}, from;
  int t, i;

  if (argc != 2 || !(list = fopen(argv[1], "r")))
    return 2;
  for (t = 0; t < TABLES; t++) {
    for (i = 0; i < DCTSIZE2; i++)
      tables[t][i] = (UINT16)(8 + t * 13 + (i / 8 + i % 8) * (5 + t));
  }
  while (fgets(path, sizeof(path), list)) {
    path[strcspn(path, "\n")] = 0;
    printf("%s\n", strrchr(path, '/') + 1);
    from = load(path);
    process(from, pixels);
    free(from.bytes);
  }
  free(pixels.bytes);
  fclose(list);
  return 0;
}
