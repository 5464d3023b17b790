"""Cameras that compress, and leave the classifier without a defence: baselines at equal rate.

Each is a defence of `pyfd.evaluation` whose classifier sees the pixels that arrive. Needs
imagecodecs for JPEG-LS.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from pyfd.evaluation.defences import Defence


class Coded(Defence):
    """A camera that only compresses: its file decides what arrives, and nothing is snapped back.

    Args:
        name: The name in reports.
    """

    kind = "two-pass"
    description = "a camera that only compresses"

    def __init__(self, name: str) -> None:
        self.name = name

    def file(self, image: np.ndarray) -> bytes:
        raise NotImplementedError

    def opened(self, file: bytes) -> np.ndarray:
        raise NotImplementedError

    def camera(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.opened(self.file(image)) for image in images]

    def service_call(self, image: np.ndarray) -> Callable[[], object]:
        return functools.partial(self.opened, self.file(image))


class PlainJPEG(Coded):
    """Pillow's JPEG, 4:4:4, with Huffman tables made for the image.

    Args:
        quality: Pillow's quality, 1...100.
    """

    def __init__(self, quality: int) -> None:
        super().__init__(f"plain-jpeg:{quality}")
        self.quality = quality

    def file(self, image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(image)
        picture.save(buffer, "JPEG", quality=self.quality, subsampling=0, optimize=True)
        return buffer.getvalue()

    def opened(self, file: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(file)) as picture:
            return np.array(picture)


class NearLossless(Coded):
    """JPEG-LS whose samples differ from the photograph's by at most NEAR levels.

    Its errors follow from a prediction by the samples before, so that what is decoded lies on no
    grid that a classifier could know.

    Args:
        near: JPEG-LS's NEAR, in levels.
    """

    def __init__(self, near: int) -> None:
        super().__init__(f"near-lossless:{near}")
        self.near = near

    def file(self, image: np.ndarray) -> bytes:
        import imagecodecs

        return bytes(imagecodecs.jpegls_encode(image, level=self.near))

    def opened(self, file: bytes) -> np.ndarray:
        import imagecodecs

        return np.array(imagecodecs.jpegls_decode(file))


def jpeg_xl_bits(images: Sequence[np.ndarray]) -> float:
    """Return the mean bits per pixel of images as lossless JPEG XL at its default effort."""
    import imagecodecs

    sizes = [len(imagecodecs.jpegxl_encode(x, lossless=True)) for x in images]
    pixels = [image.shape[0] * image.shape[1] for image in images]
    return float(np.mean([8 * size / n for size, n in zip(sizes, pixels, strict=True)]))
