/*
 * tables.c - see tables.h.
 */

#include "tables.h"

#include <inttypes.h>

#include "status.h"

#define MAX_BLOCKS_IN_MCU 10 /* T.81 B.2.3 */

static const uint8_t natural_order[PYFD_BLOCK] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Read steps of one byte or two, in zigzag order.  Returns the least one. */
static unsigned int read_steps(uint16_t *table, const uint8_t *p, int wide)
{
  unsigned int step, least = UINT16_MAX;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++) {
    step = wide ? pyfd_read16(p + 2 * i) : p[i];
    table[natural_order[i]] = (uint16_t)step;
    least = step < least ? step : least;
  }
  return least;
}

/* T.81 B.2.4.1: quantization tables */
int pyfd_read_dqt(pyfd_walker *w, const uint8_t *p, size_t size)
{
  const uint8_t *end = p + size;
  int head, wide, slot;

  while (p < end) {
    head = *p++;
    wide = head >> 4 != 0;
    slot = head & 15;
    if (slot > 3)
      return pyfd_fail(w->status, PYFD_CORRUPT,
                       "quantization table in slot %d (0 to 3 exist)", slot);
    if (end - p < PYFD_BLOCK << wide)
      return pyfd_fail(w->status, PYFD_CORRUPT, "bad length of DQT");
    if (read_steps(w->tables[slot], p, wide) == 0)
      return pyfd_fail(w->status, PYFD_CORRUPT,
                       "quantization table %d has a step of 0", slot);
    p += PYFD_BLOCK << wide;
    w->table_defined[slot] = 1;
  }
  return PYFD_OK;
}

/* Before the first scan, libjpeg refuses the file. */
static int bad_dht(pyfd_walker *w, const char *message)
{
  return w->num_scans == 0 ? PYFD_OK
                           : pyfd_fail(w->status, PYFD_CORRUPT, "%s", message);
}

/* T.81 B.2.4.2: Huffman tables */
int pyfd_read_dht(pyfd_walker *w, const uint8_t *p, size_t size)
{
  const uint8_t *end = p + size;
  int head, l, i, count, total, limit, ac;
  pyfd_codes codes;

  while (end - p > 16) {
    head = *p++;
    ac = head >> 4 & 1;
    codes = GOOD_CODES;
    for (l = 0, total = 0, limit = 1; l < 16; l++) {
      count = *p++;
      total += count;
      limit = 2 * limit - count; /* the codes that are left */
      if (limit < 1)
        codes = BAD_CODES;
      limit = limit < 1 ? 1 : limit;
    }
    if (total > 256 || total > end - p || (head & ~0x10) > 3)
      return bad_dht(w, "bad Huffman table (DHT)");
    for (i = 0; i < total; i++) {
      if (*p++ > 15 && !ac)
        codes = BAD_CODES;
    }
    w->codes[ac][head & 3] = codes;
  }
  return p == end ? PYFD_OK : bad_dht(w, "bad length of DHT");
}

static int check_codes(pyfd_walker *w, int ac, int slot)
{
  pyfd_codes codes = slot < 4 ? w->codes[ac][slot] : NO_CODES;

  /* Sequential files may leave out the standard's tables. */
  if (codes == BAD_CODES)
    return pyfd_fail(w->status, PYFD_CORRUPT, "bogus Huffman table");
  if (codes == NO_CODES && (slot > 1 || w->header->progressive))
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "Huffman table 0x%02X was not defined", slot);
  return PYFD_OK;
}

int pyfd_check_tables_of_scan(pyfd_walker *w, const uint8_t *pairs,
                              const int *components, int count)
{
  const uint8_t start = pairs[2 * count], high = pairs[2 * count + 2] >> 4;
  const int progressive = (int)w->header->progressive;
  uint32_t blocks = 0;
  int i, c, code = PYFD_OK;

  for (i = 0; i < count && code == PYFD_OK; i++) {
    c = components[i];
    blocks += w->header->h_samp[c] * w->header->v_samp[c];
    if (!w->component_seen[c] &&
        (w->table_of[c] > 3 || !w->table_defined[w->table_of[c]]))
      return pyfd_fail(w->status, PYFD_CORRUPT,
                       "component %d has no quantization table", c);
    if (!progressive || (start == 0 && high == 0))
      code = check_codes(w, 0, pairs[2 * i + 1] >> 4);
    if (code == PYFD_OK && (!progressive || start > 0))
      code = check_codes(w, 1, pairs[2 * i + 1] & 15);
  }
  if (code == PYFD_OK && count > 1 && blocks > MAX_BLOCKS_IN_MCU)
    return pyfd_fail(w->status, PYFD_CORRUPT,
                     "a scan whose MCUs have %" PRIu32 " blocks", blocks);
  return code;
}
