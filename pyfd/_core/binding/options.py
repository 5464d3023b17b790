"""What calls of C have in common: options, limits, tables, the threads to ask, and errors."""

from __future__ import annotations

import functools
import threading
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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

_ERRORS: dict[int, type[Exception]] = {
    lib.PYFD_CORRUPT: CorruptJPEGError,
    lib.PYFD_UNSUPPORTED: UnsupportedJPEGError,
    lib.PYFD_ARGUMENT: ValueError,
    lib.PYFD_MEMORY: MemoryError,
}

Buffer = Any  # bytes, or an array of bytes: cffi takes either

# Looked up here, because a lookup takes a noticeable part of a small image's time.
BYTES, STEPS = ffi.typeof("uint8_t[]"), ffi.typeof("uint16_t[]")
STATUS = ffi.typeof("pyfd_status *")


def libjpeg_turbo_version() -> str:
    """Return upstream's version of libjpeg-turbo and a digest of the patches."""
    return str(ffi.string(lib.pyfd_libjpeg_turbo()).decode())


def _options(struct: str, **values: Any) -> Any:
    """Return a C struct of options, which starts with its own size."""
    return ffi.new(f"{struct} *", {"size": ffi.sizeof(struct), **values})


@functools.lru_cache(maxsize=64)
def writing_how(
    progressive: bool,
    optimize: bool,
    color: str = "L",
    restart_rows: int = 0,
    workers: int = 1,
    keep_density: bool = False,
    radius: int = 0,
    file_radius: int = 0,
    trim: bool = False,
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
    workers: int = 1,
    orientation: int = 1,
    region: tuple[int, int, int, int] = (0, 0, 0, 0),
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


interrupts: dict[int, BaseException] = {}


def _keep(_type: object, error: BaseException, _traceback: object) -> None:
    interrupts[threading.get_ident()] = error


def raise_interrupt() -> None:
    """Raise what has interrupted this thread, such as Ctrl-C, while C was asking for threads."""
    error = interrupts.pop(threading.get_ident(), None)
    if error is not None:
        raise error


@ffi.def_extern(onerror=_keep)  # type: ignore[misc]  # cffi would print the error
def pyfd_ask_threads(_: Any, work: Any, count: int) -> None:
    """Ask the threads of this process to help with a call, for C."""
    helpers.ask(functools.partial(lib.pyfd_help, work), count)


_HELPERS = ffi.new("pyfd_helpers *", {"ask": lib.pyfd_ask_threads})
_MOST_WORKERS = 1 << 16


def limits_for(limits: Limits) -> Any:
    """Return limits for C, of which the latest are kept."""
    global _latest_limits
    known, struct = _latest_limits
    if known is not limits:
        if not isinstance(limits, Limits):
            raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
        struct = _options("pyfd_limits", **asdict(limits))
        _latest_limits = limits, struct  # one assignment, for other threads
    return struct


_latest_limits: tuple[object, Any] = (object(), None)


def tables_for(tables: npt.NDArray[np.uint16] | None) -> tuple[Any, int]:
    """Return tables for C, of which the latest are kept, and their number; None is no table."""
    global _latest_tables
    if tables is None:
        return _NO_TABLES
    known, pointer = _latest_tables
    if known is tables:
        return pointer
    if tables.dtype != np.uint16 or tables.shape[1:] != (8, 8):
        raise TypeError("tables must be uint16 (n, 8, 8)")  # C relies on it
    pointer = ffi.from_buffer(STEPS, tables), len(tables)
    if not tables.flags.writeable:  # those of `QTables`, which never change
        _latest_tables = tables, pointer
    return pointer


_NO_TABLES: tuple[Any, int] = (ffi.NULL, 0)
_latest_tables: tuple[npt.NDArray[np.uint16] | None, tuple[Any, int]] = (None, _NO_TABLES)


def held(data: Buffer) -> Any:
    """Return a buffer as C takes it: bytes as they are, which cffi does not copy."""
    return data if type(data) is bytes else ffi.from_buffer(BYTES, data)


def pixels_for(pixels: Pixels) -> tuple[int, int, int, Any]:
    """Return the height, the width, the channels and the buffer of H×W or H×W×3 pixels."""
    shape = pixels.shape
    height, width, channels = shape if len(shape) == 3 else (*shape, 1)
    buffer = ffi.from_buffer(BYTES, pixels)
    if len(buffer) != height * width * channels:  # reshaped by another thread
        raise ValueError("the image changed during the call")
    return height, width, channels, buffer


def error_of(status: Any) -> Exception:
    """Return the error of a failed call."""
    if status.code != lib.PYFD_LIMIT:
        return _ERRORS[status.code](_message(status))
    return LimitExceededError(
        _message(status),
        limit=ffi.string(status.limit).decode(),
        allowed=status.allowed,
        needed=status.needed,
    )


def _message(status: Any) -> str:
    return str(ffi.string(status.message).decode("ascii", "replace"))


def check(status: Any, stacklevel: int, left_out: str = "") -> None:
    """Raise the error of a failed call, or warn of the defects that a lenient call overlooked.

    `left_out` is the caller's own part of the warning.
    """
    if status.code:
        raise error_of(status)
    count = status.warnings
    if not count:
        if left_out:
            warnings.warn(left_out, JPEGWarning, stacklevel=stacklevel + 1)
        return
    text = f"{count} decoder warning{'s' if count > 1 else ''}; the first: {_message(status)}"
    text += f"; {left_out}" if left_out else ""
    warnings.warn(text, JPEGWarning, stacklevel=stacklevel + 1)
