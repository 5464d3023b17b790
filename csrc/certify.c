/*
 * certify.c - the certificates of all blocks of an image.
 */

#include <string.h>

#include "certificate.h"
#include "status.h"

#define LARGEST 255 /* the strongest perturbation */

typedef struct {
  pyfd_image image;
  pyfd_component components[PYFD_CHANNELS];
  size_t offsets[PYFD_CHANNELS]; /* of the components' blocks in the result */
  int epsilon;                   /* or PYFD_RADII */
  pyfd_reach reach;
  pyfd_gains gains;
} certify_job;

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
  return (a + b - 1) / b;
}

static uint32_t blocks_wide(const certify_job *job, int i)
{
  return ceil_div(job->image.width,
                  PYFD_SIDE * (uint32_t)job->components[i].across);
}

static uint32_t blocks_high(const certify_job *job, int i)
{
  return ceil_div(job->image.height,
                  PYFD_SIDE * (uint32_t)job->components[i].down);
}

static int check_arguments(const pyfd_image *image, int h_samp, int v_samp,
                           const uint16_t (*tables)[PYFD_BLOCK],
                           int num_tables, int epsilon, pyfd_status *status)
{
  if (h_samp < 1 || h_samp > 2 || v_samp < 1 || v_samp > 2)
    return pyfd_fail(status, PYFD_ARGUMENT, "sampling must be 1 or 2");
  if (epsilon < PYFD_RADII || epsilon > LARGEST)
    return pyfd_fail(status, PYFD_ARGUMENT, "epsilon must be 0 to %d",
                     LARGEST);
  return pyfd_check_image(image, tables, num_tables, status);
}

static uint16_t certify_block(const certify_job *job,
                              const pyfd_component *component,
                              const pyfd_pixels *pixels)
{
  if (job->epsilon == PYFD_RADII)
    return (uint16_t)pyfd_block_radius(component, &job->gains, pixels);
  return (uint16_t)pyfd_block_is_safe(component, &job->reach, pixels);
}

/* Certify the blocks of components first...end-1, which cover the same
 * pixels. */
static void certify_components(const certify_job *job, int first, int end,
                               uint16_t *out)
{
  const uint32_t wide = blocks_wide(job, first);
  const uint32_t high = blocks_high(job, first);
  pyfd_pixels pixels[PYFD_PHASES];
  uint32_t row, column;
  size_t block = 0;
  int i;

  for (row = 0; row < high; row++) {
    for (column = 0; column < wide; column++, block++) {
      pyfd_load_pixels(&job->image, &job->components[first], row, column,
                       pixels);
      for (i = first; i < end; i++)
        out[job->offsets[i] + block] =
            certify_block(job, &job->components[i], pixels);
    }
  }
}

int pyfd_certify(const uint8_t *pixels, uint32_t width, uint32_t height,
                 int channels, int h_samp, int v_samp, const uint16_t *tables,
                 int num_tables, int epsilon, uint16_t *out, size_t out_count,
                 pyfd_status *status)
{
  const uint16_t (*table)[PYFD_BLOCK] = (const uint16_t (*)[PYFD_BLOCK])tables;
  certify_job job = {.image = {pixels, width, height, channels},
                     .epsilon = epsilon};
  uint64_t count = 0;
  int i;

  memset(status, 0, sizeof(*status));
  if (check_arguments(&job.image, h_samp, v_samp, table, num_tables, epsilon,
                      status) != PYFD_OK)
    return (int)status->code;
  for (i = 0; i < channels; i++) {
    pyfd_set_component(&job.components[i], i, channels, h_samp, v_samp,
                       table[i < num_tables ? i : num_tables - 1]);
    job.offsets[i] = (size_t)count;
    count += (uint64_t)blocks_wide(&job, i) * blocks_high(&job, i);
  }
  if (count != out_count)
    return pyfd_fail(status, PYFD_ARGUMENT, "the buffer does not fit");
  pyfd_set_reach(&job.reach, epsilon);
  pyfd_set_gains(&job.gains);
  if (h_samp * v_samp == 1) {
    certify_components(&job, 0, channels, out);
  } else {
    certify_components(&job, 0, 1, out);
    if (channels > 1)
      certify_components(&job, 1, channels, out);
  }
  return PYFD_OK;
}
