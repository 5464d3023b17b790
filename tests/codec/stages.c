/*
 * Decode files in one thread and in two, in all colors, and compare pixels and
 * errors.  build.py's flags in test_stages.py make stages of small files, too,
 * which wait until a helper comes.  With ThreadSanitizer.
 *
 * Prints how many calls two threads have done, after which nothing was read.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyfd.h"

#define BLOCKS_OF_THE_RING 80

typedef struct {
  uint8_t *data;
  size_t size;
  int spoil; /* the file, once all of its symbols are read */
  uint32_t asked;
  pthread_t thread;
  pyfd_work *work;
} pool;

static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
static uint16_t table[PYFD_BLOCK];
static int done;

static void *help(void *data)
{
  pool *p = data;

  pyfd_help(p->work);
  if (p->spoil)
    memset(p->data, 0, p->size);
  return NULL;
}

static void ask(void *data, pyfd_work *work, uint32_t count)
{
  pool *p = data;

  p->work = work;
  p->asked += count;
  if (count != 1 || pthread_create(&p->thread, NULL, help, p) != 0)
    exit(3);
}

static void check(int right, const char *what, const char *name)
{
  if (!right) {
    fprintf(stderr, "%s: %s\n", name, what);
    exit(2);
  }
}

/* Decode a copy of the file in two threads. */
static int decode(pool *p, const uint8_t *file, pyfd_reading reading,
                  int num_tables, uint8_t *out, size_t out_size,
                  pyfd_status *status)
{
  const pyfd_helpers helpers = {ask, p};
  int code;

  p->asked = 0;
  memcpy(p->data, file, p->size);
  reading.workers = 9;
  reading.helpers = &helpers;
  code = pyfd_decode(p->data, p->size, &limits, &reading, table, num_tables,
                     out, out_size, status);
  if (p->asked > 0)
    pthread_join(p->thread, NULL);
  return code;
}

static void compare(const char *name, const uint8_t *file, size_t size,
                    const pyfd_header *header, pyfd_reading reading,
                    int num_tables)
{
  const size_t channels = reading.color == PYFD_CMYK ? 4 : 3;
  const size_t pixels = (size_t)header->width * header->height * channels;
  const int is_long = pixels / channels / 64 > 2 * BLOCKS_OF_THE_RING;
  uint8_t *one = calloc(1, pixels), *two = calloc(1, pixels);
  pool p = {.data = malloc(size), .size = size};
  pyfd_status status, found;
  int code = pyfd_decode(file, size, &limits, &reading, table, num_tables, one,
                         pixels, &status);

  check(decode(&p, file, reading, num_tables, two, pixels, &found) == code,
        found.message, name);
  check(memcmp(&status, &found, sizeof(status)) == 0, found.message, name);
  if (code == PYFD_OK) {
    check(memcmp(one, two, pixels) == 0, "other pixels", name);
    p.spoil = 1;
    if (p.asked > 0 && is_long) {
      memset(two, 0, pixels);
      check(decode(&p, file, reading, num_tables, two, pixels, &found) ==
                PYFD_OK,
            found.message, name);
      check(memcmp(one, two, pixels) == 0, "read again", name);
      done++;
    }
  }
  free(one);
  free(two);
  free(p.data);
}

static void compare_all(const char *name, const uint8_t *file, size_t size)
{
  pyfd_reading reading = PYFD_DEFAULT_READING;
  pyfd_header header;
  pyfd_status status;

  if (pyfd_probe(file, size, &limits, &header, NULL, 0, &status) != PYFD_OK)
    return;
  compare(name, file, size, &header, reading, 1);
  reading.orientation = 6;
  compare(name, file, size, &header, reading, 1);
  reading.orientation = 3;
  reading.color = PYFD_BGR;
  compare(name, file, size, &header, reading, 0);
  reading.orientation = 0;
  reading.color = header.num_components == 4 ? PYFD_CMYK : PYFD_YCBCR;
  compare(name, file, size, &header, reading, 0);
}

int main(int argc, char **argv)
{
  static uint8_t file[1 << 20];
  size_t size;
  FILE *in;
  int i;

  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = 12;
  for (i = 1; i < argc; i++) {
    in = fopen(argv[i], "rb");
    if (in == NULL)
      exit(3);
    size = fread(file, 1, sizeof(file), in);
    fclose(in);
    compare_all(argv[i], file, size);
  }
  printf("%d\n", done);
  return 0;
}
