/*
 * file_radius.c - see file_radius.h, and docs/files-theorem.md for the proof.
 */

#include "file_radius.h"

#include <string.h>

#include "status.h"
#include "strength.h"

/*
 * Bound a component's strength from the steps alone, within -1...255: every
 * block has at least the least, and none more than the most, if it is decoded
 * from its coefficients and not cut.  The most is that of a flat block at
 * level 128.
 *
 * Without rounding, A S A' / 2 would be k q.  The second pass's rounding moves
 * it by l(u) l(v) / 4 at most, the first one's by 1/8.
 */
static void bound_strength(const pyfd_values *steps, int *least, int *most)
{
  double gain, room, inexact;
  int i, j;

  *least = *most = WHITE;
  for (i = 0; i < PYFD_SIDE; i++) {
    for (j = 0; j < PYFD_SIDE; j++) {
      gain = lengths[i] * lengths[j];
      inexact = INEXACT(lengths[i] + lengths[j]);
      room = (steps->at[PYFD_SIDE * i + j] + 1) / 2 * ONE - ONE / 8 - inexact;
      *most = largest(2 * room, gain, *most);
      *least = largest(2 * (room - ONE / 8 - inexact) - gain, gain, *least);
    }
  }
}

/* ---- all components ---- */

/* Return the largest e, at most `most`, with all pixels in e + 1 ... 254 - e,
 * or something negative. */
static int uncut_strength(const pyfd_pixels *pixels, int channels, int most)
{
  int32_t value;
  int i, j;

  for (i = 0; i < channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++) {
      value = pixels->plane[i].at[j];
      value = value < WHITE - value ? value : WHITE - value;
      most = value - 1 < most ? value - 1 : most;
    }
  }
  return most;
}

int pyfd_block_strength(const pyfd_component *components, int channels,
                        const pyfd_values *quantized,
                        const pyfd_values *samples, const pyfd_pixels *pixels,
                        int most)
{
  int i, strength = uncut_strength(pixels, channels, most);

  for (i = 0; i < channels && strength >= 0; i++)
    strength = (*components[i].arithmetic->strength)(
        &quantized[i], &components[i].steps, &samples[i], strength);
  return strength < 0 ? -1 : strength;
}

/* ---- whole images ---- */

typedef struct {
  pyfd_image image;
  pyfd_component components[PYFD_CHANNELS];
  int least; /* strength of a block that is not cut, by the steps alone */
  int most;  /* of any block */
} radius_job;

/* Decode what the encoder makes of a component.  Return whether all decoders
 * make the same of it. */
static int pass_through(const pyfd_component *component,
                        const pyfd_pixels *pixels, pyfd_values *quantized,
                        pyfd_values *samples)
{
  const pyfd_arithmetic *arithmetic = component->arithmetic;
  pyfd_values scaled;

  pyfd_transform(component, pixels, &scaled);
  (*arithmetic->quantize)(&scaled, &component->steps, quantized);
  if (!(*arithmetic->inverse)(quantized, &component->steps, samples))
    return 0;
  (*arithmetic->cut)(samples, -CENTER, WHITE - CENTER);
  return 1;
}

static int are_pixels_of(const radius_job *job, const pyfd_values *samples,
                         const pyfd_pixels *pixels)
{
  pyfd_pixels made;
  int i;

  if (job->image.channels == PYFD_CHANNELS) {
    (*job->components->arithmetic->to_pixels)(samples, &made);
    return memcmp(&made, pixels, sizeof(made)) == 0;
  }
  for (i = 0; i < PYFD_BLOCK; i++)
    made.plane[0].at[i] = samples->at[i] + CENTER;
  return memcmp(made.plane, pixels->plane, sizeof(*made.plane)) == 0;
}

/* Return the radius for files of 8x8 pixels. */
static int radius_of(const radius_job *job, const pyfd_pixels *pixels)
{
  const int channels = job->image.channels;
  pyfd_values quantized[PYFD_CHANNELS], samples[PYFD_CHANNELS];
  int strength = uncut_strength(pixels, channels, job->most), i;

  if (strength < 0)
    return 0;
  for (i = 0; i < channels; i++) {
    if (!pass_through(&job->components[i], pixels, &quantized[i], &samples[i]))
      return 0;
  }
  if (!are_pixels_of(job, samples, pixels))
    return 0;
  if (strength <= job->least)
    return strength + 1;
  return 1 + pyfd_block_strength(job->components, channels, quantized, samples,
                                 pixels, strength);
}

static void set_job(radius_job *job, const uint16_t (*tables)[PYFD_BLOCK],
                    int num_tables)
{
  int i, least, most;

  job->least = job->most = WHITE;
  for (i = 0; i < job->image.channels; i++) {
    pyfd_set_component(&job->components[i], i, job->image.channels, 1, 1,
                       tables[i < num_tables ? i : num_tables - 1]);
    bound_strength(&job->components[i].steps, &least, &most);
    job->least = least < job->least ? least : job->least;
    job->most = most < job->most ? most : job->most;
  }
}

int pyfd_find_file_radii(const uint8_t *pixels, uint32_t width,
                         uint32_t height, int channels, const uint16_t *tables,
                         int num_tables, uint16_t *out, size_t out_count,
                         pyfd_status *status)
{
  const uint16_t (*table)[PYFD_BLOCK] = (const uint16_t (*)[PYFD_BLOCK])tables;
  radius_job job = {.image = {pixels, width, height, channels}};
  const uint32_t high = (height + PYFD_SIDE - 1) / PYFD_SIDE;
  const uint32_t wide = (width + PYFD_SIDE - 1) / PYFD_SIDE;
  pyfd_pixels block;
  uint32_t row, column;

  memset(status, 0, sizeof(*status));
  if (pyfd_check_image(&job.image, table, num_tables, status) != PYFD_OK)
    return (int)status->code;
  if ((uint64_t)high * wide != out_count)
    return pyfd_fail(status, PYFD_ARGUMENT, "the buffer does not fit");
  set_job(&job, table, num_tables);
  memset(out, 0, out_count * sizeof(*out)); /* padded blocks: nothing */
  for (row = 0; row < height / PYFD_SIDE; row++) {
    for (column = 0; column < width / PYFD_SIDE; column++) {
      pyfd_load_pixels(&job.image, job.components, row, column, &block);
      out[(size_t)row * wide + column] = (uint16_t)radius_of(&job, &block);
    }
  }
  return PYFD_OK;
}
