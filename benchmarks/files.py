"""The photographs for the measurements, at several sizes and as several kinds of JPEG."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from pyfd._core.pixels import Pixels
from pyfd.codec import Subsampling

VARIABLE = "PYFD_PHOTOS"
PHOTOS_HELP = (
    f"a folder of photographs (default: the variable {VARIABLE}, else scikit-image's pictures)"
)
SUFFIXES = {".jpg", ".jpeg", ".png"}
COUNT = 8  # photographs per case; 1 at the large sizes
TINY, OWN, LARGE = "8×8", "own size", 2_000_000
TILE = (512, 480)  # whole MCUs at every subsampling, so that a file can be repeated exactly

#: Widths and heights by name; None is each photograph's own.
SIZES: dict[str, tuple[int, int] | None] = {
    TINY: (8, 8),  # a call's own cost
    "64×64": (64, 64),
    "224×224": (224, 224),
    OWN: None,
    "4 MP": (2400, 1600),
    "24 MP": (6000, 4000),
}


class Kind(NamedTuple):
    """The options that a file is written with."""

    quality: int
    subsampling: Subsampling
    progressive: bool = False

    def __str__(self) -> str:
        coding = "progressive" if self.progressive else "baseline"
        return f"q{self.quality} {self.subsampling} {coding}"


QUALITIES = (75, 90, 95)
WAYS: tuple[Subsampling, ...] = ("4:2:0", "4:4:4")
BASELINE = [Kind(quality, way) for quality in QUALITIES for way in WAYS]
PROGRESSIVE = [Kind(*kind[:2], progressive=True) for kind in BASELINE]
#: The kinds to measure where measuring all of them would take too long.
FEW = [Kind(75, "4:2:0"), Kind(90, "4:2:0", True), Kind(95, "4:4:4")]


class Photo(NamedTuple):
    """A photograph as an array for most libraries, and as Pillow's image for Pillow."""

    pixels: Pixels
    image: Image.Image


def write(image: Image.Image, kind: Kind) -> bytes:
    """Return the file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **kind._asdict())
    return buffer.getvalue()


def found(folder: Path | None, count: int = COUNT) -> list[Image.Image]:
    """Return some photographs spread over a folder, or four of scikit-image's.

    Args:
        folder: The folder, or None for the one that `PYFD_PHOTOS` names. Without
            either, scikit-image's pictures are taken.
        count: How many.

    Raises:
        FileNotFoundError: The folder holds no photographs, or does not exist.
    """
    if folder is None and os.environ.get(VARIABLE):
        folder = Path(os.environ[VARIABLE])
    if folder is None:
        import skimage.data

        names = ("astronaut", "coffee", "chelsea", "rocket")
        return [Image.fromarray(getattr(skimage.data, name)()) for name in names]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no photographs ({', '.join(sorted(SUFFIXES))})")
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [Image.open(path).convert("RGB") for path in chosen]


def tiled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Repeat a photograph side by side until it fills a size."""
    width, height = size
    pixels = np.asarray(image)
    down, across = -(-height // pixels.shape[0]), -(-width // pixels.shape[1])
    return Image.fromarray(np.tile(pixels, (down, across, 1))[:height, :width])


class Files:
    """Photographs and the files made from them, each made once.

    Args:
        folder: A folder of photographs, as for `found`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.originals = found(folder)
        by_area = sorted(self.originals, key=lambda image: image.width * image.height)
        self.typical, self.largest = by_area[len(by_area) // 2], by_area[-1]
        self.photos = cache(self._photos)
        self.of = cache(self._of)
        self.tile = cache(self._tile)

    def _photos(self, size: str) -> list[Photo]:
        """Return the photographs at one of `SIZES`; a large one repeats the typical one."""
        box = SIZES[size]
        if box is None:
            images = self.originals
        elif box[0] * box[1] > LARGE:
            images = [tiled(self.typical, box)]
        else:
            images = [ImageOps.fit(image, box) for image in self.originals]
        return [Photo(np.asarray(image), image) for image in images]

    def _of(self, size: str, kind: Kind) -> list[bytes]:
        """Return the files of one of `SIZES` and of a kind."""
        return [write(photo.image, kind) for photo in self.photos(size)]

    def _tile(self, kind: Kind, down: int = 1, across: int = 1) -> bytes:
        """Return a file of a quarter megapixel, or of that picture repeated."""
        tile = ImageOps.fit(self.largest, TILE)
        return write(tiled(tile, (TILE[0] * across, TILE[1] * down)), kind)
