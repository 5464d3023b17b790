/*
 * yuv.c - the encoding of planes.  Sizes, strides and steps are anything, and
 * the memory is just as large as each plane says that it is.  If a call takes
 * the planes, the file is that of the same samples in rows without gaps.
 */

#include "fuzz.h"

#define SIDE 40
#define PLANES 3

typedef struct {
  uint32_t width, height;
  int h_samp, v_samp, num_planes;
  uint16_t tables[PLANES * PYFD_BLOCK];
  pyfd_writing writing;
} options;

typedef struct {
  pyfd_plane plane;
  uint8_t *memory;
} placed;

static uint32_t draw(uint32_t *seed)
{
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

static uint32_t columns_of(const options *o, int plane)
{
  const uint32_t across = plane > 0 ? (uint32_t)o->h_samp : 1;

  return (o->width + across - 1) / across;
}

static uint32_t rows_of(const options *o, int plane)
{
  const uint32_t down = plane > 0 ? (uint32_t)o->v_samp : 1;

  return (o->height + down - 1) / down;
}

static options choose(const uint8_t *data)
{
  options o = {.writing = PYFD_DEFAULT_WRITING};

  o.num_planes = data[0] & 1 ? 1 : PLANES;
  o.writing.progressive = data[0] >> 1 & 1;
  o.writing.optimize = data[0] >> 2 & 1;
  o.h_samp = 1 + (data[0] >> 3 & 3);
  o.v_samp = 1 + (data[0] >> 5 & 3);
  o.width = 1 + data[1] % SIDE;
  o.height = 1 + data[2] % SIDE;
  fill_tables(o.tables, PLANES, option32(data + 4), PYFD_ENCODER_STEP);
  return o;
}

/* Make a plane that fits, or nearly: sometimes a number is another one. */
static placed place(const options *o, int plane, uint32_t *seed,
                    const uint8_t *samples, size_t count)
{
  const size_t columns = columns_of(o, plane), rows = rows_of(o, plane);
  placed p;
  size_t step = 1 + draw(seed) % 4, row = (columns - 1) * step + 1;
  size_t stride = row + draw(seed) % 4, up, i;

  p.plane.step = step;
  p.plane.size = (rows - 1) * stride + row;
  if (draw(seed) % 8 == 0)
    stride = draw(seed) % 200;
  if (draw(seed) % 8 == 0)
    p.plane.size = draw(seed) % 4096;
  if (draw(seed) % 8 == 0)
    p.plane.step = draw(seed) % 6;
  p.plane.stride = (ptrdiff_t)stride;
  p.memory = malloc(p.plane.size);
  for (i = 0; i < p.plane.size; i++)
    p.memory[i] = samples[i % count];
  up = (rows - 1) * stride;
  p.plane.samples = p.memory;
  if (draw(seed) % 2 == 0) { /* bottom up */
    p.plane.samples += up < p.plane.size ? up : p.plane.size;
    p.plane.stride = -p.plane.stride;
  }
  return p;
}

/* Copy the samples of a plane that was taken into rows without gaps. */
static placed tight(const options *o, int plane, const pyfd_plane *from)
{
  const size_t columns = columns_of(o, plane), rows = rows_of(o, plane);
  placed p = {{NULL, rows * columns, (ptrdiff_t)columns, 1}, NULL};
  size_t x, y;

  p.memory = malloc(p.plane.size);
  for (y = 0; y < rows; y++) {
    for (x = 0; x < columns; x++)
      p.memory[y * columns + x] = from->samples[(ptrdiff_t)y * from->stride +
                                                (ptrdiff_t)(x * from->step)];
  }
  p.plane.samples = p.memory;
  return p;
}

static int encode(const options *o, const placed *planes, uint8_t **file,
                  size_t *size)
{
  pyfd_plane given[PLANES];
  pyfd_status status;
  int i, code;

  for (i = 0; i < o->num_planes; i++)
    given[i] = planes[i].plane;
  code = pyfd_encode_yuv(given, o->num_planes, o->width, o->height, o->h_samp,
                         o->v_samp, o->tables, PLANES, &o->writing, NULL, 0,
                         file, size, &status);
  check_status(code, &status);
  return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  placed planes[PLANES], copies[PLANES];
  uint8_t *file, *again;
  size_t file_size, again_size;
  uint32_t seed;
  options o;
  int i, code;

  if (size <= OPTIONS)
    return 0;
  o = choose(data);
  seed = option32(data + 4) + data[3];
  for (i = 0; i < o.num_planes; i++)
    planes[i] = place(&o, i, &seed, data + OPTIONS, size - OPTIONS);
  code = encode(&o, planes, &file, &file_size);
  if (code != PYFD_OK && code != PYFD_ARGUMENT)
    abort();
  if (code == PYFD_OK) {
    for (i = 0; i < o.num_planes; i++)
      copies[i] = tight(&o, i, &planes[i].plane);
    if (encode(&o, copies, &again, &again_size) != PYFD_OK ||
        again_size != file_size || memcmp(again, file, file_size) != 0)
      abort();
    for (i = 0; i < o.num_planes; i++)
      free(copies[i].memory);
    pyfd_free(again);
    pyfd_free(file);
  }
  for (i = 0; i < o.num_planes; i++)
    free(planes[i].memory);
  return 0;
}
