"""The decoding of a file to pixels, which every entry point that decodes uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import binding
from pyfd._core.files import Source, read_source
from pyfd._core.pixels import Pixels
from pyfd._core.reading import Mode, Reading
from pyfd.errors import LimitExceededError
from pyfd.limits import Limits

Hold: TypeAlias = Callable[[int], AbstractContextManager[Any, Any]]

# The modes that libjpeg can convert a file's color space to; the first is the file's own.
_MODES: dict[str, tuple[Mode, ...]] = {
    "L": ("L", "RGB", "BGR"),
    "YCbCr": ("RGB", "BGR", "L", "YCbCr"),
    "RGB": ("RGB", "BGR", "L"),
    "CMYK": ("CMYK", "RGB", "BGR"),
    "YCCK": ("CMYK", "RGB", "BGR"),
}
_CHANNELS: dict[Mode, tuple[int, ...]] = {
    "L": (),
    "RGB": (3,),
    "BGR": (3,),
    "YCbCr": (3,),
    "CMYK": (4,),
}


def decode(
    source: Source,
    tables: npt.NDArray[np.uint16] | None,
    reading: Reading,
    out: Pixels | None = None,
    *,
    hold: Hold = nullcontext,
) -> Pixels:
    """Decode a file, onto tables unless they are None.

    A `JPEGWarning` is attributed to the caller's caller.

    Args:
        source: Bytes-like, a path, or a binary file object.
        tables: As `pyfd.qtables.decoder_steps` returns them.
        reading: The options.
        out: As in `pyfd.decode`.
        hold: A function that returns a context manager. It is called with the bytes
            that the file needs if all its coefficients must be in memory.
    """
    data = read_source(source, reading.limits)
    frame = binding.probe(data, reading.limits)
    color = _color(frame.color_space, reading.mode)
    scale = reading.scale
    shape = (-(-frame.height // scale), -(-frame.width // scale), *_CHANNELS[color])
    if not frame.multiscan:
        return _decoded(data, tables, reading, out, color, shape)
    needed = frame.coefficient_bytes + len(data) + math.prod(shape)
    check_memory(reading.limits, needed)
    with hold(needed):
        return _decoded(data, tables, reading, out, color, shape)


def _decoded(
    data: bytes | memoryview,
    tables: npt.NDArray[np.uint16] | None,
    reading: Reading,
    out: Pixels | None,
    color: Mode,
    shape: tuple[int, ...],
) -> Pixels:
    pixels = np.empty(shape, np.uint8) if out is None else _checked_out(out, shape, data)
    binding.decode(data, reading, tables, pixels, color=color, stacklevel=4)
    return pixels


def check_memory(limits: Limits, needed: int) -> None:
    """Refuse a file that needs more than `max_memory`, before numpy allocates.

    C checks it again, before it allocates.
    """
    allowed = limits.max_memory
    if needed > allowed:
        raise LimitExceededError(
            f"max_memory is {allowed}, but the file needs {needed}",
            limit="max_memory",
            allowed=allowed,
            needed=needed,
        )


def _color(color_space: str, mode: Mode | None) -> Mode:
    allowed = _MODES[color_space]
    if mode is None:
        return allowed[0]
    if mode not in allowed:
        raise ValueError(f"a {color_space} file decodes to {', '.join(allowed)}, not to {mode}")
    return mode


def _checked_out(out: Pixels, shape: tuple[int, ...], data: bytes | memoryview) -> Pixels:
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
        raise ValueError("out must be an array of uint8")
    if out.shape != shape:
        raise ValueError(f"out must have the shape {shape}, not {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be C-contiguous and writable")
    if np.may_share_memory(out, np.frombuffer(data, np.uint8)):
        raise ValueError("out must not share memory with the source")
    return out
