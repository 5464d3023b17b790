"""Labelled photographs for an evaluation, and their crop and resize for a network."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyfd
from pyfd._core import pictures, text_files
from pyfd._core.extras import missing
from pyfd._core.files import RegularFile, read_source
from pyfd._core.pixels import Pixels
from pyfd._core.reading import DEFAULT_LIMITS
from pyfd.limits import Limits

#: The only source that is not a directory: the 20 ImageNet pictures that foolbox ships.
FOOLBOX = "foolbox"

#: The share of an image's shorter side that the central crop keeps.
CROP = 224 / 256

#: The most digits of a label.
_MOST_DIGITS = 9

#: The most bytes of a labels file.
_MOST_BYTES = 256 << 20


class Images(NamedTuple):
    """Labelled photographs, in the order of the labels file."""

    names: list[str]
    """The names in the labels file."""
    pixels: list[Pixels]
    """H×W×3 uint8, RGB, C-contiguous; the sizes may differ."""
    labels: npt.NDArray[np.int64]


class _Entry(NamedTuple):
    name: str
    path: Path
    label: int


def load(
    source: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    *,
    longest_side: int = 640,
    limits: Limits = DEFAULT_LIMITS,
) -> Images:
    """Read labelled photographs.

    Args:
        source: A directory, or "foolbox": the 20 ImageNet pictures that the
            package foolbox ships. They are enough to see that a set-up works, but
            too few for anything else.
        labels: For a directory, a CSV file with the columns file (a path in the
            directory) and label (an integer from 0). Pictures that are not listed
            are left out.
        longest_side: The most pixels of a side; larger photographs are shrunk with
            a bicubic filter.
        limits: The limits on each picture, of whatever format.

    Returns:
        Names, pixels and labels. JPEG files are read by `pyfd.decode`, others by
        Pillow. EXIF orientation is not applied.

    Raises:
        ValueError: There are no labels, a line of the labels file is malformed, or
            a file is missing or damaged; the message names the line or the file.
        ImportError: foolbox is missing.
    """
    if longest_side < 1:
        raise ValueError(f"longest_side must be at least 1, not {longest_side}")
    if source != FOOLBOX:
        entries = _listed(Path(source), labels)
    elif labels is None:
        entries = _foolbox()
    else:
        raise ValueError("foolbox's pictures have labels of their own: leave labels out")
    return Images(
        names=[entry.name for entry in entries],
        pixels=[_shrunk(_read(entry.path, limits), longest_side) for entry in entries],
        labels=np.array([entry.label for entry in entries], np.int64),
    )


def at_input_size(pixels: Pixels, size: int) -> Pixels:
    """Return the central crop of a photograph, resized to size×size for a network.

    Args:
        pixels: H×W×3 ``uint8``; returned as it is if it has that size already.
        size: The side in pixels.

    Returns:
        size×size×3 ``uint8``, resized with Pillow's bicubic filter.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    top, left, side = central_crop(height, width)
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.array(square.resize((size, size), Image.Resampling.BICUBIC))


def central_crop(height: int, width: int) -> tuple[int, int, int]:
    """Return the top, left and side of the square in the middle, `CROP` of the shorter side."""
    side = round(CROP * min(height, width))
    return (height - side) // 2, (width - side) // 2, side


# ---- files ----------------------------------------------------------------


def _foolbox() -> list[_Entry]:
    """Return foolbox's pictures, whose names end in the label; do not import the package."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise missing("foolbox", "evaluate")
    paths = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    return [_Entry(path.name, path, int(path.stem.rpartition("_")[2])) for path in paths]


def _listed(directory: Path, labels: str | os.PathLike[str] | None) -> list[_Entry]:
    if not directory.is_dir():
        raise ValueError(f'{directory} is not a directory: give one with images, or "{FOOLBOX}"')
    if labels is None:
        raise ValueError(f"no labels for {directory}: give a CSV file with columns file and label")
    try:
        entries = list(_rows(directory, Path(labels)))
    except OSError as error:
        raise ValueError(f"{labels}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{labels} is not a CSV file in UTF-8: {error}") from error
    if not entries:
        raise ValueError(f"{labels} lists no image")
    return entries


def _rows(directory: Path, labels: Path) -> Iterator[_Entry]:
    seen: set[str] = set()
    text = text_files.read_text(labels, _MOST_BYTES, errors="strict")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not {"file", "label"} <= set(reader.fieldnames or ()):
        raise ValueError(f"{labels}, line 1: the columns must be file and label")
    for row in reader:
        where = f"{labels}, line {reader.line_num}"
        name, label = row["file"] or "", (row["label"] or "").strip()
        path = _inside(directory, name, where)
        if name in seen:
            raise ValueError(f"{where}: {name} is listed twice")
        seen.add(name)
        yield _Entry(name, path, _integer(label, where))


def _inside(directory: Path, name: str, where: str) -> Path:
    """Return the path of a listed file; refuse names that lead out of the directory."""
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{where}: file must be a path in {directory}, not {name!r}")
    if not (directory / name).is_file():
        raise ValueError(f"{where}: no file {directory / name}")
    return directory / name


def _integer(label: str, where: str) -> int:
    if not (label.isdecimal() and len(label) <= _MOST_DIGITS):
        raise ValueError(f"{where}: label must be an integer from 0, not {label!r}")
    return int(label)


# ---- pixels ---------------------------------------------------------------


def _read(path: Path, limits: Limits) -> Pixels:
    try:
        data = bytes(read_source(RegularFile(str(path)), limits))
        if data[:2] == b"\xff\xd8":  # pyfd's decoder reports damage that Pillow's hides
            pixels = pyfd.decode(data, limits=limits)
        else:
            pixels = pictures.read(data, limits).pixels
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)


def _shrunk(pixels: Pixels, longest_side: int) -> Pixels:
    if max(pixels.shape[:2]) <= longest_side:
        return np.array(pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    return np.array(image)
