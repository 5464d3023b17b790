/*
 * binding.h - what only pyfd/_core/binding uses: the structs that C fills
 * in, one for each kind of call, and the handing over of files.  Python
 * allocates a struct at once, which takes less time than allocating its parts.
 * C takes an array of one element as a pointer.
 *
 * build.py passes the part between the two "cffi" lines to cffi.
 */

#ifndef PYFD_BINDING_H
#define PYFD_BINDING_H

#include "pyfd.h"

/* cffi: begin */

/* A file whose header has been read.  The walk over its markers goes on from
 * there. */
typedef struct {
  pyfd_status status[1];
  pyfd_header header[1];
  pyfd_segment segments[16]; /* nearly every file has no more */
  uint64_t walker[160];      /* see segments.h */
} pyfd_found;

/* One of many files that are decoded in one call */
typedef struct {
  const uint8_t *data;
  size_t size;
  uint8_t *out; /* NULL passes over the file */
  size_t out_size;
  const pyfd_reading *reading;
  pyfd_found found[1];
} pyfd_item;

typedef struct {
  pyfd_status status[1];
  uint8_t *data[1];
  size_t size[1];
} pyfd_made;

/* One of many images that are encoded in one call */
typedef struct {
  const uint8_t *pixels;
  uint32_t width, height;
  int channels;
  const pyfd_writing *writing;
  pyfd_made made[1];
} pyfd_picture;

typedef struct {
  pyfd_status status[1];
  pyfd_statistics statistics[1];
} pyfd_counted;

typedef struct {
  pyfd_status status[1];
  char why[256];
} pyfd_covered;

/* Read a file's header like pyfd_probe(), as the first step of a call. */
int pyfd_open(const uint8_t *data, size_t size, const pyfd_limits *limits,
              pyfd_segment *segments, size_t capacity, pyfd_found *found);

/* Do what pyfd_decode() and pyfd_requantize() do, with a file that pyfd_open()
 * has accepted.  The data and the limits must be the same.  If the data have
 * changed in between, the outcome is that of some file, or PYFD_ARGUMENT. */
int pyfd_decode_opened(pyfd_found *found, const uint8_t *data, size_t size,
                       const pyfd_limits *limits, const pyfd_reading *reading,
                       const uint16_t *tables, int num_tables, uint8_t *out,
                       size_t out_size);
int pyfd_requantize_opened(pyfd_found *found, const uint8_t *data, size_t size,
                           const pyfd_limits *limits,
                           const pyfd_reading *reading, const uint16_t *tables,
                           int num_tables, const pyfd_writing *writing,
                           const uint8_t *segments, size_t segments_size,
                           pyfd_made *made);

/* Do what pyfd_open(), pyfd_decode_opened() and pyfd_encode() do with each of
 * many files or images, whose outcomes are beside them.  Return how many
 * failed. */
size_t pyfd_open_many(pyfd_item *items, size_t count,
                      const pyfd_limits *limits);
size_t pyfd_decode_many(pyfd_item *items, size_t count,
                        const pyfd_limits *limits, const uint16_t *tables,
                        int num_tables);
size_t pyfd_encode_many(pyfd_picture *pictures, size_t count, int h_samp,
                        int v_samp, const uint16_t *tables, int num_tables,
                        const uint8_t *segments, size_t segments_size);

/* Give the memory of a part of a written file back to the system, as far as it
 * is whole pages.  The part's content is lost; pyfd_free() frees the rest. */
void pyfd_forget(uint8_t *part, size_t size);

/* cffi: end */

#endif /* PYFD_BINDING_H */
