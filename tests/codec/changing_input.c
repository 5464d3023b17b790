/*
 * Probe a file's header again and again, while another thread changes bytes of
 * it: changing_input FILE CALLS.  The sanitizers find a read beyond the file.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyfd.h"

static uint8_t *file, original[65536];
static size_t size;
static atomic_int done;

/* Change one byte after the other to a few values and back. */
static void *change(void *unused)
{
  volatile uint8_t *bytes = file;
  unsigned int state = 1;
  size_t i;
  int j;

  (void)unused;
  while (!done) {
    for (i = 2; i < size && !done; i++) {
      for (j = 0; j < 40; j++) {
        state = state * 1103515245 + 12345;
        bytes[i] = (uint8_t)(state >> 16);
        bytes[i] = j % 2 ? 255 : (uint8_t)(original[i] + 1);
        bytes[i] = original[i];
      }
    }
  }
  return NULL;
}

int main(int argc, char **argv)
{
  static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
  static pyfd_segment segments[8];
  pyfd_header header;
  pyfd_status status;
  pthread_t thread;
  long calls = argc == 3 ? atol(argv[2]) : 0, good = 0, i;
  FILE *stream = calls > 0 ? fopen(argv[1], "rb") : NULL;

  if (!stream)
    return 2;
  size = fread(original, 1, sizeof(original), stream);
  fclose(stream);
  file = malloc(size);
  if (!file)
    return 2;
  memcpy(file, original, size);
  if (pthread_create(&thread, NULL, change, NULL) != 0)
    return 2;
  for (i = 0; i < calls; i++)
    good +=
        pyfd_probe(file, size, &limits, &header, segments, 8, &status) == 0;
  done = 1;
  pthread_join(thread, NULL);
  free(file);
  printf("%ld %ld\n", good, calls - good);
  return 0;
}
