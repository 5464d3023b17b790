/*
 * libjpeg.h - helpers of the targets that use libjpeg's own interface, as
 * programs do that load the drop-in.
 *
 * These targets do everything twice, with memory that first contains one thing
 * and then another.  The results must be the same.
 */

#ifndef PYFD_FUZZ_LIBJPEG_H
#define PYFD_FUZZ_LIBJPEG_H

#include <setjmp.h>
#include <stdio.h>

#include "fuzz.h"

#define JPEG_INTERNALS /* for the limits */
#include <jpeglib.h>
#include <jerror.h>
#include <jrequant.h>

#define MAX_SAMPLES (1 << 16)
#define MAX_FILE (16 << 20)
#define MAX_SCANS 12
#define FNV_OFFSET 14695981039346656037u
#define FNV_PRIME 1099511628211u

/* ---- memory ----
 * What memory contains when libjpeg gets it, or -1 for whatever it contains */

static int memory_content = -1;

void __sanitizer_malloc_hook(const volatile void *memory, size_t size);

void __sanitizer_malloc_hook(const volatile void *memory, size_t size)
{
  if (memory_content >= 0)
    memset((void *)memory, memory_content, size);
}

/* ---- choices ---- */

/* Return 24 bits of a sequence that the seed determines. */
static inline uint32_t draw(uint32_t *seed)
{
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* ---- limits ----
 * Those that the drop-in takes from the environment */

/* Set small limits for half of the seeds, and none for the others. */
static inline void choose_limits(uint32_t seed)
{
  const int limited = draw(&seed) % 2;
  unsigned long long *limits = jpeg_environment_limits;

  limits[LIMIT_PIXELS] = draw(&seed) % MAX_SAMPLES;
  limits[LIMIT_SCANS] = draw(&seed) % MAX_SCANS;
  limits[LIMIT_VISITS] = draw(&seed) % (1 << (draw(&seed) % 16));
  limits[LIMIT_MEMORY] = draw(&seed) % (1 << (12 + draw(&seed) % 10));
  limits[LIMIT_NO_ARITHMETIC] = draw(&seed) % 2;
  if (limited)
    return;
  memset(limits, 0xFF, NUM_ENVIRONMENT_LIMITS * sizeof(*limits));
  limits[LIMIT_NO_ARITHMETIC] = 0;
}

/* ---- results ---- */

static inline void digest(uint64_t *sum, const void *bytes, size_t size)
{
  const uint8_t *p = bytes;

  while (size-- > 0)
    *sum = (*sum ^ *p++) * FNV_PRIME;
}

/* ---- errors ---- */

typedef struct {
  struct jpeg_error_mgr pub;
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
} error_manager;

static void give_up(j_common_ptr cinfo)
{
  char message[JMSG_LENGTH_MAX];

  (*cinfo->err->format_message)(cinfo, message);
  longjmp(((error_manager *)cinfo->err)->jump, 1);
}

static void count_warning(j_common_ptr cinfo, int level)
{
  char message[JMSG_LENGTH_MAX];

  (*cinfo->err->format_message)(cinfo, message);
  if (level < 0)
    cinfo->err->num_warnings++;
}

static void limit_scans(j_common_ptr cinfo)
{
  if (cinfo->is_decompressor &&
      ((j_decompress_ptr)cinfo)->input_scan_number > MAX_SCANS)
    longjmp(((error_manager *)cinfo->err)->jump, 1);
}

static inline struct jpeg_error_mgr *init_errors(error_manager *manager)
{
  jpeg_std_error(&manager->pub);
  manager->pub.error_exit = give_up;
  manager->pub.emit_message = count_warning;
  manager->progress.progress_monitor = limit_scans;
  return &manager->pub;
}

static inline int is_too_large(j_decompress_ptr cinfo)
{
  return (uint64_t)cinfo->image_width * cinfo->image_height *
             (uint64_t)cinfo->num_components >
         MAX_SAMPLES;
}

/* ---- a source that suspends ----
 * What has not been consumed is in memory of exactly its size, so that the
 * sanitizer finds whoever reads beyond its end. */

typedef struct {
  struct jpeg_source_mgr pub;
  uint8_t *given;
  const uint8_t *rest;
  size_t left, chunk, skip;
} chunked_source;

static void do_nothing(j_decompress_ptr cinfo)
{
  (void)cinfo;
}

static boolean suspend(j_decompress_ptr cinfo)
{
  (void)cinfo;
  return FALSE;
}

static void skip_input(j_decompress_ptr cinfo, long count)
{
  chunked_source *source = (chunked_source *)cinfo->src;
  size_t size = count > 0 ? (size_t)count : 0;

  if (size > source->pub.bytes_in_buffer) {
    source->skip += size - source->pub.bytes_in_buffer;
    size = source->pub.bytes_in_buffer;
  }
  source->pub.next_input_byte += size;
  source->pub.bytes_in_buffer -= size;
}

static inline void init_chunks(j_decompress_ptr cinfo, chunked_source *source,
                               const uint8_t *data, size_t size, size_t chunk)
{
  source->pub.init_source = do_nothing;
  source->pub.fill_input_buffer = suspend;
  source->pub.skip_input_data = skip_input;
  source->pub.resync_to_restart = jpeg_resync_to_restart;
  source->pub.term_source = do_nothing;
  source->rest = data;
  source->left = size;
  source->chunk = chunk;
  cinfo->src = &source->pub;
}

/* Give the next bytes, or, when there are none, many EOI markers. */
static inline void give_more(j_decompress_ptr cinfo)
{
  static uint8_t ends[1 << 12];
  chunked_source *source = (chunked_source *)cinfo->src;
  size_t kept = source->pub.bytes_in_buffer, count = source->chunk, i;
  const uint8_t *more = source->rest;
  uint8_t *given;

  if (count > source->left)
    count = source->left;
  source->rest += count;
  source->left -= count;
  if (count == 0) {
    for (i = 0; i < sizeof(ends); i++)
      ends[i] = i % 2 == 0 ? 0xFF : JPEG_EOI;
    more = ends;
    count = sizeof(ends);
  }
  given = malloc(kept + count);
  if (kept > 0)
    memcpy(given, source->pub.next_input_byte, kept);
  memcpy(given + kept, more, count);
  free(source->given);
  source->given = given;
  source->pub.next_input_byte = given;
  source->pub.bytes_in_buffer = kept + count;
  if (source->skip > 0) {
    count = source->skip;
    source->skip = 0;
    skip_input(cinfo, (long)count);
  }
}

/* ---- destinations ---- */

/* Write to memory that is large enough: libjpeg's own would be lost with an
 * error. */
static inline void init_memory(j_compress_ptr cinfo, uint8_t **file,
                               unsigned long *size)
{
  static uint8_t memory[MAX_FILE];

  *file = memory;
  *size = MAX_FILE;
  jpeg_mem_dest(cinfo, file, size);
}

/*
 * A buffer that is too small for anything.  It is emptied when it is full, or
 * when the caller does it after the encoder has suspended. */

typedef struct {
  struct jpeg_destination_mgr pub;
  uint8_t *buffer;
  size_t capacity, total;
  uint64_t sum;
  int suspends;
} small_destination;

static void empty_buffer(small_destination *target, size_t size)
{
  digest(&target->sum, target->buffer, size);
  target->total += size;
  target->pub.next_output_byte = target->buffer;
  target->pub.free_in_buffer = target->capacity;
}

static boolean empty_output(j_compress_ptr cinfo)
{
  small_destination *target = (small_destination *)cinfo->dest;

  if (target->suspends)
    return FALSE;
  empty_buffer(target, target->capacity);
  return TRUE;
}

/* Return whether there was anything to empty. */
static inline int empty_after_suspension(small_destination *target)
{
  size_t size = target->capacity - target->pub.free_in_buffer;

  empty_buffer(target, size);
  return size > 0;
}

static void end_output(j_compress_ptr cinfo)
{
  empty_after_suspension((small_destination *)cinfo->dest);
}

static void start_output(j_compress_ptr cinfo)
{
  small_destination *target = (small_destination *)cinfo->dest;

  target->pub.next_output_byte = target->buffer;
  target->pub.free_in_buffer = target->capacity;
}

static inline void init_small(j_compress_ptr cinfo, small_destination *target,
                              size_t capacity, int suspends)
{
  target->pub.init_destination = start_output;
  target->pub.empty_output_buffer = empty_output;
  target->pub.term_destination = end_output;
  target->buffer = malloc(capacity);
  target->capacity = capacity;
  target->suspends = suspends;
  target->sum = FNV_OFFSET;
  cinfo->dest = &target->pub;
}

#endif /* PYFD_FUZZ_LIBJPEG_H */
