"""The rows of the target table that are about a camera's photographs of 12 megapixels.

They are turned as EXIF's orientation says, or become thumbnails.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

import pyfd
from benchmarks.cases import Case, Row
from benchmarks.files import FEW, Files, Kind, tiled, write
from benchmarks.timing import Bounds, Effort, Measurement, interleaved
from pyfd import QTables

PRESET = QTables.preset("fd-cvpr2019")
SIZE = (4000, 3000)
THUMBNAIL = (224, 224)
#: EXIF's orientation 6, as most cameras store portraits: a header, and one entry of type SHORT
PORTRAIT = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def photograph(files: Files, kind: Kind) -> bytes:
    """Return a portrait that lies on its side."""
    data = write(tiled(files.typical, SIZE), kind)
    return data[:2] + PORTRAIT + data[2:]


def over(
    files: Files,
    bounds: Callable[[Kind], Bounds],
    ours: Callable[[bytes], object],
    theirs: Callable[[bytes], object],
) -> list[Case]:
    """Return cases of one call over another."""

    def case(kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            return interleaved(ours, theirs, [photograph(files, kind)], effort)

        return Case(f"12 MP, {kind}", bounds(kind), measure)

    return [case(kind) for kind in FEW]


def thumbnail(data: bytes) -> object:
    return pyfd.decode(data, PRESET, fit=THUMBNAIL)


def pillow_thumbnail(data: bytes) -> object:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", THUMBNAIL)
    return np.asarray(image)


def fit(files: Files) -> Row:
    cases = over(
        files,
        lambda kind: Bounds(1.0 if kind.progressive else 0.7),
        thumbnail,
        lambda d: pyfd.decode(d, PRESET),
    )
    return Row("fit", "`decode(x, T, fit=(224, 224))` / `decode(x, T)`", cases)


def fit_over_pillow(files: Files) -> Row:
    cases = over(files, lambda _: Bounds(1.0), thumbnail, pillow_thumbnail)
    return Row("fit-pillow", "`decode(x, T, fit=(224, 224))` / Pillow's `draft`, plain", cases)


def orient(files: Files) -> Row:
    cases = over(
        files,
        lambda _: Bounds(1.45),
        lambda data: pyfd.decode(data, PRESET, orient=True),
        lambda data: pyfd.decode(data, PRESET),
    )
    return Row("orient", "`decode(x, T, orient=True)` / `decode(x, T)`", cases)


def orient_requantized(files: Files) -> Row:
    cases = over(
        files,
        lambda kind: Bounds(1.5 if kind.progressive else 2.5),
        lambda data: pyfd.requantize(data, PRESET, orient="trim"),
        lambda data: pyfd.requantize(data, PRESET),
    )
    return Row("orient-requantize", '`requantize(x, T, orient="trim")` / `requantize(x, T)`', cases)


ROWS = [fit, fit_over_pillow, orient, orient_requantized]
