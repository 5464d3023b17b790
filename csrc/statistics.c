/*
 * statistics.c - sums and sums of squares of a file's dequantized
 * coefficients.
 *
 * Blocks are collected in batches, and quantized coefficients are added up;
 * the sums are multiplied by the steps at the end.  If a batch holds values
 * too large for this, its coefficients are dequantized one by one.
 */

#include "session.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_AVX2
#include <immintrin.h>
#endif

#define BATCH 32
#define SMALL 11585 /* BATCH * SMALL^2 < 2^32 */
#define CLAMP 32767 /* of a dequantized coefficient */

/* The sums of a batch; sizes is all |k| or'ed together. */
typedef struct {
  int32_t sums[PYFD_BLOCK];
  uint32_t squares[PYFD_BLOCK];
  uint16_t sizes[PYFD_BLOCK];
} batch_sums;

typedef struct {
  JCOEF batch[BATCH][PYFD_BLOCK];
  int batch_size;
  batch_sums total; /* of the batch */
  const UINT16 *steps;
  uint16_t small[PYFD_BLOCK]; /* largest |k| for the batches' sums */
  int64_t sums[PYFD_BLOCK];   /* of k */
  uint64_t squares[PYFD_BLOCK];
  int64_t *exact_sums; /* the caller's, dequantized */
  uint64_t *exact_squares;
  uint64_t *blocks;
} component_sums;

typedef struct {
  pyfd_statistics *out;
  component_sums components[PYFD_YCBCR_COMPONENTS];
  void (*add)(batch_sums *total, const JCOEF *blocks, int count);
} statistics_job;

static void add(batch_sums *total, const JCOEF *blocks, int count)
{
  int i, k;

  memset(total, 0, sizeof(*total));
  for (; count > 0; count--, blocks += PYFD_BLOCK) {
    for (i = 0; i < PYFD_BLOCK; i++) {
      k = blocks[i];
      total->sums[i] += k;
      total->squares[i] += (uint32_t)(k * k);
      total->sizes[i] |= (uint16_t)(k < 0 ? -k : k);
    }
  }
}

#ifdef HAS_AVX2

/* Do the same for two blocks at a time: PMADDWD adds up pairs of numbers or of
 * their squares. */
__attribute__((target("avx2"))) static void
add_avx2(batch_sums *total, const JCOEF *blocks, int count)
{
  static const JCOEF zeros[PYFD_BLOCK];
  const __m256i ones = _mm256_set1_epi16(1);
  int part, i;

  for (part = 0; part < PYFD_BLOCK; part += 16) {
    __m256i low = _mm256_setzero_si256(), high = low, sizes = low;
    __m256i low_squares = low, high_squares = low;

    for (i = 0; i < count; i += 2) {
      const JCOEF *first = blocks + i * PYFD_BLOCK;
      const JCOEF *second = i + 1 < count ? first + PYFD_BLOCK : zeros;
      __m256i a = _mm256_loadu_si256((const __m256i *)(first + part));
      __m256i b = _mm256_loadu_si256((const __m256i *)(second + part));
      __m256i ab = _mm256_unpacklo_epi16(a, b);

      sizes = _mm256_or_si256(sizes, _mm256_abs_epi16(a));
      sizes = _mm256_or_si256(sizes, _mm256_abs_epi16(b));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(ab, ones));
      low_squares = _mm256_add_epi32(low_squares, _mm256_madd_epi16(ab, ab));
      ab = _mm256_unpackhi_epi16(a, b);
      high = _mm256_add_epi32(high, _mm256_madd_epi16(ab, ones));
      high_squares = _mm256_add_epi32(high_squares, _mm256_madd_epi16(ab, ab));
    }
    /* low holds the sums of 0...3 and 8...11, high those of the others */
    _mm256_storeu_si256((__m256i *)(total->sums + part),
                        _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)(total->sums + part + 8),
                        _mm256_permute2x128_si256(low, high, 0x31));
    _mm256_storeu_si256(
        (__m256i *)(total->squares + part),
        _mm256_permute2x128_si256(low_squares, high_squares, 0x20));
    _mm256_storeu_si256(
        (__m256i *)(total->squares + part + 8),
        _mm256_permute2x128_si256(low_squares, high_squares, 0x31));
    _mm256_storeu_si256((__m256i *)(total->sizes + part), sizes);
  }
}

#endif

static void add_exactly(component_sums *c, int i, int k)
{
  int64_t value = (int64_t)k * c->steps[i];

  if (value > CLAMP)
    value = CLAMP;
  if (value < -CLAMP)
    value = -CLAMP;
  c->exact_sums[i] += value;
  c->exact_squares[i] += (uint64_t)(value * value);
}

/* Add up to BATCH blocks that lie side by side. */
static void add_blocks(const statistics_job *job, component_sums *c,
                       const JCOEF *blocks, int count)
{
  batch_sums *total = &c->total;
  int i, large = 0;

  (*job->add)(total, blocks, count);
  for (i = 0; i < PYFD_BLOCK; i++)
    large |= total->sizes[i] > c->small[i];
  if (large) {
    for (i = 0; i < count * PYFD_BLOCK; i++)
      add_exactly(c, i % PYFD_BLOCK, blocks[i]);
  } else {
    for (i = 0; i < PYFD_BLOCK; i++) {
      c->sums[i] += total->sums[i];
      c->squares[i] += total->squares[i];
    }
  }
  *c->blocks += (uint64_t)count;
}

static void start_component(pyfd_session *s, int i)
{
  statistics_job *job = s->job;
  component_sums *c = &job->components[i];
  const JQUANT_TBL *table = pyfd_table_of(s, i);
  int j;

  for (j = 0; j < PYFD_BLOCK; j++) {
    c->small[j] = SMALL;
    if (table->quantval[j] > CLAMP / SMALL)
      c->small[j] = (uint16_t)(CLAMP / table->quantval[j]);
  }
  memset(c->batch, 0, sizeof(c->batch));
  c->batch_size = 0;
  c->steps = table->quantval;
  memset(c->sums, 0, sizeof(c->sums));
  memset(c->squares, 0, sizeof(c->squares));
  c->exact_sums = job->out->sums[i];
  c->exact_squares = job->out->squares[i];
  c->blocks = &job->out->blocks[i];
}

static void finish_component(const statistics_job *job, component_sums *c)
{
  int i;

  add_blocks(job, c, c->batch[0], c->batch_size);
  for (i = 0; i < PYFD_BLOCK; i++) {
    int64_t step = c->steps[i];

    c->exact_sums[i] += step * c->sums[i];
    c->exact_squares[i] += (uint64_t)(step * step) * c->squares[i];
  }
}

/* ---- the two ways to get the blocks ---- */

/* Make room for count blocks in the batch, filled with zeros. */
static void make_room(const statistics_job *job, component_sums *c, int count)
{
  if (c->batch_size + count > BATCH) {
    add_blocks(job, c, c->batch[0], c->batch_size);
    memset(c->batch, 0, sizeof(c->batch));
    c->batch_size = 0;
  }
}

/* Set the places to which the blocks of this row's and column's MCU go. */
static void place_mcu(pyfd_session *s, JDIMENSION row, JDIMENSION column,
                      JBLOCKROW *places, JBLOCK dummy)
{
  statistics_job *job = s->job;
  struct jpeg_decompress_struct *in = &s->in;
  const int last_row = row == in->MCU_rows_in_scan - 1;
  const int last_column = column == in->MCUs_per_row - 1;
  int i, x, y;

  for (i = 0; i < in->comps_in_scan; i++) {
    const jpeg_component_info *info = in->cur_comp_info[i];
    component_sums *c = &job->components[info->component_index];
    int wide = last_column ? info->last_col_width : info->MCU_width;
    int high = last_row ? info->last_row_height : info->MCU_height;

    make_room(job, c, info->MCU_blocks);
    for (y = 0; y < info->MCU_height; y++) {
      for (x = 0; x < info->MCU_width; x++)
        *places++ = x < wide && y < high ? &c->batch[c->batch_size++]
                                         : (JBLOCKROW)dummy;
    }
  }
}

/* Add up blocks while they are decoded, without keeping them. */
static void gather_streamed(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  JBLOCKROW places[D_MAX_BLOCKS_IN_MCU];
  JBLOCK dummy;
  JDIMENSION row, column;
  int i;

  in->out_color_space = in->jpeg_color_space;
  in->raw_data_out = TRUE;
  jpeg_start_decompress(in);
  for (i = 0; i < in->num_components; i++)
    start_component(s, i);
  for (row = 0; row < in->MCU_rows_in_scan; row++) {
    for (column = 0; column < in->MCUs_per_row; column++) {
      place_mcu(s, row, column, places, dummy);
      jpeg_read_mcu(in, places);
    }
  }
  jpeg_end_mcus(in);
}

/* Add up the blocks of the whole image, which several scans have filled. */
static void gather_whole(pyfd_session *s)
{
  statistics_job *job = s->job;
  const pyfd_header *header = &s->walk.header;
  jvirt_barray_ptr *arrays;
  JBLOCKROW blocks;
  uint32_t row, wide, column;
  int i, count;

  pyfd_charge_memory(s, 0);
  arrays = jpeg_read_coefficients(&s->in);
  pyfd_check_scans(s);
  for (i = 0; i < s->in.num_components; i++) {
    start_component(s, i);
    wide = header->blocks_wide[i];
    for (row = 0; row < header->blocks_high[i]; row++) {
      blocks = (*s->in.mem->access_virt_barray)((j_common_ptr)&s->in,
                                                arrays[i], row, 1, FALSE)[0];
      for (column = 0; column < wide; column += (uint32_t)count) {
        count = wide - column < BATCH ? (int)(wide - column) : BATCH;
        add_blocks(job, &job->components[i], blocks[column], count);
      }
    }
  }
}

static void check_color_space(pyfd_session *s)
{
  static const char *const names[] = {
      [PYFD_RGB] = "RGB", [PYFD_CMYK] = "CMYK", [PYFD_YCCK] = "YCCK"};
  const uint32_t space = s->walk.header.color_space;

  if (space != PYFD_L && space != PYFD_YCBCR) {
    pyfd_fail(s->errors.status, PYFD_UNSUPPORTED,
              "a %s file: only L and YCbCr are supported", names[space]);
    pyfd_leave(s, PYFD_UNSUPPORTED);
  }
}

static void gather(pyfd_session *s)
{
  statistics_job *job = s->job;
  int i;

  pyfd_open_input(s);
  check_color_space(s);
  if (s->walk.header.multiscan)
    gather_whole(s);
  else
    gather_streamed(s);
  for (i = 0; i < s->in.num_components; i++)
    finish_component(job, &job->components[i]);
  jpeg_finish_decompress(&s->in);
}

int pyfd_gather_statistics(const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, pyfd_statistics *out,
                           pyfd_status *status)
{
  pyfd_session s;
  statistics_job job;

  memset(out, 0, sizeof(*out));
  job.out = out;
  job.add = add;
#ifdef HAS_AVX2
  if (__builtin_cpu_supports("avx2"))
    job.add = add_avx2;
#endif
  pyfd_start_reader(&s, data, size, limits, reading, status, &job);
  return pyfd_run(&s, gather);
}
