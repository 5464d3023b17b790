/*
 * Decode a stranger's JPEG onto "fd-cvpr2019" and write a PPM to stdout:
 *   cc decode.c $(python -m pyfd.config --cflags --libs) -o decode
 *   ./decode upload.jpg > upload.ppm
 */

#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
  static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
  static const pyfd_reading reading = PYFD_DEFAULT_READING; /* strict, RGB */
  static uint8_t file[1 << 24];
  uint16_t table[1][PYFD_BLOCK];
  pyfd_header header;
  pyfd_status status;
  uint8_t *pixels = NULL;
  FILE *stream = argc > 1 ? fopen(argv[1], "rb") : stdin;
  size_t size = stream ? fread(file, 1, sizeof(file), stream) : 0, count = 0;
  int i, code;

  for (i = 0; i < PYFD_BLOCK; i++) /* rows are vertical frequencies */
    table[0][i] = i / 8 < 4 && i % 8 < 4 ? 25 : 30;

  /* First the header, so that the program decides what it allocates */
  code = pyfd_probe(file, size, &limits, &header, NULL, 0, &status);
  if (code == PYFD_OK) {
    count = (size_t)header.width * header.height * 3;
    pixels = malloc(count);
    if (!pixels)
      return 1;
    code = pyfd_decode(file, size, &limits, &reading, table[0], 1, pixels,
                       count, &status);
  }
  if (code != PYFD_OK) {
    fprintf(stderr, "refused: %s\n", status.message);
    return 1;
  }
  printf("P6\n%u %u\n255\n", header.width, header.height);
  fwrite(pixels, 1, count, stdout);
  free(pixels);
  return 0;
}
