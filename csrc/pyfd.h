/*
 * pyfd.h - the C layer under the Python package.
 *
 * Bytes go in, numbers and pixels come out.  Every call takes the caller's
 * buffers, returns one of the codes below and describes a failure in the
 * caller's pyfd_status.  No call prints, exits, keeps a pointer or touches
 * anything global, so any number may run at once.
 *
 * build.py hands what stands between the two "cffi" lines to cffi.
 */

#ifndef PYFD_H
#define PYFD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */

#define PYFD_MAX_COMPONENTS 4
#define PYFD_BLOCK 64 /* coefficients in a block, steps in a table */

enum pyfd_code {
  PYFD_OK,
  PYFD_CORRUPT,     /* the file breaks the standard */
  PYFD_UNSUPPORTED, /* the file is a JPEG of a kind that we do not take */
  PYFD_LIMIT,       /* the file asks for more than the limits grant */
  PYFD_ARGUMENT,    /* the caller asks for what cannot be */
  PYFD_MEMORY       /* malloc failed */
};

enum pyfd_color {
  PYFD_L,
  PYFD_YCBCR,
  PYFD_RGB,
  PYFD_CMYK,
  PYFD_YCCK,
  PYFD_BGR /* of pixels only, never of a file */
};

typedef struct {
  uint32_t code;     /* a pyfd_code */
  uint32_t warnings; /* what a lenient decoder had to overlook */
  char message[256]; /* why it failed; else the first warning */
} pyfd_status;

/* See pyfd.Limits; UINT64_MAX is no limit. */
typedef struct {
  uint64_t max_bytes;
  uint64_t max_pixels;
  uint64_t max_memory;
  uint64_t max_scans;
  uint64_t max_segments;
  uint64_t max_metadata;
} pyfd_limits;

/*
 * What a file says before its first scan.  A 36x28 image in 4:2:0: h_samp is
 * {2, 1, 1}, an MCU 16x16 pixels, so 3x2 MCUs; the 36x28 luma samples make
 * 5x4 blocks (blocks_wide, blocks_high; the sixth column of the last MCUs is
 * padding), the 18x14 chroma samples 3x2.
 */
typedef struct {
  uint32_t width, height;  /* 1...65500 */
  uint32_t num_components; /* 1, 3 or 4 */
  uint32_t color_space;    /* a pyfd_color, as libjpeg guesses it */
  uint32_t progressive;    /* SOF2 */
  uint32_t multiscan;      /* decoding needs all coefficients in memory */
  uint32_t h_samp[PYFD_MAX_COMPONENTS],
      v_samp[PYFD_MAX_COMPONENTS]; /* 1...4 */
  uint32_t blocks_wide[PYFD_MAX_COMPONENTS];
  uint32_t blocks_high[PYFD_MAX_COMPONENTS];
  uint32_t num_qtables; /* leading components whose table is known by now */
  uint16_t qtables[PYFD_MAX_COMPONENTS][PYFD_BLOCK]; /* natural order, >= 1 */
  uint64_t coefficient_bytes; /* of all components, padding included */
  uint64_t num_segments;      /* APPn and COM so far */
} pyfd_header;

/* An APPn or COM segment's payload */
typedef struct {
  uint64_t offset; /* in the file */
  uint32_t size;   /* 0...65533 */
  uint32_t marker; /* 0xE0...0xEF, 0xFE */
} pyfd_segment;

/* How to write a file */
typedef struct {
  uint32_t progressive;
  uint32_t optimize;     /* Huffman tables of its own */
  uint32_t keep_density; /* JFIF density: the input's (requantize) */
} pyfd_writing;

/*
 * Read a file's header: markers up to the first SOS, in linear time and
 * without allocation.  Fills up to capacity segments.
 */
int pyfd_probe(const uint8_t *data, size_t size, const pyfd_limits *limits,
               pyfd_header *header, pyfd_segment *segments, size_t capacity,
               pyfd_status *status);

/*
 * Decode to interleaved 8-bit pixels of a color, at 1/scale of the size
 * (1, 2, 4, 8), onto num_tables (0...4) tables of steps 1...32767.  out_size
 * must be the size of the result.
 */
int pyfd_decode(const uint8_t *data, size_t size, const pyfd_limits *limits,
                int strict, const uint16_t *tables, int num_tables, int color,
                int scale, uint8_t *out, size_t out_size, pyfd_status *status);

/*
 * Read the quantized coefficients, component after component, rows of blocks
 * of 64 in natural order, and the tables they were quantized with, one per
 * component.  out_count is the number of coefficients.
 */
int pyfd_read_coefficients(const uint8_t *data, size_t size,
                           const pyfd_limits *limits, int strict, int16_t *out,
                           size_t out_count, uint16_t *tables,
                           pyfd_status *status);

/*
 * Sums and sums of squares of the dequantized coefficients, clamped to
 * +-32767, of a gray or YCbCr file: 3 components of 64 values each (zeros for
 * a component that the file lacks), and the number of blocks of each.  Files
 * of other color spaces are unsupported.
 */
int pyfd_gather_statistics(const uint8_t *data, size_t size,
                           const pyfd_limits *limits, int strict,
                           int64_t *sums, uint64_t *squares, uint64_t *blocks,
                           pyfd_status *status);

/*
 * The functions below write a file into memory of their own, which the caller
 * frees with pyfd_free().  segments is spliced in after the file header: whole
 * marker segments, or nothing.
 */

/* Encode pixels: 1 channel (gray) or 3 (RGB); steps 1...8191. */
int pyfd_encode(const uint8_t *pixels, uint32_t width, uint32_t height,
                int channels, int h_samp, int v_samp, const uint16_t *tables,
                int num_tables, const pyfd_writing *writing,
                const uint8_t *segments, size_t segments_size, uint8_t **out,
                size_t *out_size, pyfd_status *status);

/*
 * Write coefficients laid out as pyfd_read_coefficients() gives them.  Of the
 * header, the size, components, color space and sampling count.
 */
int pyfd_write_coefficients(const pyfd_header *header,
                            const int16_t *coefficients, size_t count,
                            const uint16_t *tables,
                            const pyfd_writing *writing,
                            const uint8_t *segments, size_t segments_size,
                            uint8_t **out, size_t *out_size,
                            pyfd_status *status);

/* Re-quantize a file onto tables of steps 1...32767 without decoding it. */
int pyfd_requantize(const uint8_t *data, size_t size,
                    const pyfd_limits *limits, int strict,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status);

void pyfd_free(uint8_t *out);

/* The fork inside: "2.1.5" and its patches' digest, as build.py stamps them */
const char *pyfd_libjpeg_turbo(void);

/* cffi: end */

/* Those of pyfd.Limits() */
#define PYFD_DEFAULT_LIMITS                                                   \
  {64 << 20, 67108864, 768 << 20, 100, 4096, 16 << 20}

#ifdef __cplusplus
}
#endif

#endif /* PYFD_H */
