/*
 * candidate.h - one set of coefficients that might hold, and the best so far.
 */

#ifndef PYFD_CANDIDATE_H
#define PYFD_CANDIDATE_H

#include "certified.h"

/* Coefficients of all components at one place, and what a decoder makes of
 * them */
typedef struct {
  pyfd_values quantized[PYFD_CHANNELS];
  pyfd_values samples[PYFD_CHANNELS];
  pyfd_pixels pixels;
  int64_t loss; /* the sum of the squared differences to the image's pixels */
} pyfd_candidate;

/* The search at one place */
typedef struct {
  const pyfd_certified *certified;
  int channels;
  int wide, high;       /* pixels within the image, 1...8 */
  pyfd_pixels original; /* padded as the encoder pads it */
  pyfd_candidate best;  /* the closest one that holds, if found */
  int found;
  int weakest;        /* the component that was the last not to hold */
  pyfd_pixels *uncut; /* for the next decoded pixels before they are cut */
} pyfd_search;

int pyfd_is_padded(const pyfd_search *s);

/* Quantize pixels to a candidate's coefficients. */
void pyfd_quantize_pixels(const pyfd_search *s, const pyfd_pixels *pixels,
                          pyfd_candidate *c);

/* Decode a candidate as any decoder does.  Returns 0 if decoders differ, or
 * no file can have the coefficients. */
int pyfd_decode_candidate(const pyfd_search *s, pyfd_candidate *c);

/* Decide whether a decoded candidate has the radii that are asked for. */
int pyfd_candidate_holds(pyfd_search *s, const pyfd_candidate *c);

/* Decode a candidate, and keep it if it is closer than the best one, and
 * holds. */
void pyfd_consider(pyfd_search *s, pyfd_candidate *c);

#endif /* PYFD_CANDIDATE_H */
