"""The boundary to C: one thin function per call, in the only package that uses cffi.

Each function checks lengths, hands over buffers and turns an error code into an
exception. cffi releases the GIL for the whole of every call. ``ffi.from_buffer``
holds the caller's buffer while C reads it. csrc/pyfd.h and csrc/binding.h state
the structs' layouts; cffi knows them from there.
"""

from __future__ import annotations

from pyfd._core.binding.batches import Batch, encode_many, picture
from pyfd._core.binding.certificates import certify, find_file_radii, why_uncovered
from pyfd._core.binding.options import (
    DECODER_STEP,
    ENCODER_STEP,
    MAX_SIDE,
    Buffer,
    libjpeg_turbo_version,
    reading_how,
    writing_how,
)
from pyfd._core.binding.reading import (
    STATISTICS,
    Y_BLOCKS,
    Frame,
    Segment,
    decode,
    gather_statistics,
    probe,
    probe_segments,
    read_coefficients,
    snap,
)
from pyfd._core.binding.writing import encode, encode_yuv, requantize, write_coefficients

__all__ = [
    "DECODER_STEP",
    "ENCODER_STEP",
    "MAX_SIDE",
    "STATISTICS",
    "Y_BLOCKS",
    "Batch",
    "Buffer",
    "Frame",
    "Segment",
    "certify",
    "decode",
    "encode",
    "encode_many",
    "encode_yuv",
    "find_file_radii",
    "gather_statistics",
    "libjpeg_turbo_version",
    "picture",
    "probe",
    "probe_segments",
    "read_coefficients",
    "reading_how",
    "requantize",
    "snap",
    "why_uncovered",
    "write_coefficients",
    "writing_how",
]
