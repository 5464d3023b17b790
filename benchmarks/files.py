"""The photographs that are measured, at sizes, qualities and kinds of JPEG."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pyfd.codec import Subsampling

Pixels = npt.NDArray[np.uint8]

SHARED = Path(__file__).parents[1] / "shared" / "data" / "photos"
SUFFIXES = {".jpg", ".jpeg", ".png"}
COUNT = 8  # photographs per case; of the large sizes, 1
OWN, LARGE = "own size", 2_000_000
TILE = (512, 480)  # whole MCUs of every sampling, so that tiles of a file are that file

#: Sizes by name; None is each photograph's own.
SIZES: dict[str, tuple[int, int] | None] = {
    "64×64": (64, 64),
    "224×224": (224, 224),
    OWN: None,
    "4 MP": (2400, 1600),
    "24 MP": (6000, 4000),
}


class Kind(NamedTuple):
    """How a file is written."""

    quality: int
    subsampling: Subsampling
    progressive: bool = False

    def __str__(self) -> str:
        coding = "progressive" if self.progressive else "baseline"
        return f"q{self.quality} {self.subsampling} {coding}"


WAYS: tuple[Subsampling, ...] = ("4:2:0", "4:4:4")
BASELINE = [Kind(quality, way) for quality in (75, 90, 95) for way in WAYS]
PROGRESSIVE = [Kind(*kind[:2], progressive=True) for kind in BASELINE]
#: What is tried where every kind would take too long.
FEW = [Kind(75, "4:2:0"), Kind(90, "4:2:0", True), Kind(95, "4:4:4")]


class Photo(NamedTuple):
    """A photograph as each library likes it best."""

    pixels: Pixels
    image: Image.Image


def write(image: Image.Image, kind: Kind) -> bytes:
    """The file, by Pillow."""
    buffer = io.BytesIO()
    image.save(
        buffer,
        "JPEG",
        quality=kind.quality,
        subsampling=kind.subsampling,
        progressive=kind.progressive,
    )
    return buffer.getvalue()


def found(folder: Path | None) -> list[Image.Image]:
    """`COUNT` photographs spread over the folder, or scikit-image's."""
    if folder is None and not SHARED.is_dir():
        import skimage.data

        names = ("astronaut", "coffee", "chelsea", "rocket")
        return [Image.fromarray(getattr(skimage.data, name)()) for name in names]
    paths = sorted(p for p in (folder or SHARED).iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"no photographs in {folder}")
    chosen = paths[:: max(1, len(paths) // COUNT)][:COUNT]
    return [Image.open(path).convert("RGB") for path in chosen]


def tiled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The photograph side by side with itself until it fills the size."""
    width, height = size
    pixels = np.asarray(image)
    down, across = -(-height // pixels.shape[0]), -(-width // pixels.shape[1])
    return Image.fromarray(np.tile(pixels, (down, across, 1))[:height, :width])


class Files:
    """Photographs and the files made of them, each made once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.originals = found(folder)
        by_area = sorted(self.originals, key=lambda image: image.width * image.height)
        self.typical, self.largest = by_area[len(by_area) // 2], by_area[-1]
        self.photos = cache(self._photos)
        self.of = cache(self._of)
        self.tile = cache(self._tile)

    def _photos(self, size: str) -> list[Photo]:
        box = SIZES[size]
        if box is None:
            images = self.originals
        elif box[0] * box[1] > LARGE:
            images = [tiled(self.typical, box)]
        else:
            images = [ImageOps.fit(image, box) for image in self.originals]
        return [Photo(np.asarray(image), image) for image in images]

    def _of(self, size: str, kind: Kind) -> list[bytes]:
        return [write(photo.image, kind) for photo in self.photos(size)]

    def _tile(self, kind: Kind, down: int = 1, across: int = 1) -> bytes:
        """A photograph of a quarter megapixel, repeated."""
        tile = ImageOps.fit(self.largest, TILE)
        return write(tiled(tile, (TILE[0] * across, TILE[1] * down)), kind)
