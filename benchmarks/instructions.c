/*
 * Run one operation of pyfd.h on files, for benchmarks/instructions.py.
 * valgrind counts the instructions inside measured(), which is called once for
 * each file, after a decode that loads everything that is loaded only once.
 *   instructions plain|defended|requantize|calibrate|encode|
 *                encode-optimized|encode-progressive FILE...
 */

#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum operation {
  PLAIN,
  DEFENDED,
  REQUANTIZE,
  CALIBRATE,
  ENCODE,
  ENCODE_OPTIMIZED,
  ENCODE_PROGRESSIVE,
  OPERATIONS
};

static const char *const names[OPERATIONS] = {
    "plain",  "defended",         "requantize",        "calibrate",
    "encode", "encode-optimized", "encode-progressive"};

static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
static const pyfd_reading reading = PYFD_DEFAULT_READING;
static uint8_t file[1 << 26];
static uint16_t table[PYFD_BLOCK]; /* "fd-cvpr2019" */

typedef struct {
  size_t size;
  pyfd_header header;
  uint8_t *pixels;
  size_t count;
} input;

static int decode(const input *in, int num_tables, pyfd_status *status)
{
  return pyfd_decode(file, in->size, &limits, &reading, table, num_tables,
                     in->pixels, in->count, status);
}

static int requantize(const input *in, pyfd_status *status)
{
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  uint8_t *out = NULL;
  size_t size;
  int code;

  writing.keep_density = 1;
  code = pyfd_requantize(file, in->size, &limits, &reading, table, 1, &writing,
                         NULL, 0, &out, &size, status);
  pyfd_free(out);
  return code;
}

static int calibrate(const input *in, pyfd_status *status)
{
  static pyfd_statistics found;

  return pyfd_gather_statistics(file, in->size, &limits, &reading, &found,
                                status);
}

static int encode(const input *in, int optimize, int progressive,
                  pyfd_status *status)
{
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  uint8_t *out = NULL;
  size_t size;
  int code;

  writing.optimize = optimize;
  writing.progressive = progressive;
  code = pyfd_encode(in->pixels, in->header.width, in->header.height, 3,
                     (int)in->header.h_samp[0], (int)in->header.v_samp[0],
                     table, 1, &writing, NULL, 0, &out, &size, status);
  pyfd_free(out);
  return code;
}

/* Not inlined, because valgrind finds it by its name */
__attribute__((noinline)) int measured(enum operation what, const input *in,
                                       pyfd_status *status)
{
  switch (what) {
  case PLAIN:
    return decode(in, 0, status);
  case DEFENDED:
    return decode(in, 1, status);
  case REQUANTIZE:
    return requantize(in, status);
  case CALIBRATE:
    return calibrate(in, status);
  default:
    return encode(in, what == ENCODE_OPTIMIZED, what == ENCODE_PROGRESSIVE,
                  status);
  }
}

static int run(enum operation what, const char *path)
{
  input in;
  pyfd_status status;
  FILE *stream = fopen(path, "rb");
  int code;

  if (!stream)
    return 1;
  in.size = fread(file, 1, sizeof(file), stream);
  fclose(stream);
  code = pyfd_probe(file, in.size, &limits, &in.header, NULL, 0, &status);
  if (code != PYFD_OK)
    return code;
  in.count = (size_t)in.header.width * in.header.height * 3;
  in.pixels = malloc(in.count);
  if (!in.pixels)
    return 1;
  code = decode(&in, 0, &status); /* makes the pixels that encode() takes */
  if (code == PYFD_OK)
    code = measured(what, &in, &status);
  free(in.pixels);
  return code;
}

int main(int argc, char **argv)
{
  int i, what;

  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = i / 8 < 4 && i % 8 < 4 ? 25 : 30;
  for (what = 0; argc > 2 && what < OPERATIONS; what++) {
    if (strcmp(argv[1], names[what]) == 0) {
      for (i = 2; i < argc; i++) {
        if (run((enum operation)what, argv[i]) != PYFD_OK)
          return 1;
      }
      return 0;
    }
  }
  fprintf(stderr, "usage: instructions OPERATION FILE...\n");
  return 2;
}
