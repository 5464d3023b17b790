"""The decoding of a file to pixels, which every entry point that decodes uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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

_UINT8 = np.dtype(np.uint8)


def decode(
    source: Source,
    tables: npt.NDArray[np.uint16] | None,
    reading: Reading,
    out: Pixels | None = None,
    *,
    place: Place | None = None,
    budget: Budget | None = None,
    workers: int = 1,
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
        workers: The number of threads for this file, at most.
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
        how = binding.reading_how(strict, color, scale, workers)
    else:
        found = geometry((frame.width, frame.height), orientation, reading)
        shape = (found.height, found.width, *_CHANNELS[color])
        how = binding.reading_how(strict, color, found.scale, workers, orientation, found.part)
    held = place.scratch if place else 0
    if frame.multiscan:
        held += frame.coefficient_bytes + len(data) + math.prod(shape)
    if held:
        check_memory(limits, held)
    if budget and held:
        with budget.lend(held):
            return _decode(
                data, frame, reading, tables, how, _memory(shape, data, out, place), place
            )
    alone = out is None and place is None
    pixels = np.empty(shape, _UINT8) if alone else _memory(shape, data, out, place)
    return _decode(data, frame, reading, tables, how, pixels, place)


def _memory(
    shape: tuple[int, ...], data: Buffer, out: Pixels | None, place: Place | None
) -> Pixels:
    """Return the memory for a file's pixels."""
    if place:
        return place.pixels(shape, data)
    return np.empty(shape, _UINT8) if out is None else _checked_out(out, shape, data)


def _decode(
    data: Buffer,
    frame: binding.Frame,
    reading: Reading,
    tables: npt.NDArray[np.uint16] | None,
    how: Any,
    pixels: Pixels,
    place: Place | None,
) -> Pixels:
    binding.decode(data, reading, tables, pixels, frame=frame, how=how, stacklevel=4)
    if place:
        place.keep(pixels)
    return pixels


def in_batches(reading: Reading) -> bool:
    """Return whether `decode_batch` takes these options."""
    whole = reading.fit is None and reading.region is None
    return whole and not reading.orient and reading.strict is True


def decode_batch(
    files: Sequence[bytes],
    tables: npt.NDArray[np.uint16] | None,
    reading: Reading,
    budget: Budget,
    places: Sequence[Place] | None = None,
) -> list[Pixels | Exception]:
    """Decode files like `decode`, in two calls of C.

    Files that need memory of the budget are decoded on their own.

    Args:
        files: Their bytes.
        tables: As for `decode`.
        reading: The options, which `in_batches` has accepted.
        budget: As for `decode`.
        places: The files' places in a batch.

    Returns:
        Each file's pixels, or its error.
    """
    batch = binding.Batch(files, reading.limits)
    found: list[Pixels | Exception] = []
    put = []
    for i, data in enumerate(files):
        place = places[i] if places else None
        try:
            if error := batch.error(i):
                found.append(error)
                continue
            frame = batch.frame(i)
            if frame.multiscan or (place and place.scratch):
                found.append(decode(data, tables, reading, place=place, budget=budget))
                continue
            color, scale = _color(frame.color_space, reading.mode), reading.scale
            shape = (-(-frame.height // scale), -(-frame.width // scale), *_CHANNELS[color])
            pixels = _memory(shape, data, None, place)
            batch.put(i, pixels, binding.reading_how(True, color, scale))
            found.append(pixels)
            put.append(i)
        except Exception as error:
            found.append(error.with_traceback(None))  # which would hold all files' pixels
    batch.decode(tables)
    for i in put:
        found[i] = batch.error(i) or found[i]
    return found


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
