/*
 * ring.c - see ring.h.
 */

#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Chunks that are full when a thread that waited goes on */
#define ENOUGH_TO_TAKE PYFD_CHUNKS_AT_ONCE
#define ENOUGH_ROOM (PYFD_RING_CHUNKS - PYFD_CHUNKS_AT_ONCE)

/* A helper of Python's that is free comes in a tenth of a millisecond. */
#ifndef PYFD_PATIENCE
#define PYFD_PATIENCE 500000 /* ns */
#endif
#define NAP 20000 /* ns */
#define SECOND 1000000000

static int start_waiting(pyfd_ring *ring)
{
  if (pthread_cond_init(&ring->changed, NULL) != 0)
    return 0;
  if (pthread_mutex_init(&ring->mutex, NULL) == 0)
    return 1;
  pthread_cond_destroy(&ring->changed);
  return 0;
}

int pyfd_start_ring(pyfd_ring *ring, uint32_t mcus, uint32_t mcu_blocks)
{
  memset(ring, 0, sizeof(*ring));
  ring->mcus = mcus;
  ring->mcu_blocks = mcu_blocks;
  ring->symbols.behind = ring->pixels.behind = mcus;
  ring->blocks = aligned_alloc(PYFD_LINE, PYFD_RING_BYTES);
  if (ring->blocks == NULL)
    return 0;
  if (start_waiting(ring))
    return 1;
  free(ring->blocks);
  return 0;
}

void pyfd_free_ring(pyfd_ring *ring)
{
  pthread_mutex_destroy(&ring->mutex);
  pthread_cond_destroy(&ring->changed);
  free(ring->blocks);
}

/* Go to the next chunk.  Returns 0 at the end of the image. */
static int enter_chunk(const pyfd_ring *ring, pyfd_ring_end *end)
{
  const uint32_t most = PYFD_CHUNK_BLOCKS / ring->mcu_blocks;

  end->mcus = end->behind < most ? end->behind : most;
  end->behind -= end->mcus;
  end->next = ring->blocks + end->chunk * (size_t)PYFD_CHUNK_BLOCKS;
  end->chunk = (end->chunk + 1) % PYFD_RING_CHUNKS;
  return end->mcus > 0;
}

static JBLOCK *pass_mcu(const pyfd_ring *ring, pyfd_ring_end *end)
{
  JBLOCK *mcu = end->next;

  end->next += ring->mcu_blocks;
  end->mcus--;
  return mcu;
}

/* Each line of the ring is in the other processor's cache when it is needed.
 * That can be far away, so it is asked for some MCUs before. */
#define PREFETCH(ring, end, to_write)                                         \
  do {                                                                        \
    const char *line = (const char *)((end)->next + PYFD_BLOCKS_AHEAD);       \
    const char *behind = line + (ring)->mcu_blocks * sizeof(JBLOCK);          \
                                                                              \
    for (; line < behind; line += PYFD_LINE)                                  \
      __builtin_prefetch(line, to_write);                                     \
  } while (0)

/* Return whether the symbols were claimed before, and claim them, or not. */
static int claim(pyfd_ring *ring, int wanted)
{
  int claimed;

  pthread_mutex_lock(&ring->mutex);
  claimed = ring->claimed;
  ring->claimed |= wanted;
  pthread_mutex_unlock(&ring->mutex);
  return claimed;
}

/* ---- the thread that reads symbols ---- */

int pyfd_claim_symbols(pyfd_ring *ring)
{
  return !claim(ring, 1);
}

/* Hand over the chunk that is full.  Returns whether there is another one. */
static int hand_over(pyfd_ring *ring)
{
  int left;

  pthread_mutex_lock(&ring->mutex);
  if (++ring->full == ENOUGH_TO_TAKE)
    pthread_cond_signal(&ring->changed);
  if (ring->full == PYFD_RING_CHUNKS) {
    while (ring->full > ENOUGH_ROOM && !ring->left)
      pthread_cond_wait(&ring->changed, &ring->mutex);
  }
  left = ring->left;
  pthread_mutex_unlock(&ring->mutex);
  return !left;
}

/* x86 has an instruction to prefetch for writing, but compilers use it only
 * where they are told to. */
#ifdef __x86_64__
__attribute__((target("prfchw")))
#endif
JBLOCK *pyfd_next_room(pyfd_ring *ring)
{
  pyfd_ring_end *end = &ring->symbols;

  if (end->mcus == 0) {
    if ((end->next != NULL && !hand_over(ring)) || !enter_chunk(ring, end))
      return NULL;
  }
  PREFETCH(ring, end, 1);
  return pass_mcu(ring, end);
}

void pyfd_end_symbols(pyfd_ring *ring, int intact)
{
  pthread_mutex_lock(&ring->mutex);
  ring->full++;
  ring->ended = 1;
  ring->damaged = !intact;
  pthread_cond_signal(&ring->changed);
  pthread_mutex_unlock(&ring->mutex);
}

/* ---- the thread that makes pixels ---- */

static int64_t nanoseconds(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * (int64_t)SECOND + now.tv_nsec;
}

/* A condition variable waits until a time of day, which may be set back; with
 * another clock, it needs a glibc of 2021. */
int pyfd_await_symbols(pyfd_ring *ring)
{
  static const struct timespec nap = {0, NAP};
  const int64_t end = nanoseconds() + PYFD_PATIENCE;

  while (!claim(ring, 0)) {
    if (nanoseconds() >= end)
      return claim(ring, 1);
    nanosleep(&nap, NULL);
  }
  return 1;
}

/* Give back the chunk that was taken, if there is one, and wait for the next.
 * Returns whether there is one, of a file that is not known to be damaged. */
static int take_chunk(pyfd_ring *ring, int taken)
{
  int full;

  pthread_mutex_lock(&ring->mutex);
  if (taken && --ring->full == ENOUGH_ROOM)
    pthread_cond_signal(&ring->changed);
  if (ring->full == 0) {
    while (ring->full < ENOUGH_TO_TAKE && !ring->ended)
      pthread_cond_wait(&ring->changed, &ring->mutex);
  }
  full = ring->full > 0 && !ring->damaged;
  pthread_mutex_unlock(&ring->mutex);
  return full;
}

const JBLOCK *pyfd_next_mcu(pyfd_ring *ring)
{
  pyfd_ring_end *end = &ring->pixels;

  if (end->mcus == 0) {
    if (!take_chunk(ring, end->next != NULL) || !enter_chunk(ring, end))
      return NULL;
  }
  PREFETCH(ring, end, 0);
  return pass_mcu(ring, end);
}

void pyfd_leave_ring(pyfd_ring *ring)
{
  pthread_mutex_lock(&ring->mutex);
  ring->claimed = ring->left = 1;
  pthread_cond_signal(&ring->changed);
  pthread_mutex_unlock(&ring->mutex);
}
