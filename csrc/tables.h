/*
 * tables.h - the tables that segments of a file define, for segments.c.
 */

#ifndef PYFD_TABLES_H
#define PYFD_TABLES_H

#include "segments.h"

/* Read quantization or Huffman tables.  Returns a pyfd_code. */
int pyfd_read_dqt(pyfd_walker *w, const uint8_t *p, size_t size);
int pyfd_read_dht(pyfd_walker *w, const uint8_t *p, size_t size);

/* Check of a scan after the first one, whose header is given after its length
 * and count, what libjpeg would refuse: what came before is to be decoded.  In
 * the first scan, libjpeg refuses the file.  Returns a pyfd_code. */
int pyfd_check_tables_of_scan(pyfd_walker *w, const uint8_t *pairs,
                              const int *components, int count);

#endif /* PYFD_TABLES_H */
