/*
 * edges.c - see edges.h.
 */

#include "edges.h"

#include <float.h>
#include <string.h>

/* With fewer pixels, there are hardly any coefficients that padding leaves as
 * they are, except constant ones. */
#define FEW_PIXELS 5

/* The search along one line */
typedef struct {
  pyfd_floats allowed;
  pyfd_floats change[PYFD_SIDE], inside[PYFD_SIDE]; /* of one step */
  int32_t current[PYFD_SIDE];                       /* steps from the start */
  int32_t best[PYFD_SIDE];
  float error; /* of the best within the image, squared; FLT_MAX if none */
} line_search;

void pyfd_set_edge(pyfd_edge *edge, int pixels)
{
  float basis[PYFD_SIDE][PYFD_SIDE]; /* orthonormal: frequency, sample */
  float beyond;
  int u, v, x;

  pyfd_basis(basis);
  memset(edge, 0, sizeof(*edge));
  edge->pixels = pixels;
  for (u = 0; u < PYFD_SIDE; u++) {
    for (x = 0; x < pixels; x++)
      edge->inside[u][x] = basis[u][x];
    for (x = pixels; x < PYFD_SIDE; x++) {
      beyond = basis[u][pixels - 1] - basis[u][x];
      for (v = 0; v < PYFD_SIDE; v++)
        edge->change[u][v] += beyond * basis[v][x];
    }
  }
}

typedef int32_t mask __attribute__((vector_size(32)));
typedef int64_t halves __attribute__((vector_size(32)));

static int is_allowed(const pyfd_floats *change, const pyfd_floats *allowed)
{
  const mask wrong = (*change > *allowed) | (*change < -*allowed);
  const halves any = (halves)wrong;

  return (any[0] | any[1] | any[2] | any[3]) == 0;
}

static float norm(const pyfd_floats *values)
{
  const pyfd_floats squares = *values * *values;

  return squares[0] + squares[1] + squares[2] + squares[3] + squares[4] +
         squares[5] + squares[6] + squares[7];
}

/* Keep the current steps if padding changes the coefficients by what is
 * allowed, and if the error is the least so far. */
static void keep_best(line_search *s, const pyfd_floats *change,
                      const pyfd_floats *error)
{
  float size;

  if (!is_allowed(change, &s->allowed))
    return;
  size = norm(error);
  if (size < s->error) {
    s->error = size;
    memcpy(s->best, s->current, sizeof(s->best));
  }
}

/* Try all steps of at most so many of the coefficients from this one on. */
static void try_steps(line_search *s, int from, int moves,
                      const pyfd_floats *change, const pyfd_floats *error)
{
  pyfd_floats changed, moved;
  int u, step;

  keep_best(s, change, error);
  for (u = from; u < PYFD_SIDE && moves > 0; u++) {
    for (step = -1; step <= 1; step += 2) {
      changed = *change + (float)step * s->change[u];
      moved = *error + (float)step * s->inside[u];
      s->current[u] = step;
      try_steps(s, u + 1, moves - 1, &changed, &moved);
    }
    s->current[u] = 0;
  }
}

static int32_t nearest(float value)
{
  return (int32_t)(value < 0 ? value - 0.5f : value + 0.5f);
}

/* Search next to some coefficients, and replace them if that is better. */
static void search_from(line_search *s, const float *target,
                        const float *steps, const int32_t *start, int moves,
                        int32_t *quantized)
{
  const float before = s->error;
  pyfd_floats change = {0}, error = {0};
  int u;

  for (u = 0; u < PYFD_SIDE; u++) {
    change += s->change[u] * (float)start[u];
    error += s->inside[u] * ((float)start[u] - target[u] / steps[u]);
  }
  memset(s->current, 0, sizeof(s->current));
  try_steps(s, 0, moves, &change, &error);
  for (u = 0; u < PYFD_SIDE && s->error < before; u++)
    quantized[u] = start[u] + s->best[u];
}

int pyfd_fit_line(const pyfd_edge *edge, const float target[PYFD_SIDE],
                  const float steps[PYFD_SIDE], const float allowed[PYFD_SIDE],
                  int32_t quantized[PYFD_SIDE])
{
  int32_t natural[PYFD_SIDE], constant[PYFD_SIDE] = {0};
  line_search s;
  int u, moves;

  for (u = 0; u < PYFD_SIDE; u++) {
    natural[u] = nearest(target[u] / steps[u]);
    s.allowed[u] = allowed[u];
    s.change[u] = edge->change[u] * steps[u];
    s.inside[u] = edge->inside[u] * steps[u];
  }
  constant[0] = natural[0];
  s.error = FLT_MAX;
  search_from(&s, target, steps, natural, 0, quantized);
  if (s.error < FLT_MAX)
    return 1;
  for (moves = 2; moves <= 3 && s.error == FLT_MAX; moves++) {
    if (edge->pixels >= FEW_PIXELS)
      search_from(&s, target, steps, natural, moves, quantized);
  }
  search_from(&s, target, steps, constant, 1, quantized);
  return s.error < FLT_MAX;
}
