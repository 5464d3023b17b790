/*
 * certificate.c - see certificate.h.
 */

#include "certificate.h"

#include <string.h>

#include "status.h"

#define WHITE 255
#define ALWAYS (WHITE + 1) /* the radius of a block that nothing changes */

/*
 * The DCT of a perturbation of +-epsilon is epsilon * gain[u] * gain[v] / 2^26
 * where it has the signs of the weights, before the roundings.  Each of the
 * first pass's results is off by less than 1, which the second pass increases
 * to less than gain[u] / 2^15 <= 2; and its own result by less than 1.
 */
#define GAIN_BITS 26
#define ROUNDING 3

/* ---- blocks ---- */

void pyfd_set_component(pyfd_component *component, int index, int channels,
                        int across, int down, const uint16_t *steps)
{
  int i;

  component->arithmetic = pyfd_choose_arithmetic();
  component->component = channels == 1 ? PYFD_GRAY : index;
  component->across = index > 0 ? across : 1;
  component->down = index > 0 ? down : 1;
  for (i = 0; i < PYFD_BLOCK; i++)
    component->steps.at[i] = steps[i];
}

static int count_phases(const pyfd_component *component)
{
  return component->across * component->down;
}

/* Split up 8 pixels of one line of the image, each across columns from the
 * last; those beyond the right edge repeat the last one. */
static void load_row(const pyfd_image *image, const uint8_t *line,
                     uint32_t column, uint32_t across, int row,
                     pyfd_pixels *pixels)
{
  const size_t channels = (size_t)image->channels;
  const uint32_t last = image->width - 1;
  const uint8_t *from[PYFD_SIDE];
  uint32_t i, x;
  size_t channel;

  for (i = 0; i < PYFD_SIDE; i++) {
    x = column + i * across;
    from[i] = line + channels * (x < last ? x : last);
  }
  for (channel = 0; channel < channels; channel++) {
    for (i = 0; i < PYFD_SIDE; i++)
      pixels->plane[channel].at[PYFD_SIDE * row + (int)i] = from[i][channel];
  }
}

/* Do the same for pixels that lie side by side in a color image. */
static void load_row_at_once(const uint8_t *from, int row, pyfd_pixels *pixels)
{
  int32_t *r = pixels->plane[0].at + PYFD_SIDE * row;
  int32_t *g = pixels->plane[1].at + PYFD_SIDE * row;
  int32_t *b = pixels->plane[2].at + PYFD_SIDE * row;
  int i;

  for (i = 0; i < PYFD_SIDE; i++, from += PYFD_CHANNELS) {
    r[i] = from[0];
    g[i] = from[1];
    b[i] = from[2];
  }
}

/* Copy one of every across * down pixels. */
static void load_phase(const pyfd_image *image, uint32_t row, uint32_t column,
                       uint32_t across, uint32_t down, uint32_t x, uint32_t y,
                       pyfd_pixels *pixels)
{
  const uint32_t last_sample = (image->height - 1) / down;
  const uint32_t left = PYFD_SIDE * column * across + x;
  const uint8_t *line;
  uint32_t i, sample, at;

  for (i = 0; i < PYFD_SIDE; i++) {
    sample = PYFD_SIDE * row + i;
    at = (sample < last_sample ? sample : last_sample) * down + y;
    at = at < image->height ? at : image->height - 1;
    line = image->pixels + (size_t)at * image->width * (size_t)image->channels;
    if (image->channels == PYFD_CHANNELS && across == 1 &&
        left + PYFD_SIDE <= image->width)
      load_row_at_once(line + (size_t)PYFD_CHANNELS * left, (int)i, pixels);
    else
      load_row(image, line, left, across, (int)i, pixels);
  }
}

void pyfd_load_pixels(const pyfd_image *image, const pyfd_component *component,
                      uint32_t row, uint32_t column, pyfd_pixels *pixels)
{
  const uint32_t across = (uint32_t)component->across;
  const uint32_t down = (uint32_t)component->down;
  uint32_t x, y;

  for (y = 0; y < down; y++) {
    for (x = 0; x < across; x++, pixels++) {
      if (image->channels == 1)
        memset(pixels->plane + 1, 0, 2 * sizeof(pyfd_values));
      load_phase(image, row, column, across, down, x, y, pixels);
    }
  }
}

/* Add the samples of one phase, and after the last one average them as libjpeg
 * does: its rounding alternates from column to column. */
static void average(const pyfd_component *component, pyfd_values *sum)
{
  const int count = count_phases(component);
  const int shift = count == 4 ? 2 : 1;
  int i, bias;

  for (i = 0; i < PYFD_BLOCK; i++) {
    if (count == 4)
      bias = 1 + i % 2;
    else
      bias = component->across == 2 ? i % 2 : 1;
    sum->at[i] = (sum->at[i] + bias) >> shift;
  }
}

static void add(pyfd_values *sum, const pyfd_values *values)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    sum->at[i] += values->at[i];
}

void pyfd_transform(const pyfd_component *component, const pyfd_pixels *pixels,
                    pyfd_values *scaled)
{
  const pyfd_arithmetic *arithmetic = component->arithmetic;
  pyfd_values samples, more;
  int i;

  (*arithmetic->to_component)(&pixels[0], component->component, &samples);
  for (i = 1; i < count_phases(component); i++) {
    (*arithmetic->to_component)(&pixels[i], component->component, &more);
    add(&samples, &more);
  }
  if (i > 1)
    average(component, &samples);
  (*arithmetic->forward)(&samples, scaled);
}

/* Compute the exact bounds of a block's scaled coefficients. */
static void transform_bounds(const pyfd_component *component,
                             const pyfd_pixels *pixels, int epsilon,
                             pyfd_bounds *scaled)
{
  const pyfd_arithmetic *arithmetic = component->arithmetic;
  pyfd_bounds more;
  int i;

  (*arithmetic->component_bounds)(&pixels[0], component->component, epsilon,
                                  scaled);
  for (i = 1; i < count_phases(component); i++) {
    (*arithmetic->component_bounds)(&pixels[i], component->component, epsilon,
                                    &more);
    add(&scaled->low, &more.low);
    add(&scaled->high, &more.high);
  }
  if (i > 1) {
    average(component, &scaled->low);
    average(component, &scaled->high);
  }
  (*arithmetic->forward_bounds)(scaled);
}

/* ---- one strength ---- */

void pyfd_set_reach(pyfd_reach *reach, int epsilon)
{
  int64_t product, one = (int64_t)1 << GAIN_BITS;
  int i;

  reach->epsilon = epsilon;
  for (i = 0; i < PYFD_BLOCK; i++) {
    product =
        (int64_t)epsilon * pyfd_gain(i / PYFD_SIDE) * pyfd_gain(i % PYFD_SIDE);
    reach->most.at[i] = (int32_t)((product + one - 1) / one) + ROUNDING;
    reach->least.at[i] = (int32_t)(product / one) - ROUNDING;
  }
}

/* Return the largest strength at which no pixel is cut at 0 or 255. */
static int uncut_strength(const pyfd_component *component,
                          const pyfd_pixels *pixels)
{
  const int planes = component->component == PYFD_GRAY ? 1 : PYFD_CHANNELS;
  int32_t lowest = WHITE, highest = 0, value;
  int i, j, phase;

  for (phase = 0; phase < count_phases(component); phase++) {
    for (i = 0; i < planes; i++) {
      for (j = 0; j < PYFD_BLOCK; j++) {
        value = pixels[phase].plane[i].at[j];
        lowest = value < lowest ? value : lowest;
        highest = value > highest ? value : highest;
      }
    }
  }
  return lowest < WHITE - highest ? lowest : WHITE - highest;
}

static int holds_exactly(const pyfd_component *component,
                         const pyfd_pixels *pixels, int epsilon,
                         const pyfd_values *quantized)
{
  pyfd_bounds scaled;

  transform_bounds(component, pixels, epsilon, &scaled);
  return (*component->arithmetic->within)(&scaled, quantized,
                                          &component->steps);
}

/* Decide whether a block holds; scaled are its coefficients now. */
static int decide(const pyfd_component *component, const pyfd_reach *reach,
                  const pyfd_pixels *pixels, const pyfd_values *scaled,
                  const pyfd_values *quantized)
{
  pyfd_values room;

  (*component->arithmetic->room)(scaled, quantized, &component->steps, &room);
  if ((*component->arithmetic->is_least)(&room, &reach->most))
    return 1;
  if (!(*component->arithmetic->is_least)(&room, &reach->least) &&
      uncut_strength(component, pixels) >= reach->epsilon)
    return 0;
  return holds_exactly(component, pixels, reach->epsilon, quantized);
}

int pyfd_block_holds(const pyfd_component *component, const pyfd_reach *reach,
                     const pyfd_pixels *pixels, const pyfd_values *quantized)
{
  pyfd_values scaled;

  pyfd_transform(component, pixels, &scaled);
  return decide(component, reach, pixels, &scaled, quantized);
}

/* ---- all strengths ---- */

/* The strength that one unit of a scaled coefficient takes, by frequency */
typedef struct {
  float strength[PYFD_BLOCK];
} strengths;

static void set_strengths(strengths *per_unit)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    per_unit->strength[i] = (float)(1 << GAIN_BITS) /
                            (float)pyfd_gain(i / PYFD_SIDE) /
                            (float)pyfd_gain(i % PYFD_SIDE);
}

/* Return the strength, cut to 0...255, that takes up the room plus so much
 * more in some coefficient. */
static int strength_of(const strengths *per_unit, const pyfd_values *room,
                       float more)
{
  float least = WHITE, strength;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++) {
    strength = ((float)room->at[i] + more) * per_unit->strength[i];
    least = strength < least ? strength : least;
  }
  return least < 0 ? 0 : (int)least;
}

/* Return a block's radius.  The linear bounds leave at most a few strengths to
 * the exact arithmetic, which decides. */
static int radius_of(const pyfd_component *component,
                     const strengths *per_unit, const pyfd_pixels *pixels)
{
  const float margin = ROUNDING + 0.1f; /* more than single precision needs */
  pyfd_values scaled, quantized, room;
  int safe, changed, trial, stride = 1;

  pyfd_transform(component, pixels, &scaled);
  (*component->arithmetic->quantize)(&scaled, &component->steps, &quantized);
  (*component->arithmetic->room)(&scaled, &quantized, &component->steps,
                                 &room);
  safe = strength_of(per_unit, &room, -margin);
  changed = strength_of(per_unit, &room, margin) + 1;
  if (changed > uncut_strength(component, pixels))
    changed = ALWAYS;
  while (changed - safe > 1) {
    trial = safe + stride;
    if (trial > (safe + changed) / 2)
      trial = (safe + changed) / 2;
    if (holds_exactly(component, pixels, trial, &quantized))
      safe = trial;
    else
      changed = trial;
    stride *= 2;
  }
  return changed;
}

/* ---- images ---- */

typedef struct {
  pyfd_image image;
  pyfd_component components[PYFD_CHANNELS];
  size_t offsets[PYFD_CHANNELS]; /* of the components' blocks in the result */
  int epsilon;                   /* or PYFD_RADII */
  pyfd_reach reach;
  strengths per_unit;
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

int pyfd_check_image(const pyfd_image *image,
                     const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                     pyfd_status *status)
{
  int i, j;

  if (image->width < 1 || image->width > PYFD_MAX_SIDE || image->height < 1 ||
      image->height > PYFD_MAX_SIDE ||
      (image->channels != 1 && image->channels != PYFD_CHANNELS))
    return pyfd_fail(status, PYFD_ARGUMENT, "no image has this shape");
  if (num_tables < 1 || num_tables > PYFD_MAX_COMPONENTS)
    return pyfd_fail(status, PYFD_ARGUMENT, "tables must be 1 to %d",
                     PYFD_MAX_COMPONENTS);
  for (i = 0; i < num_tables; i++) {
    for (j = 0; j < PYFD_BLOCK; j++) {
      if (tables[i][j] < 1 || tables[i][j] > PYFD_ENCODER_STEP)
        return pyfd_fail(status, PYFD_ARGUMENT, "steps must be 1 to %d",
                         PYFD_ENCODER_STEP);
    }
  }
  return PYFD_OK;
}

static int check_arguments(const pyfd_image *image, int h_samp, int v_samp,
                           const uint16_t (*tables)[PYFD_BLOCK],
                           int num_tables, int epsilon, pyfd_status *status)
{
  if (h_samp < 1 || h_samp > 2 || v_samp < 1 || v_samp > 2)
    return pyfd_fail(status, PYFD_ARGUMENT, "sampling must be 1 or 2");
  if (epsilon < PYFD_RADII || epsilon > WHITE)
    return pyfd_fail(status, PYFD_ARGUMENT, "epsilon must be 0 to %d", WHITE);
  return pyfd_check_image(image, tables, num_tables, status);
}

static uint16_t certify_block(const certify_job *job,
                              const pyfd_component *component,
                              const pyfd_pixels *pixels)
{
  pyfd_values scaled, quantized;

  if (job->epsilon == PYFD_RADII)
    return (uint16_t)radius_of(component, &job->per_unit, pixels);
  pyfd_transform(component, pixels, &scaled);
  (*component->arithmetic->quantize)(&scaled, &component->steps, &quantized);
  return (uint16_t)decide(component, &job->reach, pixels, &scaled, &quantized);
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
  size_t count = 0;
  int i;

  memset(status, 0, sizeof(*status));
  if (check_arguments(&job.image, h_samp, v_samp, table, num_tables, epsilon,
                      status) != PYFD_OK)
    return (int)status->code;
  for (i = 0; i < channels; i++) {
    pyfd_set_component(&job.components[i], i, channels, h_samp, v_samp,
                       table[i < num_tables ? i : num_tables - 1]);
    job.offsets[i] = count;
    count += (size_t)blocks_wide(&job, i) * blocks_high(&job, i);
  }
  if (count != out_count)
    return pyfd_fail(status, PYFD_ARGUMENT, "the buffer does not fit");
  pyfd_set_reach(&job.reach, epsilon);
  set_strengths(&job.per_unit);
  if (h_samp * v_samp == 1) {
    certify_components(&job, 0, channels, out);
  } else {
    certify_components(&job, 0, 1, out);
    if (channels > 1)
      certify_components(&job, 1, channels, out);
  }
  return PYFD_OK;
}
