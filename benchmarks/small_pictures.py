"""Measure what the tables do to pictures of 32×32: the table in docs/evaluation-models.md.

    python -m benchmarks.small_pictures [PHOTOS] [--write docs/evaluation-models.md]

PHOTOS is a folder of photographs, by default the one that PYFD_PHOTOS names, else
scikit-image's four. 64 photographs are cropped to their middle square and shrunk to 32×32,
CIFAR's size, and to 224×224. Each is encoded with a few tables, 4:4:4. Takes ten seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

import pyfd
from benchmarks import pages
from benchmarks.certified_files import psnr
from benchmarks.files import PHOTOS_HELP, found
from pyfd import QTables
from pyfd._core.pixels import Pixels

MAKER = "benchmarks/small_pictures.py"
COUNT = 64
SIDES = (32, 224)


class Case(NamedTuple):
    """Tables, and the strength that their files are certified for, if any."""

    name: str
    tables: QTables
    radius: int | None = None


class Row(NamedTuple):
    """Means over the photographs, at one size and with one case."""

    side: int
    case: str
    quality: float
    """PSNR in dB."""
    size: float
    """Bytes of a file."""
    header: float
    """Bytes of a file that are not those of blocks."""


def cases() -> list[Case]:
    """Return the tables that are measured."""
    plain = [Case(f"{step} everywhere", QTables.uniform(step)) for step in (8, 16, 40)]
    certified = [Case(f"certified:{e}", QTables.certified(e), e) for e in (1, 2, 4)]
    return [*plain, Case("fd-cvpr2019", QTables.preset("fd-cvpr2019")), *certified]


def shrunk(image: Image.Image, side: int) -> Pixels:
    """Return the middle square of a photograph, resized."""
    return np.array(ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC))


def measured(images: Sequence[Pixels], case: Case) -> Row:
    """Encode pictures of one size, and return the means."""
    side = images[0].shape[0]
    qualities, sizes, headers = [], [], []
    for image in images:
        file = pyfd.encode(image, case.tables, optimize=True, radius=case.radius)
        qualities.append(psnr(image, pyfd.decode(file)))
        sizes.append(len(file))
        headers.append(file.index(b"\xff\xda") + 14 + 2)  # with SOS of three components and EOI
    return Row(side, case.name, mean(qualities), mean(sizes), mean(headers))


def rows(images: Sequence[Image.Image]) -> list[Row]:
    """Measure all cases at all sizes."""
    return [
        measured([shrunk(image, side) for image in images], case)
        for side in SIDES
        for case in cases()
    ]


def text(found: Sequence[Row], count: int) -> str:
    """Return the table of the page."""
    heads = ["Tables"]
    for side in SIDES:
        heads += [f"PSNR at {side}×{side}", "bits per pixel", "of these, for headers"]

    def cells() -> Iterator[list[str]]:
        for name in dict.fromkeys(row.case for row in found):
            cell = [name]
            for side in SIDES:
                (row,) = [r for r in found if (r.case, r.side) == (name, side)]
                bits = 8 / side**2
                cell += [f"{row.quality:.1f} dB", f"{row.size * bits:.2f}"]
                cell += [f"{row.header * bits:.2f}"]
            yield cell

    return f"Means over {count} photographs.\n\n" + pages.table(heads, cells())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="?", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page with the table")
    chosen = parser.parse_args(arguments)
    images = found(chosen.photos, COUNT)
    table = text(rows(images), len(images))
    print(table)
    if chosen.write:
        pages.publish(chosen.write, MAKER, table)


if __name__ == "__main__":
    main()
