/*
 * snap.c - a file's pixels, encoded onto tables and decoded again.
 *
 * Three libjpeg objects do this eight rows at a time: the first decodes the
 * file, the second compresses its pixels, the third decompresses the result.
 * The second one hands its quantized blocks to the third: between them there
 * is no entropy coding, only a file header.
 */

#define JPEG_INTERNALS

#include "decode.h"

#include <stdlib.h>
#include <string.h>

#define STRIP DCTSIZE /* rows of pixels, a row of blocks */
#define CHANNELS 3

typedef struct {
  const uint16_t (*tables)[PYFD_BLOCK];
  int num_tables;
  uint8_t *out;
  size_t out_size;
  struct jpeg_decompress_struct back; /* the third object */
  struct jpeg_source_mgr source;      /* of its header */
  pyfd_rows rows;                     /* of the first one */
  uint8_t *pixels;                    /* a strip of them */
  JBLOCK *blocks;                     /* of a strip, MCU after MCU */
  size_t filled, taken;
} snap_job;

/* ---- from the file to blocks ---- */

/* Keep an MCU instead of encoding it. */
static boolean keep_mcu(j_compress_ptr cinfo, JBLOCKROW *blocks)
{
  snap_job *job = ((pyfd_session *)cinfo->client_data)->job;
  int i;

  for (i = 0; i < cinfo->blocks_in_MCU; i++)
    memcpy(job->blocks[job->filled++], blocks[i], sizeof(JBLOCK));
  return TRUE;
}

/* Decode the next strip, and compress it to blocks. */
static void fill(pyfd_session *s)
{
  snap_job *job = s->job;
  JSAMPROW rows[STRIP];
  JDIMENSION i, count = s->in.output_height - s->in.output_scanline;

  count = count < STRIP ? count : STRIP;
  pyfd_read_rows(s, &job->rows, job->pixels, count);
  for (i = 0; i < count; i++)
    rows[i] = job->pixels + i * job->rows.size;
  job->filled = job->taken = 0;
  jpeg_write_scanlines(&s->out, rows, count);
}

static void start_compressor(pyfd_session *s)
{
  snap_job *job = s->job;
  struct jpeg_compress_struct *out = &s->out;

  pyfd_open_output(s, UINT64_MAX);
  out->image_width = s->in.output_width;
  out->image_height = s->in.output_height;
  out->input_components = s->in.output_components;
  out->in_color_space = s->in.out_color_space;
  if (job->rows.from_cmyk) {
    out->input_components = CHANNELS;
    out->in_color_space = JCS_RGB;
  }
  jpeg_set_defaults(out);
  out->comp_info[0].h_samp_factor = out->comp_info[0].v_samp_factor = 1;
  jpeg_override_quant_tables(out, job->tables, job->num_tables);
  jpeg_start_compress(out, TRUE);
  out->entropy->encode_mcu = keep_mcu;
}

/* ---- from blocks to pixels ---- */

static void ignore(j_decompress_ptr cinfo)
{
  (void)cinfo;
}

/* Take the next MCU instead of decoding one. */
static boolean take_mcu(j_decompress_ptr cinfo, JBLOCKROW *blocks)
{
  pyfd_session *s = (pyfd_session *)cinfo->client_data;
  snap_job *job = s->job;
  int i;

  if (job->taken == job->filled)
    fill(s);
  for (i = 0; i < cinfo->blocks_in_MCU; i++)
    memcpy(blocks[i], job->blocks[job->taken++], sizeof(JBLOCK));
  return TRUE;
}

/* Start the third object with the header that the second one has written. */
static void start_back(pyfd_session *s)
{
  snap_job *job = s->job;
  struct jpeg_decompress_struct *back = &job->back;
  const pyfd_destination *header = &s->destination;

  job->source = s->source; /* its functions */
  job->source.init_source = job->source.term_source = ignore;
  job->source.next_input_byte = header->buffer;
  job->source.bytes_in_buffer = header->capacity - header->pub.free_in_buffer;
  back->err = &s->errors.pub;
  jpeg_create_decompress(back);
  pyfd_ignore_jpegmem(back->mem);
  back->client_data = s;
  back->src = &job->source;
  jpeg_read_header(back, TRUE);
  back->out_color_space = JCS_RGB;
  jpeg_set_requant_tables(back, job->tables, job->num_tables);
  jpeg_start_decompress(back);
  back->entropy->decode_mcu = take_mcu;
}

static void read_back(snap_job *job)
{
  struct jpeg_decompress_struct *back = &job->back;
  const size_t size = (size_t)back->output_width * CHANNELS;
  JSAMPROW rows[STRIP];
  JDIMENSION i, at;

  while ((at = back->output_scanline) < back->output_height) {
    for (i = 0; i < STRIP && at + i < back->output_height; i++)
      rows[i] = job->out + (at + i) * size;
    jpeg_read_scanlines(back, rows, i);
  }
}

/* ---- all of it ---- */

static void snap(pyfd_session *s)
{
  snap_job *job = s->job;
  const pyfd_header *header = &s->walk.header;
  struct jpeg_memory_mgr *mem;
  size_t wide;

  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 1,
                                    PYFD_ENCODER_STEP, s->errors.status));
  pyfd_open_input(s);
  if (job->out_size != (uint64_t)header->width * header->height * CHANNELS)
    pyfd_refuse(s, "the buffer does not fit the image");
  if (header->multiscan)
    pyfd_charge_memory(s, job->out_size);
  /* Gray pixels have the luma of the same in RGB, and no chroma. */
  pyfd_start_rows(s, header->color_space == PYFD_L ? PYFD_L : PYFD_RGB,
                  &job->rows);
  start_compressor(s);
  mem = s->out.mem;
  wide = (size_t)s->out.MCUs_per_row * (size_t)s->out.blocks_in_MCU;
  job->pixels = (*mem->alloc_large)((j_common_ptr)&s->out, JPOOL_IMAGE,
                                    STRIP * job->rows.size);
  job->blocks = (*mem->alloc_large)((j_common_ptr)&s->out, JPOOL_IMAGE,
                                    wide * sizeof(JBLOCK));
  fill(s);
  start_back(s);
  read_back(job);
  jpeg_finish_decompress(&s->in);
}

int pyfd_snap(const uint8_t *data, size_t size, const pyfd_limits *limits,
              const pyfd_reading *reading, const uint16_t *tables,
              int num_tables, uint8_t *out, size_t out_size,
              pyfd_status *status)
{
  pyfd_session s;
  snap_job job;

  memset(&job, 0, sizeof(job));
  job.tables = (const uint16_t (*)[PYFD_BLOCK])tables;
  job.num_tables = num_tables;
  job.out = out;
  job.out_size = out_size;
  pyfd_start_reader(&s, data, size, limits, reading, status, &job);
  pyfd_run(&s, snap);
  jpeg_destroy_decompress(&job.back); /* nothing if it was not created */
  free(s.destination.buffer);
  return (int)status->code;
}
