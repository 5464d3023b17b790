/*
 * coefficients.h - what the functions share that write coefficients.
 */

#ifndef PYFD_COEFFICIENTS_H
#define PYFD_COEFFICIENTS_H

#include "session.h"

/* Return a row of blocks. */
static inline JBLOCKROW pyfd_block_row(j_common_ptr cinfo,
                                       jvirt_barray_ptr blocks, JDIMENSION row,
                                       boolean writable)
{
  return (*cinfo->mem->access_virt_barray)(cinfo, blocks, row, 1, writable)[0];
}

/* Set up the compressor for coefficients of this shape. */
void pyfd_set_frame(struct jpeg_compress_struct *out,
                    const pyfd_header *header, const pyfd_writing *writing);

/* Give component i a table; components with equal tables share a slot. */
void pyfd_set_table(struct jpeg_compress_struct *out, int i,
                    const uint16_t *table);

/* Request arrays of the compressor's, padded to whole MCUs, as libjpeg wants
 * them; it fills the padding. */
void pyfd_request_arrays(pyfd_session *s, const pyfd_header *header,
                         jvirt_barray_ptr *arrays);

#endif /* PYFD_COEFFICIENTS_H */
