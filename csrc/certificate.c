/*
 * certificate.c - see certificate.h.
 */

#include "certificate.h"

#define WHITE 255

/*
 * The DCT of a perturbation of +-epsilon is epsilon * gain[u] * gain[v] / 2^26
 * where it has the signs of the weights, before the roundings.  Each of the
 * first pass's results is off by less than 1, which the second pass increases
 * to less than gain[u] / 2^15 <= 2; and its own result by less than 1.
 */
#define GAIN_BITS 26
#define ROUNDING 3

/* ---- coefficients ---- */

static int count_phases(const pyfd_component *component)
{
  return component->across * component->down;
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

int pyfd_block_is_safe(const pyfd_component *component,
                       const pyfd_reach *reach, const pyfd_pixels *pixels)
{
  pyfd_values scaled, quantized;

  pyfd_transform(component, pixels, &scaled);
  (*component->arithmetic->quantize)(&scaled, &component->steps, &quantized);
  return decide(component, reach, pixels, &scaled, &quantized);
}

int pyfd_block_holds(const pyfd_component *component, const pyfd_reach *reach,
                     const pyfd_pixels *pixels, const pyfd_values *quantized)
{
  pyfd_values scaled;

  pyfd_transform(component, pixels, &scaled);
  return decide(component, reach, pixels, &scaled, quantized);
}

/* ---- all strengths ---- */

void pyfd_set_gains(pyfd_gains *gains)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    gains->strength[i] = (float)(1 << GAIN_BITS) /
                         (float)pyfd_gain(i / PYFD_SIDE) /
                         (float)pyfd_gain(i % PYFD_SIDE);
}

/* Return the strength, cut to 0...255, that takes up the room plus so much
 * more in some coefficient. */
static int strength_of(const pyfd_gains *gains, const pyfd_values *room,
                       float more)
{
  float least = WHITE, strength;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++) {
    strength = ((float)room->at[i] + more) * gains->strength[i];
    least = strength < least ? strength : least;
  }
  return least < 0 ? 0 : (int)least;
}

/* The linear bounds leave at most a few strengths to the exact arithmetic,
 * which decides. */
int pyfd_block_radius(const pyfd_component *component, const pyfd_gains *gains,
                      const pyfd_pixels *pixels)
{
  const float margin = ROUNDING + 0.1f; /* more than single precision needs */
  pyfd_values scaled, quantized, room;
  int safe, changed, trial, stride = 1;

  pyfd_transform(component, pixels, &scaled);
  (*component->arithmetic->quantize)(&scaled, &component->steps, &quantized);
  (*component->arithmetic->room)(&scaled, &quantized, &component->steps,
                                 &room);
  safe = strength_of(gains, &room, -margin);
  changed = strength_of(gains, &room, margin) + 1;
  if (changed > uncut_strength(component, pixels))
    changed = PYFD_MAX_RADIUS;
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
