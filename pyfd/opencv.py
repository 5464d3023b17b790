"""A replacement for `cv2.imdecode` that decodes JPEGs onto defensive tables.

JPEGs are decoded without OpenCV. Other formats need it: the extra ``opencv``.
"""

from __future__ import annotations

import mmap
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, decoding
from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd._core.reading import DEFAULT_LIMITS, SafetyOptions, reading_of, reading_with
from pyfd._core.refusals import log_refusal
from pyfd.errors import JPEGError
from pyfd.qtables import QTables, QTablesLike, as_qtables, decoder_steps

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The values of OpenCV's own constants
IMREAD_UNCHANGED = -1
IMREAD_GRAYSCALE = 0
IMREAD_COLOR = IMREAD_COLOR_BGR = 1
IMREAD_ANYDEPTH = 2
IMREAD_ANYCOLOR = 4
IMREAD_LOAD_GDAL = 8
IMREAD_REDUCED_GRAYSCALE_2 = 16
IMREAD_REDUCED_COLOR_2 = 17
IMREAD_REDUCED_GRAYSCALE_4 = 32
IMREAD_REDUCED_COLOR_4 = 33
IMREAD_REDUCED_GRAYSCALE_8 = 64
IMREAD_REDUCED_COLOR_8 = 65
IMREAD_IGNORE_ORIENTATION = 128
IMREAD_COLOR_RGB = 256

_ANY = IMREAD_COLOR | IMREAD_ANYDEPTH | IMREAD_ANYCOLOR

_MAGIC = b"\xff\xd8\xff"
_ROWS = 64  # the rows of a four-component image that are converted at a time

# OpenCV's weights of R, G and B for gray, in 14-bit fixed point
_GRAY = np.array((4899, 9617, 1868), np.uint32)

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap | npt.NDArray[Any]"


def imdecode(
    buf: Buffer,
    flags: int = IMREAD_COLOR,
    qtables: QTablesLike | None = None,
    **options: Unpack[SafetyOptions],
) -> npt.NDArray[Any] | None:
    """Decode an image like `cv2.imdecode`, with tables.

    Without tables the pixels are those of `cv2.imdecode`, which also decodes files in
    other formats. With tables the pixels are those of `pyfd.decode`, and a file in
    another format gives None, because it cannot be defended.

    Args:
        buf: The file: bytes-like, or a ``uint8`` array of one dimension or with one row
            or column.
        flags: OpenCV's ``IMREAD_*``, which are plain numbers here. As in OpenCV, EXIF's
            orientation is applied, except with ``IMREAD_UNCHANGED`` or
            ``IMREAD_IGNORE_ORIENTATION``. It is read as OpenCV reads it, in any type, where
            `pyfd.probe` takes only a whole number.
        qtables: Tables with steps of 1...32767, or None for a plain decode.
        options: `strict` and `limits`, as in `pyfd.decode`.

    Returns:
        C-contiguous ``uint8`` pixels, H×W×3 in the order B, G, R, or R, G, B with
        ``IMREAD_COLOR_RGB``; H×W if the flags ask for gray. None for a file that is
        corrupt, unsupported, beyond a limit or empty; a warning of the logger "pyfd"
        says why.

    Raises:
        ValueError: OpenCV does not take the flags, the array is not a file's bytes, or a
            step is out of range.
        TypeError: `buf` is not a buffer.
        ImportError: The file is not a JPEG, there are no tables, and OpenCV is missing.
    """
    flags = _checked(flags)
    tables = None if qtables is None else as_qtables(qtables)
    reading_of("imdecode", options, SafetyOptions)
    data = _bytes(buf)
    if data.size and data[:3].tobytes() != _MAGIC and tables is None:
        return _with_cv2(data, flags)
    try:
        return _decode(data, flags, tables, options)
    except JPEGError as error:
        log_refusal("opencv", error)
        return None


def _checked(flags: int) -> int:
    flags = operator.index(flags)
    if flags < IMREAD_UNCHANGED:
        raise ValueError(f"flags must be -1 or more, not {flags}")
    if flags != IMREAD_UNCHANGED and flags & IMREAD_COLOR_BGR and flags & IMREAD_COLOR_RGB:
        raise ValueError("flags must not have IMREAD_COLOR_BGR and IMREAD_COLOR_RGB at once")
    return flags


def _bytes(buf: Buffer) -> Pixels:
    array = buf if isinstance(buf, np.ndarray) else np.frombuffer(buf, np.uint8)
    if array.itemsize != 1 or array.size != max(array.shape, default=0):
        raise ValueError(f"buf must be a file's bytes, not {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _with_cv2(data: Pixels, flags: int) -> npt.NDArray[Any] | None:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise missing("not a JPEG file, and opencv", "opencv", module=error.name) from error
    pixels: npt.NDArray[Any] | None = cv2.imdecode(data, flags)
    return pixels


def _decode(data: Pixels, flags: int, tables: QTables | None, options: SafetyOptions) -> Pixels:
    frame = binding.probe(data, options.get("limits", DEFAULT_LIMITS))
    unchanged = flags == IMREAD_UNCHANGED
    has_color = frame.color_space != "L"
    if unchanged or flags & IMREAD_LOAD_GDAL or flags & _ANY == _ANY:  # color as in the file
        color = has_color
    else:
        wanted = flags & (IMREAD_COLOR_BGR | IMREAD_COLOR_RGB)
        color = bool(wanted or (flags & IMREAD_ANYCOLOR and has_color))
    rgb = not unchanged and bool(flags & IMREAD_COLOR_RGB)
    scale: Any = 1 if unchanged else next((s for s in (2, 4, 8) if flags & 8 * s), 1)
    four = frame.color_space in ("CMYK", "YCCK")
    mode: Any = "CMYK" if four else ("RGB" if rgb else "BGR") if color else "L"
    orient = not (unchanged or flags & IMREAD_IGNORE_ORIENTATION)
    reading = reading_with(**options, mode=mode, scale=scale, orient=orient)
    pixels = decoding.decode(data.data, decoder_steps(tables), reading)
    return _from_cmyk(pixels, color, rgb) if four else pixels


def _from_cmyk(cmyk: Pixels, color: bool, rgb: bool) -> Pixels:
    """Convert CMYK with OpenCV's arithmetic, which rounds differently from Pillow's."""
    out = np.empty((*cmyk.shape[:2], 3) if color else cmyk.shape[:2], np.uint8)
    for top in range(0, len(cmyk), _ROWS):
        rows = slice(top, top + _ROWS)
        ink = cmyk[rows].astype(np.uint16)
        black = 255 - ink[..., 3:]
        pixels = black - (ink[..., :3] * black >> 8)
        if not color:
            pixels = (pixels @ _GRAY + (1 << 13)) >> 14
        out[rows] = pixels if rgb or not color else pixels[..., ::-1]
    return out
