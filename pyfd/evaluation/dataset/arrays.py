"""Pictures in numpy's .npz files: the arrays images, labels and class_names, without pickles."""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pyfd.errors import LimitExceededError
from pyfd.evaluation.classes import MOST_NUMBER
from pyfd.evaluation.dataset.found import Found, places
from pyfd.limits import Limits

#: The most labels, and the most bytes of them.
_MOST_LABELS, _MOST_LABEL_BYTES = 10_000_000, 256 << 20

#: The most characters of a class's name.
_MOST_CHARACTERS = 1000


def read(path: Path, limit: int | None, limits: Limits) -> Found:
    """Return the pictures of a .npz file.

    Nothing is read before its header has been compared with the limits.

    Args:
        path: It has the arrays images, N×H×W×3 ``uint8``, and labels, N integers from 0 or
            names; optionally class_names, the names of the classes by number.
        limit: The most pictures that are read.
        limits: `pyfd.Limits.max_pixels` for each picture, and `pyfd.Limits.max_memory` for all
            that are read.

    Raises:
        ValueError: The file is damaged, exceeds a limit or has other arrays, or more or fewer
            labels than images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            for name in ("images", "labels"):
                if f"{name}.npy" not in members:
                    has = ", ".join(sorted(m.removesuffix(".npy") for m in members)[:8])
                    raise _RefusedError(f"no array {name!r}, only {has or 'nothing'}")
            pixels, count = _images(archive, limit, limits)
            labels = _labels(archive, "labels")
            names = _labels(archive, "class_names") if "class_names.npy" in members else None
    except (_RefusedError, LimitExceededError) as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # zipfile and numpy raise anything for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is damaged, or no .npz file: {reason[:200]}") from error
    if len(labels) != count:
        raise ValueError(f"{path}: {len(labels)} labels for {count} images")
    return _found(path, pixels, labels, names)


class _RefusedError(Exception):
    """A whole file with other content than is needed."""


def _found(
    path: Path,
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[Any],
    names: npt.NDArray[Any] | None,
) -> Found:
    known = None if names is None else _texts(names)
    if labels.dtype.kind == "U":
        texts = _texts(labels)
        classes = known or sorted(set(texts))
        at = {name: place for place, name in reversed(list(enumerate(classes)))}
        if unknown := sorted(set(texts) - at.keys()):
            raise ValueError(f"{path}: the label {unknown[0]!r} is not among class_names")
        numbers = [at[text] for text in texts]
    else:
        for label in (int(labels.min()), int(labels.max())):
            if not 0 <= label <= MOST_NUMBER:
                raise ValueError(
                    f"{path}: labels must be integers from 0 to {MOST_NUMBER}, not {label}"
                )
        try:
            numbers, classes = places(map(int, labels), known)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return Found(
        names=[str(place) for place in range(len(pixels))],
        labels=numbers[: len(pixels)],
        classes=classes,
        order="sorted order" if known is None else "the order of class_names",
        pixels=lambda limit: list(pixels[:limit]),
    )


def _texts(array: npt.NDArray[Any]) -> list[str]:
    return [str(text) for text in array]


def _images(
    archive: zipfile.ZipFile, limit: int | None, limits: Limits
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the images that are read, and the number of all."""
    with archive.open("images.npy") as file:
        shape, dtype = _header(file, "images")
        if len(shape) != 4 or shape[3] != 3:
            turn = ": images.transpose(0, 2, 3, 1)" if len(shape) == 4 and shape[1] == 3 else ""
            raise _RefusedError(f"images must be N×H×W×3, not {'×'.join(map(str, shape))}{turn}")
        if dtype != np.uint8:
            turn = ": np.rint(images * 255).astype(np.uint8), if they are in 0...1"
            raise _RefusedError(f"images must be uint8, not {dtype}{turn * (dtype.kind == 'f')}")
        count = shape[0] if limit is None else min(limit, shape[0])
        _within("max_pixels", limits.max_pixels, shape[1] * shape[2])
        _within("max_memory", limits.max_memory, count * math.prod(shape[1:]))
        data = _exactly(file, count * math.prod(shape[1:]), "images")
    return np.frombuffer(data, np.uint8).reshape(count, *shape[1:]), shape[0]


def _labels(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        shape, dtype = _header(file, name)
        kinds = "U" if name == "class_names" else "iuU"
        if len(shape) != 1 or dtype.kind not in kinds:
            what = "N names" if kinds == "U" else "N integers or names"
            raise _RefusedError(
                f"{name} must be {what}, not {'×'.join(map(str, shape))} of {dtype}"
            )
        if shape[0] > _MOST_LABELS or dtype.itemsize > 4 * _MOST_CHARACTERS:
            raise _RefusedError(
                f"{name} has {shape[0]} entries of {dtype.itemsize} bytes: too many"
            )
        if shape[0] * dtype.itemsize > _MOST_LABEL_BYTES:
            raise _RefusedError(f"{name} has more than {_MOST_LABEL_BYTES} bytes")
        data = _exactly(file, shape[0] * dtype.itemsize, name)
    if dtype.kind == "U":
        letters = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if int(letters.max()) > sys.maxunicode:
            raise _RefusedError(f"{name} holds letters that Unicode does not have")
    return np.frombuffer(data, dtype)


def _header(file: IO[bytes], name: str) -> tuple[Sequence[int], np.dtype[Any]]:
    """Return the shape and type of an array in C order."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:  # for headers of more than 64 KiB, which numpy would read whole
        raise _RefusedError(f"{name} has the version {version} of numpy's format")
    if dtype.hasobject:
        raise _RefusedError(f"{name} holds Python objects, which could run code")
    if not shape or min(shape) < 1:
        raise _RefusedError(f"{name} has the shape {tuple(shape)}")
    if fortran and len(shape) > 1:
        raise _RefusedError(f"{name} is in Fortran order: save np.ascontiguousarray({name})")
    return shape, dtype


def _exactly(file: IO[bytes], size: int, name: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _RefusedError(f"{name} is cut: {len(data)} of {size} bytes")
    return data


def _within(limit: str, most: int, found: int) -> None:
    if found > most:
        message = f"{limit} is {most}, but the file has {found}"
        raise LimitExceededError(message, limit=limit, allowed=most, needed=found)
