/*
 * Play the camera and the classifier: draw a picture, encode it with the
 * tables "fd-cvpr2019", decode the file onto the same tables, and compare.
 *   cc camera.c $(pkg-config --cflags --libs pyfd) -o camera
 *   ./camera photo.jpg
 */

#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>

#define SIDE 256

int main(int argc, char **argv)
{
  static const pyfd_limits limits = PYFD_DEFAULT_LIMITS;
  static const pyfd_reading reading = PYFD_DEFAULT_READING;
  static const pyfd_writing writing = PYFD_DEFAULT_WRITING;
  static uint8_t drawn[SIDE][SIDE][3], shown[SIDE][SIDE][3];
  const uint8_t *before = &drawn[0][0][0], *after = &shown[0][0][0];
  uint16_t table[PYFD_BLOCK];
  pyfd_status status;
  uint8_t *file = NULL;
  size_t size = 0, i;
  int code, most = 0, x, y;
  FILE *stream;

  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = i / 8 < 4 && i % 8 < 4 ? 25 : 30;
  for (y = 0; y < SIDE; y++) {
    for (x = 0; x < SIDE; x++) {
      drawn[y][x][0] = (uint8_t)x;
      drawn[y][x][1] = (uint8_t)y;
      drawn[y][x][2] = (uint8_t)((x + y) / 2);
    }
  }

  /* The camera: one table for all components, without subsampling */
  code = pyfd_encode(before, SIDE, SIDE, 3, 1, 1, table, 1, &writing, NULL, 0,
                     &file, &size, &status);
  /* The classifier */
  if (code == PYFD_OK)
    code = pyfd_decode(file, size, &limits, &reading, table, 1,
                       &shown[0][0][0], sizeof(shown), &status);
  if (code != PYFD_OK) {
    fprintf(stderr, "failed: %s\n", status.message);
    return 1;
  }

  for (i = 0; i < sizeof(drawn); i++) {
    int change = abs(before[i] - after[i]);
    if (change > most)
      most = change;
  }
  printf("%zu bytes; no sample changed by more than %d levels\n", size, most);
  if (argc > 1) {
    stream = fopen(argv[1], "wb");
    if (!stream || fwrite(file, 1, size, stream) != size || fclose(stream)) {
      perror(argv[1]);
      return 1;
    }
  }
  pyfd_free(file);
  return 0;
}
