/*
 * recode.h - files to certified files, through pixels.
 */

#ifndef PYFD_RECODE_H
#define PYFD_RECODE_H

#include "encode.h"

/* Decode the file that pyfd_open_input() opens, and encode the pixels without
 * subsampling onto the tables of job, which also has the segments.  Its other
 * fields are filled in.  The caller frees its pixels with free(). */
void pyfd_recode(pyfd_session *s, pyfd_encode_job *job);

#endif /* PYFD_RECODE_H */
