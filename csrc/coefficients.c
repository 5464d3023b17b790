/*
 * coefficients.c - files to coefficients and back; see coefficients.h.
 */

#include "coefficients.h"

#include <string.h>

#include "restarts.h"

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
      memcpy(out, pyfd_block_row(in, arrays[i], row, FALSE),
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

void pyfd_set_table(struct jpeg_compress_struct *out, int i,
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

void pyfd_set_frame(struct jpeg_compress_struct *out,
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

void pyfd_request_arrays(pyfd_session *s, const pyfd_header *h,
                         jvirt_barray_ptr *arrays)
{
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
  pyfd_set_frame(out, header, &s->writing);
  pyfd_set_restarts(s);
  for (i = 0; i < out->num_components; i++)
    pyfd_set_table(out, i, job->tables[i]);
  pyfd_request_arrays(s, header, arrays);
  jpeg_write_coefficients(out, arrays);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  for (i = 0; i < out->num_components; i++) {
    count = (size_t)header->blocks_wide[i] * PYFD_BLOCK;
    for (row = 0; row < header->blocks_high[i]; row++, in += count)
      memcpy(pyfd_block_row((j_common_ptr)out, arrays[i], row, TRUE), in,
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
