/*
 * session.h - one call into libjpeg: error manager, memory source and
 * destination, one setjmp, one cleanup.
 */

#ifndef PYFD_SESSION_H
#define PYFD_SESSION_H

#include <setjmp.h>
#include <stdio.h>

#include "jpeglib.h"
#include "jerror.h"
#include "jrequant.h"

#include "markers.h"

typedef struct {
  struct jpeg_error_mgr pub;
  jmp_buf escape;
  pyfd_status *status;
  int strict; /* the first warning is an error */
  int done;   /* the result is there: a late error is but a warning */
} pyfd_errors;

typedef struct {
  struct jpeg_destination_mgr pub;
  uint8_t *buffer; /* from malloc */
  size_t capacity;
  uint64_t max_size, max_memory; /* max_size is what max_memory leaves */
} pyfd_destination;

/*
 * Everything a call needs.  It stands in the caller's frame, not in that of
 * the function that calls setjmp, so a longjmp leaves it defined.
 */
typedef struct pyfd_session {
  pyfd_errors errors;
  struct jpeg_decompress_struct in;
  struct jpeg_compress_struct out;
  struct jpeg_source_mgr source;
  pyfd_destination destination;
  pyfd_walk walk;
  const pyfd_limits *limits;
  const uint8_t *data;
  void *job; /* the call's own arguments */
} pyfd_session;

void pyfd_start_session(pyfd_session *s, pyfd_status *status, int strict,
                        void *job);

/* Run body; whatever happens in it, free all but the destination's buffer. */
int pyfd_run(pyfd_session *s, void (*body)(pyfd_session *));

/* As above for a session that writes; hands over the buffer if all is well. */
int pyfd_run_writer(pyfd_session *s, void (*body)(pyfd_session *),
                    uint8_t **out, size_t *out_size);

/* Leave body with a pyfd_code; status holds the message. */
void pyfd_leave(pyfd_session *s, int code) __attribute__((noreturn));

/* Something is wrong with the file, but not enough to stop a lenient call. */
void pyfd_warn(pyfd_session *s, const char *message);

/* libjpeg's name of a pyfd_color */
J_COLOR_SPACE pyfd_libjpeg_color(uint32_t color);

/* Walk the file and open a decompressor on what makes sense of it. */
void pyfd_open_input(pyfd_session *s, const uint8_t *data, size_t size,
                     const pyfd_limits *limits);

/* Charge the coefficients, the input and `more` bytes to max_memory. */
void pyfd_charge_memory(pyfd_session *s, size_t size, uint64_t more);

/* Warn of components that no scan has brought. */
void pyfd_check_scans(pyfd_session *s);

/* Open a compressor on a growing buffer of at most max_size bytes. */
void pyfd_open_output(pyfd_session *s, uint64_t max_size);

/* Copy bytes to the output, between markers. */
void pyfd_put_bytes(pyfd_session *s, const uint8_t *bytes, size_t size);

#endif /* PYFD_SESSION_H */
