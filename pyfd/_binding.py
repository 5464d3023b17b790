"""The cffi edge: one thin function per C call, and nothing else knows cffi.

Each function checks lengths, hands over buffers and turns a bad code into an
exception. cffi releases the GIL for the whole of every call. ``ffi.from_buffer``
holds the caller's buffer while C looks at it.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._libpyfd import ffi, lib
from pyfd.errors import (
    CorruptJPEGError,
    JPEGWarning,
    LimitExceededError,
    UnsupportedJPEGError,
)
from pyfd.limits import Limits

COLORS = {
    "L": lib.PYFD_L,
    "YCbCr": lib.PYFD_YCBCR,
    "RGB": lib.PYFD_RGB,
    "CMYK": lib.PYFD_CMYK,
    "YCCK": lib.PYFD_YCCK,
    "BGR": lib.PYFD_BGR,
}
_COLOR_NAMES = {number: name for name, number in COLORS.items()}

_ERRORS: dict[int, type[Exception]] = {
    lib.PYFD_CORRUPT: CorruptJPEGError,
    lib.PYFD_UNSUPPORTED: UnsupportedJPEGError,
    lib.PYFD_LIMIT: LimitExceededError,
    lib.PYFD_ARGUMENT: ValueError,
    lib.PYFD_MEMORY: MemoryError,
}

Buffer = Any  # bytes, or a memoryview of bytes: cffi takes either

_FEW = 16  # segments: nearly every file has no more

# Looked up once, not in each call
_BYTES, _STATUS = ffi.typeof("uint8_t[]"), ffi.typeof("pyfd_status *")
_OUT_DATA, _OUT_SIZE = ffi.typeof("uint8_t **"), ffi.typeof("size_t *")


class Frame(NamedTuple):
    """What `probe` reads: ``pyfd_header`` of csrc/pyfd.h, as Python values."""

    width: int
    height: int
    color_space: str
    sampling: tuple[tuple[int, int], ...]
    progressive: bool
    multiscan: bool
    blocks: tuple[tuple[int, int], ...]
    """(high, wide) per component."""
    coefficient_bytes: int
    qtables: npt.NDArray[np.uint16]
    num_segments: int


class Segment(NamedTuple):
    """An APPn or COM segment's payload, by its place in the file."""

    marker: int
    offset: int
    size: int


class Writing(NamedTuple):
    """How to write a file."""

    progressive: bool = False
    optimize: bool = False
    keep_density: bool = False


@functools.cache
def _writing(progressive: bool, optimize: bool, keep_density: bool) -> Any:
    return ffi.new("pyfd_writing *", (progressive, optimize, keep_density))


def libjpeg_turbo_version() -> str:
    """The fork inside: upstream's version and a digest of the patches."""
    return str(ffi.string(lib.pyfd_libjpeg_turbo()).decode())


def _limits(limits: Limits) -> Any:
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
    return _cached_limits(limits)


@functools.lru_cache(maxsize=64)
def _cached_limits(limits: Limits) -> Any:
    return ffi.new("pyfd_limits *", limits.astuple())


def _check(status: Any, stacklevel: int) -> None:
    """Raise what the status says, or warn of what a lenient call overlooked."""
    if not status.code and not status.warnings:
        return
    message = ffi.string(status.message).decode("ascii", "replace")
    if status.code:
        raise _ERRORS[status.code](message)
    count = status.warnings
    text = f"{count} decoder warning{'s' if count > 1 else ''}; the first: {message}"
    warnings.warn(text, JPEGWarning, stacklevel=stacklevel + 1)


def _tables(tables: npt.NDArray[np.uint16] | None) -> tuple[Any, int]:
    if tables is None:
        return ffi.NULL, 0
    if tables.dtype != np.uint16 or tables.shape[1:] != (8, 8):
        raise TypeError("tables must be uint16 (n, 8, 8)")  # C goes by it
    return ffi.from_buffer("uint16_t[]", np.ascontiguousarray(tables)), len(tables)


def _header_from(frame: Any) -> Frame:
    components = range(frame.num_components)
    tables = np.frombuffer(ffi.buffer(frame.qtables), np.uint16).reshape(-1, 8, 8)
    return Frame(
        width=frame.width,
        height=frame.height,
        color_space=_COLOR_NAMES[frame.color_space],
        sampling=tuple((frame.h_samp[i], frame.v_samp[i]) for i in components),
        progressive=bool(frame.progressive),
        multiscan=bool(frame.multiscan),
        blocks=tuple((frame.blocks_high[i], frame.blocks_wide[i]) for i in components),
        coefficient_bytes=frame.coefficient_bytes,
        qtables=tables[: frame.num_qtables].copy(),
        num_segments=frame.num_segments,
    )


def probe(data: Buffer, limits: Limits) -> Frame:
    """Read the markers up to the first SOS."""
    header, status = ffi.new("pyfd_header *"), ffi.new("pyfd_status *")
    source = ffi.from_buffer("uint8_t[]", data)
    lib.pyfd_probe(source, len(source), _limits(limits), header, ffi.NULL, 0, status)
    _check(status, 0)
    return _header_from(header)


def probe_segments(data: Buffer, limits: Limits) -> tuple[Frame, list[Segment]]:
    """As `probe`, and where the APPn and COM segments are."""
    header, found = _probe_segments(data, limits)
    return _header_from(header), found


def find_segments(data: Buffer, limits: Limits) -> list[Segment]:
    """Where the APPn and COM segments before the first SOS are."""
    return _probe_segments(data, limits)[1]


def _probe_segments(
    data: Buffer, limits: Limits, capacity: int = _FEW
) -> tuple[Any, list[Segment]]:
    header, status = ffi.new("pyfd_header *"), ffi.new(_STATUS)
    segments = ffi.new("pyfd_segment[]", capacity)
    source = ffi.from_buffer(_BYTES, data)
    lib.pyfd_probe(source, len(source), _limits(limits), header, segments, capacity, status)
    _check(status, 0)
    if header.num_segments > _FEW >= capacity:
        return _probe_segments(data, limits, header.num_segments)
    found = segments[0 : min(capacity, header.num_segments)]
    return header, [Segment(s.marker, s.offset, s.size) for s in found]


def decode(
    data: Buffer,
    limits: Limits,
    tables: npt.NDArray[np.uint16] | None,
    out: npt.NDArray[np.uint8],
    *,
    color: str,
    scale: int,
    strict: bool,
    stacklevel: int,
) -> None:
    """Decode into `out`, which has the result's shape."""
    status = ffi.new("pyfd_status *")
    source = ffi.from_buffer("uint8_t[]", data)
    pixels = ffi.from_buffer("uint8_t[]", out, require_writable=True)
    lib.pyfd_decode(
        source, len(source), _limits(limits), bool(strict), *_tables(tables),
        COLORS[color], scale, pixels, len(pixels), status,
    )  # fmt: skip
    _check(status, stacklevel + 1)


def read_coefficients(
    data: Buffer, limits: Limits, out: npt.NDArray[np.int16], components: int, *, strict: bool
) -> npt.NDArray[np.uint16]:
    """Fill `out` with all components' coefficients; returns their tables."""
    status = ffi.new("pyfd_status *")
    source = ffi.from_buffer("uint8_t[]", data)
    coefficients = ffi.from_buffer("int16_t[]", out, require_writable=True)
    tables = np.zeros((lib.PYFD_MAX_COMPONENTS, 8, 8), np.uint16)
    lib.pyfd_read_coefficients(
        source, len(source), _limits(limits), bool(strict), coefficients, len(coefficients),
        ffi.from_buffer("uint16_t[]", tables, require_writable=True), status,
    )  # fmt: skip
    _check(status, 2)
    return tables[:components]


def gather_statistics(data: Buffer, limits: Limits) -> npt.NDArray[np.uint64]:
    """Sums, sums of squares (3·64 each) and block counts (3) of dequantized coefficients.

    All in one array, for one addition of it; the sums are in two's complement.
    """
    status = ffi.new("pyfd_status *")
    source = ffi.from_buffer("uint8_t[]", data)
    counts = np.empty(387, np.uint64)
    squares = ffi.from_buffer("uint64_t[]", counts, require_writable=True) + 192
    lib.pyfd_gather_statistics(
        source, len(source), _limits(limits), True,
        ffi.cast("int64_t *", squares - 192), squares, squares + 192, status,
    )  # fmt: skip
    _check(status, 2)
    return counts


class _Output:
    """The three things that every writing call ends with, and the file it leaves."""

    def __init__(self) -> None:
        self.data = ffi.new(_OUT_DATA)
        self.size = ffi.new(_OUT_SIZE)
        self.status = ffi.new(_STATUS)

    def take(self) -> bytes:
        """The file, as Python's own, or the error; C's memory is freed."""
        try:
            _check(self.status, 3)
            return bytes(ffi.buffer(self.data[0], self.size[0]))
        finally:
            lib.pyfd_free(self.data[0])


def encode(
    pixels: npt.NDArray[np.uint8],
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    writing: Writing,
    segments: bytes,
) -> bytes:
    """Encode H×W or H×W×3 pixels."""
    height, width, channels = (*pixels.shape, 1)[:3]
    buffer = ffi.from_buffer(_BYTES, pixels)
    if len(buffer) != height * width * channels:  # reshaped by another thread
        raise ValueError("the image changed meanwhile")
    output = _Output()
    lib.pyfd_encode(
        buffer, width, height, channels,
        *sampling, *_tables(tables), _writing(*map(bool, writing)),
        ffi.from_buffer(_BYTES, segments), len(segments),
        output.data, output.size, output.status,
    )  # fmt: skip
    return output.take()


def write_coefficients(
    frame: tuple[int, int, str, tuple[tuple[int, int], ...]],
    coefficients: npt.NDArray[np.int16],
    tables: npt.NDArray[np.uint16],
    writing: Writing,
    segments: bytes,
) -> bytes:
    """Write coefficients; `frame` is the width, the height, the color space and the sampling."""
    width, height, color_space, sampling = frame
    header = ffi.new("pyfd_header *")
    header.width, header.height = width, height
    header.num_components = len(sampling)
    header.color_space = COLORS[color_space]
    for i, (horizontal, vertical) in enumerate(sampling):
        header.h_samp[i], header.v_samp[i] = horizontal, vertical
    output = _Output()
    lib.pyfd_write_coefficients(
        header, ffi.from_buffer("int16_t[]", coefficients), coefficients.size,
        _tables(tables)[0], _writing(*map(bool, writing)),
        ffi.from_buffer(_BYTES, segments), len(segments),
        output.data, output.size, output.status,
    )  # fmt: skip
    return output.take()


def requantize(
    data: Buffer,
    limits: Limits,
    tables: npt.NDArray[np.uint16],
    writing: Writing,
    segments: bytes,
    *,
    strict: bool,
) -> bytes:
    """Re-quantize a file onto `tables`."""
    output = _Output()
    source = ffi.from_buffer(_BYTES, data)
    lib.pyfd_requantize(
        source, len(source), _limits(limits), bool(strict), *_tables(tables),
        _writing(*map(bool, writing)),
        ffi.from_buffer(_BYTES, segments), len(segments),
        output.data, output.size, output.status,
    )  # fmt: skip
    return output.take()
