/*
 * certified.c - see certified.h.
 */

#include "candidate.h"

#include <string.h>

#define BLACK 0
#define WHITE 255

/* ---- coefficients next to the image's ---- */

#define FLIPS 5

typedef struct {
  int component, at;
  int step;     /* +1 or -1 */
  int64_t cost; /* of taking the neighbor, in scaled coefficients, squared */
} flip;

static void insert_flip(flip flips[FLIPS], const flip *new)
{
  int i;

  for (i = FLIPS - 1; i > 0 && flips[i - 1].cost > new->cost; i--)
    flips[i] = flips[i - 1];
  flips[i] = *new;
}

/* Find the coefficients that are closest to being rounded the other way. */
static void find_flips(const pyfd_search *s, const pyfd_candidate *natural,
                       flip flips[FLIPS])
{
  const pyfd_component *components = s->certified->components;
  pyfd_values scaled;
  int64_t width, offset;
  int i, j;

  for (i = 0; i < FLIPS; i++)
    flips[i].cost = INT64_MAX;
  for (i = 0; i < s->channels; i++) {
    pyfd_transform(&components[i], &s->original, &scaled);
    for (j = 0; j < PYFD_BLOCK; j++) {
      flip new = {i, j, 1, 0};

      width = 8 * components[i].steps.at[j];
      offset = scaled.at[j] - natural->quantized[i].at[j] * width;
      if (offset < 0) {
        new.step = -1;
        offset = -offset;
      }
      new.cost = width * (width - 2 * offset);
      if (new.cost < flips[FLIPS - 1].cost)
        insert_flip(flips, &new);
    }
  }
}

/* Change one coefficient by one step, which draws all roundings again. */
static void try_flips(pyfd_search *s, const pyfd_candidate *natural)
{
  flip flips[FLIPS];
  pyfd_candidate c;
  int i;

  find_flips(s, natural, flips);
  for (i = 0; i < FLIPS && !s->found; i++) {
    c = *natural;
    c.quantized[flips[i].component].at[flips[i].at] += flips[i].step;
    pyfd_consider(s, &c);
  }
}

/* ---- pixels moved off 0 and 255 ---- */

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
  return value < low ? low : value > high ? high : value;
}

static int has_level(const pyfd_search *s, const pyfd_pixels *pixels,
                     int32_t from, int32_t to)
{
  int i, j, found = 0;

  for (i = 0; i < s->channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++)
      found |= pixels->plane[i].at[j] >= from && pixels->plane[i].at[j] <= to;
  }
  return found;
}

/* Try what the encoder makes of a target; return its loss. */
static int64_t try_target(pyfd_search *s, const pyfd_pixels *target)
{
  pyfd_candidate c;

  pyfd_quantize_pixels(s, target, &c);
  pyfd_consider(s, &c);
  return c.loss;
}

/* Draw levels into low...high. */
static void scale(const pyfd_search *s, pyfd_pixels *pixels, int32_t low,
                  int32_t high)
{
  int i, j;

  for (i = 0; i < s->channels; i++) {
    int32_t *at = pixels->plane[i].at;

    for (j = 0; j < PYFD_BLOCK; j++)
      at[j] = low + ((high - low) * at[j] + WHITE / 2) / WHITE;
  }
}

static void try_scaled(pyfd_search *s, const pyfd_pixels *target, int32_t low,
                       int32_t high)
{
  pyfd_pixels pixels = *target;

  scale(s, &pixels, low, high);
  try_target(s, &pixels);
}

/* Try the target with its levels cut at low and high. */
static int64_t try_clamped(pyfd_search *s, const pyfd_pixels *target,
                           int32_t low, int32_t high)
{
  pyfd_pixels pixels = *target;
  int i, j;

  for (i = 0; i < s->channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++)
      pixels.plane[i].at[j] = clamp(pixels.plane[i].at[j], low, high);
  }
  return try_target(s, &pixels);
}

#define ROUNDS 4
#define ROUNDS_FOR_FILES 24 /* whose pixels must keep off 0 and 255, too */

/* The ends of targets: the forward DCT's 32 bits are enough for samples (less
 * 128) within 1023, and these are within 896. */
#define DARKEST -768
#define LIGHTEST 1023

/* Take back what decoded pixels exceed the limits by, and encode what is left,
 * until they do not: the target moves where it must, and nowhere else. */
static void try_corrected(pyfd_search *s)
{
  const pyfd_arithmetic *arithmetic = s->certified->components->arithmetic;
  const int file_epsilon = s->certified->file_epsilon;
  const int rounds = file_epsilon < 0 ? ROUNDS : ROUNDS_FOR_FILES;
  const int32_t low = file_epsilon < 0 ? BLACK : file_epsilon + 1;
  pyfd_pixels target = s->original, uncut, cut;
  int round, i, j;

  s->uncut = &uncut;
  for (round = 0; round < rounds; round++) {
    try_target(s, &target);
    cut = uncut;
    for (i = 0; i < s->channels; i++) {
      (*arithmetic->cut)(&cut.plane[i], low, WHITE - low);
      for (j = 0; j < PYFD_BLOCK; j++)
        target.plane[i].at[j] += cut.plane[i].at[j] - uncut.plane[i].at[j];
      (*arithmetic->cut)(&target.plane[i], DARKEST, LIGHTEST);
    }
    if (!memcmp(&cut, &uncut, sizeof(cut)))
      break;
  }
  s->uncut = NULL;
}

/* Draw the target's contrast in by ever more, from the ends that decoded
 * pixels are too close to, until that loses more than the best candidate. */
static void try_levels(pyfd_search *s, const pyfd_pixels *decoded,
                       const pyfd_pixels *target)
{
  static const int32_t insets[] = {1, 2, 4, 7, 11, 16, 24, 36, 54, 81, 127};
  const int file_epsilon = s->certified->file_epsilon;
  const int close = file_epsilon > 0 ? file_epsilon : 0;
  const int dark = has_level(s, decoded, BLACK, BLACK + close);
  const int light = has_level(s, decoded, WHITE - close, WHITE);
  int64_t loss = 0;
  int32_t low, high;
  size_t i;

  for (i = 0; i < sizeof(insets) / sizeof(*insets); i++) {
    low = dark || !light ? BLACK + insets[i] : BLACK;
    high = light || !dark ? WHITE - insets[i] : WHITE;
    loss = try_clamped(s, target, low, high);
    if (!s->found)
      try_scaled(s, target, low, high);
    if (s->found && loss >= s->best.loss)
      return;
  }
}

/* ---- padded blocks ---- */

/* Replace count values, stride apart, by their mean, beyond the edge too. */
static void flatten_line(int32_t *at, int stride, int count)
{
  int32_t sum = 0;
  int i;

  for (i = 0; i < count; i++)
    sum += at[stride * i];
  for (i = 0; i < PYFD_SIDE; i++)
    at[stride * i] = (sum + count / 2) / count;
}

/* Make the pixels constant in the padded directions.  Then padding gives what
 * was dropped. */
static void flatten(const pyfd_search *s, int across, int down,
                    pyfd_pixels *pixels)
{
  int i, j;

  for (i = 0; i < s->channels; i++) {
    for (j = 0; j < PYFD_SIDE && across && s->wide < PYFD_SIDE; j++)
      flatten_line(pixels->plane[i].at + PYFD_SIDE * j, 1, s->wide);
    for (j = 0; j < PYFD_SIDE && down && s->high < PYFD_SIDE; j++)
      flatten_line(pixels->plane[i].at + j, PYFD_SIDE, s->high);
  }
}

/* What the rounding of the pixels moves a coefficient by, by experience */
#define ROUNDING 1.5f

/* Quantize one component such that its padding changes little: line by line
 * across the edge, in the domain of the other direction's frequencies.  Each
 * coefficient may move by half its step, less what the perturbation and the
 * rounding take. */
static void fit_component(const pyfd_search *s, int component,
                          const pyfd_values *scaled, pyfd_values *quantized)
{
  const pyfd_certified *certified = s->certified;
  const pyfd_values *all_steps = &certified->components[component].steps;
  const int down = s->high < PYFD_SIDE;
  const pyfd_edge *edge = down ? &certified->bottom : &certified->right;
  float target[PYFD_SIDE], steps[PYFD_SIDE], allowed[PYFD_SIDE];
  int32_t line[PYFD_SIDE];
  int i, j, at;

  for (j = 0; j < PYFD_SIDE; j++) {
    for (i = 0; i < PYFD_SIDE; i++) {
      at = down ? PYFD_SIDE * i + j : PYFD_SIDE * j + i;
      target[i] = (float)scaled->at[at] / 8;
      steps[i] = (float)all_steps->at[at];
      allowed[i] =
          steps[i] / 2 - (float)certified->reach.most.at[at] / 8 - ROUNDING;
    }
    if (!pyfd_fit_line(edge, target, steps, allowed, line))
      memset(line, 0, sizeof(line));
    for (i = 0; i < PYFD_SIDE; i++)
      quantized->at[down ? PYFD_SIDE * i + j : PYFD_SIDE * j + i] = line[i];
  }
}

static void try_fitted(pyfd_search *s, const pyfd_pixels *target)
{
  const pyfd_component *components = s->certified->components;
  pyfd_values scaled;
  pyfd_candidate c;
  int i;

  for (i = 0; i < s->channels; i++) {
    pyfd_transform(&components[i], target, &scaled);
    fit_component(s, i, &scaled, &c.quantized[i]);
  }
  pyfd_consider(s, &c);
}

static void try_padded(pyfd_search *s, const pyfd_candidate *natural)
{
  static const int32_t insets[] = {0, 12};
  pyfd_pixels flat = s->original, aim = s->original, target;
  size_t i;

  if (s->wide < PYFD_SIDE && s->high < PYFD_SIDE)
    flatten(s, 1, 0, &aim); /* lines are fitted in one direction */
  for (i = 0; i < sizeof(insets) / sizeof(*insets) && !s->found; i++) {
    target = aim;
    scale(s, &target, insets[i], WHITE - insets[i]);
    try_fitted(s, &target);
  }
  flatten(s, 1, 1, &flat);
  try_target(s, &flat);
  try_levels(s, &natural->pixels, &flat);
}

/* ---- flat blocks ---- */

static void try_flat(pyfd_search *s, const int32_t dc[PYFD_CHANNELS])
{
  pyfd_candidate c;
  int i;

  memset(c.quantized, 0, sizeof(c.quantized));
  for (i = 0; i < s->channels; i++)
    c.quantized[i].at[0] = dc[i];
  pyfd_consider(s, &c);
}

/* Try the colors next to the mean, which leave the fewest roundings. */
static void try_flat_colors(pyfd_search *s, const int32_t mean[PYFD_CHANNELS])
{
  int32_t dc[PYFD_CHANNELS] = {0, 0, 0};
  int i, combination, rest, count = s->channels == 1 ? 3 : 27;

  for (combination = 0; combination < count; combination++) {
    for (rest = combination, i = 0; i < s->channels; i++, rest /= 3)
      dc[i] = mean[i] + rest % 3 - 1;
    try_flat(s, dc);
  }
}

/* Try grays from the mean outwards, up to level 128, which always holds. */
static void try_grays(pyfd_search *s, int32_t mean)
{
  int32_t dc[PYFD_CHANNELS] = {0, 0, 0};
  int32_t distance, size = mean < 0 ? -mean : mean;

  for (distance = 0; distance <= size && !s->found; distance++) {
    dc[0] = mean - distance;
    try_flat(s, dc);
    dc[0] = mean + distance;
    try_flat(s, dc);
  }
}

/* ---- all candidates ---- */

static void place(pyfd_search *s, uint32_t row, uint32_t column)
{
  const pyfd_image *image = &s->certified->image;
  const uint32_t wide = image->width - PYFD_SIDE * column;
  const uint32_t high = image->height - PYFD_SIDE * row;

  s->wide = wide < PYFD_SIDE ? (int)wide : PYFD_SIDE;
  s->high = high < PYFD_SIDE ? (int)high : PYFD_SIDE;
}

static void find(pyfd_search *s, const pyfd_candidate *natural)
{
  pyfd_candidate c;
  int32_t mean[PYFD_CHANNELS] = {0, 0, 0};
  int i;

  try_flips(s, natural);
  if (!s->found && pyfd_is_padded(s))
    try_padded(s, natural);
  else if (!s->found)
    try_corrected(s);
  if (!s->found)
    try_levels(s, &natural->pixels, &s->original);
  if (s->found)
    return;
  pyfd_quantize_pixels(s, &s->original, &c);
  for (i = 0; i < s->channels; i++)
    mean[i] = c.quantized[i].at[0];
  try_flat_colors(s, mean);
  if (!s->found)
    try_grays(s, mean[0]);
}

/* Return whether a flat block of level 128 holds, where nothing is rounded. */
static int gray_holds(const pyfd_certified *certified)
{
  pyfd_search s = {certified, certified->image.channels, PYFD_SIDE, PYFD_SIDE};
  pyfd_candidate gray;

  memset(gray.quantized, 0, sizeof(gray.quantized));
  return pyfd_decode_candidate(&s, &gray) && pyfd_candidate_holds(&s, &gray);
}

int pyfd_set_certified(pyfd_certified *certified, const pyfd_image *image,
                       const uint16_t (*tables)[PYFD_BLOCK], int num_tables,
                       int epsilon, int file_epsilon)
{
  const uint32_t across = image->width % PYFD_SIDE;
  const uint32_t down = image->height % PYFD_SIDE;
  int i;

  certified->image = *image;
  certified->epsilon = epsilon;
  certified->file_epsilon = file_epsilon;
  pyfd_set_reach(&certified->reach, epsilon);
  if (across > 0)
    pyfd_set_edge(&certified->right, (int)across);
  if (down > 0)
    pyfd_set_edge(&certified->bottom, (int)down);
  for (i = 0; i < image->channels; i++)
    pyfd_set_component(&certified->components[i], i, image->channels, 1, 1,
                       tables[i < num_tables ? i : num_tables - 1]);
  return gray_holds(certified);
}

void pyfd_certify_blocks(const pyfd_certified *certified, uint32_t row,
                         uint32_t column, int16_t *blocks[PYFD_CHANNELS])
{
  pyfd_candidate natural;
  pyfd_search s;
  int i, j;

  s.certified = certified;
  s.channels = certified->image.channels;
  s.found = 0;
  s.weakest = 0;
  s.uncut = NULL;
  place(&s, row, column);
  for (i = 0; i < s.channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++)
      natural.quantized[i].at[j] = blocks[i][j];
  }
  if (pyfd_decode_candidate(&s, &natural) &&
      pyfd_candidate_holds(&s, &natural))
    return;
  pyfd_load_pixels(&certified->image, certified->components, row, column,
                   &s.original);
  find(&s, &natural);
  for (i = 0; i < s.channels; i++) {
    for (j = 0; j < PYFD_BLOCK; j++)
      blocks[i][j] = (int16_t)s.best.quantized[i].at[j];
  }
}
