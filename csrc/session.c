/*
 * session.c - see session.h.
 */

#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "binding.h"
#include "options.h"

_Static_assert(PYFD_MAX_SIDE == JPEG_MAX_DIMENSION, "libjpeg's largest side");

/* ---- errors ---- */

/* Translate a libjpeg error to a pyfd_code. */
static int classify(j_common_ptr cinfo)
{
  switch (cinfo->err->msg_code) {
  case JERR_OUT_OF_MEMORY:
    return PYFD_MEMORY;
  case JERR_CONVERSION_NOTIMPL:
    return PYFD_ARGUMENT;
  case JERR_CCIR601_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
  case JERR_IMAGE_TOO_BIG:
  case JERR_NOTIMPL:
  case JERR_NOT_COMPILED:
  case JERR_WIDTH_OVERFLOW:
    return PYFD_UNSUPPORTED;
  default:
    return cinfo->is_decompressor ? PYFD_CORRUPT : PYFD_ARGUMENT;
  }
}

static void describe(j_common_ptr cinfo, pyfd_status *status)
{
  char message[JMSG_LENGTH_MAX];

  (*cinfo->err->format_message)(cinfo, message);
  pyfd_fail(status, (int)status->code, "%s", message);
}

static void error_exit(j_common_ptr cinfo)
{
  pyfd_errors *errors = (pyfd_errors *)cinfo->err;
  pyfd_status *status = errors->status;

  /* The walk has noted this damage.  libjpeg goes on behind the marker if this
   * function returns (jdmarker.c: read_markers). */
  if (cinfo->err->msg_code == JERR_UNKNOWN_MARKER && !errors->strict)
    return;
  describe(cinfo, status);
  status->code = (uint32_t)classify(cinfo);
  longjmp(errors->escape, 1);
}

static void emit_message(j_common_ptr cinfo, int level)
{
  pyfd_errors *errors = (pyfd_errors *)cinfo->err;
  pyfd_status *status = errors->status;

  if (level >= 0)
    return; /* a trace message */
  if (status->message[0] == 0)
    describe(cinfo, status);
  status->warnings++;
  if (errors->strict) {
    status->code = PYFD_CORRUPT;
    longjmp(errors->escape, 1);
  }
}

static void output_message(j_common_ptr cinfo)
{
  (void)cinfo; /* nothing is ever printed */
}

void pyfd_leave(pyfd_session *s, int code)
{
  s->errors.status->code = (uint32_t)code;
  longjmp(s->errors.escape, 1);
}

void pyfd_require(pyfd_session *s, int code)
{
  if (code != PYFD_OK)
    pyfd_leave(s, code);
}

void pyfd_refuse(pyfd_session *s, const char *message)
{
  pyfd_fail(s->errors.status, PYFD_ARGUMENT, "%s", message);
  pyfd_leave(s, PYFD_ARGUMENT);
}

void pyfd_warn(pyfd_session *s, const char *message)
{
  pyfd_status *status = s->errors.status;

  if (status->message[0] == 0)
    pyfd_fail(status, PYFD_OK, "%s", message);
  status->warnings++;
  if (s->errors.strict)
    pyfd_leave(s, PYFD_CORRUPT);
}

/* ---- the session ---- */

void pyfd_start_session(pyfd_session *s, pyfd_status *status, void *job)
{
  memset(s, 0, sizeof(*s));
  memset(status, 0, sizeof(*status));
  jpeg_std_error(&s->errors.pub);
  s->errors.pub.error_exit = error_exit;
  s->errors.pub.emit_message = emit_message;
  s->errors.pub.output_message = output_message;
  s->errors.status = status;
  s->errors.strict = 1;
  s->in.err = s->out.err = &s->errors.pub;
  s->job = job;
}

void pyfd_start_reader(pyfd_session *s, const uint8_t *data, size_t size,
                       const pyfd_limits *limits, const pyfd_reading *reading,
                       pyfd_status *status, void *job)
{
  pyfd_start_session(s, status, job);
  s->data = data;
  s->size = size;
  if (pyfd_take_limits(&s->limits, limits, status) == PYFD_OK &&
      pyfd_take_reading(&s->reading, reading, status) == PYFD_OK)
    s->errors.strict = s->reading.strict != 0;
}

int pyfd_run(pyfd_session *s, void (*body)(pyfd_session *))
{
  if (s->errors.status->code == PYFD_OK && setjmp(s->errors.escape) == 0)
    (*body)(s);
  /* These do nothing to an object that was never created. */
  jpeg_destroy_decompress(&s->in);
  jpeg_destroy_compress(&s->out);
  return (int)s->errors.status->code;
}

int pyfd_run_writer(pyfd_session *s, void (*body)(pyfd_session *),
                    const pyfd_writing *writing, uint8_t **out,
                    size_t *out_size)
{
  pyfd_destination *d = &s->destination;
  int code;

  pyfd_take_writing(&s->writing, writing, s->errors.status);
  code = pyfd_run(s, body);
  *out = NULL;
  *out_size = 0;
  if (code == PYFD_OK) {
    *out = d->buffer;
    *out_size = d->capacity - d->pub.free_in_buffer;
  } else {
    free(d->buffer);
  }
  return code;
}

void pyfd_free(uint8_t *out)
{
  free(out);
}

void pyfd_forget(uint8_t *part, size_t size)
{
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t start = ((uintptr_t)part + page - 1) / page * page;
  const uintptr_t end = ((uintptr_t)part + size) / page * page;

  if (end > start)
    madvise((void *)start, end - start, MADV_DONTNEED);
}

const char *pyfd_libjpeg_turbo(void)
{
  return PYFD_LIBJPEG_TURBO;
}

J_COLOR_SPACE pyfd_libjpeg_color(uint32_t color)
{
  switch (color) {
  case PYFD_L:
    return JCS_GRAYSCALE;
  case PYFD_YCBCR:
    return JCS_YCbCr;
  case PYFD_RGB:
    return JCS_RGB;
  case PYFD_CMYK:
    return JCS_CMYK;
  case PYFD_YCCK:
    return JCS_YCCK;
  case PYFD_BGR:
    return JCS_EXT_BGR;
  default:
    return JCS_UNKNOWN;
  }
}

void pyfd_ignore_jpegmem(struct jpeg_memory_mgr *mem)
{
  mem->max_memory_to_use = 0; /* no bound */
}

/* ---- input ---- */

static void init_source(j_decompress_ptr cinfo)
{
  (void)cinfo;
}

/* The data ends before EOI: warn and insert one, as libjpeg does. */
static boolean fill_input_buffer(j_decompress_ptr cinfo)
{
  static const JOCTET eoi[2] = {0xFF, JPEG_EOI};

  WARNMS(cinfo, JWRN_JPEG_EOF);
  cinfo->src->next_input_byte = eoi;
  cinfo->src->bytes_in_buffer = sizeof(eoi);
  return TRUE;
}

static void skip_input_data(j_decompress_ptr cinfo, long count)
{
  struct jpeg_source_mgr *src = cinfo->src;
  size_t n = count > 0 ? (size_t)count : 0;

  if (n > src->bytes_in_buffer)
    n = src->bytes_in_buffer;
  src->next_input_byte += n;
  src->bytes_in_buffer -= n;
}

static void term_source(j_decompress_ptr cinfo)
{
  (void)cinfo;
}

/* Check that libjpeg has read the sizes that the walk found, because our
 * buffer sizes depend on them: another thread may have changed the data in
 * between. */
static int is_as_walked(pyfd_session *s)
{
  const pyfd_header *h = &s->walk.header;
  int i;

  if (s->in.image_width != h->width || s->in.image_height != h->height ||
      s->in.num_components != (int)h->num_components ||
      jpeg_has_multiple_scans(&s->in) != (boolean)h->multiscan)
    return 0;
  for (i = 0; i < s->in.num_components; i++) {
    if (s->in.comp_info[i].width_in_blocks != h->blocks_wide[i] ||
        s->in.comp_info[i].height_in_blocks != h->blocks_high[i])
      return 0;
  }
  return 1;
}

/* Walk over the markers, on from the header if that has been read before. */
static void walk(pyfd_session *s)
{
  pyfd_status *status = s->errors.status;

  pyfd_require(
      s, s->found == NULL
             ? pyfd_walk_file(s->data, s->size, &s->limits, &s->walk, status)
             : pyfd_walk_on(s->found, s->data, s->size, &s->limits, &s->walk,
                            status));
}

void pyfd_open_input(pyfd_session *s)
{
  if (s->strip == NULL)
    walk(s);
  if (!s->walk.intact && s->errors.strict)
    pyfd_leave(s, PYFD_CORRUPT);
  s->source.init_source = init_source;
  s->source.fill_input_buffer = fill_input_buffer;
  s->source.skip_input_data = skip_input_data;
  s->source.resync_to_restart = jpeg_resync_to_restart;
  s->source.term_source = term_source;
  s->source.next_input_byte = s->data;
  s->source.bytes_in_buffer = s->walk.end;
  jpeg_create_decompress(&s->in);
  pyfd_ignore_jpegmem(s->in.mem);
  s->in.src = &s->source;
  jpeg_read_header(&s->in, TRUE);
  if (!is_as_walked(s))
    pyfd_refuse(s, "the input changed during the call");
}

void pyfd_charge_memory(pyfd_session *s, uint64_t more)
{
  uint64_t needed = s->walk.header.coefficient_bytes + s->size + more;

  if (pyfd_check_limit(s->errors.status, "max_memory", s->limits.max_memory,
                       needed, "needs") != PYFD_OK)
    pyfd_leave(s, PYFD_LIMIT);
}

void pyfd_check_scans(pyfd_session *s)
{
  int i;

  for (i = 0; i < s->in.num_components; i++) {
    if (s->in.comp_info[i].quant_table == NULL)
      pyfd_warn(s, "a component has no scan");
  }
}

const JQUANT_TBL *pyfd_table_of(pyfd_session *s, int i)
{
  const jpeg_component_info *component;
  const JQUANT_TBL *table = NULL;

  for (; table == NULL && i >= 0; i--) {
    component = &s->in.comp_info[i];
    table = component->quant_table;
    if (table == NULL && component->quant_tbl_no >= 0 &&
        component->quant_tbl_no < NUM_QUANT_TBLS)
      table = s->in.quant_tbl_ptrs[component->quant_tbl_no];
  }
  if (table == NULL) /* the walk has seen component 0's */
    pyfd_refuse(s, "the input changed during the call");
  return table;
}

/* ---- output ---- */

static void init_destination(j_compress_ptr cinfo)
{
  pyfd_destination *d = (pyfd_destination *)cinfo->dest;

  d->buffer = malloc(PYFD_FIRST_BUFFER);
  if (d->buffer == NULL)
    ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
  d->capacity = PYFD_FIRST_BUFFER;
  d->pub.next_output_byte = d->buffer;
  d->pub.free_in_buffer = d->capacity;
}

static boolean empty_output_buffer(j_compress_ptr cinfo)
{
  pyfd_destination *d = (pyfd_destination *)cinfo->dest;
  pyfd_session *s = (pyfd_session *)cinfo->client_data;
  size_t full = d->capacity, more = full;
  uint8_t *grown;

  if (full > d->max_size) {
    pyfd_check_limit(s->errors.status, "max_memory", s->limits.max_memory,
                     s->limits.max_memory - d->max_size + full,
                     "and the output need at least");
    pyfd_leave(s, PYFD_LIMIT);
  }
  /* One byte more, because libjpeg asks for more when a buffer is full. */
  if (more > d->max_size - full)
    more = (size_t)(d->max_size - full) + 1;
  grown = more <= SIZE_MAX - full ? realloc(d->buffer, full + more) : NULL;
  if (grown == NULL)
    ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
  d->buffer = grown;
  d->capacity = full + more;
  d->pub.next_output_byte = grown + full;
  d->pub.free_in_buffer = more;
  return TRUE;
}

static void term_destination(j_compress_ptr cinfo)
{
  (void)cinfo;
}

void pyfd_open_output(pyfd_session *s, uint64_t max_size)
{
  s->destination.pub.init_destination = init_destination;
  s->destination.pub.empty_output_buffer = empty_output_buffer;
  s->destination.pub.term_destination = term_destination;
  s->destination.max_size = max_size;
  jpeg_create_compress(&s->out);
  pyfd_ignore_jpegmem(s->out.mem);
  s->out.client_data = s;
  s->out.dest = &s->destination.pub;
}

void pyfd_put_bytes(pyfd_session *s, const uint8_t *bytes, size_t size)
{
  struct jpeg_destination_mgr *dest = s->out.dest;
  size_t n;

  while (size > 0) {
    if (dest->free_in_buffer == 0)
      (*dest->empty_output_buffer)(&s->out);
    n = size < dest->free_in_buffer ? size : dest->free_in_buffer;
    memcpy(dest->next_output_byte, bytes, n);
    dest->next_output_byte += n;
    dest->free_in_buffer -= n;
    bytes += n;
    size -= n;
  }
}
