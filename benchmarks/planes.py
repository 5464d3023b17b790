"""Count the coefficients that do not return when a decoded 4:2:0 file is encoded again.

    python -m benchmarks.planes [--photos DIR] [--write PAGE]

A file is made of planes in 4:2:0, as from a camera. The way back into the encoder starts from
the file's planes, from the pixels that `decode` gives in YCbCr, which are averaged, or from RGB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyfd
from benchmarks import files, pages
from pyfd import Coefficients, QTables
from pyfd._core.pixels import Pixels

MAKER = "benchmarks/planes.py"
PRESETS = ("fd-cvpr2019", "fd-2018")
COUNT = 60
Planes = tuple[Pixels, Pixels, Pixels]


def averaged(pixels: Pixels) -> Planes:
    """Return the planes in 4:2:0 of pixels in YCbCr, whose sides are even."""
    y, cb, cr = np.moveaxis(pixels, 2, 0)
    halves = [
        (plane.reshape(len(plane) // 2, 2, -1, 2).sum((1, 3), np.uint16) + 2) // 4
        for plane in (cb, cr)
    ]
    return y, halves[0].astype(np.uint8), halves[1].astype(np.uint8)


def encode(planes: Planes, preset: str) -> bytes:
    return pyfd.encode(planes, preset, mode="YCbCr", subsampling="4:2:0")


def planes_of(data: bytes) -> Planes:
    """Return a file's planes as they are before the chroma is interpolated."""
    found = pyfd.read_coefficients(data)
    made = []
    for index, component in enumerate(found.components):
        half = 1 if index == 0 else 2
        gray = Coefficients(
            (component,),
            QTables([found.qtables[index]]),
            ((1, 1),),
            found.width // half,
            found.height // half,
            "L",
        )
        made.append(pyfd.decode(pyfd.write_coefficients(gray), mode="L"))
    return made[0], made[1], made[2]


WAYS: dict[str, Callable[[bytes, str], bytes]] = {
    "the file's planes": lambda data, preset: encode(planes_of(data), preset),
    "pixels in YCbCr": lambda data, preset: encode(
        averaged(pyfd.decode(data, mode="YCbCr")), preset
    ),
    "pixels in RGB": lambda data, preset: pyfd.encode(
        pyfd.decode(data), preset, subsampling="4:2:0"
    ),
}


def changed(before: bytes, after: bytes) -> npt.NDArray[np.int64]:
    """Return two rows: how many coefficients of Y and of the chroma differ, and exist."""
    pairs = zip(
        pyfd.read_coefficients(before).components,
        pyfd.read_coefficients(after).components,
        strict=True,
    )
    y, cb, cr = (np.array([np.count_nonzero(a != b), a.size]) for a, b in pairs)
    return np.stack([y, cb + cr], axis=1)


def measure(photos: list[Image.Image]) -> str:
    """Return a table of the shares that do not return."""
    lines = []
    for preset in PRESETS:
        counts = {way: np.zeros((2, 2), np.int64) for way in WAYS}
        for photo in photos:
            even = photo.crop((0, 0, photo.width // 2 * 2, photo.height // 2 * 2))
            data = encode(averaged(np.asarray(even.convert("YCbCr"))), preset)
            for way, back in WAYS.items():
                counts[way] += changed(data, back(data, preset))
        for way, (differ, exist) in counts.items():
            lines.append([preset, way, *(f"{share:.2%}" for share in differ / exist)])
    return pages.table(["Tables", "Encoded again from", "Y", "Cb and Cr"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=files.PHOTOS_HELP)
    parser.add_argument("--write", type=Path, help="a page to write the table to")
    arguments = parser.parse_args()
    table = measure(files.found(arguments.photos, COUNT))
    print(table)
    if arguments.write:
        pages.publish(arguments.write, MAKER, table)


if __name__ == "__main__":
    main()
