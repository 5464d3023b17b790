/*
 * candidate.c - see candidate.h.
 */

#include "candidate.h"

#include <string.h>

#define GRAY 128 /* is 0 after the level shift */
#define WHITE 255

/* Repeat the last column and row within the image, as the encoder does. */
static void pad(const pyfd_search *s, pyfd_pixels *pixels)
{
  int i, x, y;

  if (s->wide == PYFD_SIDE && s->high == PYFD_SIDE)
    return;
  for (i = 0; i < s->channels; i++) {
    int32_t *at = pixels->plane[i].at;

    for (y = 0; y < s->high; y++) {
      for (x = s->wide; x < PYFD_SIDE; x++)
        at[PYFD_SIDE * y + x] = at[PYFD_SIDE * y + s->wide - 1];
    }
    for (y = s->high; y < PYFD_SIDE; y++)
      memcpy(at + PYFD_SIDE * y, at + PYFD_SIDE * (s->high - 1),
             PYFD_SIDE * sizeof(*at));
  }
}

/* Return whether a baseline file has codes for the coefficients: they end at
 * +-1023, and for DC at -1024. */
static int is_codable(const pyfd_values *quantized)
{
  const int32_t dc = quantized->at[0];
  int32_t beyond = dc < -1024 || dc > 1023;
  int i;

  for (i = 1; i < PYFD_BLOCK; i++)
    beyond |= quantized->at[i] < -1023 || quantized->at[i] > 1023;
  return !beyond;
}

static int cut_planes(const pyfd_search *s, pyfd_values *planes, int32_t low,
                      int32_t high)
{
  const pyfd_arithmetic *arithmetic = s->certified->components->arithmetic;
  int i, any = 0;

  for (i = 0; i < s->channels; i++)
    any |= (*arithmetic->cut)(&planes[i], low, high);
  return any;
}

static void to_pixels(const pyfd_search *s, const pyfd_values *samples,
                      pyfd_pixels *pixels)
{
  const pyfd_arithmetic *arithmetic = s->certified->components->arithmetic;
  int i;

  if (s->channels == PYFD_CHANNELS) {
    (*arithmetic->to_pixels)(samples, pixels);
    return;
  }
  memset(pixels, 0, sizeof(*pixels));
  for (i = 0; i < PYFD_BLOCK; i++)
    pixels->plane[0].at[i] = samples[0].at[i] + GRAY;
}

int pyfd_decode_candidate(const pyfd_search *s, pyfd_candidate *c)
{
  const pyfd_component *components = s->certified->components;
  int i, alike = 1;

  for (i = 0; i < s->channels; i++)
    alike &= is_codable(&c->quantized[i]) &
             (*components->arithmetic->inverse)(
                 &c->quantized[i], &components[i].steps, &c->samples[i]);
  to_pixels(s, c->samples, &c->pixels);
  if (s->uncut != NULL)
    *s->uncut = c->pixels;
  if (cut_planes(s, c->samples, -GRAY, WHITE - GRAY))
    to_pixels(s, c->samples, &c->pixels);
  cut_planes(s, c->pixels.plane, 0, WHITE);
  pad(s, &c->pixels);
  return alike;
}

int pyfd_candidate_holds(pyfd_search *s, const pyfd_candidate *c)
{
  const pyfd_certified *certified = s->certified;
  int i, component;

  for (i = 0; i < s->channels && certified->epsilon >= 0; i++) {
    component = (s->weakest + i) % s->channels;
    if (!pyfd_block_holds(&certified->components[component], &certified->reach,
                          &c->pixels, &c->quantized[component])) {
      s->weakest = component;
      return 0;
    }
  }
  return certified->file_epsilon < 0 ||
         pyfd_block_strength(
             certified->components, s->channels, c->quantized, c->samples,
             &c->pixels, certified->file_epsilon) == certified->file_epsilon;
}

int pyfd_is_padded(const pyfd_search *s)
{
  return s->wide < PYFD_SIDE || s->high < PYFD_SIDE;
}

static int64_t loss_inside(const pyfd_search *s, const pyfd_values *ours,
                           const pyfd_values *theirs)
{
  int32_t difference, loss = 0;
  int x, y;

  for (y = 0; y < s->high; y++) {
    for (x = 0; x < s->wide; x++) {
      difference = ours->at[PYFD_SIDE * y + x] - theirs->at[PYFD_SIDE * y + x];
      loss += difference * difference;
    }
  }
  return loss;
}

static int64_t loss_of(const pyfd_search *s, const pyfd_pixels *pixels)
{
  const pyfd_arithmetic *arithmetic = s->certified->components->arithmetic;
  int64_t loss = 0;
  int i;

  for (i = 0; i < s->channels; i++) {
    if (pyfd_is_padded(s))
      loss += loss_inside(s, &pixels->plane[i], &s->original.plane[i]);
    else
      loss +=
          (*arithmetic->difference)(&pixels->plane[i], &s->original.plane[i]);
  }
  return loss;
}

void pyfd_quantize_pixels(const pyfd_search *s, const pyfd_pixels *pixels,
                          pyfd_candidate *c)
{
  const pyfd_component *components = s->certified->components;
  pyfd_values scaled;
  int i;

  for (i = 0; i < s->channels; i++) {
    pyfd_transform(&components[i], pixels, &scaled);
    (*components[i].arithmetic->quantize)(&scaled, &components[i].steps,
                                          &c->quantized[i]);
  }
}

void pyfd_consider(pyfd_search *s, pyfd_candidate *c)
{
  int alike = pyfd_decode_candidate(s, c);

  c->loss = loss_of(s, &c->pixels);
  if (!alike || (s->found && c->loss >= s->best.loss) ||
      !pyfd_candidate_holds(s, c))
    return;
  s->best = *c;
  s->found = 1;
}
