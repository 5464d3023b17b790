/*
 * image.c - see image.h.
 */

#include "image.h"

#include <string.h>

#include "arguments.h"
#include "status.h"

#define WHITE 255
#define CENTER 128

int pyfd_check_image(const pyfd_image *image,
                     const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                     pyfd_status *status)
{
  if (image->width < 1 || image->width > PYFD_MAX_SIDE || image->height < 1 ||
      image->height > PYFD_MAX_SIDE ||
      (image->channels != 1 && image->channels != PYFD_CHANNELS))
    return pyfd_fail(status, PYFD_ARGUMENT, "no image has this shape");
  if (image->color != 0 &&
      (image->channels == 1 ||
       (image->color != PYFD_RGB && image->color != PYFD_BGR &&
        image->color != PYFD_YCBCR)))
    return pyfd_fail(status, PYFD_ARGUMENT,
                     "pixels of 1 channel are gray, and those of 3 are RGB, "
                     "BGR or YCbCr");
  return pyfd_check_tables(tables, num_tables, 1, PYFD_ENCODER_STEP, status);
}

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

/* Split up 8 pixels of a line of the image, so many columns apart; those
 * beyond the right edge repeat the last one. */
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

/* Split up 8 pixels of a color image that lie side by side. */
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

static void convert_to_rgb(const pyfd_image *image,
                           const pyfd_arithmetic *arithmetic,
                           pyfd_pixels *pixels)
{
  pyfd_values samples[PYFD_CHANNELS];
  int i, j;

  if (image->color == PYFD_BGR) {
    samples[0] = pixels->plane[0];
    pixels->plane[0] = pixels->plane[2];
    pixels->plane[2] = samples[0];
  } else if (image->color == PYFD_YCBCR) {
    for (i = 0; i < PYFD_CHANNELS; i++) {
      for (j = 0; j < PYFD_BLOCK; j++)
        samples[i].at[j] = pixels->plane[i].at[j] - CENTER;
    }
    (*arithmetic->to_pixels)(samples, pixels);
    for (i = 0; i < PYFD_CHANNELS; i++)
      (*arithmetic->cut)(&pixels->plane[i], 0, WHITE);
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
      convert_to_rgb(image, component->arithmetic, pixels);
    }
  }
}
