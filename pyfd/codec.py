"""The codec: `encode`, `decode`, `requantize`, `probe` and the coefficients.

Data flows one way: bytes → probe → limits → C → array.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import binding
from pyfd._core import metadata as _metadata
from pyfd._core.files import Source, read_source
from pyfd._core.pixels import Pixels, pixels_of
from pyfd.coefficients import Coefficients
from pyfd.errors import LimitExceededError
from pyfd.header import SUBSAMPLING, Header
from pyfd.limits import Limits
from pyfd.qtables import (
    BASELINE_STEP,
    DECODER_STEP,
    ENCODER_STEP,
    QTables,
    QTablesLike,
    as_qtables,
    steps_within,
)

if TYPE_CHECKING:
    from PIL.Image import Image

Mode: TypeAlias = Literal["RGB", "BGR", "L", "YCbCr", "CMYK"]
Subsampling: TypeAlias = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0"]

_DEFAULT_LIMITS = Limits()
_NO_BUDGET = nullcontext()

# What libjpeg can convert a file's color space to; the first is the file's own.
_MODES: dict[str, tuple[Mode, ...]] = {
    "L": ("L", "RGB", "BGR"),
    "YCbCr": ("RGB", "BGR", "L", "YCbCr"),
    "RGB": ("RGB", "BGR", "L"),
    "CMYK": ("CMYK", "RGB", "BGR"),
    "YCCK": ("CMYK", "RGB", "BGR"),
}
_CHANNELS = {"L": (), "RGB": (3,), "BGR": (3,), "YCbCr": (3,), "CMYK": (4,)}


# ---- reading --------------------------------------------------------------


def probe(source: Source, *, limits: Limits = _DEFAULT_LIMITS) -> Header:
    """Read a file's header and metadata, up to its first scan.

    Allocates nothing of the image's size.

    Args:
        source: Bytes-like, a path, or a binary file object.
        limits: `Limits.max_bytes`, `max_pixels`, `max_segments` and
            `max_metadata` hold as far as it reads.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        OSError: The file cannot be opened.
    """
    data = read_source(source, limits)
    frame, segments = binding.probe_segments(data, limits)
    metadata = _metadata.read(_metadata.payloads(data, segments))
    return Header(
        width=frame.width,
        height=frame.height,
        color_space=frame.color_space,
        sampling=frame.sampling,
        progressive=frame.progressive,
        qtables=QTables(frame.qtables),
        orientation=_metadata.orientation(metadata.exif),
        exif=metadata.exif,
        icc_profile=metadata.icc_profile,
        comment=metadata.comment,
    )


def decode(
    source: Source,
    qtables: QTablesLike | None = None,
    *,
    mode: Mode | None = "RGB",
    scale: Literal[1, 2, 4, 8] = 1,
    strict: bool = True,
    limits: Limits = _DEFAULT_LIMITS,
    out: Pixels | None = None,
) -> Pixels:
    """Decode a JPEG file onto defensive tables.

    With tables, every coefficient k stored under the file's step q becomes
    sign(k)·⌊(2·|k|·q + d) / (2·d)⌋, which the inverse DCT multiplies with the
    table's step d: the pixels are those of a decoder that reads
    ``requantize(source, qtables)``. Without tables it is a plain decode, byte
    for byte libjpeg-turbo's.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables with steps of 1...32767, or None for a plain decode.
        mode: "RGB", "BGR", "L" (the Y plane of a YCbCr file), "YCbCr", "CMYK",
            or None for the file's own: "L", "RGB" or "CMYK". Four-component
            files come out as Pillow gives them.
        scale: 1, 2, 4 or 8 divides the size, in the DCT domain.
        strict: Refuse a file that makes the decoder warn. Otherwise take the
            pixels that could be decoded, with one `JPEGWarning`.
        limits: What the file may ask for.
        out: Where to put the pixels: the result's shape, ``uint8``,
            C-contiguous, writable. It is returned.

    Returns:
        ``uint8`` pixels, H×W for "L", else H×W×3 or H×W×4, C-contiguous. EXIF's
        orientation is not applied.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        ValueError: A mode that the file cannot be converted to, a step out of
            range, an `out` that does not fit.
    """
    return _decode(source, qtables, mode, scale, strict, limits, out, None)


def _decode(
    source: Source,
    qtables: QTablesLike | None,
    mode: Mode | None,
    scale: int,
    strict: bool,
    limits: Limits,
    out: Pixels | None,
    budget: _Budget | None,
) -> Pixels:
    tables = None if qtables is None else steps_within(qtables, DECODER_STEP)
    if scale not in (1, 2, 4, 8):
        raise ValueError(f"scale must be 1, 2, 4 or 8, not {scale!r}")
    if mode is not None and mode not in _CHANNELS:
        raise ValueError(f"mode must be one of {', '.join(_CHANNELS)} or None, not {mode!r}")
    data = read_source(source, limits)
    frame = binding.probe(data, limits)
    color = _color(frame.color_space, mode)
    shape = (-(-frame.height // scale), -(-frame.width // scale), *_CHANNELS[color])
    needed = 0
    if frame.multiscan:
        needed = frame.coefficient_bytes + len(data) + math.prod(shape)
        _check_memory(limits, needed)
    with budget.take(needed) if budget else _NO_BUDGET:
        pixels = np.empty(shape, np.uint8) if out is None else _checked_out(out, shape, data)
        binding.decode(
            data, limits, tables, pixels, color=color, scale=scale, strict=strict, stacklevel=3
        )
    return pixels


def _check_memory(limits: Limits, needed: int) -> None:
    """C checks this again; here it comes before numpy allocates."""
    if needed > limits.max_memory:
        raise LimitExceededError(f"max_memory is {limits.max_memory}, but the file needs {needed}")


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


def read_coefficients(
    source: Source, *, strict: bool = True, limits: Limits = _DEFAULT_LIMITS
) -> Coefficients:
    """Read a file's quantized DCT coefficients.

    Args:
        source: Bytes-like, a path, or a binary file object.
        strict: As in `decode`.
        limits: What the file may ask for.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
    """
    data = read_source(source, limits)
    frame = binding.probe(data, limits)
    sizes = [64 * high * wide for high, wide in frame.blocks]
    _check_memory(limits, len(data) + frame.coefficient_bytes + 2 * sum(sizes))
    flat = np.empty(sum(sizes), np.int16)
    tables = binding.read_coefficients(data, limits, flat, len(sizes), strict=strict)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return Coefficients(
        components=tuple(
            part.reshape(*blocks, 8, 8) for part, blocks in zip(parts, frame.blocks, strict=True)
        ),
        qtables=QTables(tables),
        sampling=frame.sampling,
        width=frame.width,
        height=frame.height,
        color_space=frame.color_space,
    )


# ---- writing --------------------------------------------------------------


def encode(
    image: npt.ArrayLike | Image,
    qtables: QTablesLike,
    *,
    subsampling: Subsampling = "4:4:4",
    progressive: bool = False,
    optimize: bool = False,
    baseline: bool = True,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    comment: bytes | str | None = None,
) -> bytes:
    r"""Encode an image with the given tables, bit for bit.

    Args:
        image: ``uint8``, H×W×3 (RGB) or H×W (grayscale), any strides; or a
            `PIL.Image` of mode "RGB" or "L".
        qtables: Tables with steps of 1...255, or 1...8191 with
            ``baseline=False``. They are never rescaled.
        subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0"; of no meaning for
            grayscale. With subsampled chroma some coefficients do not come back
            to the grid, even unperturbed.
        progressive: Write a progressive file.
        optimize: Write Huffman tables made for this image: smaller, slower.
        baseline: Refuse steps that a baseline decoder need not take.
        exif: An EXIF block, with or without its leading ``Exif\0\0``.
        icc_profile: An ICC profile.
        comment: A comment; text is written as UTF-8.

    Returns:
        A JFIF file that opens anywhere.

    Raises:
        ValueError: Shape, dtype, mode, steps or metadata that do not fit.
    """
    tables = steps_within(qtables, BASELINE_STEP if baseline else ENCODER_STEP)
    if subsampling not in SUBSAMPLING:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLING)}")
    pixels = pixels_of(image)
    segments = _metadata.build(exif, icc_profile, comment)
    how = binding.writing(bool(progressive), bool(optimize))
    return binding.encode(pixels, SUBSAMPLING[subsampling], tables, how, segments)


def write_coefficients(
    coefficients: Coefficients,
    *,
    progressive: bool = False,
    optimize: bool = False,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    comment: bytes | str | None = None,
) -> bytes:
    """Write quantized DCT coefficients as a JPEG file, without loss.

    Steps are 1...65535, written verbatim. For the other arguments see `encode`.

    Raises:
        ValueError: Blocks that do not fit the stated size, or coefficients
            outside what Huffman coding can hold.
    """
    components = [component.ravel() for component in coefficients.checked()]
    qtables = as_qtables(coefficients.qtables)
    tables = np.stack([qtables[i] for i in range(len(components))])
    frame = (
        coefficients.width,
        coefficients.height,
        coefficients.color_space,
        coefficients.sampling,
    )
    segments = _metadata.build(exif, icc_profile, comment)
    how = binding.writing(bool(progressive), bool(optimize))
    return binding.write_coefficients(frame, np.concatenate(components), tables, how, segments)


def requantize(
    source: Source,
    qtables: QTablesLike,
    *,
    progressive: bool = False,
    optimize: bool = False,
    metadata: bool = True,
    baseline: bool = True,
    strict: bool = True,
    limits: Limits = _DEFAULT_LIMITS,
) -> bytes:
    """Make a defended JPEG from a JPEG, without leaving the coefficient domain.

    The output's tables are the given ones, its coefficients those that
    ``decode(source, qtables)`` uses. Multi-picture data and bytes after the end
    of the image are dropped. A single-scan file is re-quantized block by block as
    it is read; a progressive one, input or output, and ``optimize=True`` take all
    its coefficients into memory.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables with steps of 1...255, or 1...32767 with
            ``baseline=False``.
        progressive: Write a progressive file.
        optimize: Write Huffman tables made for this image: smaller, slower.
        metadata: Keep EXIF, ICC, XMP, IPTC, JFIF density and comments, but not
            what holds or may hold undefended pixels: thumbnails, makers' notes,
            extended XMP.
        baseline: Refuse steps that a baseline decoder need not take.
        strict: As in `decode`.
        limits: What the file may ask for.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
        ValueError: A step out of range.
    """
    tables = steps_within(qtables, BASELINE_STEP if baseline else DECODER_STEP)
    data = read_source(source, limits)
    segments = b""
    if metadata:
        _, places = binding.probe_segments(data, limits)
        segments = _metadata.kept(_metadata.payloads(data, places))
    how = binding.writing(bool(progressive), bool(optimize), bool(metadata))
    return binding.requantize(data, limits, tables, how, segments, strict=strict)


# ---- many -----------------------------------------------------------------


class _Budget:
    """Bytes that threads share: who asks for more than is left waits for the others."""

    def __init__(self, size: int):
        self._left = size
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


class _Work:
    """Files for threads: each takes the next one when it is done with its last."""

    def __init__(self, call: Callable[[Source], object], sources: Iterator[Source], errors: str):
        self._call = call
        self._sources = sources
        self._return_errors = errors == "return"
        self._lock = threading.Lock()
        self._taken = 0
        self._done: dict[int, object] = {}
        self._failed: dict[int, BaseException] = {}

    def run(self, workers: int) -> list[object]:
        """In this thread and workers - 1 others; the results, or the first file's error."""
        threads = [threading.Thread(target=self._work) for _ in range(workers - 1)]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            self._work()
            for thread in started:
                thread.join()
        except BaseException as error:  # Ctrl-C, or no more threads to be had
            self._failed[-1] = error  # the others stop when they are done with a file
            for thread in started:
                thread.join()
        if self._failed:
            raise self._failed[min(self._failed)]
        return [self._done[index] for index in range(self._taken)]

    def _work(self) -> None:
        while not self._failed and self._one():
            pass

    def _one(self) -> bool:
        """Is there another file?"""
        with self._lock:  # sources may be a generator
            index = self._taken
            try:
                source = next(self._sources)
            except StopIteration:
                return False
            except BaseException as error:
                self._failed[index] = error
                return False
            self._taken += 1
        try:
            self._done[index] = self._call(source)
        except BaseException as error:
            # Ctrl-C and its like are no file's fault
            returned = self._return_errors and isinstance(error, Exception)
            (self._done if returned else self._failed)[index] = error
        return True


def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    **decode_options: Any,
) -> list[Any]:
    """Decode many files in threads, with the GIL released.

    Args:
        sources: What `decode` takes, one after another.
        qtables: As in `decode`.
        workers: Threads; the number of usable cores by default. They share one
            `Limits.max_memory`.
        errors: "raise" raises the first failing item's exception; "return" puts
            it in that item's place.
        **decode_options: `decode`'s other options but `out`.

    Returns:
        The arrays, in the order of the sources.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", not {errors!r}')
    if workers is None:
        workers = len(os.sched_getaffinity(0))
    if operator.index(workers) < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if isinstance(sources, str | bytes | bytearray | os.PathLike):
        raise TypeError("sources must be an iterable of files, not one file")
    options = {"mode": "RGB", "scale": 1, "strict": True, "limits": _DEFAULT_LIMITS}
    unknown = sorted(set(decode_options) - set(options))
    if unknown:
        raise TypeError(f"decode_many() takes no option {unknown[0]!r}")
    options.update(decode_options)
    if not isinstance(options["limits"], Limits):
        raise TypeError(f"limits must be pyfd.Limits, not {type(options['limits']).__name__}")
    tables = None if qtables is None else as_qtables(qtables)
    budget = _Budget(options["limits"].max_memory)

    def one(source: Source) -> Pixels:
        return _decode(source, tables, **options, out=None, budget=budget)  # type: ignore[arg-type]

    iterator = iter(sources)
    first = list(itertools.islice(iterator, workers))  # no more threads than files
    return _Work(one, itertools.chain(first, iterator), errors).run(max(1, len(first)))
