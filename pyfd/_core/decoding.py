"""The decoding of a file to pixels, which every entry point that decodes uses."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, opencv_exif
from pyfd._core.files import Buffer, Source, read_source
from pyfd._core.geometry import geometry
from pyfd._core.memory import Budget, check_memory
from pyfd._core.metadata import payloads
from pyfd._core.pixels import Pixels
from pyfd._core.places import Place
from pyfd._core.reading import MODES, Mode, Reading
from pyfd._core.turns import UPRIGHT
from pyfd.limits import Limits

# The modes that libjpeg can convert a file's color space to; the first is the file's own.
_MODES: dict[str, tuple[Mode, ...]] = {
    "L": ("L", "RGB", "BGR"),
    "YCbCr": ("RGB", "BGR", "L", "YCbCr"),
    "RGB": ("RGB", "BGR", "L"),
    "CMYK": ("CMYK", "RGB", "BGR"),
    "YCCK": ("CMYK", "RGB", "BGR"),
}
#: The modes that gray, YCbCr and RGB files can all be decoded to.
COMMON_MODES = tuple(
    mode for mode in MODES if all(mode in _MODES[c] for c in ("L", "YCbCr", "RGB"))
)
_CHANNELS: dict[Mode, tuple[int, ...]] = {
    "L": (),
    "RGB": (3,),
    "BGR": (3,),
    "YCbCr": (3,),
    "CMYK": (4,),
}

_NOTHING = nullcontext()


def decode(
    source: Source,
    tables: npt.NDArray[np.uint16] | None,
    reading: Reading,
    out: Pixels | None = None,
    *,
    place: Place | None = None,
    budget: Budget | None = None,
) -> Pixels:
    """Decode a file, onto tables unless they are None.

    A `JPEGWarning` is attributed to the caller's caller.

    Args:
        source: Bytes-like, a path, or a binary file object.
        tables: As `pyfd.qtables.decoder_steps` returns them.
        reading: The options.
        out: As in `pyfd.decode`.
        place: The place of the pixels in a batch, instead of `out`.
        budget: The memory that files share whose coefficients must all be in memory, or
            whose place is not in the decoder's order.
    """
    limits = reading.limits
    data = read_source(source, limits)
    if reading.orient:
        frame, orientation = _turned_frame(data, limits)
    else:
        frame, orientation = binding.probe(data, limits), UPRIGHT
    color = _color(frame.color_space, reading.mode)
    strict, scale = bool(reading.strict), reading.scale
    if orientation == UPRIGHT and reading.fit is None and reading.region is None:  # be fast
        shape = (-(-frame.height // scale), -(-frame.width // scale), *_CHANNELS[color])
        how = binding.reading_how(strict, color, scale)
    else:
        found = geometry((frame.width, frame.height), orientation, reading)
        shape = (found.height, found.width, *_CHANNELS[color])
        how = binding.reading_how(strict, color, found.scale, orientation, found.part)
    held = place.scratch if place else 0
    if frame.multiscan:
        held += frame.coefficient_bytes + len(data) + math.prod(shape)
    if held:
        check_memory(limits, held)
    with budget.lend(held) if budget and held else _NOTHING:
        if place:
            pixels = place.pixels(shape, data)
        else:
            pixels = np.empty(shape, np.uint8) if out is None else _checked_out(out, shape, data)
        binding.decode(data, reading, tables, pixels, how=how, stacklevel=3)
        if place:
            place.keep(pixels)
    return pixels


def orientation_of(data: Buffer, limits: Limits) -> int:
    """Return the orientation that `orient` applies, 1...8."""
    return _turned_frame(data, limits)[1]


def _turned_frame(data: Buffer, limits: Limits) -> tuple[binding.Frame, int]:
    """Return a file's frame, and the orientation that `orient` applies."""
    frame, segments = binding.probe_segments(data, limits)
    return frame, opencv_exif.orientation(payloads(data, segments))


def _color(color_space: str, mode: Mode | None) -> Mode:
    allowed = _MODES[color_space]
    if mode is None:
        return allowed[0]
    if mode not in allowed:
        raise ValueError(f"a {color_space} file decodes to {', '.join(allowed)}, not to {mode}")
    return mode


def _checked_out(out: Pixels, shape: tuple[int, ...], data: Buffer) -> Pixels:
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
        raise ValueError("out must be an array of uint8")
    if out.shape != shape:
        raise ValueError(f"out must have the shape {shape}, not {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be C-contiguous and writable")
    if np.may_share_memory(out, np.frombuffer(data, np.uint8)):
        raise ValueError("out must not share memory with the source")
    return out
