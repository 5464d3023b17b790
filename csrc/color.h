/*
 * color.h - the color conversion, for arithmetic.c to compile.
 */

#ifndef PYFD_COLOR_H
#define PYFD_COLOR_H

#include "rows.h"

#define COLOR_BITS 16 /* fraction bits of the weights */

/* The weights of R, G and B, and what is added before the shift; the
 * components are level-shifted. */
static const int32_t to_ycc[PYFD_CHANNELS + 1][PYFD_CHANNELS + 1] = {
    {19595, 38470, 7471, (1 << 15) - (CENTER << COLOR_BITS)},
    {-11059, -21709, 32768, (1 << 15) - 1},
    {32768, -27439, -5329, (1 << 15) - 1},
    {1 << COLOR_BITS, 0, 0, -(CENTER << COLOR_BITS)},
};

ALWAYS_INLINE void to_component(const pyfd_pixels *pixels, int component,
                                pyfd_values *samples)
{
  const int32_t *weights = to_ycc[component];
  const row *r = (const row *)pixels->plane[0].at;
  const row *g = (const row *)pixels->plane[1].at;
  const row *b = (const row *)pixels->plane[2].at;
  row *out = (row *)samples->at;
  int i;

  for (i = 0; i < PYFD_SIDE; i++)
    out[i] = (weights[0] * r[i] + weights[1] * g[i] + weights[2] * b[i] +
              weights[3]) >>
             COLOR_BITS;
}

ALWAYS_INLINE void component_bounds(const pyfd_pixels *pixels, int component,
                                    int epsilon, pyfd_bounds *samples)
{
  row *low = (row *)samples->low.at, *high = (row *)samples->high.at;
  const row black = {0}, white = black + WHITE;
  int i, channel;

  for (i = 0; i < PYFD_SIDE; i++)
    low[i] = high[i] = black + to_ycc[component][PYFD_CHANNELS];
  for (channel = 0; channel < PYFD_CHANNELS; channel++) {
    const row *in = (const row *)pixels->plane[channel].at;
    const int32_t weight = to_ycc[component][channel];

    for (i = 0; i < PYFD_SIDE; i++) {
      row darker = weight * maximum(in[i] - epsilon, black);
      row lighter = weight * minimum(in[i] + epsilon, white);

      low[i] += weight < 0 ? lighter : darker;
      high[i] += weight < 0 ? darker : lighter;
    }
  }
  for (i = 0; i < PYFD_SIDE; i++) {
    low[i] >>= COLOR_BITS;
    high[i] >>= COLOR_BITS;
  }
}

ALWAYS_INLINE void to_pixels(const pyfd_values samples[PYFD_CHANNELS],
                             pyfd_pixels *pixels)
{
  const row *luma = (const row *)samples[0].at;
  const row *blue = (const row *)samples[1].at;
  const row *red = (const row *)samples[2].at;
  const int32_t half = 1 << (COLOR_BITS - 1);
  row *r = (row *)pixels->plane[0].at, *g = (row *)pixels->plane[1].at;
  row *b = (row *)pixels->plane[2].at;
  int i;

  for (i = 0; i < PYFD_SIDE; i++) {
    r[i] = luma[i] + CENTER + ((91881 * red[i] + half) >> COLOR_BITS);
    g[i] = luma[i] + CENTER +
           ((-22554 * blue[i] - 46802 * red[i] + half) >> COLOR_BITS);
    b[i] = luma[i] + CENTER + ((116130 * blue[i] + half) >> COLOR_BITS);
  }
}

#endif /* PYFD_COLOR_H */
