/*
 * coverage.c - whether a file is of the kind of which the theorem for files
 * speaks (docs/files-theorem.md).
 */

#include "session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arithmetic.h"

/* ---- one block ---- */

/*
 * What the sizes of a block's dequantized coefficients add up to says enough
 * of nearly every block.  Let it be no more than SMALL: then the first pass's
 * results are at most 11363 / 2^11 = 5.55 times that, and the samples at most
 * 11363^2 / 2^29 = 0.241 times, plus rounding, which inverse() in dct.h finds
 * good.  (11363 is the largest of the inverse DCT's constants.)  Let it be
 * more than LARGE: then one of the 64 samples is beyond 10 bits.  In between,
 * inverse() decides; its 32 bits are enough for LARGE.
 */
#define SMALL 2100
#define LARGE (64 * 512)

/* Add up the sizes, each of them cut at LARGE. */
static uint32_t sum_of_sizes(const JCOEF *block, const UINT16 *steps)
{
  uint32_t sum = 0, size;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++) {
    size = (uint32_t)(block[i] < 0 ? -block[i] : block[i]) * steps[i];
    sum += size < LARGE ? size : LARGE;
  }
  return sum;
}

/* Return whether every decoder makes the same samples of the block. */
static int is_safe(const pyfd_arithmetic *arithmetic, const JCOEF *block,
                   const UINT16 *steps)
{
  const uint32_t sum = sum_of_sizes(block, steps);
  pyfd_values quantized, table, samples;
  int i;

  if (sum <= SMALL || sum > LARGE)
    return sum <= SMALL;
  for (i = 0; i < PYFD_BLOCK; i++) {
    quantized.at[i] = block[i];
    table.at[i] = steps[i];
  }
  return (*arithmetic->inverse)(&quantized, &table, &samples);
}

/* ---- the whole file ---- */

typedef struct {
  const pyfd_arithmetic *arithmetic;
  char *why; /* the reason, or "" */
  size_t size;
  int found;
} coverage_job;

/* State the reason, unless there is one already. */
__attribute__((format(printf, 2, 3))) static void
state(coverage_job *job, const char *format, ...)
{
  va_list values;

  if (job->found)
    return;
  job->found = 1;
  va_start(values, format);
  vsnprintf(job->why, job->size, format, values);
  va_end(values);
}

static void check_header(coverage_job *job, const pyfd_header *h)
{
  static const char *const names[] = {
      [PYFD_RGB] = "an RGB", [PYFD_CMYK] = "a CMYK", [PYFD_YCCK] = "a YCCK"};
  uint32_t i;

  if (h->color_space != PYFD_L && h->color_space != PYFD_YCBCR)
    state(job, "it is %s file, neither gray nor YCbCr", names[h->color_space]);
  if (h->width % PYFD_SIDE != 0 || h->height % PYFD_SIDE != 0)
    state(job,
          "its sides, %u and %u, are not both multiples of 8: the blocks at "
          "the edge can hold anything beyond it",
          h->width, h->height);
  for (i = 1; i < h->num_components; i++) {
    if (h->h_samp[i] != h->h_samp[0] || h->v_samp[i] != h->v_samp[0])
      state(job, "its chroma is subsampled");
  }
}

static void check_block(coverage_job *job, const JCOEF *block,
                        const jpeg_component_info *info, JDIMENSION row,
                        JDIMENSION column)
{
  if (!job->found &&
      !is_safe(job->arithmetic, block, info->quant_table->quantval))
    state(job,
          "component %d's coefficients in block (%u, %u) are too large for "
          "the 16 bits of the inverse DCT",
          info->component_index, row, column);
}

/* Check an MCU's blocks, without those that only fill it up. */
static void check_mcu(pyfd_session *s, JBLOCK *blocks, JDIMENSION row,
                      JDIMENSION column)
{
  const struct jpeg_decompress_struct *in = &s->in;
  int i, x, y;

  for (i = 0; i < in->comps_in_scan; i++) {
    const jpeg_component_info *info = in->cur_comp_info[i];
    JDIMENSION top = row * (JDIMENSION)info->MCU_height;
    JDIMENSION left = column * (JDIMENSION)info->MCU_width;

    for (y = 0; y < info->MCU_height; y++) {
      for (x = 0; x < info->MCU_width; x++, blocks++) {
        if (top + (JDIMENSION)y < info->height_in_blocks &&
            left + (JDIMENSION)x < info->width_in_blocks)
          check_block(s->job, *blocks, info, top + (JDIMENSION)y,
                      left + (JDIMENSION)x);
      }
    }
  }
}

/* Check blocks while they are decoded, without keeping them. */
static void check_streamed(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  JBLOCK blocks[D_MAX_BLOCKS_IN_MCU];
  JBLOCKROW places[D_MAX_BLOCKS_IN_MCU];
  JDIMENSION row, column;
  int i;

  for (i = 0; i < D_MAX_BLOCKS_IN_MCU; i++)
    places[i] = &blocks[i];
  in->out_color_space = in->jpeg_color_space;
  in->raw_data_out = TRUE;
  jpeg_start_decompress(in);
  for (row = 0; row < in->MCU_rows_in_scan; row++) {
    for (column = 0; column < in->MCUs_per_row; column++) {
      memset(blocks, 0, (size_t)in->blocks_in_MCU * sizeof(JBLOCK));
      jpeg_read_mcu(in, places);
      check_mcu(s, blocks, row, column);
    }
  }
  jpeg_end_mcus(in);
}

/* Check that progressive scans have sent every bit of every coefficient. */
static void check_bits(pyfd_session *s)
{
  int i, j;

  if (!s->in.progressive_mode)
    return;
  for (i = 0; i < s->in.num_components; i++) {
    for (j = 0; j < PYFD_BLOCK; j++) {
      if (s->in.coef_bits[i][j] != 0)
        state(s->job,
              "its scans leave out bits of component %d's coefficients, which "
              "decoders make up by smoothing",
              i);
    }
  }
}

/* Check the blocks of the whole image, which several scans have filled. */
static void check_whole(pyfd_session *s)
{
  const pyfd_header *header = &s->walk.header;
  jvirt_barray_ptr *arrays;
  JBLOCKROW blocks;
  uint32_t row, column;
  int i;

  pyfd_charge_memory(s, 0);
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  check_bits(s);
  for (i = 0; i < s->in.num_components; i++) {
    for (row = 0; row < header->blocks_high[i]; row++) {
      blocks = (*s->in.mem->access_virt_barray)((j_common_ptr)&s->in,
                                                arrays[i], row, 1, FALSE)[0];
      for (column = 0; column < header->blocks_wide[i]; column++)
        check_block(s->job, blocks[column], &s->in.comp_info[i], row, column);
    }
  }
}

static void cover(pyfd_session *s)
{
  coverage_job *job = s->job;

  pyfd_open_input(s);
  check_header(job, &s->walk.header);
  if (s->walk.header.multiscan)
    check_whole(s);
  else
    check_streamed(s);
  jpeg_finish_decompress(&s->in);
}

int pyfd_why_uncovered(const uint8_t *data, size_t size,
                       const pyfd_limits *limits, char *why, size_t why_size,
                       pyfd_status *status)
{
  static const pyfd_reading reading = PYFD_DEFAULT_READING;
  pyfd_session s;
  coverage_job job = {pyfd_choose_arithmetic(), why, why_size, 0};

  if (why_size == 0) {
    memset(status, 0, sizeof(*status));
    return pyfd_fail(status, PYFD_ARGUMENT, "why must have a byte or more");
  }
  why[0] = 0;
  pyfd_start_reader(&s, data, size, limits, &reading, status, &job);
  return pyfd_run(&s, cover);
}
