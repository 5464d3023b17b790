"""Pictures in files: a folder with a CSV file of labels, or a folder for each class."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import pyfd
from pyfd._core import pictures, text_files
from pyfd._core.extras import missing
from pyfd._core.files import RegularFile, read_source
from pyfd._core.pixels import Pixels
from pyfd.evaluation.classes import is_number
from pyfd.evaluation.dataset.found import Found
from pyfd.limits import Limits

#: The most bytes of a labels file.
_MOST_BYTES = 256 << 20

#: The suffixes of pictures in folders of classes.
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"))

#: Folders that hold parts of a data set, not classes.
_PARTS = frozenset(("train", "val", "valid", "validation", "test", "dev"))


class Entry(NamedTuple):
    """A picture in a file, and its class in the data set: a number or a name."""

    name: str
    path: Path
    label: str


def found(entries: list[Entry], limits: Limits) -> Found:
    """Return the pictures of files, which are read when they are asked for.

    Labels that are names are numbered in sorted order.
    """
    classes = sorted({entry.label for entry in entries})
    places = {label: place for place, label in enumerate(classes)}
    return Found(
        names=[entry.name for entry in entries],
        labels=[places[entry.label] for entry in entries],
        classes=classes,
        order="sorted order",
        pixels=lambda limit: [read(entry.path, limits) for entry in entries[:limit]],
    )


def foolbox() -> list[Entry]:
    """Return foolbox's pictures, whose names end in the label; do not import the package."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise missing("foolbox", "evaluate")
    paths = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    return [Entry(path.name, path, str(int(path.stem.rpartition("_")[2]))) for path in paths]


# ---- a CSV file -----------------------------------------------------------------


def listed(directory: Path, labels: str | os.PathLike[str]) -> list[Entry]:
    """Return the pictures that a CSV file with the columns file and label lists.

    Raises:
        ValueError: A line is malformed, or a file is missing; the message names the line.
    """
    try:
        entries = list(_rows(directory, Path(labels)))
    except OSError as error:
        raise ValueError(f"{labels}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{labels} is not a CSV file in UTF-8: {error}") from error
    if not entries:
        raise ValueError(f"{labels} lists no image")
    return entries


def _rows(directory: Path, labels: Path) -> Iterator[Entry]:
    seen: set[str] = set()
    numbers: bool | None = None
    text = text_files.read_text(labels, _MOST_BYTES, errors="strict")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = list(reader.fieldnames or ())
    _check_columns(columns, f"{labels}, line 1")
    for row in reader:
        where = f"{labels}, line {reader.line_num}"
        if None in row:  # what has no column
            cells = len(columns) + len(row[None])
            raise ValueError(f"{where}: {cells} cells for {len(columns)} columns")
        name, label = row["file"] or "", (row["label"] or "").strip()
        path = _inside(directory, name, where)
        if name in seen:
            raise ValueError(f"{where}: {name} is listed twice")
        seen.add(name)
        if not label or label[0] in "-+." or (label[0].isdigit() and _is_odd(label)):
            raise ValueError(f"{where}: label must be an integer from 0 or a name, not {label!r}")
        if numbers not in (None, is_number(label)):
            kinds = ("a number", "names") if is_number(label) else ("a name", "numbers")
            raise ValueError(
                f"{where}: label is {kinds[0]}, {label!r}, but those before are {kinds[1]}"
            )
        numbers = is_number(label)
        yield Entry(name, path, label)


def _check_columns(columns: list[str], where: str) -> None:
    """Refuse a header without the two columns, or with one of them twice."""
    if columns.count("file") == columns.count("label") == 1:
        return
    found = ",".join(columns)[:80]
    mark = next((mark for mark in ";\t" if len(columns) == 1 and mark in found), None)
    hint = f": separate them by commas, not by {mark!r}" if mark else ""
    raise ValueError(f"{where}: the columns must be file and label, not {found!r}{hint}")


def _is_odd(label: str) -> bool:
    """Return whether a label is a number, but no class number."""
    try:
        float(label)
    except ValueError:
        return False
    return not is_number(label)


def _inside(directory: Path, name: str, where: str) -> Path:
    """Return the path of a listed file; refuse names that lead out of the directory."""
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{where}: file must be a path in {directory}, not {name!r}")
    try:
        found = (directory / name).is_file()
    except OSError as error:  # the name is too long, or a folder may not be searched
        raise ValueError(f"{where}: {error.strerror}: {name[:80]!r}") from error
    if not found:
        raise ValueError(f"{where}: no file {directory / name}")
    return directory / name


# ---- folders of classes -----------------------------------------------------------


def sorted_into_folders(directory: Path) -> list[Entry]:
    """Return the pictures in a folder for each class, which gives its name to the class.

    They are taken in turns, one from each class, so that the first ones are of many classes.
    Names that start with a dot are left out.

    Raises:
        ValueError: There are no such folders, or one has no picture.
    """
    parts = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
    folders = [path for path in parts if path.is_dir()]
    loose = next((path for path in parts if path.is_file() and _is_picture(path)), None)
    if not folders or loose:
        what = f"the picture {loose.name} is in no folder of a class" if loose else "no labels"
        raise ValueError(
            f"{directory}: {what}: give a CSV file with the columns file and label, "
            "or sort the pictures into a folder for each class"
        )
    if {folder.name.lower() for folder in folders} <= _PARTS:
        names = " and ".join(folder.name for folder in folders)
        raise ValueError(f"{directory} has the parts {names} of a data set: give one of them")
    turns = itertools.zip_longest(*(_of_class(directory, folder) for folder in folders))
    return [entry for turn in turns for entry in turn if entry is not None]


def _of_class(directory: Path, folder: Path) -> list[Entry]:
    if directory.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder} is a link to a folder above it, and no class")
    found = []
    for root, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(root, name) for name in sorted(files) if not name.startswith(".")]
        # A broken link is an error when it is read, not a picture less
        pictures_here = filter(_is_picture, paths)
        found += [path for path in pictures_here if path.is_file() or path.is_symlink()]
    if not found:
        raise ValueError(f"{folder} is the folder of a class, but has no picture")
    return [Entry(str(path.relative_to(directory)), path, folder.name) for path in found]


def _raise(error: OSError) -> None:
    raise error


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


# ---- pixels ---------------------------------------------------------------


def read(path: Path, limits: Limits) -> Pixels:
    """Return a file's pixels, H×W×3.

    Raises:
        ValueError: The file is damaged or exceeds a limit; the message names it.
    """
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
