"""Files: bytes from a source, and atomic writes."""

from __future__ import annotations

import mmap
import os
import secrets
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from pyfd.errors import LimitExceededError
from pyfd.limits import Limits

#: A file as a caller may pass it: its bytes, its path, or an open binary file.
Source: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap | str | os.PathLike[str] | BinaryIO"

#: Suffixes of JPEG files' names: lower case, with the dot.
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

_CHUNK = 1 << 20


def read_source(source: Source, limits: Limits) -> bytes | memoryview:
    """Return the bytes of a source, without a copy if they are in memory already.

    While the result lives, it holds the caller's buffer: a bytearray cannot be
    resized, and a memory map cannot be closed.

    Raises:
        LimitExceededError: The source has more than `Limits.max_bytes`.
        OSError: The file cannot be read.
        TypeError: The source or the limits have a wrong type.
        ValueError: The source is an array of pixels, or not contiguous.
    """
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
    if type(source) is bytes:
        return source
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_bytes:
                raise _too_long(limits, str(size), size)
            return _read(file, limits)
    if hasattr(source, "read") and not isinstance(source, mmap.mmap):
        return _read(cast(BinaryIO, source), limits)
    try:
        view = memoryview(cast(bytes, source))
    except TypeError:
        raise TypeError(
            f"source must be bytes-like, a path or a binary file, not {type(source).__name__}"
        ) from None
    if view.ndim > 1:
        raise ValueError("source must be a file's bytes; pass an array of pixels to encode()")
    if not view.c_contiguous:
        raise ValueError("source must be a contiguous buffer")
    return view.cast("B") if view.nbytes else b""


def _read(file: BinaryIO, limits: Limits) -> bytes:
    """Read to the end, but no more than one byte beyond the limit."""
    chunks: list[bytes] = []
    left = limits.max_bytes + 1
    while left > 0:
        chunk = file.read(min(left, _CHUNK))
        if not isinstance(chunk, bytes):
            raise TypeError(f"the file must be open in binary mode: it gave {type(chunk).__name__}")
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    size = limits.max_bytes + 1 - left  # that have been read
    raise _too_long(limits, f"at least {size}", size)


def _too_long(limits: Limits, size: str, needed: int) -> LimitExceededError:
    allowed = limits.max_bytes
    return LimitExceededError(
        f"max_bytes is {allowed}, but the file has {size}",
        limit="max_bytes",
        allowed=allowed,
        needed=needed,
    )


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is never half-written.

    Raises:
        OSError: The file cannot be written; nothing is left behind.
    """
    target = Path(path)
    temporary = target.with_name(f".pyfd-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
