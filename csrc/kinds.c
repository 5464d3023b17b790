/*
 * kinds.c - see kinds.h.
 */

#include "kinds.h"

#include <string.h>

/* What a file begins with, after some bytes that may be anything */
typedef struct {
  const char *name;
  size_t skipped;
  const char *bytes;
  size_t size;
} signature;

#define SIGNATURE(name, skipped, bytes)                                       \
  {name, skipped, bytes, sizeof(bytes) - 1}

/* Of two that fit, the first one counts. */
static const signature signatures[] = {
    SIGNATURE("a PNG file", 0, "\x89PNG\r\n\x1A\n"),
    SIGNATURE("a WebP file", 8, "WEBP"),
    SIGNATURE("an AVI file", 8, "AVI "),
    SIGNATURE("a GIF file", 0, "GIF8"),
    SIGNATURE("a TIFF file", 0, "II*\0"),
    SIGNATURE("a TIFF file", 0, "MM\0*"),
    SIGNATURE("a TIFF file", 0, "II+\0"),
    SIGNATURE("a TIFF file", 0, "MM\0+"),
    SIGNATURE("a JPEG XR file", 0, "II\xBC\x01"),
    SIGNATURE("an AVIF file", 4, "ftypavi"),
    SIGNATURE("a HEIC file", 4, "ftyphei"),
    SIGNATURE("a HEIC file", 4, "ftyphev"),
    SIGNATURE("a HEIF file", 4, "ftypmif1"),
    SIGNATURE("a HEIF file", 4, "ftypmsf1"),
    SIGNATURE("a Canon raw file", 4, "ftypcrx "),
    SIGNATURE("a video file", 4, "ftyp"),
    SIGNATURE("a JPEG XL file", 0, "\xFF\x0A"),
    SIGNATURE("a JPEG XL file", 0, "\0\0\0\x0CJXL \r\n\x87\n"),
    SIGNATURE("a JPEG 2000 file", 0, "\0\0\0\x0CjP  \r\n\x87\n"),
    SIGNATURE("a JPEG 2000 codestream", 0, "\xFF\x4F\xFF\x51"),
    SIGNATURE("an icon", 0, "\0\0\1\0"),
    SIGNATURE("a PSD file", 0, "8BPS"),
    SIGNATURE("an OpenEXR file", 0, "v/1\x01"),
    SIGNATURE("a Radiance file", 0, "#?RADIANCE"),
    SIGNATURE("a QOI file", 0, "qoif"),
    SIGNATURE("a DDS file", 0, "DDS "),
    SIGNATURE("a PDF file", 0, "%PDF-"),
    SIGNATURE("a PostScript file", 0, "%!PS"),
    SIGNATURE("a ZIP file", 0, "PK\x03\x04"),
    SIGNATURE("a gzip file", 0, "\x1F\x8B"),
    SIGNATURE("a NumPy file", 0, "\x93NUMPY"),
    SIGNATURE("a Matroska or WebM file", 0, "\x1A\x45\xDF\xA3"),
    SIGNATURE("a pointer of Git LFS", 0, "version https://git-lfs"),
};

static int begins(const uint8_t *data, size_t size, const signature *s)
{
  return size >= s->skipped + s->size &&
         memcmp(data + s->skipped, s->bytes, s->size) == 0;
}

/* "BM", the file's size, and four bytes that are reserved */
static int is_bmp(const uint8_t *data, size_t size)
{
  return size >= 14 && data[0] == 'B' && data[1] == 'M' &&
         !memcmp(data + 6, "\0\0\0\0", 4);
}

/* "P1" to "P7", and white space */
static int is_netpbm(const uint8_t *data, size_t size)
{
  return size >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' &&
         strchr(" \t\r\n", data[2]) != NULL && data[2] != 0;
}

/* Check for an opening tag, in small or capital letters. */
static int is_tag(const uint8_t *data, size_t size, const char *tag)
{
  for (; *tag != 0; tag++, data++, size--) {
    if (size == 0 || (*data | ('A' <= *data && *data <= 'Z' ? 32 : 0)) != *tag)
      return 0;
  }
  return 1;
}

static const char *name_markup(const uint8_t *data, size_t size)
{
  if (size >= 3 && !memcmp(data, "\xEF\xBB\xBF", 3)) { /* byte-order mark */
    data += 3;
    size -= 3;
  }
  while (size > 0 && *data != 0 && strchr(" \t\r\n", *data) != NULL) {
    data++;
    size--;
  }
  if (is_tag(data, size, "<!doctype html") || is_tag(data, size, "<html"))
    return "an HTML page";
  if (is_tag(data, size, "<svg"))
    return "an SVG file";
  return is_tag(data, size, "<?xml") ? "an XML file" : NULL;
}

const char *pyfd_name_kind(const uint8_t *data, size_t size)
{
  size_t i;

  for (i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
    if (begins(data, size, &signatures[i]))
      return signatures[i].name;
  }
  if (is_bmp(data, size))
    return "a BMP file";
  if (is_netpbm(data, size))
    return "a Netpbm file";
  return name_markup(data, size);
}
