/*
 * turned.c - see turned.h.
 */

#include "turned.h"

#define SIDE 8 /* of a block */

static void set_order(pyfd_turner *turner)
{
  const pyfd_turn *turn = &turner->turn;
  int x, y, i;

  for (y = 0; y < SIDE; y++) {
    for (x = 0; x < SIDE; x++) {
      i = SIDE * y + x;
      turner->from[i] = (uint8_t)(turn->transposed ? SIDE * x + y : i);
      turner->sign[i] =
          (turn->left_right & x & 1) != (turn->top_bottom & y & 1) ? -1 : 0;
    }
  }
}

/* Return the size of an iMCU along a side of the image. */
static uint32_t imcu(const pyfd_header *header, const uint32_t *sampling)
{
  uint32_t i, most = 1;

  if (header->num_components == 1) /* a block is an MCU (T.81 A.2.2) */
    return SIDE;
  for (i = 0; i < header->num_components; i++)
    most = sampling[i] > most ? sampling[i] : most;
  return SIDE * most;
}

/* Return how much of a side is left if it has to be whole iMCUs. */
static uint32_t whole(pyfd_session *s, uint32_t side, uint32_t unit,
                      const char *edge)
{
  const uint32_t rest = side % unit;

  if (rest == 0 || (s->writing.trim && side > unit))
    return side - rest;
  pyfd_fail(s->errors.status, PYFD_UNSUPPORTED,
            "the last %u %s of %u cannot move without loss, because they do "
            "not fill an MCU of %u%s",
            rest, edge, side, unit,
            s->writing.trim ? ", and nothing else would be left" : "");
  pyfd_leave(s, PYFD_UNSUPPORTED);
}

static void swap(uint32_t *a, uint32_t *b)
{
  const uint32_t first = *a;

  *a = *b;
  *b = first;
}

void pyfd_start_turning(pyfd_session *s, pyfd_turner *turner,
                        pyfd_header *turned)
{
  const pyfd_turn turn = pyfd_turn_of(s);
  uint32_t i;

  turner->turn = turn;
  set_order(turner);
  *turned = s->walk.header;
  /* Columns that become rows are mirrored as rows. */
  if (turn.transposed ? turn.top_bottom : turn.left_right)
    turned->width =
        whole(s, turned->width, imcu(turned, turned->h_samp), "columns");
  if (turn.transposed ? turn.left_right : turn.top_bottom)
    turned->height =
        whole(s, turned->height, imcu(turned, turned->v_samp), "rows");
  if (turn.transposed) {
    swap(&turned->width, &turned->height);
    for (i = 0; i < turned->num_components; i++)
      swap(&turned->h_samp[i], &turned->v_samp[i]);
  }
  pyfd_count_blocks(turned);
}

void pyfd_turn_block(const pyfd_turner *turner, const JCOEF *from, JCOEF *to)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    to[i] =
        (JCOEF)((from[turner->from[i]] ^ turner->sign[i]) - turner->sign[i]);
}

void pyfd_turn_table(const pyfd_turner *turner, const uint16_t *from,
                     uint16_t *to)
{
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    to[i] = from[turner->from[i]];
}
