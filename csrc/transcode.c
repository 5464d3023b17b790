/*
 * transcode.c - files to files with other tables, not through pixels unless
 * they are to be certified.
 */

#include <stdlib.h>

#include "coefficients.h"
#include "recode.h"
#include "restarts.h"
#include "transcode.h"

/* See pyfd.Limits.max_work. */
#define NONZERO_IN_A_UNIT 16

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
  const pyfd_requantize_job *job = s->job;
  const jpeg_requantize_method requantize = jpeg_get_requantize_method();
  JDIMENSION row, column;
  JBLOCKROW blocks;
  uint64_t nonzero = 0;

  for (row = 0; row < header->blocks_high[i]; row++) {
    blocks = pyfd_block_row((j_common_ptr)&s->in, array, row, TRUE);
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
static uint64_t writing_work(const pyfd_session *s, const pyfd_header *header,
                             int i, uint64_t nonzero)
{
  if (!s->writing.progressive && !s->writing.optimize)
    return 0; /* one pass, which is faster than any reading */
  return scans_with(&s->out, i) *
         (2 * pyfd_blocks(header, i) + nonzero / NONZERO_IN_A_UNIT);
}

/* Copy the parts of the file header outside the frame header. */
static void copy_file_header(pyfd_session *s)
{
  pyfd_copy_density(s);
  /* Many readers take CMYK as inverted only if the Adobe marker is there. */
  if (s->in.jpeg_color_space == JCS_CMYK)
    s->out.write_Adobe_marker = s->in.saw_Adobe_marker;
}

void pyfd_set_requantized(pyfd_session *s, const pyfd_header *header,
                          const pyfd_turner *turner, uint64_t max_size)
{
  pyfd_requantize_job *job = s->job;
  uint16_t turned[PYFD_BLOCK];
  const uint16_t *from, *to;
  int i;

  pyfd_open_output(s, max_size);
  pyfd_set_frame(&s->out, header, &s->writing);
  pyfd_set_restarts(s);
  copy_file_header(s);
  for (i = 0; i < s->in.num_components; i++) {
    from = pyfd_table_of(s, i)->quantval;
    to = job->tables[i < job->num_tables ? i : job->num_tables - 1];
    if (turner != NULL) {
      pyfd_turn_table(turner, from, turned);
      from = turned;
    }
    jpeg_init_requantizer(&job->requantizers[i], from, to);
    pyfd_set_table(&s->out, i, to);
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
  pyfd_requantize_job *job = s->job;
  const uint64_t max_memory = s->limits.max_memory;

  if (pyfd_check_limit(s->errors.status, "max_memory", max_memory,
                       (uint64_t)s->size + job->segments_size,
                       "needs") != PYFD_OK)
    pyfd_leave(s, PYFD_LIMIT);
  s->in.out_color_space = s->in.jpeg_color_space;
  s->in.raw_data_out = TRUE;
  jpeg_start_decompress(&s->in);
  if (pyfd_requantize_strips(s))
    return;
  pyfd_set_requantized(s, &s->walk.header, NULL, max_memory - s->size);
  jpeg_write_requantized(&s->out, &s->in, job->requantizers);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  jpeg_finish_compress(&s->out);
  jpeg_finish_decompress(&s->in);
}

static void check_work(pyfd_session *s, uint64_t work)
{
  pyfd_require(s, pyfd_check_limit(s->errors.status, "max_work",
                                   s->limits.max_work, work,
                                   "needs for its output"));
}

/* Re-quantize through the coefficients of the whole image. */
static void requantize_whole(pyfd_session *s)
{
  pyfd_requantize_job *job = s->job;
  const pyfd_header *header = &s->walk.header;
  jvirt_barray_ptr *arrays;
  uint64_t charged, work = 0;
  int i;

  pyfd_charge_memory(s, job->segments_size);
  charged = header->coefficient_bytes + s->size;
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  pyfd_set_requantized(s, header, NULL, s->limits.max_memory - charged);
  for (i = 0; i < s->in.num_components; i++)
    work += writing_work(s, header, i, requantize_component(s, i, arrays[i]));
  check_work(s, work);
  jpeg_write_coefficients(&s->out, arrays);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  jpeg_finish_compress(&s->out);
  jpeg_finish_decompress(&s->in);
}

/* Rows of blocks that are turned at a time: blocks that lie side by side in
 * the source are in different rows of a transposed image. */
#define GROUP 8

/* Turn and re-quantize rows of component i, which is so many blocks wide and
 * high once it is turned.  Returns how many coefficients are not 0. */
static uint64_t turn_rows(pyfd_session *s, const pyfd_turner *turner, int i,
                          jvirt_barray_ptr array, JBLOCKROW *rows,
                          JDIMENSION first, JDIMENSION count,
                          const pyfd_header *turned)
{
  const pyfd_requantize_job *job = s->job;
  const jpeg_requantize_method requantize = jpeg_get_requantize_method();
  const pyfd_turn turn = turner->turn;
  const JDIMENSION wide = turned->blocks_wide[i],
                   high = turned->blocks_high[i];
  JBLOCKROW source = NULL;
  JBLOCK block;
  JDIMENSION row, column, x, y;
  uint64_t nonzero = 0;

  for (column = 0; column < wide; column++) {
    x = turn.left_right ? wide - 1 - column : column;
    for (row = 0; row < count; row++) {
      y = turn.top_bottom ? high - 1 - first - row : first + row;
      if (turn.transposed ? row == 0 : column == 0)
        source = pyfd_block_row((j_common_ptr)&s->in, array,
                                turn.transposed ? x : y, FALSE);
      pyfd_turn_block(turner, source[turn.transposed ? y : x], block);
      (*requantize)(&job->requantizers[i], block, rows[row][column]);
      nonzero += count_nonzero(rows[row][column]);
    }
  }
  return nonzero;
}

/* Turn and re-quantize component i.  Returns how many of its coefficients are
 * not 0. */
static uint64_t turn_component(pyfd_session *s, const pyfd_turner *turner,
                               int i, jvirt_barray_ptr from,
                               jvirt_barray_ptr to, const pyfd_header *turned)
{
  const JDIMENSION high = turned->blocks_high[i];
  const JDIMENSION group = turner->turn.transposed ? GROUP : 1;
  JBLOCKROW rows[GROUP]; /* all of them stay in memory: see session.h */
  JDIMENSION first, n, row;
  uint64_t nonzero = 0;

  for (first = 0; first < high; first += n) {
    n = high - first < group ? high - first : group;
    for (row = 0; row < n; row++)
      rows[row] = pyfd_block_row((j_common_ptr)&s->out, to, first + row, TRUE);
    nonzero += turn_rows(s, turner, i, from, rows, first, n, turned);
  }
  return nonzero;
}

/* Turn and re-quantize through the coefficients of the whole image, which are
 * in memory twice. */
static void requantize_turned(pyfd_session *s)
{
  pyfd_requantize_job *job = s->job;
  jvirt_barray_ptr *arrays, turned_arrays[PYFD_MAX_COMPONENTS];
  pyfd_turner turner;
  pyfd_header turned;
  uint64_t charged, work = 0;
  int i;

  pyfd_start_turning(s, &turner, &turned);
  pyfd_charge_memory(s, turned.coefficient_bytes + job->segments_size);
  charged =
      s->walk.header.coefficient_bytes + turned.coefficient_bytes + s->size;
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  pyfd_set_requantized(s, &turned, &turner, s->limits.max_memory - charged);
  pyfd_request_arrays(s, &turned, turned_arrays);
  jpeg_write_coefficients(&s->out, turned_arrays);
  pyfd_put_bytes(s, job->segments, job->segments_size);
  for (i = 0; i < s->in.num_components; i++)
    work += writing_work(
        s, &turned, i,
        turn_component(s, &turner, i, arrays[i], turned_arrays[i], &turned));
  check_work(s, work);
  jpeg_finish_compress(&s->out);
  jpeg_finish_decompress(&s->in);
}

/* Leave the coefficient domain for a radius, which is a matter of pixels. */
static void certify(pyfd_session *s)
{
  pyfd_requantize_job *job = s->job;
  pyfd_encode_job *certified = &job->certified;

  certified->tables = job->tables;
  certified->num_tables = job->num_tables;
  certified->segments = job->segments;
  certified->segments_size = job->segments_size;
  pyfd_recode(s, certified);
}

static void requantize(pyfd_session *s)
{
  const pyfd_requantize_job *job = s->job;

  if (s->writing.radius > 0 || s->writing.file_radius > 0) {
    certify(s);
    return;
  }
  pyfd_require(s, pyfd_check_tables(job->tables, job->num_tables, 1,
                                    PYFD_DECODER_STEP, s->errors.status));
  pyfd_require(s, pyfd_check_segments(job->segments, job->segments_size,
                                      s->errors.status));
  pyfd_open_input(s);
  if (s->reading.orientation > 1)
    requantize_turned(s);
  else if (is_streamable(s))
    requantize_streamed(s);
  else
    requantize_whole(s);
}

static int run(const pyfd_found *found, const uint8_t *data, size_t size,
               const pyfd_limits *limits, const pyfd_reading *reading,
               pyfd_requantize_job *job, const pyfd_writing *writing,
               uint8_t **out, size_t *out_size, pyfd_status *status)
{
  pyfd_session s;
  int code;

  job->certified.pixels = NULL;
  pyfd_start_reader(&s, data, size, limits, reading, status, job);
  s.found = found;
  code = pyfd_run_writer(&s, requantize, writing, out, out_size);
  free((void *)job->certified.pixels);
  return code;
}

/* The parts that are left out need not be set. */
static void set_job(pyfd_requantize_job *job, const uint16_t *tables,
                    int num_tables, const uint8_t *segments,
                    size_t segments_size)
{
  job->tables = (const uint16_t (*)[PYFD_BLOCK])tables;
  job->num_tables = num_tables;
  job->segments = segments;
  job->segments_size = segments_size;
}

int pyfd_requantize(const uint8_t *data, size_t size,
                    const pyfd_limits *limits, const pyfd_reading *reading,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status)
{
  pyfd_requantize_job job;

  set_job(&job, tables, num_tables, segments, segments_size);
  return run(NULL, data, size, limits, reading, &job, writing, out, out_size,
             status);
}

int pyfd_requantize_opened(pyfd_found *found, const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, const uint16_t *tables,
                           int num_tables, const pyfd_writing *writing,
                           const uint8_t *segments, size_t segments_size,
                           pyfd_made *made)
{
  pyfd_requantize_job job;

  set_job(&job, tables, num_tables, segments, segments_size);
  return run(found, data, size, limits, reading, &job, writing, made->data,
             made->size, made->status);
}
