"""The encoding of pixels to a file, which every entry point that encodes uses."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, metadata, subsampled, yuv
from pyfd._core.memory import Budget, check_memory
from pyfd._core.pixels import (
    Layout,
    PixelMode,
    Pixels,
    array_of,
    check_layout,
    check_pixel_mode,
    is_pil_image,
    view_of,
)
from pyfd._core.radii import least_file_radius, least_radius
from pyfd._core.reading import check_known
from pyfd.limits import Limits

if TYPE_CHECKING:
    from PIL.Image import Image

Subsampling: TypeAlias = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0"]

#: Subsamplings by name: the samples of the first component per chroma sample,
#: horizontally and vertically.
SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}

# What a block takes in bytes: its coefficients, in memory, and its part of a file. The squares
# of its samples, and so of its coefficients, add up to at most 64·128². At that, with steps of
# 1, the standard's codes take no more than 18 bits for each of the 64 coefficients, and bytes
# of ones are followed by another one: 2.1 bytes for each is the most that was found.
_COEFFICIENTS = 128
_FILE = 160

MOST_ROWS = 65535  # T.81 B.2.4.4 counts the MCUs of an interval in 16 bits

# What the search with subsampled chroma takes, and what more for each pixel
_SEARCH = 32 << 20
_SEARCH_PIXEL = 160


class EncodingOptions(TypedDict, total=False):
    """The keywords of `pyfd.encode`, for the signatures of functions that pass them on."""

    mode: PixelMode | None
    layout: Layout
    subsampling: Subsampling
    progressive: bool
    optimize: bool
    baseline: bool
    exif: bytes | None
    icc_profile: bytes | None
    comment: bytes | str | None
    radius: int | None
    radius_files: int | None
    max_loss: float
    restart_rows: int | None


@dataclass(kw_only=True, slots=True)
class Encoding:
    """The checked options of `pyfd.encode`, except `baseline`, which is about the tables.

    Raises:
        TypeError: The metadata are not bytes.
        ValueError: An option has a wrong value.
    """

    mode: PixelMode | None = None
    layout: Layout = "HWC"
    subsampling: Subsampling = "4:4:4"
    progressive: bool = False
    optimize: bool = False
    exif: bytes | None = None
    icc_profile: bytes | None = None
    comment: bytes | str | None = None
    radius: int | None = None
    radius_files: int | None = None
    max_loss: float = 1.0
    restart_rows: int | None = None
    segments: bytes = field(init=False)
    """The metadata as segments of a file."""

    def __post_init__(self) -> None:
        check_pixel_mode(self.mode)
        check_layout(self.layout)
        check_subsampling(self.subsampling)
        try:
            is_loss = bool(self.max_loss >= 0)
        except (TypeError, ValueError):  # also an array, which has no truth
            raise TypeError(f"max_loss must be a number of dB, not {self.max_loss!r}") from None
        if not is_loss:
            raise ValueError(f"max_loss must be 0 dB or more, not {self.max_loss}")
        self.restart_rows = checked_restart_rows(self.restart_rows)
        self.segments = metadata.build(self.exif, self.icc_profile, self.comment)


@functools.lru_cache(maxsize=64, typed=True)
def _plain(
    mode: PixelMode | None,
    layout: Layout,
    subsampling: Subsampling,
    progressive: bool,
    optimize: bool,
) -> Encoding:
    return Encoding(
        mode=mode,
        layout=layout,
        subsampling=subsampling,
        progressive=progressive,
        optimize=optimize,
    )


def plain(
    mode: PixelMode | None,
    layout: Layout,
    subsampling: Subsampling,
    progressive: bool,
    optimize: bool,
) -> Encoding | None:
    """Return the `Encoding` of these options alone, or None if one of them has no hash.

    It is kept: to make one takes as many instructions as a quarter of Python's part of a call.
    """
    try:
        return _plain(mode, layout, subsampling, progressive, optimize)
    except TypeError:
        return None


def check_subsampling(subsampling: object) -> None:
    """Refuse what is not the name of a subsampling."""
    if not (isinstance(subsampling, str) and subsampling in SUBSAMPLING):
        raise ValueError(
            f"subsampling must be one of {', '.join(SUBSAMPLING)}, not {subsampling!r}"
        )


def checked_restart_rows(rows: int | None) -> int | None:
    """Return the rows of MCUs of a restart interval, or refuse them; None is no interval."""
    if rows is None:
        return None
    try:
        number = operator.index(rows)
    except TypeError:
        raise TypeError(f"restart_rows must be an int, not {type(rows).__name__}") from None
    if not 1 <= number <= MOST_ROWS:
        raise ValueError(f"restart_rows must be 1...{MOST_ROWS}, not {number}")
    return number


def options_of(caller: str, options: Mapping[str, Any]) -> tuple[Encoding, bool]:
    """Return the `Encoding` of a function's keyword arguments, and its `baseline`.

    Raises:
        TypeError: An option is not known, or has a wrong type.
        ValueError: An option has a wrong value.
    """
    check_known(caller, options, EncodingOptions)
    others = dict(options)
    baseline = bool(others.pop("baseline", True))
    return Encoding(**others), baseline


def encode(
    image: npt.ArrayLike | Image | yuv.Planes,
    tables: npt.NDArray[np.uint16],
    options: Encoding,
    workers: int = 1,
) -> bytes:
    """Encode an image.

    Args:
        image: As in `pyfd.encode`.
        tables: As `pyfd.qtables.steps_within` returns them.
        options: The options.
        workers: The number of threads for this image, at most.
    """
    if isinstance(image, tuple):
        return _encode_planes(image, tables, options)
    pixels = view_of(image, options.mode, options.layout)
    return _encode(pixels, tables, options, workers)


def encode_within(
    image: npt.ArrayLike | Image | yuv.Planes,
    tables: npt.NDArray[np.uint16],
    options: Encoding,
    limits: Limits,
    budget: Budget,
) -> bytes:
    """Encode an image once there is memory for what that holds at most.

    Raises:
        LimitExceededError: There never will be.
    """
    if isinstance(image, np.ndarray):  # be fast
        image = view_of(image, options.mode, options.layout)
        held = _bound(*_size_of_view(image), options)
    else:
        held = _held(image, options)
    check_memory(limits, held, "the image")
    with budget.lend(held):
        if isinstance(image, np.ndarray):
            return _encode(image, tables, options, workers=1)
        return encode(image, tables, options)


def in_batches(options: Encoding) -> bool:
    """Return whether `encode_batch` takes these options."""
    return options.radius is None and options.radius_files is None


def encode_batch(
    images: Sequence[Pixels],
    tables: npt.NDArray[np.uint16],
    options: Encoding,
    limits: Limits,
    budget: Budget,
) -> list[bytes | Exception]:
    """Encode images like `encode_within`, in one call of C.

    Args:
        images: Arrays.
        tables: As for `encode`.
        options: The options, which `in_batches` has accepted.
        limits: As for `encode_within`.
        budget: As for `encode_within`.

    Returns:
        Each image's file, or its error.
    """
    found: dict[int, bytes | Exception] = {}
    views: dict[int, Pixels] = {}
    held = 0
    for i, image in enumerate(images):
        try:
            view = view_of(image, options.mode, options.layout)
            needed = _bound(*_size_of_view(view), options)
            check_memory(limits, needed, "the image")
        except Exception as error:
            found[i] = error.with_traceback(None)  # which would hold all images
        else:
            views[i] = view
            held += needed
    if held > limits.max_memory:  # not all of them at once
        return [encode_batch([image], tables, options, limits, budget)[0] for image in images]
    with budget.lend(held):
        found |= _encode_batch(views, tables, options)
    return [found[i] for i in range(len(images))]


def _encode_batch(
    views: dict[int, Pixels], tables: npt.NDArray[np.uint16], options: Encoding
) -> dict[int, bytes | Exception]:
    """Encode images in one call of C; each has a number."""
    found: dict[int, bytes | Exception] = {}
    pictures = {}
    in_gray, in_color = _how(True, options), _how(False, options)
    for i, view in views.items():
        try:
            pixels = view if view.flags.c_contiguous else np.ascontiguousarray(view)
            pictures[i] = binding.picture(pixels, in_gray if pixels.ndim == 2 else in_color)
        except Exception as error:
            found[i] = error.with_traceback(None)
    sampling = SUBSAMPLING[options.subsampling]
    files = binding.encode_many([*pictures.values()], sampling, tables, options.segments)
    return found | dict(zip(pictures, files, strict=True))


def _how(gray: bool, options: Encoding, workers: int = 1) -> Any:
    """Return the options of a file without radii, for C."""
    return binding.writing_how(
        bool(options.progressive),
        bool(options.optimize),
        "L" if gray else options.mode or "RGB",
        options.restart_rows or 0,
        workers,
    )


def _held(image: npt.ArrayLike | Image | yuv.Planes, options: Encoding) -> int:
    """Return a bound on the bytes that encoding an image takes."""
    return _bound(*_size_of(image, options), options)


def _bound(width: int, height: int, channels: int, copied: int, options: Encoding) -> int:
    blocks = _blocks(width, height, channels, options.subsampling)
    held = copied + blocks * _FILE + 2 * len(options.segments)
    if options.progressive or options.optimize:
        held += blocks * _COEFFICIENTS
    if options.radius is not None and channels > 1 and options.subsampling != "4:4:4":
        held += _SEARCH + width * height * _SEARCH_PIXEL
    return held


def _size_of_view(pixels: Pixels) -> tuple[int, int, int, int]:
    """Return what `_size_of` does, for what `view_of` has returned."""
    height, width, channels = (*pixels.shape, 1)[:3]
    return width, height, channels, 0 if pixels.flags.c_contiguous else pixels.size


def _size_of(
    image: npt.ArrayLike | Image | yuv.Planes, options: Encoding
) -> tuple[int, int, int, int]:
    """Return an image's width, height and channels, and the bytes of it that are copied."""
    if isinstance(image, tuple):
        planes = [array_of(plane) for plane in image]
        height, width = (*planes[0].shape, 0, 0)[:2] if planes else (0, 0)
        return width, height, 3, sum(plane.size for plane in planes)
    if is_pil_image(image):
        # numpy takes Pillow's pixels from bytes, which Pillow joins from others
        width, height = image.size
        channels = len(image.getbands())
        return width, height, channels, 2 * width * height * channels
    return _size_of_view(view_of(image, options.mode, options.layout))


def _blocks(width: int, height: int, channels: int, subsampling: Subsampling) -> int:
    """Return the blocks of a file, those that fill up the last MCUs included."""
    if channels == 1:
        return -(-width // 8) * -(-height // 8)
    across, down = SUBSAMPLING[subsampling]
    return -(-width // (8 * across)) * -(-height // (8 * down)) * (across * down + 2)


def _encode(
    pixels: Pixels, tables: npt.NDArray[np.uint16], options: Encoding, workers: int
) -> bytes:
    if not pixels.flags.c_contiguous:
        pixels = np.ascontiguousarray(pixels)
    gray = pixels.ndim == 2
    sampling = (1, 1) if gray else SUBSAMPLING[options.subsampling]
    if in_batches(options):  # as a rule, and faster so
        how = _how(gray, options, workers)
        return binding.encode(pixels, sampling, tables, how, options.segments)
    progressive, optimize = bool(options.progressive), bool(options.optimize)
    rows = options.restart_rows or 0
    least = least_radius(pixels.shape, tables, options.radius)
    least_file = least_file_radius(pixels.shape, tables, sampling, options.radius_files)
    if least and sampling != (1, 1):
        how = binding.writing_how(progressive, optimize, restart_rows=rows)
        rgb = _in_rgb(pixels, options.mode)
        return subsampled.encode(
            rgb, sampling, tables, least - 1, options.max_loss, how, options.segments
        )
    color = "L" if gray else options.mode or "RGB"
    how = binding.writing_how(
        progressive,
        optimize,
        radius=least,
        file_radius=least_file,
        color=color,
        restart_rows=rows,
        workers=workers,
    )
    return binding.encode(pixels, sampling, tables, how, options.segments)


def _encode_planes(
    planes: tuple[npt.ArrayLike, ...], tables: npt.NDArray[np.uint16], options: Encoding
) -> bytes:
    if options.mode != "YCbCr" or options.layout != "HWC":
        raise ValueError('a tuple is planes, which take mode="YCbCr" and no layout')
    if options.radius is not None or options.radius_files is not None:
        raise ValueError("a radius takes pixels, not planes: encode the decoded file with it")
    sampling = SUBSAMPLING[options.subsampling]
    samples = yuv.samples_of(planes, options.subsampling, sampling)
    how = binding.writing_how(
        bool(options.progressive), bool(options.optimize), restart_rows=options.restart_rows or 0
    )
    return binding.encode_yuv(samples, sampling, tables, how, options.segments)


def _in_rgb(pixels: Pixels, mode: PixelMode | None) -> Pixels:
    if mode == "YCbCr":
        raise ValueError(
            "a radius with subsampled chroma takes RGB or BGR pixels, not YCbCr: the search "
            "compares what is decoded with them"
        )
    return np.ascontiguousarray(pixels[:, :, ::-1]) if mode == "BGR" else pixels
