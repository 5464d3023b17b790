"""The calls of C that write a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core._libpyfd import ffi, lib
from pyfd._core.binding.options import (
    BYTES,
    COLORS,
    Buffer,
    check,
    interrupts,
    limits_for,
    pixels_for,
    raise_interrupt,
    reading_how,
    tables_for,
)
from pyfd._core.binding.reading import Frame

if TYPE_CHECKING:
    from pyfd._core.pixels import Pixels
    from pyfd._core.reading import Reading
    from pyfd._core.yuv import Samples

_encode, _requantize_opened = lib.pyfd_encode, lib.pyfd_requantize_opened
_free = lib.pyfd_free
_MADE = ffi.typeof("pyfd_made *")
_PIECE = 1 << 20


def _take(made: Any, code: int, lenient: bool = False, left_out: str = "") -> bytes:
    """Return the file that C has made, or raise the error, and free C's memory.

    Only a lenient call has warnings, and only it may have left something out.
    """
    data = made.data[0]
    try:
        if interrupts:
            raise_interrupt()
        if code or lenient:
            check(made.status[0], 4, left_out)
        size = made.size[0]
        return ffi.buffer(data, size)[:] if size <= _PIECE else _moved(data, size)
    finally:
        _free(data)


def _moved(data: Any, size: int) -> bytes:
    """Return a long file in C's memory in pieces, so that it is never in memory twice."""
    file = io.BytesIO(bytes(size))  # these bytes, which it fills and gives back without a copy
    for start in range(0, size, _PIECE):
        piece = min(_PIECE, size - start)
        file.write(ffi.buffer(data + start, piece))
        lib.pyfd_forget(data + start, piece)
    return file.getvalue()


def encode(
    pixels: Pixels,
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    how: Any,
    segments: bytes,
) -> bytes:
    """Encode H×W or H×W×3 pixels."""
    height, width, channels, buffer = pixels_for(pixels)
    across, down = sampling
    steps, count = tables_for(tables)
    made = ffi.new(_MADE)
    code = _encode(
        buffer, width, height, channels, across, down, steps, count, how,
        segments, len(segments), made.data, made.size, made.status,
    )  # fmt: skip
    return _take(made, code)


def encode_yuv(
    planes: tuple[Samples, Samples, Samples],
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    how: Any,
    segments: bytes,
) -> bytes:
    """Encode Y, Cb and Cr, whose arrays fit each other."""
    height, width = planes[0].array.shape
    given = [
        (ffi.cast("uint8_t *", plane.array.ctypes.data), plane.size, plane.stride, plane.step)
        for plane in planes
    ]
    made = ffi.new(_MADE)
    code = lib.pyfd_encode_yuv(
        ffi.new("pyfd_plane[]", given), len(planes), width, height,
        *sampling, *tables_for(tables), how,
        segments, len(segments),
        made.data, made.size, made.status,
    )  # fmt: skip
    return _take(made, code)


def write_coefficients(
    frame: tuple[int, int, str, tuple[tuple[int, int], ...]],
    coefficients: npt.NDArray[np.int16],
    tables: npt.NDArray[np.uint16],
    how: Any,
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
    made = ffi.new(_MADE)
    code = lib.pyfd_write_coefficients(
        header, ffi.from_buffer("int16_t[]", coefficients), coefficients.size,
        tables_for(tables)[0], how,
        segments, len(segments),
        made.data, made.size, made.status,
    )  # fmt: skip
    return _take(made, code)


def requantize(
    data: Buffer,
    reading: Reading,
    tables: npt.NDArray[np.uint16],
    how: Any,
    segments: bytes,
    left_out: str,
    orientation: int,
    frame: Frame,
    workers: int = 1,
) -> bytes:
    """Turn a file and re-quantize it onto `tables`; a warning ends with what was `left_out`.

    `frame` is what `probe` has found with the same limits.
    """
    made = ffi.new(_MADE)
    source = data if type(data) is bytes else ffi.from_buffer(BYTES, data)
    strict = bool(reading.strict)
    how_read = reading_how(strict, "RGB", 1, workers, orientation)
    steps, count = tables_for(tables)
    code = _requantize_opened(
        frame.found, source, len(source), limits_for(reading.limits), how_read,
        steps, count, how, segments, len(segments), made,
    )  # fmt: skip
    return _take(made, code, not strict, left_out)
