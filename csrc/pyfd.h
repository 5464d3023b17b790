/*
 * pyfd.h - the C layer under the Python package.
 *
 * Every call takes the caller's buffers, returns one of the codes below and
 * describes a failure in the caller's pyfd_status.  No call prints, exits,
 * keeps a pointer or touches anything global, so any number may run at once.
 *
 * No pointer may be NULL, except one to an array whose stated length is 0:
 * data with size 0 (which is PYFD_UNSUPPORTED), the segments of pyfd_probe()
 * with capacity 0, the tables of pyfd_decode() with num_tables 0, and the
 * segments of a written file with segments_size 0.  pyfd_free() takes NULL,
 * too.
 *
 * The structs of options (pyfd_limits, pyfd_reading, pyfd_writing) start with
 * their own size, which the PYFD_DEFAULT_ macros set.  Later versions may add
 * fields at the end, and programs that were compiled before keep working:
 * - A field that the caller's struct is too short for has its default value.
 * - A field that the library is too old to know must be unset: 0, or in
 *   pyfd_limits UINT64_MAX.  Anything else is PYFD_ARGUMENT, as is a size that
 *   was not set or that cuts a field.
 *
 * build.py passes the part between the two "cffi" lines to cffi.
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
#define PYFD_YCBCR_COMPONENTS 3
#define PYFD_BLOCK 64       /* coefficients in a block, steps in a table */
#define PYFD_MAX_SIDE 65500 /* pixels of an image's longest side */
#define PYFD_MAX_ORIENTATION 8

/* The largest steps that are accepted; a file may hold steps up to 65535.
 * Beyond them, the inverse DCT's input would not fit 16 bits, and libjpeg's
 * quantizer, which multiplies steps by 8, would overflow. */
#define PYFD_DECODER_STEP 32767 /* to decode and to re-quantize */
#define PYFD_ENCODER_STEP 8191  /* to encode pixels */

#define PYFD_RADII -1       /* pyfd_certify(): find the radii */
#define PYFD_MAX_RADIUS 256 /* of a block that nothing changes */

enum pyfd_code {
  PYFD_OK,
  PYFD_CORRUPT,     /* the file breaks the standard */
  PYFD_UNSUPPORTED, /* the file is a JPEG of a kind that pyfd refuses */
  PYFD_LIMIT,       /* the file exceeds one of the limits */
  PYFD_ARGUMENT,    /* the caller has made a mistake */
  PYFD_MEMORY       /* malloc failed */
};

enum pyfd_color {
  PYFD_L,
  PYFD_YCBCR,
  PYFD_RGB,
  PYFD_CMYK,
  PYFD_YCCK,
  PYFD_BGR /* for pixels only, never for a file */
};

/* The outcome of a call */
typedef struct {
  uint32_t code;     /* a pyfd_code */
  uint32_t warnings; /* defects that a lenient call has overlooked */
  char message[256]; /* why the call failed; else the first warning */
  char limit[16];    /* PYFD_LIMIT: the name of the pyfd_limits field, */
  uint64_t allowed;  /* its value, */
  uint64_t needed;   /* and a lower bound of what the file needs */
} pyfd_status;

/* See pyfd.Limits.  UINT64_MAX means no limit. */
typedef struct {
  uint64_t size; /* sizeof(pyfd_limits) */
  uint64_t max_bytes;
  uint64_t max_pixels;
  uint64_t max_memory;
  uint64_t max_scans;
  uint64_t max_segments;
  uint64_t max_metadata;
  uint64_t max_work;
} pyfd_limits;

/*
 * One image on several threads.  The library has no threads of its own.  A
 * call that could use others asks the caller's pool for helpers, with
 *
 *   (*ask)(pool, work, count)
 *
 * which returns at once, and arranges that other threads call
 * pyfd_help(work), count times in all.  When they do is up to the pool, and
 * may be after the call is over: the call does what nobody else does, and
 * waits for nobody who has not begun.  So a pool may be bounded, shared by any
 * number of calls, or busy, and its own threads may make such calls.  The last
 * pyfd_help() frees the work, so that each must be made in the end, in
 * whatever thread: `ask` itself may, if the pool takes no more.
 *
 * Files of one scan with restart markers, of 131,072 pixels or more, are done
 * in strips.  Without such markers, pyfd_decode() takes two threads for 2^21
 * pixels or more, in color and whole: one reads symbols, the other makes
 * pixels.  It waits half a millisecond at most for a helper to begin.  Lenient
 * calls and everything else are done by one thread.  Results, errors and
 * warnings are the same in any case.
 */
typedef struct pyfd_work pyfd_work;

typedef struct {
  void (*ask)(void *pool, pyfd_work *work, uint32_t count);
  void *pool; /* the caller's */
} pyfd_helpers;

/* How to read a file */
typedef struct {
  uint32_t size;   /* sizeof(pyfd_reading) */
  uint32_t strict; /* refuse a file that makes the decoder warn */
  uint32_t color;  /* a pyfd_color for the pixels, for pyfd_decode() only */
  uint32_t scale;  /* 1, 2, 4 or 8 divides the size, likewise */
  /* The part of the scaled image to decode, likewise; width 0 is all of it */
  uint32_t left, top, width, height;
  /* Of EXIF: 2...8 turn the region or the image to be upright, for
   * pyfd_decode() and pyfd_requantize(); 0 and 1 leave it as it is */
  uint32_t orientation;
  /* For pyfd_decode() and pyfd_requantize(): at most so many threads, this one
   * and its helpers.  0 and 1, and NULL, are this one alone. */
  uint32_t workers;
  const pyfd_helpers *helpers;
} pyfd_reading;

/* How to write a file */
typedef struct {
  uint32_t size; /* sizeof(pyfd_writing) */
  uint32_t progressive;
  uint32_t optimize;     /* make Huffman tables for this image */
  uint32_t keep_density; /* pyfd_requantize(): copy the JFIF density */
  /* pyfd_encode(), without subsampling, and pyfd_requantize(): the least
   * radius of the blocks of the decoded image, for pixels (see pyfd_certify())
   * and for files (see pyfd_find_file_radii()), 1...PYFD_MAX_RADIUS, or 0 for
   * any */
  uint32_t radius;
  uint32_t file_radius;
  uint32_t trim; /* pyfd_requantize(): drop edges that cannot be turned */
  /* pyfd_encode(): the color of pixels of 3 channels, PYFD_RGB, PYFD_BGR or
   * PYFD_YCBCR, or 0 for RGB.  Pixels of 1 channel are gray, which is 0. */
  uint32_t color;
  /* Write restart markers, at most so many rows of MCUs apart, or 0 for none;
   * fewer if an interval of 65535 MCUs (T.81 B.2.4.4) has fewer */
  uint32_t restart_rows;
  /* For pyfd_encode(): as in pyfd_reading.  (For pyfd_requantize(), those of
   * the reading count.) */
  uint32_t workers;
  const pyfd_helpers *helpers;
} pyfd_writing;

/*
 * A file's header, up to its first scan.  An example: in a 36x28 image in
 * 4:2:0, h_samp is {2, 1, 1} and an MCU covers 16x16 pixels, so there are 3x2
 * MCUs.  The 36x28 luma samples make 5x4 blocks (blocks_wide, blocks_high; the
 * sixth column of the last MCUs is padding), the 18x14 chroma samples 3x2.
 */
typedef struct {
  uint32_t width, height;  /* 1...PYFD_MAX_SIDE */
  uint32_t num_components; /* 1, 3 or 4 */
  uint32_t color_space;    /* a pyfd_color, as libjpeg guesses it */
  uint32_t progressive;    /* SOF2 */
  uint32_t multiscan;      /* decoding needs all coefficients in memory */
  uint32_t h_samp[PYFD_MAX_COMPONENTS],
      v_samp[PYFD_MAX_COMPONENTS]; /* 1...4 */
  uint32_t blocks_wide[PYFD_MAX_COMPONENTS];
  uint32_t blocks_high[PYFD_MAX_COMPONENTS];
  uint32_t num_qtables; /* leading components whose table is known so far */
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

/*
 * A plane of samples, as a camera or a video decoder leaves it.  If the stride
 * is negative, samples is the last row in memory.
 */
typedef struct {
  const uint8_t *samples; /* the first row */
  size_t size;      /* bytes from the row with the lowest address to the end */
  ptrdiff_t stride; /* bytes from a row to the next one below it */
  size_t step;      /* bytes from a sample to the next: 2 if interleaved */
} pyfd_plane;

/*
 * Sums of the coefficients and of their squares over the blocks of Y, Cb and
 * Cr, in natural order; zeros for a component that the file lacks.
 * Coefficients are dequantized and clamped to +-32767.
 */
typedef struct {
  int64_t sums[PYFD_YCBCR_COMPONENTS][PYFD_BLOCK];
  uint64_t squares[PYFD_YCBCR_COMPONENTS][PYFD_BLOCK];
  uint64_t blocks[PYFD_YCBCR_COMPONENTS]; /* the numbers of blocks */
} pyfd_statistics;

/*
 * Read a file's header: markers up to the first SOS, in linear time and
 * without allocation.  Fills up to capacity segments.
 */
int pyfd_probe(const uint8_t *data, size_t size, const pyfd_limits *limits,
               pyfd_header *header, pyfd_segment *segments, size_t capacity,
               pyfd_status *status);

/*
 * Decode to interleaved 8-bit pixels, onto num_tables (0...4) tables with
 * steps of 1...PYFD_DECODER_STEP.  out_size must be the size of the result.
 * A region must lie within the image.  Its pixels are those that it has in the
 * whole image, but what it does not depend on is not decoded, so that a strict
 * call does not see all damage there.
 */
int pyfd_decode(const uint8_t *data, size_t size, const pyfd_limits *limits,
                const pyfd_reading *reading, const uint16_t *tables,
                int num_tables, uint8_t *out, size_t out_size,
                pyfd_status *status);

/*
 * Decode a file to RGB, encode the pixels onto 1 to 4 tables (steps
 * 1...PYFD_ENCODER_STEP) without subsampling, and decode the result to RGB,
 * all at once.  Of reading, only strict is used.  out_size must be the size of
 * the result, 3 bytes for each pixel.
 */
int pyfd_snap(const uint8_t *data, size_t size, const pyfd_limits *limits,
              const pyfd_reading *reading, const uint16_t *tables,
              int num_tables, uint8_t *out, size_t out_size,
              pyfd_status *status);

/*
 * Read the quantized coefficients, component after component, rows of blocks
 * of 64 in natural order, and the tables they were quantized with, one per
 * component.  out_count is the number of coefficients.
 */
int pyfd_read_coefficients(const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, int16_t *out,
                           size_t out_count, uint16_t *tables,
                           pyfd_status *status);

/*
 * Add up the coefficients of a gray or YCbCr file.  Files of other color
 * spaces are unsupported.
 */
int pyfd_gather_statistics(const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, pyfd_statistics *out,
                           pyfd_status *status);

/*
 * Write into why, in at most why_size bytes, the reason why the theorem for
 * files (docs/files-theorem.md) does not cover a file, or "" if it does.
 * Warnings are errors, as in a strict reading.
 */
int pyfd_why_uncovered(const uint8_t *data, size_t size,
                       const pyfd_limits *limits, char *why, size_t why_size,
                       pyfd_status *status);

/*
 * Certify the blocks of an image's components, one after the other: those of
 * the quantized coefficients that pyfd_encode() would make of these pixels.
 * With an epsilon of 0...255, each result is 1 if no perturbation of at most
 * epsilon levels changes the block's coefficients, else 0.  With PYFD_RADII it
 * is the smallest epsilon at which one does, or 256 if none does.  (In blocks
 * that libjpeg pads, it is a lower bound.)  Steps are 1...PYFD_ENCODER_STEP.
 */
int pyfd_certify(const uint8_t *pixels, uint32_t width, uint32_t height,
                 int channels, int h_samp, int v_samp, const uint16_t *tables,
                 int num_tables, int epsilon, uint16_t *out, size_t out_count,
                 pyfd_status *status);

/*
 * Find the radii for files of an image's 8x8 pixels, one after the other.  If
 * the image is a decoded file on these tables (1...PYFD_ENCODER_STEP) in
 * 4:4:4, and pyfd_why_uncovered() accepts another file, then that one's pixels
 * must differ from these there by at least so many levels to have coefficients
 * that are quantized to others.  0 promises nothing.
 */
int pyfd_find_file_radii(const uint8_t *pixels, uint32_t width,
                         uint32_t height, int channels, const uint16_t *tables,
                         int num_tables, uint16_t *out, size_t out_count,
                         pyfd_status *status);

/*
 * The functions below write a file into memory that they allocate, and that
 * the caller frees with pyfd_free().  segments (whole APPn and COM segments,
 * or nothing) are inserted after the file header.
 */

/*
 * Encode pixels: 1 channel (gray) or 3 (RGB, unless writing has a color).  The
 * 1 to 4 tables' steps are 1...PYFD_ENCODER_STEP.  With a radius, blocks that
 * do not have it are replaced with the closest ones found that do; it is a
 * radius of the file's pixels in RGB, whatever the color of these.
 */
int pyfd_encode(const uint8_t *pixels, uint32_t width, uint32_t height,
                int channels, int h_samp, int v_samp, const uint16_t *tables,
                int num_tables, const pyfd_writing *writing,
                const uint8_t *segments, size_t segments_size, uint8_t **out,
                size_t *out_size, pyfd_status *status);

/*
 * Encode planes of full-range YCbCr (ITU-T T.871): 1 (gray), or 3 in the order
 * Y, Cb, Cr, without converting or resampling them.  Y has height rows of
 * width samples.  A sample of Cb or Cr covers h_samp x v_samp pixels, so 2x2
 * is 4:2:0, and their planes have as many rows and columns as cover the image:
 * half of them, rounded up.  A file needs whole blocks; the last row and
 * column are repeated as far as they go.  NV12 in a buffer of width * height *
 * 3 / 2 bytes, which end with interleaved Cb and Cr:
 *
 *   const uint8_t *cbcr = buffer + width * height;
 *   const size_t half = width * height / 2;
 *   const pyfd_plane planes[3] = {{buffer, width * height, width, 1},
 *                                 {cbcr, half, width, 2},
 *                                 {cbcr + 1, half - 1, width, 2}};
 *
 * Tables, options and segments are those of pyfd_encode(), but for the radii,
 * which must be 0, and the color, 0 or PYFD_YCBCR for 3 planes and 0 for 1.
 */
int pyfd_encode_yuv(const pyfd_plane *planes, int num_planes, uint32_t width,
                    uint32_t height, int h_samp, int v_samp,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status);

/*
 * Write coefficients in the order of pyfd_read_coefficients(), with steps of
 * 1...65535.  DC coefficients are -1024...1023, the others -1023...1023.  Of
 * the header, only the size, components, color space and sampling are used.
 */
int pyfd_write_coefficients(const pyfd_header *header,
                            const int16_t *coefficients, size_t count,
                            const uint16_t *tables,
                            const pyfd_writing *writing,
                            const uint8_t *segments, size_t segments_size,
                            uint8_t **out, size_t *out_size,
                            pyfd_status *status);

/*
 * Re-quantize a file onto 1 to 4 tables with steps of 1...PYFD_DECODER_STEP
 * without decoding it to pixels.  With an orientation, turn it first, without
 * loss; that is unsupported if an edge would have to move that does not fill
 * its MCUs, unless it may be trimmed.
 *
 * With a radius, decode the file without tables, turn the pixels, and encode
 * them as pyfd_encode() does, without subsampling.  Steps are
 * 1...PYFD_ENCODER_STEP, and files of four components are refused.
 */
int pyfd_requantize(const uint8_t *data, size_t size,
                    const pyfd_limits *limits, const pyfd_reading *reading,
                    const uint16_t *tables, int num_tables,
                    const pyfd_writing *writing, const uint8_t *segments,
                    size_t segments_size, uint8_t **out, size_t *out_size,
                    pyfd_status *status);

void pyfd_free(uint8_t *out);

/* Help with a call, in a thread of the pool that it has asked: see
 * pyfd_helpers. */
void pyfd_help(pyfd_work *work);

/*
 * Return upstream's version and a digest of the patches, for example
 * "2.1.5+pyfd.0a1b2c3d".  build.py defines it.
 */
const char *pyfd_libjpeg_turbo(void);

/* cffi: end */

/* The limits of pyfd.Limits(), a strict reading to RGB, a baseline file */
#define PYFD_DEFAULT_LIMITS                                                   \
  {sizeof(pyfd_limits),                                                       \
   64 << 20,                                                                  \
   67108864,                                                                  \
   768 << 20,                                                                 \
   100,                                                                       \
   4096,                                                                      \
   16 << 20,                                                                  \
   100000000}
#define PYFD_DEFAULT_READING                                                  \
  {sizeof(pyfd_reading), 1, PYFD_RGB, 1, 0, 0, 0, 0, 0, 0, 0}
#define PYFD_DEFAULT_WRITING                                                  \
  {sizeof(pyfd_writing), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

#ifdef __cplusplus
}
#endif

#endif /* PYFD_H */
