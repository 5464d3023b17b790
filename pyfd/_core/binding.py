"""The boundary to C: one thin function per call, in the only module that uses cffi.

Each function checks lengths, hands over buffers and turns an error code into an
exception. cffi releases the GIL for the whole of every call. ``ffi.from_buffer``
holds the caller's buffer while C reads it. csrc/pyfd.h and csrc/binding.h state
the structs' layouts; cffi knows them from there.
"""

from __future__ import annotations

import functools
import io
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import helpers
from pyfd._core._libpyfd import ffi, lib
from pyfd.errors import (
    CorruptJPEGError,
    JPEGWarning,
    LimitExceededError,
    UnsupportedJPEGError,
)
from pyfd.limits import Limits

if TYPE_CHECKING:
    from pyfd._core.pixels import Pixels
    from pyfd._core.reading import Reading
    from pyfd._core.yuv import Samples

# The bounds that csrc/pyfd.h states
MAX_SIDE: int = lib.PYFD_MAX_SIDE
ENCODER_STEP: int = lib.PYFD_ENCODER_STEP
DECODER_STEP: int = lib.PYFD_DECODER_STEP

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
    lib.PYFD_ARGUMENT: ValueError,
    lib.PYFD_MEMORY: MemoryError,
}

Buffer = Any  # bytes, or an array of bytes: cffi takes either

# Looked up here, because a lookup takes a noticeable part of a small image's time.
_BYTES, _STEPS = ffi.typeof("uint8_t[]"), ffi.typeof("uint16_t[]")
_STATUS = ffi.typeof("pyfd_status *")
_NULL = ffi.NULL
_open, _decode_opened, _encode = lib.pyfd_open, lib.pyfd_decode_opened, lib.pyfd_encode
_requantize_opened, _free = lib.pyfd_requantize_opened, lib.pyfd_free
_ITEMS = ffi.typeof("pyfd_item[]")
_FOUND, _MADE = ffi.typeof("pyfd_found *"), ffi.typeof("pyfd_made *")
_COUNTED, _COVERED = ffi.typeof("pyfd_counted *"), ffi.typeof("pyfd_covered *")

#: An APPn or COM segment's payload: its offset and size in the file, and its marker.
Segment: TypeAlias = tuple[int, int, int]
_FIELDS = ffi.typeof("pyfd_segment").fields
_SEGMENT = Struct("".join({4: "I", 8: "Q"}[ffi.sizeof(field.type)] for _, field in _FIELDS))
_FEW = len(ffi.new(_FOUND).segments)

_PIECE = 1 << 20


def _dtype(struct: str) -> np.dtype[Any]:
    """Return numpy's dtype of a C struct of integers and arrays of them."""
    names, formats, offsets = [], [], []
    for name, field in ffi.typeof(struct).fields:
        shape, item = [], field.type
        while item.kind == "array":
            shape.append(item.length)
            item = item.item
        names.append(name)
        formats.append((item.cname.removesuffix("_t"), tuple(shape)))
        offsets.append(field.offset)
    size = ffi.sizeof(struct)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


#: ``pyfd_statistics``: "sums", "squares" (3×64 each) and "blocks" (3). All are integers of
#: 64 bits, so that one addition of ``uint64`` adds up two of them.
STATISTICS = _dtype("pyfd_statistics")
#: The place of the number of Y's blocks in such an array.
Y_BLOCKS: int = ffi.offsetof("pyfd_statistics", "blocks") // 8
_WORDS = STATISTICS.itemsize // 8
_STATISTICS_AT = ffi.offsetof("pyfd_counted", "statistics")


class Frame:
    """The frame header, ``pyfd_header`` of csrc/pyfd.h.

    The attributes, which every decode needs, are set at once; the properties are
    converted when they are used.
    """

    __slots__ = ("_header", "color_space", "found", "height", "multiscan", "width")

    def __init__(self, found: Any) -> None:
        self.found = found  # which holds the header's memory, and the walk that goes on
        self._header = header = found.header[0]
        self.width: int = header.width
        self.height: int = header.height
        self.color_space = _COLOR_NAMES[header.color_space]
        self.multiscan: int = header.multiscan

    @property
    def sampling(self) -> tuple[tuple[int, int], ...]:
        """(horizontal, vertical) per component."""
        header = self._header
        return tuple((header.h_samp[i], header.v_samp[i]) for i in range(header.num_components))

    @property
    def progressive(self) -> bool:
        return bool(self._header.progressive)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(high, wide) per component."""
        header = self._header
        components = range(header.num_components)
        return tuple((header.blocks_high[i], header.blocks_wide[i]) for i in components)

    @property
    def coefficient_bytes(self) -> int:
        return int(self._header.coefficient_bytes)

    @property
    def qtables(self) -> npt.NDArray[np.uint16]:
        """The tables in force at the first scan, one per component: n×8×8."""
        tables = np.frombuffer(ffi.buffer(self._header.qtables), np.uint16).reshape(-1, 8, 8)
        return tables[: self._header.num_qtables].copy()


def _options(struct: str, **values: Any) -> Any:
    """Return a C struct of options, which starts with its own size."""
    return ffi.new(f"{struct} *", {"size": ffi.sizeof(struct), **values})


@functools.cache
def writing(
    progressive: bool,
    optimize: bool,
    keep_density: bool = False,
    radius: int = 0,
    file_radius: int = 0,
    trim: bool = False,
    color: str = "L",
    restart_rows: int = 0,
    workers: int = 1,
) -> Any:
    """Return the options of a written file, for C; the color is that of H×W×3 pixels."""
    return _options(
        "pyfd_writing",
        progressive=progressive,
        optimize=optimize,
        keep_density=keep_density,
        radius=radius,
        file_radius=file_radius,
        trim=trim,
        color=COLORS[color],
        restart_rows=restart_rows,
        workers=min(workers, _MOST_WORKERS),
        helpers=_HELPERS,
    )


@functools.lru_cache(maxsize=64)
def reading_how(
    strict: bool,
    color: str = "RGB",
    scale: int = 1,
    orientation: int = 1,
    region: tuple[int, int, int, int] = (0, 0, 0, 0),
    workers: int = 1,
) -> Any:
    """Return the options of a read, for C; the region has no size for the whole image."""
    left, top, width, height = region
    return _options(
        "pyfd_reading",
        strict=strict,
        color=COLORS[color],
        scale=scale,
        left=left,
        top=top,
        width=width,
        height=height,
        orientation=orientation,
        workers=min(workers, _MOST_WORKERS),
        helpers=_HELPERS,
    )


_interrupts: dict[int, BaseException] = {}


def _keep(_type: object, error: BaseException, _traceback: object) -> None:
    _interrupts[threading.get_ident()] = error


def _raise_interrupt() -> None:
    """Raise what has interrupted this thread, such as Ctrl-C, while C was asking for threads."""
    error = _interrupts.pop(threading.get_ident(), None)
    if error is not None:
        raise error


@ffi.def_extern(onerror=_keep)  # type: ignore[misc]  # cffi would print the error
def pyfd_ask_threads(_: Any, work: Any, count: int) -> None:
    """Ask the threads of this process to help with a call, for C."""
    helpers.ask(functools.partial(lib.pyfd_help, work), count)


_HELPERS = ffi.new("pyfd_helpers *", {"ask": lib.pyfd_ask_threads})
_MOST_WORKERS = 1 << 16


def libjpeg_turbo_version() -> str:
    """Return upstream's version of libjpeg-turbo and a digest of the patches."""
    return str(ffi.string(lib.pyfd_libjpeg_turbo()).decode())


def _limits(limits: Limits) -> Any:
    global _latest_limits
    known, struct = _latest_limits
    if known is not limits:
        if not isinstance(limits, Limits):
            raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
        struct = _options("pyfd_limits", **asdict(limits))
        _latest_limits = limits, struct  # one assignment, for other threads
    return struct


_latest_limits: tuple[object, Any] = (object(), None)


def _check(status: Any, stacklevel: int, left_out: str = "") -> None:
    """Raise the error of a failed call, or warn of the defects that a lenient call overlooked.

    `left_out` is the caller's own part of the warning.
    """
    if not status.code and not status.warnings:
        if left_out:
            warnings.warn(left_out, JPEGWarning, stacklevel=stacklevel + 1)
        return
    message = ffi.string(status.message).decode("ascii", "replace")
    if status.code == lib.PYFD_LIMIT:
        raise LimitExceededError(
            message,
            limit=ffi.string(status.limit).decode(),
            allowed=status.allowed,
            needed=status.needed,
        )
    if status.code:
        raise _ERRORS[status.code](message)
    count = status.warnings
    text = f"{count} decoder warning{'s' if count > 1 else ''}; the first: {message}"
    text += f"; {left_out}" if left_out else ""
    warnings.warn(text, JPEGWarning, stacklevel=stacklevel + 1)


def _tables(tables: npt.NDArray[np.uint16] | None) -> tuple[Any, int]:
    global _latest_tables
    if tables is None:
        return _NO_TABLES
    known, pointer = _latest_tables
    if known is tables:
        return pointer
    if tables.dtype != np.uint16 or tables.shape[1:] != (8, 8):
        raise TypeError("tables must be uint16 (n, 8, 8)")  # C relies on it
    pointer = ffi.from_buffer(_STEPS, tables), len(tables)
    if not tables.flags.writeable:  # those of `QTables`, which never change
        _latest_tables = tables, pointer
    return pointer


_NO_TABLES: tuple[Any, int] = (ffi.NULL, 0)
_latest_tables: tuple[npt.NDArray[np.uint16] | None, tuple[Any, int]] = (None, _NO_TABLES)


def _held(data: Buffer) -> Any:
    """Return a buffer as C takes it: bytes as they are, which cffi does not copy."""
    return data if type(data) is bytes else ffi.from_buffer(_BYTES, data)


def _probe(data: Buffer, limits: Limits, segments: Any = _NULL, capacity: int = 0) -> Any:
    found = ffi.new(_FOUND)
    source = data if type(data) is bytes else ffi.from_buffer(_BYTES, data)
    if capacity and not segments:
        segments = found.segments
    if _open(source, len(source), _limits(limits), segments, capacity, found):
        _check(found.status[0], 0)
    return found


def probe(data: Buffer, limits: Limits) -> Frame:
    """Read the markers up to the first SOS."""
    return Frame(_probe(data, limits))


def probe_segments(data: Buffer, limits: Limits) -> tuple[Frame, list[Segment]]:
    """Read like `probe`, and return the places of the APPn and COM segments too."""
    found = _probe(data, limits, capacity=_FEW)
    segments, count = found.segments, found.header[0].num_segments
    if count > _FEW:
        segments = ffi.new("pyfd_segment[]", count)
        found = _probe(data, limits, segments, count)
        count = min(count, found.header[0].num_segments)  # if the data have changed
    places = ffi.buffer(segments)[: _SEGMENT.size * count]
    return Frame(found), list(_SEGMENT.iter_unpack(places))


def decode(
    data: Buffer,
    reading: Reading,
    tables: npt.NDArray[np.uint16] | None,
    out: Pixels,
    *,
    frame: Frame,
    how: Any,
    stacklevel: int,
) -> None:
    """Decode into `out`, which has the result's shape.

    `frame` is what `probe` has found with the same limits, `how` what `reading_how` returns.
    """
    found = frame.found
    source = data if type(data) is bytes else ffi.from_buffer(_BYTES, data)
    pixels = ffi.from_buffer(_BYTES, out, True)  # True: it must be writable
    steps, count = _tables(tables)
    code = _decode_opened(
        found, source, len(source), _limits(reading.limits), how, steps, count, pixels, len(pixels)
    )
    if _interrupts:
        _raise_interrupt()
    if code or not reading.strict:  # a strict call never has warnings
        _check(found.status[0], stacklevel + 1)


class Batch:
    """Files that are decoded in one call each for their headers and their pixels.

    Args:
        files: The files' bytes.
        limits: The limits on each of them.
    """

    def __init__(self, files: Sequence[bytes], limits: Limits) -> None:
        self._count = len(files)
        self._items = items = ffi.new(_ITEMS, self._count)
        self._held: list[Any] = [_limits(limits)]  # what C has pointers to
        for i, data in enumerate(files):
            buffer = ffi.from_buffer(_BYTES, data)
            self._held.append(buffer)
            item = items[i]
            item.data, item.size = buffer, len(data)
        self._failed = lib.pyfd_open_many(items, self._count, self._held[0])

    def frame(self, index: int) -> Frame:
        """Return a file's frame, or raise its error."""
        found = self._items[index].found[0]
        if self._failed:
            self.check(index)
        return Frame(found)

    def put(self, index: int, out: Pixels, how: Any) -> None:
        """Let a file be decoded into `out`; `how` is what `reading_how` returns."""
        item = self._items[index]
        pixels = ffi.from_buffer(_BYTES, out, True)
        self._held += (pixels, how)
        item.out, item.out_size, item.reading = pixels, len(pixels), how

    def decode(self, tables: npt.NDArray[np.uint16] | None) -> bool:
        """Decode all files that have a place, and return whether any has failed."""
        steps, count = _tables(tables)
        return bool(lib.pyfd_decode_many(self._items, self._count, self._held[0], steps, count))

    def check(self, index: int) -> None:
        """Raise a file's error, if it has failed."""
        status = self._items[index].found[0].status[0]
        if status.code:
            _check(status, 0)


def snap(
    data: Buffer,
    reading: Reading,
    tables: npt.NDArray[np.uint16],
    out: Pixels,
    *,
    stacklevel: int,
) -> None:
    """Decode into `out`, H×W×3, through the encoder with these tables and back."""
    status = ffi.new(_STATUS)
    source = _held(data)
    pixels = ffi.from_buffer(_BYTES, out, True)
    lib.pyfd_snap(
        source, len(source), _limits(reading.limits), reading_how(bool(reading.strict)),
        *_tables(tables), pixels, len(pixels), status,
    )  # fmt: skip
    _check(status, stacklevel + 1)


def read_coefficients(
    data: Buffer, reading: Reading, out: npt.NDArray[np.int16], components: int
) -> npt.NDArray[np.uint16]:
    """Fill `out` with all components' coefficients, and return their tables."""
    status = ffi.new(_STATUS)
    source = ffi.from_buffer(_BYTES, data)
    coefficients = ffi.from_buffer("int16_t[]", out, require_writable=True)
    tables = np.zeros((lib.PYFD_MAX_COMPONENTS, 8, 8), np.uint16)
    lib.pyfd_read_coefficients(
        source, len(source), _limits(reading.limits), reading_how(bool(reading.strict)),
        coefficients, len(coefficients),
        ffi.from_buffer(_STEPS, tables, require_writable=True), status,
    )  # fmt: skip
    _check(status, 2)
    return tables[:components]


def gather_statistics(data: Buffer, reading: Reading) -> npt.NDArray[np.uint64]:
    """Return a file's `STATISTICS` as ``uint64``, so that one addition adds all of them up.

    ``.view(STATISTICS)`` has the parts by name; the sums are in two's complement.
    """
    counted = ffi.new(_COUNTED)
    source = _held(data)
    strict = bool(reading.strict)
    code = lib.pyfd_gather_statistics(
        source, len(source), _limits(reading.limits), reading_how(strict),
        counted.statistics, counted.status,
    )  # fmt: skip
    if code or not strict:
        _check(counted.status[0], 2)
    return np.frombuffer(ffi.buffer(counted), np.uint64, _WORDS, _STATISTICS_AT)


def why_uncovered(data: Buffer, limits: Limits) -> str:
    """Return why the theorem for files does not cover a file, or "" if it does."""
    covered = ffi.new(_COVERED)
    source = _held(data)
    if lib.pyfd_why_uncovered(
        source, len(source), _limits(limits), covered.why, len(covered.why), covered.status
    ):
        _check(covered.status[0], 2)
    return str(ffi.string(covered.why).decode())


def certify(
    pixels: Pixels,
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    blocks: list[tuple[int, int]],
    epsilon: int = lib.PYFD_RADII,
) -> list[npt.NDArray[np.uint16]]:
    """Return one array (high, wide) for each component: its blocks' radii, 256 for infinity.

    With an epsilon, 1 for the blocks that hold at it and 0 for the others.
    """
    height, width, channels, buffer = _pixels(pixels)
    sizes = [high * wide for high, wide in blocks]
    found = np.empty(sum(sizes), np.uint16)
    status = ffi.new(_STATUS)
    if lib.pyfd_certify(
        buffer, width, height, channels, *sampling, *_tables(tables), epsilon,
        ffi.from_buffer(_STEPS, found, require_writable=True), len(found), status,
    ):  # fmt: skip
        _check(status, 2)
    parts = np.split(found, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, blocks, strict=True)]


def find_file_radii(
    pixels: Pixels, tables: npt.NDArray[np.uint16], blocks: tuple[int, int]
) -> npt.NDArray[np.uint16]:
    """Return the radii for files of an image's 8×8 pixels, (high, wide)."""
    height, width, channels, buffer = _pixels(pixels)
    found = np.empty(blocks, np.uint16)
    status = ffi.new(_STATUS)
    if lib.pyfd_find_file_radii(
        buffer, width, height, channels, *_tables(tables),
        ffi.from_buffer(_STEPS, found, require_writable=True), found.size, status,
    ):  # fmt: skip
        _check(status, 2)
    return found


def _pixels(pixels: Pixels) -> tuple[int, int, int, Any]:
    """Return the height, the width, the channels and the buffer of H×W or H×W×3 pixels."""
    shape = pixels.shape
    height, width, channels = shape if len(shape) == 3 else (*shape, 1)
    buffer = ffi.from_buffer(_BYTES, pixels)
    if len(buffer) != height * width * channels:  # reshaped by another thread
        raise ValueError("the image changed during the call")
    return height, width, channels, buffer


def _take(made: Any, code: int, left_out: str = "") -> bytes:
    """Return the file that C has made, or raise the error, and free C's memory."""
    data = made.data[0]
    try:
        if _interrupts:
            _raise_interrupt()
        if code or left_out or made.status[0].warnings:
            _check(made.status[0], 4, left_out)
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
    height, width, channels, buffer = _pixels(pixels)
    across, down = sampling
    steps, count = _tables(tables)
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
        *sampling, *_tables(tables), how,
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
        _tables(tables)[0], how,
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
    source = data if type(data) is bytes else ffi.from_buffer(_BYTES, data)
    how_read = reading_how(bool(reading.strict), "RGB", 1, orientation, workers=workers)
    steps, count = _tables(tables)
    code = _requantize_opened(
        frame.found, source, len(source), _limits(reading.limits), how_read,
        steps, count, how, segments, len(segments), made,
    )  # fmt: skip
    return _take(made, code, left_out)
