/*
 * arguments.c - calls of libpyfd whose arguments Python would refuse, for
 * test_c_arguments.py.
 *
 *   arguments FUNCTION [NAME=VALUE...]
 *
 * It reads a JPEG file from stdin, prints the outcome on stderr, and writes
 * the file that is made to stdout.
 */

#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 16 /* of the image that is written */
#define BLOCKS 6

static uint8_t file[1 << 20], pixels[3 * SIDE * SIDE], decoded[1 << 20];
static uint16_t tables[5][PYFD_BLOCK], radii[BLOCKS * 4];
static int16_t coefficients[BLOCKS * 4][PYFD_BLOCK]; /* 4:2:0 */
static uint8_t segments[] = {0xFF, 0xFE, 0, 4, 'h', 'i'};
static size_t size, decoded_size, num_segments = sizeof(segments);
static uint32_t width = SIDE, height = SIDE;
static int channels = 3, h_samp = 1, v_samp = 1, num_tables = 1;
static size_t count = (size_t)BLOCKS * PYFD_BLOCK;
static pyfd_header header = {.width = SIDE,
                             .height = SIDE,
                             .num_components = 3,
                             .color_space = PYFD_YCBCR,
                             .h_samp = {2, 1, 1},
                             .v_samp = {2, 1, 1}};
static pyfd_limits limits = PYFD_DEFAULT_LIMITS;
static pyfd_reading reading = PYFD_DEFAULT_READING;
static pyfd_writing writing = PYFD_DEFAULT_WRITING;
static uint8_t planar[3 * SIDE * SIDE];
static pyfd_plane planes[3] = {
    {planar, SIDE *SIDE, SIDE, 1},
    {planar + SIDE * SIDE, SIDE *SIDE, SIDE, 1},
    {planar + 2 * SIDE * SIDE, SIDE *SIDE, SIDE, 1}};
static int num_planes = 3, no_planes;
static pyfd_status status;

static void set(const char *name, long value)
{
  const struct {
    const char *name;
    uint32_t *value;
  } numbers[] = {
      {"width", &width},
      {"height", &height},
      {"color", &reading.color},
      {"scale", &reading.scale},
      {"left", &reading.left},
      {"top", &reading.top},
      {"region.width", &reading.width},
      {"region.height", &reading.height},
      {"orientation", &reading.orientation},
      {"progressive", &writing.progressive},
      {"optimize", &writing.optimize},
      {"radius", &writing.radius},
      {"trim", &writing.trim},
      {"file-radius", &writing.file_radius},
      {"writing.color", &writing.color},
      {"header.width", &header.width},
      {"header.height", &header.height},
      {"header.components", &header.num_components},
      {"header.color", &header.color_space},
      {"header.h", &header.h_samp[0]},
      {"header.v", &header.v_samp[2]},
      {"header.v1", &header.v_samp[0]},
  };
  const struct {
    const char *name;
    int *value;
  } ints[] = {{"channels", &channels},
              {"h", &h_samp},
              {"v", &v_samp},
              {"planes", &num_planes},
              {"no-planes", &no_planes},
              {"tables", &num_tables}};
  const struct {
    const char *name;
    size_t *value;
  } sizes[] = {{"count", &count},
               {"out", &decoded_size},
               {"y.size", &planes[0].size},
               {"y.step", &planes[0].step},
               {"cb.step", &planes[1].step},
               {"cr.size", &planes[2].size},
               {"cr.step", &planes[2].step}};
  size_t i;

  for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
    if (!strcmp(name, numbers[i].name))
      *numbers[i].value = (uint32_t)value;
  }
  for (i = 0; i < sizeof(ints) / sizeof(*ints); i++) {
    if (!strcmp(name, ints[i].name))
      *ints[i].value = (int)value;
  }
  for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
    if (!strcmp(name, sizes[i].name))
      *sizes[i].value = (size_t)value;
  }
  for (i = 0; !strcmp(name, "steps") && i < PYFD_BLOCK; i++)
    tables[0][i] = (uint16_t)value;
  if (!strcmp(name, "step"))
    tables[0][63] = (uint16_t)value;
  if (!strcmp(name, "last-step"))
    tables[2][63] = (uint16_t)value;
  if (!strcmp(name, "dc"))
    coefficients[3][0] = (int16_t)value;
  if (!strcmp(name, "ac"))
    coefficients[5][63] = (int16_t)value; /* of the last component */
  if (!strcmp(name, "y.stride"))
    planes[0].stride = (ptrdiff_t)value;
  if (!strcmp(name, "cr.stride"))
    planes[2].stride = (ptrdiff_t)value;
  if (!strcmp(name, "y.from"))
    planes[0].samples = value < 0 ? NULL : planar + value;
  if (!strcmp(name, "cr.from"))
    planes[2].samples = value < 0 ? NULL : planar + 2 * SIDE * SIDE + value;
  if (!strcmp(name, "marker"))
    segments[1] = (uint8_t)value;
  if (!strcmp(name, "length"))
    segments[3] = (uint8_t)value;
  if (!strcmp(name, "segments"))
    num_segments = (size_t)value;
}

static int run(const char *function, uint8_t **out, size_t *out_size)
{
  char why[99];

  if (!strcmp(function, "encode"))
    return pyfd_encode(pixels, width, height, channels, h_samp, v_samp,
                       tables[0], num_tables, &writing, segments, num_segments,
                       out, out_size, &status);
  if (!strcmp(function, "yuv"))
    return pyfd_encode_yuv(no_planes ? NULL : planes, num_planes, width,
                           height, h_samp, v_samp, tables[0], num_tables,
                           &writing, segments, num_segments, out, out_size,
                           &status);
  if (!strcmp(function, "write"))
    return pyfd_write_coefficients(&header, coefficients[0], count, tables[0],
                                   &writing, segments, num_segments, out,
                                   out_size, &status);
  if (!strcmp(function, "requantize"))
    return pyfd_requantize(file, size, &limits, &reading, tables[0],
                           num_tables, &writing, segments, num_segments, out,
                           out_size, &status);
  if (!strcmp(function, "decode"))
    return pyfd_decode(file, size, &limits, &reading, tables[0], num_tables,
                       decoded, decoded_size, &status);
  if (!strcmp(function, "snap"))
    return pyfd_snap(file, size, &limits, &reading, tables[0], num_tables,
                     decoded, decoded_size, &status);
  if (!strcmp(function, "why"))
    return pyfd_why_uncovered(file, size, &limits, why, count, &status);
  if (!strcmp(function, "certify"))
    return pyfd_certify(pixels, width, height, channels, h_samp, v_samp,
                        tables[0], num_tables, PYFD_RADII, radii, count,
                        &status);
  return pyfd_find_file_radii(pixels, width, height, channels, tables[0],
                              num_tables, radii, count, &status);
}

int main(int argc, char **argv)
{
  uint8_t *out = NULL;
  size_t out_size = 0;
  char *value;
  int i, code;

  size = fread(file, 1, sizeof(file), stdin);
  for (i = 0; i < 5 * PYFD_BLOCK; i++)
    tables[i / PYFD_BLOCK][i % PYFD_BLOCK] = 16;
  for (i = 2; i < argc; i++) {
    value = strchr(argv[i], '=');
    *value = 0;
    set(argv[i], atol(value + 1));
  }
  code = run(argv[1], &out, &out_size);
  fprintf(stderr, "%d: %s", code, status.message);
  fwrite(out, 1, out_size, stdout);
  pyfd_free(out);
  return 0;
}
