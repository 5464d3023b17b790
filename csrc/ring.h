/*
 * ring.h - MCUs of coefficients on their way from the thread that reads
 * symbols to the one that makes pixels.
 *
 * They are handed over in chunks.  A thread that has to wait does so until
 * there are several: to wake it up takes longer than to fill one.
 */

#ifndef PYFD_RING_H
#define PYFD_RING_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "jpeglib.h"

/* 32 KB in a chunk, which has room for any MCU, and 1 MB in all: what a
 * processor's own caches hold */
#ifndef PYFD_CHUNK_BLOCKS
#define PYFD_CHUNK_BLOCKS 256
#define PYFD_RING_CHUNKS 32
#define PYFD_CHUNKS_AT_ONCE 8 /* that a thread waits for */
#endif

/* What is behind the last chunk is prefetched, but never used. */
#define PYFD_BLOCKS_AHEAD 16
#define PYFD_RING_BLOCKS                                                      \
  (PYFD_RING_CHUNKS * (size_t)PYFD_CHUNK_BLOCKS + PYFD_BLOCKS_AHEAD +         \
   D_MAX_BLOCKS_IN_MCU)
#define PYFD_RING_BYTES (PYFD_RING_BLOCKS * sizeof(JBLOCK))

#define PYFD_LINE 64 /* bytes in a line of the cache */

/* Where a thread is, in a line of its processor's cache */
typedef struct {
  JBLOCK *next;    /* MCU in the chunk, */
  uint32_t mcus;   /* of which so many are left in it, */
  uint32_t behind; /* and so many in the rest of the image */
  uint32_t chunk;
} __attribute__((aligned(PYFD_LINE))) pyfd_ring_end;

typedef struct {
  pyfd_ring_end symbols, pixels;
  JBLOCK *blocks;
  uint32_t mcus, mcu_blocks;
  pthread_mutex_t mutex; /* of all that follows */
  pthread_cond_t changed;
  uint32_t full; /* chunks */
  int claimed;   /* somebody reads symbols, or nobody may any more */
  int ended;     /* no chunk will follow, */
  int damaged;   /* because the others could not be read */
  int left;      /* no chunk will be taken any more */
} pyfd_ring;

/* Set up a ring for so many MCUs of so many blocks.  Returns 0 if there is no
 * memory. */
int pyfd_start_ring(pyfd_ring *ring, uint32_t mcus, uint32_t mcu_blocks);
void pyfd_free_ring(pyfd_ring *ring);

/* ---- the thread that reads symbols ---- */

/* Begin, unless the other thread has not waited. */
int pyfd_claim_symbols(pyfd_ring *ring);

/* Return room for the next MCU, or NULL if nobody needs it. */
JBLOCK *pyfd_next_room(pyfd_ring *ring);

/* Say that no MCU follows, and whether all is well with the file.  Only this
 * hands over the last ones. */
void pyfd_end_symbols(pyfd_ring *ring, int intact);

/* ---- the thread that makes pixels ---- */

/* Wait until somebody begins to read symbols, but not for long.  If nobody
 * does, nobody may later, and the result is 0. */
int pyfd_await_symbols(pyfd_ring *ring);

/* Return the next MCU, or NULL if there is none or the file is damaged. */
const JBLOCK *pyfd_next_mcu(pyfd_ring *ring);

/* Take no more, in any case. */
void pyfd_leave_ring(pyfd_ring *ring);

#endif /* PYFD_RING_H */
