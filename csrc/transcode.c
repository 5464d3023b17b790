/*
 * transcode.c - files to coefficients and back, never to pixels.
 */

#include "recode.h"

#include <stdlib.h>
#include <string.h>

static JBLOCKROW block_row(j_common_ptr cinfo, jvirt_barray_ptr blocks,
                           JDIMENSION row, boolean writable)
{
  return (*cinfo->mem->access_virt_barray)(cinfo, blocks, row, 1, writable)[0];
}

/* ---- reading ---- */

typedef struct {
  int16_t *out;
  size_t out_count;
  uint16_t (*tables)[PYFD_BLOCK];
} read_job;

static uint64_t count_coefficients(const pyfd_header *header)
{
  uint64_t count = 0;
  uint32_t i;

  for (i = 0; i < header->num_components; i++)
    count += pyfd_blocks(header, (int)i);
  return count * PYFD_BLOCK;
}

static void read_coefficients(pyfd_session *s)
{
  read_job *job = s->job;
  j_common_ptr in = (j_common_ptr)&s->in;
  const pyfd_header *header = &s->walk.header;
  int16_t *out = job->out;
  jvirt_barray_ptr *arrays;
  JDIMENSION row;
  size_t count;
  int i;

  pyfd_open_input(s);
  if (count_coefficients(header) != job->out_count)
    pyfd_refuse(s, "the buffer does not fit the image");
  pyfd_charge_memory(s, (uint64_t)job->out_count * sizeof(int16_t));
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  for (i = 0; i < s->in.num_components; i++) {
    memcpy(job->tables[i], pyfd_table_of(s, i)->quantval,
           sizeof(job->tables[i]));
    count = (size_t)header->blocks_wide[i] * PYFD_BLOCK;
    for (row = 0; row < header->blocks_high[i]; row++, out += count)
      memcpy(out, block_row(in, arrays[i], row, FALSE),
             count * sizeof(int16_t));
  }
  jpeg_finish_decompress(&s->in);
}

int pyfd_read_coefficients(const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, int16_t *out,
                           size_t out_count, uint16_t *tables,
                           pyfd_status *status)
{
  pyfd_session s;
  read_job job = {out, out_count, (uint16_t (*)[PYFD_BLOCK])tables};

  pyfd_start_reader(&s, data, size, limits, reading, status, &job);
  return pyfd_run(&s, read_coefficients);
}

/* ---- writing ---- */

/* Give component i a table; components with equal tables share a slot. */
static void set_table(struct jpeg_compress_struct *out, int i,
                      const uint16_t *table)
{
  int slot;

  for (slot = 0; slot < NUM_QUANT_TBLS; slot++) {
    JQUANT_TBL **entry = &out->quant_tbl_ptrs[slot];

    if (*entry == NULL) {
      *entry = jpeg_alloc_quant_table((j_common_ptr)out);
      memcpy((*entry)->quantval, table, sizeof((*entry)->quantval));
    }
    if (!memcmp((*entry)->quantval, table, sizeof((*entry)->quantval))) {
      out->comp_info[i].quant_tbl_no = slot;
      return;
    }
  }
}

/*
 * Put each component into a scan of its own if an MCU of all components would
 * have more than 10 blocks (T.81 B.2.3).
 */
static void separate_scans(struct jpeg_compress_struct *out, int progressive)
{
  jpeg_scan_info *scans = (*out->mem->alloc_small)(
      (j_common_ptr)out, JPOOL_IMAGE,
      2 * PYFD_MAX_COMPONENTS * sizeof(jpeg_scan_info));
  int i, n = out->num_components, blocks = 0;

  for (i = 0; i < n; i++)
    blocks +=
        out->comp_info[i].h_samp_factor * out->comp_info[i].v_samp_factor;
  if (n == 1 || blocks <= C_MAX_BLOCKS_IN_MCU)
    return;
  for (i = 0; i < n; i++) {
    jpeg_scan_info whole = {1, {i}, 0, DCTSIZE2 - 1, 0, 0};

    scans[i] = scans[n + i] = whole;
    if (progressive) {
      scans[i].Se = 0;
      scans[n + i].Ss = 1;
    }
  }
  out->scan_info = scans;
  out->num_scans = progressive ? 2 * n : n;
}

/* Set up the compressor for coefficients of this shape. */
static void set_frame(struct jpeg_compress_struct *out,
                      const pyfd_header *header, const pyfd_writing *writing)
{
  int i;

  out->image_width = header->width;
  out->image_height = header->height;
  out->input_components = (int)header->num_components;
  out->in_color_space = pyfd_libjpeg_color(header->color_space);
  jpeg_set_defaults(out);
  jpeg_set_colorspace(out, out->in_color_space);
  for (i = 0; i < NUM_QUANT_TBLS; i++)
    out->quant_tbl_ptrs[i] = NULL; /* the defaults; freed with the pool */
  for (i = 0; i < out->num_components; i++) {
    out->comp_info[i].h_samp_factor = (int)header->h_samp[i];
    out->comp_info[i].v_samp_factor = (int)header->v_samp[i];
  }
  out->optimize_coding = writing->optimize != 0;
  if (writing->progressive)
    jpeg_simple_progression(out);
  separate_scans(out, writing->progressive != 0);
}

typedef struct {
  pyfd_header header;
  const int16_t *coefficients;
  size_t count;
  const uint16_t (*tables)[PYFD_BLOCK];
  const uint8_t *segments;
  size_t segments_size;
} write_job;

/* Request arrays padded to whole MCUs, as libjpeg wants them; it fills the
 * padding. */
static void request_arrays(pyfd_session *s, jvirt_barray_ptr *arrays)
{
  write_job *job = s->job;
  const pyfd_header *h = &job->header;
  struct jpeg_compress_struct *out = &s->out;
  int i;

  for (i = 0; i < out->num_components; i++) {
    JDIMENSION h_samp = h->h_samp[i], v_samp = h->v_samp[i];

    arrays[i] = (*out->mem->request_virt_barray)(
        (j_common_ptr)out, JPOOL_IMAGE, TRUE,
        (h->blocks_wide[i] + h_samp - 1) / h_samp * h_samp,
        (h->blocks_high[i] + v_samp - 1) / v_samp * v_samp, v_samp);
  }
}

static void check_arguments(pyfd_session *s)
{
  write_job *job = s->job;
  pyfd_header *h = &job->header;
  pyfd_status *status = s->errors.status;
  const int16_t *in = job->coefficients;
  size_t blocks;
  int i;

  pyfd_require(s, pyfd_check_frame(h, status));
  if (count_coefficients(h) != job->count)
    pyfd_refuse(s, "the coefficients do not fit the image");
  pyfd_require(s, pyfd_check_tables(job->tables, (int)h->num_components, 1,
                                    UINT16_MAX, status));
  pyfd_require(s,
               pyfd_check_segments(job->segments, job->segments_size, status));
  for (i = 0; i < (int)h->num_components; i++, in += blocks * PYFD_BLOCK) {
    blocks = (size_t)h->blocks_wide[i] * h->blocks_high[i];
    pyfd_require(s, pyfd_check_coefficients(in, blocks, i, status));
  }
}

static void write_coefficients(pyfd_session *s)
{
  write_job *job = s->job;
  const pyfd_header *header = &job->header;
  struct jpeg_compress_struct *out = &s->out;
  const int16_t *in = job->coefficients;
  jvirt_barray_ptr arrays[PYFD_MAX_COMPONENTS];
  JDIMENSION row;
  size_t count;
  int i;

  check_arguments(s);
  pyfd_open_output(s, UINT64_MAX);
  set_frame(out, header, &s->writing);
  for (i = 0; i < out->num_components; i++)
    set_table(out, i, job->tables[i]);
  request_arrays(s, arrays);
  jpeg_write_coefficients(out, arrays);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  for (i = 0; i < out->num_components; i++) {
    count = (size_t)header->blocks_wide[i] * PYFD_BLOCK;
    for (row = 0; row < header->blocks_high[i]; row++, in += count)
      memcpy(block_row((j_common_ptr)out, arrays[i], row, TRUE), in,
             count * sizeof(int16_t));
  }
  jpeg_finish_compress(out);
}

int pyfd_write_coefficients(const pyfd_header *header,
                            const int16_t *coefficients, size_t count,
                            const uint16_t *tables,
                            const pyfd_writing *writing,
                            const uint8_t *segments, size_t segments_size,
                            uint8_t **out, size_t *out_size,
                            pyfd_status *status)
{
  pyfd_session s;
  write_job job = {*header,  coefficients,
                   count,    (const uint16_t (*)[PYFD_BLOCK])tables,
                   segments, segments_size};

  pyfd_start_session(&s, status, &job);
  return pyfd_run_writer(&s, write_coefficients, writing, out, out_size);
}

/* ---- re-quantization ---- */

/* See pyfd.Limits.max_work. */
#define NONZERO_IN_A_UNIT 16

typedef struct {
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  const uint8_t *segments;
  size_t segments_size;
  jpeg_requantizer requantizers[PYFD_MAX_COMPONENTS];
  pyfd_encode_job certified; /* with a radius */
} requantize_job;

static uint64_t count_nonzero(const JCOEF *block)
{
  unsigned int count = 0;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    count += block[i] != 0;
  return count;
}

/* Re-quantize component i in place.  Returns how many of its coefficients are
 * not 0. */
static uint64_t requantize_component(pyfd_session *s, int i,
                                     jvirt_barray_ptr array)
{
  const pyfd_header *header = &s->walk.header;
  const requantize_job *job = s->job;
  const jpeg_requantize_method requantize = jpeg_get_requantize_method();
  JDIMENSION row, column;
  JBLOCKROW blocks;
  uint64_t nonzero = 0;

  for (row = 0; row < header->blocks_high[i]; row++) {
    blocks = block_row((j_common_ptr)&s->in, array, row, TRUE);
    for (column = 0; column < header->blocks_wide[i]; column++) {
      (*requantize)(&job->requantizers[i], blocks[column], blocks[column]);
      nonzero += count_nonzero(blocks[column]);
    }
  }
  return nonzero;
}

/* Return how many scans of the output contain component i. */
static uint64_t scans_with(const struct jpeg_compress_struct *out, int i)
{
  uint64_t count = out->scan_info == NULL;
  int scan, j;

  for (scan = 0; out->scan_info != NULL && scan < out->num_scans; scan++) {
    for (j = 0; j < out->scan_info[scan].comps_in_scan; j++)
      count += out->scan_info[scan].component_index[j] == i;
  }
  return count;
}

/* Count the work of writing component i.  libjpeg goes over a scan's blocks
 * twice, once for Huffman tables that are made for it. */
static uint64_t writing_work(const pyfd_session *s, int i, uint64_t nonzero)
{
  if (!s->writing.progressive && !s->writing.optimize)
    return 0; /* one pass, which is faster than any reading */
  return scans_with(&s->out, i) *
         (2 * pyfd_blocks(&s->walk.header, i) + nonzero / NONZERO_IN_A_UNIT);
}

/* Copy the parts of the file header outside the frame header. */
static void copy_file_header(pyfd_session *s)
{
  pyfd_copy_density(s);
  /* Many readers take CMYK as inverted only if the Adobe marker is there. */
  if (s->in.jpeg_color_space == JCS_CMYK)
    s->out.write_Adobe_marker = s->in.saw_Adobe_marker;
}

/* Set up the compressor and the requantizers for the file that was read. */
static void set_output(pyfd_session *s, uint64_t max_size)
{
  requantize_job *job = s->job;
  const uint16_t *to;
  int i;

  pyfd_open_output(s, max_size);
  set_frame(&s->out, &s->walk.header, &s->writing);
  copy_file_header(s);
  for (i = 0; i < s->in.num_components; i++) {
    to = job->tables[i < job->num_tables ? i : job->num_tables - 1];
    jpeg_init_requantizer(&job->requantizers[i], pyfd_table_of(s, i)->quantval,
                          to);
    set_table(&s->out, i, to);
  }
}

/* Check whether MCUs can go from the input's only scan to the output's in the
 * order in which they are read. */
static int is_streamable(const pyfd_session *s)
{
  return !s->walk.header.multiscan && !s->writing.progressive &&
         !s->writing.optimize;
}

/* Re-quantize MCU by MCU, in no more memory than the input and the output. */
static void requantize_streamed(pyfd_session *s)
{
  requantize_job *job = s->job;
  const uint64_t max_memory = s->limits.max_memory;

  if (pyfd_check_limit(s->errors.status, "max_memory", max_memory,
                       (uint64_t)s->size + job->segments_size,
                       "needs") != PYFD_OK)
    pyfd_leave(s, PYFD_LIMIT);
  s->in.out_color_space = s->in.jpeg_color_space;
  s->in.raw_data_out = TRUE;
  jpeg_start_decompress(&s->in);
  set_output(s, max_memory - s->size);
  jpeg_write_requantized(&s->out, &s->in, job->requantizers);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  jpeg_finish_compress(&s->out);
  jpeg_finish_decompress(&s->in);
}

/* Re-quantize through the coefficients of the whole image. */
static void requantize_whole(pyfd_session *s)
{
  requantize_job *job = s->job;
  jvirt_barray_ptr *arrays;
  uint64_t charged, work = 0;
  int i;

  pyfd_charge_memory(s, job->segments_size);
  charged = s->walk.header.coefficient_bytes + s->size;
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  set_output(s, s->limits.max_memory - charged);
  for (i = 0; i < s->in.num_components; i++)
    work += writing_work(s, i, requantize_component(s, i, arrays[i]));
  pyfd_require(s, pyfd_check_limit(s->errors.status, "max_work",
                                   s->limits.max_work, work,
                                   "needs for its output"));
  jpeg_write_coefficients(&s->out, arrays);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  jpeg_finish_compress(&s->out);
  jpeg_finish_decompress(&s->in);
}

/* Leave the coefficient domain for a radius, which is a matter of pixels. */
static void certify(pyfd_session *s)
{
  requantize_job *job = s->job;
  pyfd_encode_job *certified = &job->certified;

  certified->tables = job->tables;
  certified->num_tables = job->num_tables;
  certified->segments = job->segments;
  certified->segments_size = job->segments_size;
  pyfd_recode(s, certified);
}

static void requantize(pyfd_session *s)
{
  const requantize_job *job = s->job;

  if (s->writing.radius > 0 || s->writing.file_radius > 0) {
    certify(s);
    return;
  }
  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 1,
                                    PYFD_DECODER_STEP, s->errors.status));
  pyfd_require(s, pyfd_check_segments(job->segments, job->segments_size,
                                      s->errors.status));
  pyfd_open_input(s);
  if (is_streamable(s))
    requantize_streamed(s);
  else
    requantize_whole(s);
}

int pyfd_requantize(const uint8_t *data, size_t size,
                    const pyfd_limits *limits, const pyfd_reading *reading,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status)
{
  pyfd_session s;
  requantize_job job;
  int code;

  job.tables = (const uint16_t (*)[PYFD_BLOCK])tables;
  job.num_tables = num_tables;
  job.segments = segments;
  job.segments_size = segments_size;
  job.certified.pixels = NULL;
  pyfd_start_reader(&s, data, size, limits, reading, status, &job);
  code = pyfd_run_writer(&s, requantize, writing, out, out_size);
  free((void *)job.certified.pixels);
  return code;
}
