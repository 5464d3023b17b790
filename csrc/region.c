/*
 * region.c - see region.h.
 *
 * libjpeg crops rows to whole iMCUs and skips rows above.  Its pixels at the
 * new edges are wrong, because upsampling and smoothing take them for edges of
 * the image.  So it decodes a margin, too, which is dropped.
 */

#define JPEG_INTERNALS

#include "region.h"

#include "strips.h"

/* The iMCUs beside the region that its pixels depend on: fancy upsampling
 * takes a sample of a neighbor, and smoothing two blocks beyond that.  (On the
 * right, libjpeg smooths with the neighbors that it does not output.) */
#define MARGIN 1
#define SMOOTHED_MARGIN 3

typedef boolean (*decode_method)(j_decompress_ptr, JBLOCKROW *);

/* MCUs that need no decoding, and what decodes the others */
typedef struct {
  JDIMENSION left;
  decode_method decode_mcu;
} passing;

int pyfd_has_region(const pyfd_reading *reading)
{
  return reading->width > 0;
}

void pyfd_check_region(pyfd_session *s)
{
  const pyfd_reading *r = &s->reading;
  const uint32_t scale = r->scale;
  const uint32_t width = (s->walk.header.width + scale - 1) / scale;
  const uint32_t height = (s->walk.header.height + scale - 1) / scale;

  if (!pyfd_has_region(r)) {
    if (r->left > 0 || r->top > 0 || r->height > 0)
      pyfd_refuse(s, "a region needs a width");
    return;
  }
  if (r->height < 1 || r->width > width || r->left > width - r->width ||
      r->height > height || r->top > height - r->height) {
    pyfd_fail(s->errors.status, PYFD_ARGUMENT,
              "the region (%u, %u, %u, %u) does not lie within %ux%u pixels",
              r->left, r->top, r->width, r->height, width, height);
    pyfd_leave(s, PYFD_ARGUMENT);
  }
}

/* Leave out the columns that nothing in the region depends on.  Returns how
 * many are left before it. */
static JDIMENSION crop(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  const pyfd_reading *r = &s->reading;
  const JDIMENSION imcu =
      (JDIMENSION)(in->min_DCT_scaled_size * in->max_h_samp_factor);
  const JDIMENSION margin =
      imcu * (in->progressive_mode ? SMOOTHED_MARGIN : MARGIN);
  JDIMENSION left = r->left > margin ? r->left - margin : 0;
  JDIMENSION end = r->left + r->width + imcu * MARGIN, width;

  if (end > in->output_width)
    end = in->output_width;
  width = end - left;
  jpeg_crop_scanline(in, &left, &width);
  return r->left - left;
}

JDIMENSION pyfd_mcus_above(const pyfd_session *s, JDIMENSION top)
{
  const struct jpeg_decompress_struct *in = &s->in;
  const JDIMENSION lines =
      (JDIMENSION)(in->min_DCT_scaled_size * in->max_v_samp_factor);
  const JDIMENSION context = in->upsample->need_context_rows ? 1 : 0;
  JDIMENSION rows = 0;

  /* jpeg_skip_scanlines() skips this many iMCU rows */
  if (top > context)
    rows = (top - context) / lines;
  if (in->comps_in_scan == 1) /* a row of MCUs is one of blocks */
    rows *= (JDIMENSION)in->cur_comp_info[0]->v_samp_factor;
  return rows * in->MCUs_per_row;
}

/* Pass over MCUs, instead of decoding them. */
static boolean pass_mcu(j_decompress_ptr cinfo, JBLOCKROW *blocks)
{
  passing *p = cinfo->client_data;

  if (p->left == 0)
    return (*p->decode_mcu)(cinfo, blocks);
  p->left--;
  return TRUE;
}

/*
 * Pass over the restart intervals above the region.  A decoder starts each of
 * them in the same state, in which it is now, before the first.  Only a strict
 * reader may: in a damaged file, what is in an interval can affect the next.
 */
static JDIMENSION pass_intervals(pyfd_session *s)
{
  const uint32_t above = pyfd_mcus_above(s, s->reading.top);
  pyfd_strips alone = {.count = 1};
  JDIMENSION passed;

  if (!s->errors.strict || s->walk.header.multiscan ||
      s->in.restart_interval == 0)
    return 0;
  if (s->strip != NULL)
    return pyfd_enter_strip(s);
  if (!pyfd_find_strips(s, &alone, &above))
    return 0; /* decoding tells what is wrong */
  s->strip = &alone.at[0];
  passed = pyfd_enter_strip(s);
  s->strip = NULL;
  return passed;
}

JDIMENSION pyfd_enter_region(pyfd_session *s)
{
  struct jpeg_decompress_struct *in = &s->in;
  const JDIMENSION before = crop(s);
  passing p;

  p.left = pass_intervals(s);
  p.decode_mcu = in->entropy->decode_mcu;
  if (p.left > 0) {
    in->client_data = &p;
    in->entropy->decode_mcu = pass_mcu;
  }
  jpeg_skip_scanlines(in, s->reading.top);
  in->entropy->decode_mcu = p.decode_mcu;
  return before;
}
