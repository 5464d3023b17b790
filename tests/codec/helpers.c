/*
 * Encode, decode and re-quantize an image on several threads, and compare the
 * results with those of one thread.  ThreadSanitizer finds memory that two
 * threads write without an order between them.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyfd.h"

#define WIDTH 260
#define HEIGHT 1300 /* pixels for five strips */
#define PIXELS (WIDTH * HEIGHT * 3)
#define WORKERS 6

static pthread_t threads[WORKERS];
static uint32_t started;

static void *help(void *work)
{
  pyfd_help(work);
  return NULL;
}

static void ask(void *pool, pyfd_work *work, uint32_t count)
{
  (void)pool;
  for (; count > 0; count--) {
    if (pthread_create(&threads[started++], NULL, help, work) != 0)
      exit(3);
  }
}

static const pyfd_helpers helpers = {ask, NULL};
static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
static uint16_t table[PYFD_BLOCK];
static int asked;

/* Wait for the threads that a call has asked for. */
static void join(void)
{
  asked += started > 0;
  while (started > 0)
    pthread_join(threads[--started], NULL);
}

static void check(int right, const char *what)
{
  if (!right) {
    fprintf(stderr, "%s differs\n", what);
    exit(2);
  }
}

static void compare_pixels(const uint8_t *file, size_t size,
                           pyfd_reading reading)
{
  const size_t pixels =
      reading.width > 0 ? (size_t)reading.width * reading.height * 3 : PIXELS;
  uint8_t *one = malloc(pixels), *several = malloc(pixels);
  pyfd_status status;

  check(pyfd_decode(file, size, &limits, &reading, table, 1, one, pixels,
                    &status) == PYFD_OK,
        status.message);
  reading.workers = WORKERS;
  reading.helpers = &helpers;
  check(pyfd_decode(file, size, &limits, &reading, table, 1, several, pixels,
                    &status) == PYFD_OK,
        status.message);
  join();
  check(memcmp(one, several, pixels) == 0, "decode");
  free(one);
  free(several);
}

static void compare_files(const uint8_t *file, size_t size,
                          const pyfd_writing *writing)
{
  pyfd_reading reading = PYFD_DEFAULT_READING;
  uint8_t *files[2];
  size_t sizes[2];
  pyfd_status status;
  int i;

  for (i = 0; i < 2; i++) {
    reading.workers = i > 0 ? WORKERS : 0;
    reading.helpers = &helpers;
    check(pyfd_requantize(file, size, &limits, &reading, table, 1, writing,
                          NULL, 0, &files[i], &sizes[i], &status) == PYFD_OK,
          status.message);
    join();
  }
  check(sizes[0] == sizes[1] && memcmp(files[0], files[1], sizes[0]) == 0,
        "requantize");
  pyfd_free(files[0]);
  pyfd_free(files[1]);
}

static void compare(const uint8_t *pixels, int samp)
{
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  pyfd_reading reading = PYFD_DEFAULT_READING;
  uint8_t *files[2];
  size_t sizes[2];
  pyfd_status status;
  int i;

  writing.restart_rows = 1;
  writing.helpers = &helpers;
  for (i = 0; i < 2; i++) {
    writing.workers = i > 0 ? WORKERS : 0;
    check(pyfd_encode(pixels, WIDTH, HEIGHT, 3, samp, samp, table, 1, &writing,
                      NULL, 0, &files[i], &sizes[i], &status) == PYFD_OK,
          status.message);
    join();
  }
  check(sizes[0] == sizes[1] && memcmp(files[0], files[1], sizes[0]) == 0,
        "encode");
  compare_files(files[0], sizes[0], &writing);
  for (reading.orientation = 1; reading.orientation <= 8;
       reading.orientation++)
    compare_pixels(files[0], sizes[0], reading);
  reading.orientation = 0;
  reading.left = 7;
  reading.top = 33;
  reading.width = WIDTH - 9;
  reading.height = HEIGHT - 50;
  compare_pixels(files[0], sizes[0], reading);
  pyfd_free(files[0]);
  pyfd_free(files[1]);
}

int main(void)
{
  uint8_t *pixels = malloc(PIXELS);
  uint32_t state = 1;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = 12;
  for (i = 0; i < PIXELS; i++) {
    state = state * 1664525u + 1013904223u;
    pixels[i] = (uint8_t)(i / WIDTH / 8 + (state >> 28));
  }
  compare(pixels, 1);
  compare(pixels, 2);
  free(pixels);
  printf("%d\n", asked);
  return 0;
}
