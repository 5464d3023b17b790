/*
 * fuzz.h - helpers that the fuzz targets share.
 *
 * A target is a libFuzzer entry point.  Its input is eight bytes that choose
 * the call's options, and then a file, or pixels for certified.c.  Targets
 * read the whole output of a call, so that a sanitizer finds bytes that were
 * never written.
 */

#ifndef PYFD_FUZZ_H
#define PYFD_FUZZ_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pyfd.h"

#define OPTIONS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small limits, so that an input takes milliseconds, and the limits are tested
 * too */
static const pyfd_limits fuzz_limits = {sizeof(pyfd_limits),
                                        1 << 20,
                                        1 << 20,
                                        16 << 20,
                                        20,
                                        200,
                                        1 << 16,
                                        1 << 21};

static const pyfd_reading fuzz_strict = PYFD_DEFAULT_READING;

static inline pyfd_reading fuzz_reading(uint8_t option)
{
  pyfd_reading reading = PYFD_DEFAULT_READING;

  reading.strict = option & 1;
  return reading;
}

/* Fill tables with one step, or with steps of all sizes. */
static inline void fill_tables(uint16_t *tables, int count, uint32_t seed,
                               uint32_t most)
{
  int i;

  for (i = 0; i < count * PYFD_BLOCK; i++) {
    if (seed & 1)
      seed = seed * 1664525u + 1013904223u;
    tables[i] = (uint16_t)(1 + (seed >> 16) % most);
    seed |= 1;
  }
}

static inline uint32_t option32(const uint8_t *options)
{
  uint32_t value;

  memcpy(&value, options, sizeof(value));
  return value;
}

static inline void read_all(const void *bytes, size_t size)
{
  static volatile uint8_t sink;
  const uint8_t *p = bytes;
  uint8_t sum = 0;

  while (size-- > 0)
    sum ^= *p++;
  sink = sum;
}

/* Check that a failed call has a code and a message, and that it names a limit
 * if and only if one is exceeded. */
static inline void check_status(int code, const pyfd_status *status)
{
  if ((uint32_t)code != status->code || code > PYFD_MEMORY ||
      (code != PYFD_OK && status->message[0] == 0) ||
      memchr(status->message, 0, sizeof(status->message)) == NULL ||
      (code == PYFD_LIMIT) != (status->limit[0] != 0) ||
      (status->needed != 0 && status->needed <= status->allowed))
    abort();
}

/* ---- several threads: build.py makes parts of small images, too ---- */

#define WORKERS 3

typedef struct {
  pthread_t threads[WORKERS - 1];
  uint32_t count;
} fuzz_pool;

static inline void *fuzz_help(void *work)
{
  pyfd_help(work);
  return NULL;
}

static inline void fuzz_ask(void *pool, pyfd_work *work, uint32_t count)
{
  fuzz_pool *p = pool;

  for (; count > 0; count--) {
    if (p->count == WORKERS - 1 ||
        pthread_create(&p->threads[p->count], NULL, fuzz_help, work) != 0)
      abort();
    p->count++;
  }
}

/* Wait for the threads that a call has asked for. */
static inline void fuzz_join(fuzz_pool *pool)
{
  while (pool->count > 0)
    pthread_join(pool->threads[--pool->count], NULL);
}

/* Check that several threads give the outcome of one. */
static inline void check_same(int code, const pyfd_status *status, int again,
                              const pyfd_status *shared)
{
  if (code != again || memcmp(status, shared, sizeof(*status)) != 0)
    abort();
}

/* The same for calls that write a file; frees that of several threads. */
static inline void check_same_file(int code, const pyfd_status *status,
                                   const uint8_t *file, size_t size, int again,
                                   const pyfd_status *shared,
                                   uint8_t *shared_file, size_t shared_size)
{
  check_same(code, status, again, shared);
  if (size != shared_size ||
      (code == PYFD_OK && memcmp(file, shared_file, size) != 0))
    abort();
  pyfd_free(shared_file);
}

#endif /* PYFD_FUZZ_H */
