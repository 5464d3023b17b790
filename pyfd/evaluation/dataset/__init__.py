"""Labelled pictures for an evaluation, and their crop and resize for a network.

They are read from folders, numpy's .npz files and torch's data sets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyfd._core.pixels import Pixels
from pyfd._core.reading import DEFAULT_LIMITS
from pyfd.evaluation import classes
from pyfd.evaluation.callables import called
from pyfd.evaluation.dataset import arrays, files, items
from pyfd.evaluation.dataset.found import Found
from pyfd.limits import Limits

#: A source by name: the 20 ImageNet pictures that foolbox ships.
FOOLBOX = "foolbox"

#: The share of an image's shorter side that the central crop keeps.
CROP = 224 / 256


class Images(NamedTuple):
    """Labelled pictures, in the order of the labels file, the data set or the folders."""

    names: list[str]
    """The names in the labels file, the paths in a folder, or places in a data set."""
    pixels: list[Pixels]
    """H×W×3 uint8, RGB, C-contiguous; the sizes may differ."""
    labels: npt.NDArray[np.int64]
    """The class numbers."""
    labelling: str = ""
    """How labels that are names were understood, in words; "" for numbers."""
    class_names: tuple[str, ...] | None = None
    """The names of the classes, by number."""


def load(
    source: str | os.PathLike[str] | Any,
    labels: str | os.PathLike[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    limit: int | None = None,
    longest_side: int = 640,
    limits: Limits = DEFAULT_LIMITS,
) -> Images:
    """Read labelled pictures.

    Labels are class numbers, from 0, or names. Names are those of the model's classes, or
    without these numbered in sorted order (`pyfd.evaluation.classes.match` says exactly how).

    Args:
        source: One of

            - A folder, with `labels`: the pictures that the file lists.
            - A folder without: a folder for each class, as for torchvision's ``ImageFolder``;
              the folder's name is the label. Pictures are taken in turns from each class, so
              that `limit` leaves many classes.
            - A .npz file with the arrays images, N×H×W×3 ``uint8``, and labels, N integers or
              names; optionally class_names, the data set's names by number.
            - A data set of torch: an object with a length and items ``(image, label)``, or
              "module:callable", which returns one. An image is a Pillow image, a C×H×W tensor
              or an H×W×C array, ``uint8`` or floating-point in 0...1. The names of the data
              set's classes are taken from its attribute ``classes``.
            - "foolbox": the 20 ImageNet pictures that the package foolbox ships. They are
              enough to see that a set-up works, but too few for anything else.
        labels: For a folder, a CSV file with the columns file (a path in the folder) and
            label. Pictures that are not listed are left out.
        class_names: The names of the model's classes, by number.
        limit: The most pictures that are read: the first ones.
        longest_side: The most pixels of a side; larger photographs are shrunk with
            a bicubic filter.
        limits: The limits on each picture, of whatever format. For a .npz file,
            `pyfd.Limits.max_memory` holds for all of its pixels together.

    Returns:
        Names, pixels and labels. JPEG files are read by `pyfd.decode`, others by
        Pillow. EXIF orientation is not applied.

    Raises:
        ValueError: There are no labels, a line of the labels file is malformed, a name of a
            class is unknown, a picture is of another kind, or a file is missing or damaged;
            the message names the line, the file or the item.
        ImportError: foolbox is missing.
    """
    if longest_side < 1:
        raise ValueError(f"longest_side must be at least 1, not {longest_side}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    found = _found(source, labels, limit, limits)
    match = classes.match(found.classes, class_names, order=found.order)
    return Images(
        names=found.names[:limit],
        labels=np.array([match.numbers[label] for label in found.labels[:limit]], np.int64),
        pixels=[_shrunk(pixels, longest_side) for pixels in found.pixels(limit)],
        labelling=match.how,
        class_names=match.names,
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


def _found(
    source: Any, labels: str | os.PathLike[str] | None, limit: int | None, limits: Limits
) -> Found:
    """Return the pictures of a source, by its kind."""
    is_path = isinstance(source, str | os.PathLike)
    if is_path and source != FOOLBOX and Path(source).is_dir():
        directory = Path(source)
        if labels is not None:
            return files.found(files.listed(directory, labels), limits)
        return files.found(files.sorted_into_folders(directory), limits)
    if is_path and not _is_known(source):
        name = os.fspath(source)
        exists = Path(source).exists()
        problem = "neither a folder nor a .npz file" if exists else "no such folder or file"
        raise ValueError(
            f"{name}: {problem}: give a folder with images, a .npz file, "
            f'"module:function" for a data set of torch, or "{FOOLBOX}"'
        )
    if labels is not None:
        name = os.fspath(source) if is_path else "a data set"
        raise ValueError(f"{name} has labels of its own: leave labels out")
    if not is_path:
        return items.read(source, type(source).__name__, limit)
    if source == FOOLBOX:
        return files.found(files.foolbox(), limits)
    if Path(source).is_file():
        return arrays.read(Path(source), limit, limits)
    return items.read(called(os.fspath(source), "data set"), os.fspath(source), limit)


def _is_known(source: str | os.PathLike[str]) -> bool:
    """Return whether a path or name is none of a folder, but of another source."""
    path, name = Path(source), os.fspath(source)
    if path.is_file():
        return path.suffix == ".npz"
    module, _, function = name.partition(":")
    return name == FOOLBOX or (isinstance(source, str) and bool(module and function))


def _shrunk(pixels: Pixels, longest_side: int) -> Pixels:
    if max(pixels.shape[:2]) <= longest_side:
        return np.array(pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    return np.array(image)
