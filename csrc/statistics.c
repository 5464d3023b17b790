/*
 * statistics.c - sums and sums of squares of a file's dequantized
 * coefficients.
 *
 * Blocks are added up while they are decoded and never kept.  Coefficients of
 * ordinary size go to 32-bit sums, a whole block at a time; the DC coefficient
 * and blocks with large ones go to the 64-bit sums at once.
 */

#include "session.h"

#include <string.h>

#define COMPONENTS 3
#define SMALL 255   /* |k| for the 32-bit sums */
#define ROUND 65000 /* blocks that these hold: 65000 * 255^2 < 2^32 */
#define CLAMP 32767 /* of a dequantized coefficient */
#define MAX_ROWS (4 * DCTSIZE) /* of samples in a row of MCUs */

/* Lane 0 of the 32-bit sums is DC's: never used, so that loops have 64 turns
 */
typedef struct {
  const UINT16 *steps;
  int16_t small[PYFD_BLOCK]; /* largest |k| for the 32-bit sums */
  uint64_t blocks;
  int room; /* for blocks in the 32-bit sums */
  int32_t sums32[PYFD_BLOCK];
  uint32_t squares32[PYFD_BLOCK];
  int64_t *sums; /* the caller's */
  uint64_t *squares;
} component_sums;

typedef struct {
  const uint8_t *data;
  size_t size;
  const pyfd_limits *limits;
  int64_t *sums;
  uint64_t *squares;
  uint64_t *blocks;
  component_sums components[COMPONENTS];
  int (*add)(component_sums *c, const JCOEF *block);
} statistics_job;

/* Add a block to the 32-bit sums unless it holds large coefficients. */
static inline __attribute__((always_inline)) int
add_if_small(component_sums *c, const JCOEF *block)
{
  int i, large = 0;

  for (i = 0; i < PYFD_BLOCK; i++)
    large |= (block[i] > c->small[i]) | (block[i] < -c->small[i]);
  if (large)
    return 0;
  for (i = 0; i < PYFD_BLOCK; i++) {
    int k = block[i];

    c->sums32[i] += k;
    c->squares32[i] += (uint32_t)(k * k);
  }
  return 1;
}

static int add(component_sums *c, const JCOEF *block)
{
  return add_if_small(c, block);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static int add_avx2(component_sums *c,
                                                    const JCOEF *block)
{
  return add_if_small(c, block);
}
#endif

static void add_exactly(component_sums *c, int i, int k)
{
  int64_t value = (int64_t)k * c->steps[i];

  if (value > CLAMP)
    value = CLAMP;
  if (value < -CLAMP)
    value = -CLAMP;
  c->sums[i] += value;
  c->squares[i] += (uint64_t)(value * value);
}

/* Carry the 32-bit sums over. */
static void flush(component_sums *c)
{
  int i;

  for (i = 1; i < PYFD_BLOCK; i++) {
    int64_t step = c->steps[i];

    c->sums[i] += step * c->sums32[i];
    c->squares[i] += (uint64_t)(step * step) * c->squares32[i];
  }
  memset(c->sums32, 0, sizeof(c->sums32));
  memset(c->squares32, 0, sizeof(c->squares32));
  c->room = ROUND;
}

static void take_block(void *client, int component, const JCOEF *block)
{
  statistics_job *job = client;
  component_sums *c = &job->components[component];
  int i;

  add_exactly(c, 0, block[0]);
  if (!(*job->add)(c, block)) {
    for (i = 1; i < PYFD_BLOCK; i++)
      add_exactly(c, i, block[i]);
  }
  c->blocks++;
  if (--c->room == 0)
    flush(c);
}

static void start_component(pyfd_session *s, int i)
{
  statistics_job *job = s->job;
  component_sums *c = &job->components[i];
  const JQUANT_TBL *table = s->in.comp_info[i].quant_table;
  int j;

  if (table == NULL) /* pyfd_check_scans() has warned of it */
    pyfd_leave(s, PYFD_CORRUPT);
  c->room = ROUND;
  c->small[0] = 32767;
  for (j = 1; j < PYFD_BLOCK; j++) {
    c->small[j] = SMALL;
    if (table->quantval[j] > CLAMP / SMALL)
      c->small[j] = (int16_t)(CLAMP / table->quantval[j]);
  }
  c->steps = table->quantval;
  c->sums = job->sums + i * PYFD_BLOCK;
  c->squares = job->squares + i * PYFD_BLOCK;
}

static void gather(pyfd_session *s)
{
  statistics_job *job = s->job;
  struct jpeg_decompress_struct *in = &s->in;
  JSAMPROW rows[MAX_ROWS] = {NULL}; /* nothing is written to them */
  JSAMPARRAY planes[COMPONENTS] = {rows, rows, rows};
  int i;

  pyfd_open_input(s, job->data, job->size, job->limits);
  if (in->num_components > COMPONENTS) {
    pyfd_fail(s->errors.status, PYFD_ARGUMENT, "neither gray nor YCbCr");
    pyfd_leave(s, PYFD_ARGUMENT);
  }
  if (s->walk.header.multiscan)
    pyfd_charge_memory(s, job->size, 0);
  in->out_color_space = in->jpeg_color_space;
  in->raw_data_out = TRUE;
  jpeg_set_block_sink(in, take_block, job);
  jpeg_start_decompress(in);
  pyfd_check_scans(s);
  for (i = 0; i < in->num_components; i++)
    start_component(s, i);
  while (in->output_scanline < in->output_height)
    jpeg_read_raw_data(in, planes, MAX_ROWS);
  for (i = 0; i < in->num_components; i++) {
    flush(&job->components[i]);
    job->blocks[i] = job->components[i].blocks;
  }
  s->errors.done = 1;
  jpeg_finish_decompress(in);
}

int pyfd_gather_statistics(const uint8_t *data, size_t size,
                           const pyfd_limits *limits, int strict,
                           int64_t *sums, uint64_t *squares, uint64_t *blocks,
                           pyfd_status *status)
{
  pyfd_session s;
  statistics_job job;

  memset(&job, 0, sizeof(job));
  memset(sums, 0, COMPONENTS * PYFD_BLOCK * sizeof(*sums));
  memset(squares, 0, COMPONENTS * PYFD_BLOCK * sizeof(*squares));
  memset(blocks, 0, COMPONENTS * sizeof(*blocks));
  job.data = data;
  job.size = size;
  job.limits = limits;
  job.sums = sums;
  job.squares = squares;
  job.blocks = blocks;
  job.add = add;
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx2"))
    job.add = add_avx2;
#endif
  pyfd_start_session(&s, status, strict, &job);
  return pyfd_run(&s, gather);
}
