/*
 * Encode a camera's frame with the tables "fd-cvpr2019".  The frame is NV12
 * (V4L2_PIX_FMT_NV12): rows of Y, then half as many rows of Cb and Cr in
 * turn.  The third number is what V4L2 calls bytesperline, from one row to the
 * next, if that is more than the width.
 *   cc camera.c $(pkg-config --cflags --libs pyfd) -o camera
 *   ./camera 1920 1080 2048 < frame.nv12 > photo.jpg
 */

#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>

static size_t number(const char *text, size_t least)
{
  const unsigned long value = strtoul(text, NULL, 10);

  if (value < least || value > 2 * PYFD_MAX_SIDE) {
    fprintf(stderr, "camera: %s is not from %zu to %d\n", text, least,
            2 * PYFD_MAX_SIDE);
    exit(2);
  }
  return value;
}

int main(int argc, char **argv)
{
  static const pyfd_writing writing = PYFD_DEFAULT_WRITING;
  const size_t width = number(argc > 1 ? argv[1] : "640", 1);
  const size_t height = number(argc > 2 ? argv[2] : "480", 1);
  const size_t even = width + width % 2; /* Cb and Cr cover the last column */
  const size_t stride = argc > 3 ? number(argv[3], even) : even;
  const size_t luma = stride * height, chroma = stride * ((height + 1) / 2);
  uint8_t *frame = (uint8_t *)malloc(luma + chroma), *file = NULL;
  uint16_t table[PYFD_BLOCK];
  pyfd_status status;
  size_t i, size = 0;
  int code;

  if (!frame || fread(frame, 1, luma + chroma, stdin) != luma + chroma) {
    fprintf(stderr, "camera: no frame of %zu bytes\n", luma + chroma);
    return 1;
  }
  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = i / 8 < 4 && i % 8 < 4 ? 25 : 30;

  /* Y, Cb and Cr, where the camera has left them */
  const pyfd_plane planes[3] = {
      {frame, luma, (ptrdiff_t)stride, 1},
      {frame + luma, chroma, (ptrdiff_t)stride, 2},
      {frame + luma + 1, chroma - 1, (ptrdiff_t)stride, 2}};

  code = pyfd_encode_yuv(planes, 3, (uint32_t)width, (uint32_t)height, 2, 2,
                         table, 1, &writing, NULL, 0, &file, &size, &status);
  free(frame);
  if (code != PYFD_OK) {
    fprintf(stderr, "camera: %s\n", status.message);
    return 1;
  }
  if (fwrite(file, 1, size, stdout) != size || fflush(stdout) != 0) {
    perror("camera");
    return 1;
  }
  pyfd_free(file);
  return 0;
}
