"""Files that are read: bytes from a source, within limits."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from pyfd.errors import LimitExceededError, UnsupportedJPEGError
from pyfd.limits import Limits

#: A file as a caller may pass it: its bytes, its path, or an open binary file.
Source: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap | str | os.PathLike[str] | BinaryIO"

#: What `read_source` returns.
Buffer: TypeAlias = "bytes | npt.NDArray[np.uint8]"

#: Suffixes of JPEG files' names: lower case, with the dot.
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

_CHUNK = 1 << 20


@dataclass(frozen=True)
class RegularFile(os.PathLike[str]):
    """The path of a file that a search found, or that was a regular file when it was chosen.

    By the time that it is read, another may have put a pipe in its place, which would
    never end. Through this path, `read_source` reads a regular file or nothing. Any other
    path it reads like every program does: a pipe that its caller names is waited for.
    """

    path: str

    def __fspath__(self) -> str:
        return self.path


class NotRegularError(OSError):
    """What was to be a regular file is something else."""


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a regular file, without waiting for the other end of a pipe.

    Raises:
        NotRegularError: Something else is in its place: a pipe, a device, a directory.
        OSError: It cannot be opened.
    """
    for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):  # no system has all
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise NotRegularError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise NotRegularError(errno.EINVAL, "not a regular file", os.fspath(path))


def read_source(source: Source, limits: Limits) -> Buffer:
    """Return the bytes of a source, without a copy if they are in memory already.

    While the result lives, it holds the caller's buffer: a bytearray cannot be
    resized, and a memory map cannot be closed.

    Raises:
        LimitExceededError: The source has more than `Limits.max_bytes`.
        OSError: The file cannot be read.
        TypeError: The source or the limits have a wrong type, or the source's `read` is a
            coroutine.
        UnsupportedJPEGError: An open file stands at its end.
        ValueError: The source is an array of pixels, or not contiguous.
    """
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
    if type(source) is bytes:
        return source
    if isinstance(source, str | os.PathLike):
        opener = open_regular if isinstance(source, RegularFile) else None
        with open(source, "rb", opener=opener) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_bytes:
                raise _too_long(limits, str(size), size)
            return _read(file, limits)
    if hasattr(source, "read") and not isinstance(source, mmap.mmap):
        return _read(cast(BinaryIO, source), limits)
    try:
        view = memoryview(cast(bytes, source))
    except TypeError:
        hint = ": await it, and pass the bytes" if isinstance(source, Awaitable) else ""
        raise TypeError(
            f"source must be bytes-like, a path or a binary file, not {type(source).__name__}{hint}"
        ) from None
    if view.ndim > 1:
        raise ValueError("source must be a file's bytes; pass an array of pixels to encode()")
    if not view.c_contiguous:
        raise ValueError("source must be a contiguous buffer")
    # An array, because before 3.12.7 Python crashes when its garbage collector frees a
    # memoryview whose bytes C has used (python/cpython#77894), as in an error that is kept.
    return np.frombuffer(view, np.uint8) if view.nbytes else b""


def _read(file: BinaryIO, limits: Limits) -> bytes:
    """Read to the end, but no more than one byte beyond the limit."""
    chunks: list[bytes] = []
    left = limits.max_bytes + 1
    while left > 0:
        chunk = _chunk(file, min(left, _CHUNK))
        if chunk is None:  # a regular file too, such as /proc/kmsg, in spite of its type
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if not isinstance(chunk, bytes):
            raise TypeError(f"the file must be open in binary mode: it gave {type(chunk).__name__}")
        if not chunk:
            if not chunks:
                _check_position(file)
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    size = limits.max_bytes + 1 - left  # that have been read
    raise _too_long(limits, f"at least {size}", size)


def _chunk(file: BinaryIO, size: int) -> Any:
    """Return what the file's `read` gives; say what is wrong with files of other kinds."""
    try:
        chunk: Any = file.read(size)
    except TypeError as error:  # httpx.Response.read() takes no size
        raise TypeError(f"source must be a binary file, but read(size) failed: {error}") from error
    if isinstance(chunk, Awaitable):  # FastAPI's UploadFile
        if isinstance(chunk, Coroutine):
            chunk.close()  # or Python warns that nobody awaited it
        name = type(file).__name__
        raise TypeError(f"{name}.read is a coroutine: await {name}.read(), and pass the bytes")
    return chunk


def _check_position(file: BinaryIO) -> None:
    """Refuse a file that has nothing left because it was read before."""
    position = 0
    with suppress(AttributeError, OSError, ValueError):  # a file that cannot seek
        position = file.tell()
    if position:
        raise UnsupportedJPEGError(
            f"not a JPEG: no bytes, because the file stands at its end, {position}: seek(0) first"
        )


def _too_long(limits: Limits, size: str, needed: int) -> LimitExceededError:
    allowed = limits.max_bytes
    return LimitExceededError(
        f"max_bytes is {allowed}, but the file has {size}",
        limit="max_bytes",
        allowed=allowed,
        needed=needed,
    )
