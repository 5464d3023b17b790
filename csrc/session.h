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

#include "arguments.h"
#include "markers.h"
#include "status.h"

typedef struct {
  struct jpeg_error_mgr pub;
  jmp_buf escape;
  pyfd_status *status;
  int strict; /* the first warning is an error */
} pyfd_errors;

#define PYFD_FIRST_BUFFER 65536

typedef struct {
  struct jpeg_destination_mgr pub;
  uint8_t *buffer; /* from malloc */
  size_t capacity;
  uint64_t max_size; /* what max_memory leaves for the output */
} pyfd_destination;

/*
 * Everything that a call needs.  It lies in the caller's frame, not in that of
 * the function that calls setjmp, so its contents are defined after a longjmp.
 */
typedef struct pyfd_strip pyfd_strip;

typedef struct pyfd_session {
  pyfd_errors errors;
  struct jpeg_decompress_struct in;
  struct jpeg_compress_struct out;
  struct jpeg_source_mgr source;
  pyfd_destination destination;
  pyfd_walk walk;
  const pyfd_found *found; /* if its header has been read before */
  const pyfd_strip *strip; /* what a session reads that is a part of a call */
  const uint8_t *data;     /* the file that is read */
  size_t size;
  pyfd_limits limits; /* the caller's options, as this version knows them */
  pyfd_reading reading;
  pyfd_writing writing;
  void *job; /* the call's own arguments */
} pyfd_session;

/* Start a session that reads no file. */
void pyfd_start_session(pyfd_session *s, pyfd_status *status, void *job);

/* Start a session that reads a file, which pyfd_open_input() opens.  If the
 * options are invalid, pyfd_run() fails. */
void pyfd_start_reader(pyfd_session *s, const uint8_t *data, size_t size,
                       const pyfd_limits *limits, const pyfd_reading *reading,
                       pyfd_status *status, void *job);

/* Run body.  Afterwards, free everything but the destination's buffer. */
int pyfd_run(pyfd_session *s, void (*body)(pyfd_session *));

/* Do the same for a session that writes, and hand over the buffer if body
 * succeeds. */
int pyfd_run_writer(pyfd_session *s, void (*body)(pyfd_session *),
                    const pyfd_writing *writing, uint8_t **out,
                    size_t *out_size);

/* Leave body with a pyfd_code, whose message is in status. */
void pyfd_leave(pyfd_session *s, int code) __attribute__((noreturn));

/* Leave body unless the code is PYFD_OK. */
void pyfd_require(pyfd_session *s, int code);

/* Leave body with PYFD_ARGUMENT and a message. */
void pyfd_refuse(pyfd_session *s, const char *message)
    __attribute__((noreturn));

/* Count a defect of the file that a lenient call overlooks. */
void pyfd_warn(pyfd_session *s, const char *message);

/* Translate a pyfd_color to libjpeg's name of it. */
J_COLOR_SPACE pyfd_libjpeg_color(uint32_t color);

/* Forget the bound that JPEGMEM in the environment sets for an object that was
 * just created.  Beyond it, libjpeg would refuse good files. */
void pyfd_ignore_jpegmem(struct jpeg_memory_mgr *mem);

/* Walk the file, unless that was done for a strip, and open a decompressor on
 * its well-formed part. */
void pyfd_open_input(pyfd_session *s);

/* Charge the coefficients, the input and `more` bytes to max_memory. */
void pyfd_charge_memory(pyfd_session *s, uint64_t more);

/* Warn of components that no scan contains. */
void pyfd_check_scans(pyfd_session *s);

/* Return the table in force at the first scan of component i.  If no scan
 * contains the component, all of its coefficients are 0, and it is the table
 * in its slot or, if there is none, the previous component's. */
const JQUANT_TBL *pyfd_table_of(pyfd_session *s, int i);

/* Open a compressor on a growing buffer of at most max_size bytes. */
void pyfd_open_output(pyfd_session *s, uint64_t max_size);

/* Copy bytes to the output, between markers. */
void pyfd_put_bytes(pyfd_session *s, const uint8_t *bytes, size_t size);

#endif /* PYFD_SESSION_H */
