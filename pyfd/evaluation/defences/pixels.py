"""A grid on the pixels themselves: the baseline of certified defences."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences.base import Defence, whole_number
from pyfd.evaluation.libraries import PILLOW

try:
    from PIL import Image
except ModuleNotFoundError as error:
    raise missing("pillow", "evaluate", module=error.name) from error

_PREFIX = "pixel-"


class PixelGrid(Defence):
    """Two passes without JPEG: camera and classifier round each sample to a grid.

    The levels of the grid are 2ε + 1 apart, so that it certifies every image at ε. Its files
    are not .jpg but lossless WebP, by Pillow at its default effort.

    Args:
        epsilon: The strength ε in 8-bit levels, 1...127.

    Raises:
        ValueError: ε is out of range.
    """

    description = "every sample rounded to a grid of step 2E+1 by camera and classifier, as WebP"
    libraries = PILLOW
    patterns = (f"two-pass:{_PREFIX}E",)
    kind = "two-pass"

    def __init__(self, epsilon: int) -> None:
        self._nearest = _nearest(levels(epsilon))
        self.epsilon: int = epsilon
        self.name = f"two-pass:{_PREFIX}{epsilon}"

    @classmethod
    def parsed(cls, name: str, argument: str) -> PixelGrid:  # noqa: ARG003
        """Make the defence from ε, after "pixel-"."""
        return cls(whole_number(argument.removeprefix(_PREFIX)))

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Return images on the grid."""
        return self(images)

    def file(self, image: Pixels) -> bytes:
        """Return the image on the grid as a lossless WebP file."""
        (rounded,) = self.camera([image])
        buffer = io.BytesIO()
        Image.fromarray(rounded).save(buffer, "WebP", lossless=True)
        return buffer.getvalue()

    def certifies(self, image: Pixels) -> bool:
        """Return whether the largest and the smallest samples within ±ε are rounded alike.

        Rounding is monotone, so that everything between them is rounded to the same level.
        """
        least = self._nearest[np.maximum(image, self.epsilon) - self.epsilon]
        most = self._nearest[np.minimum(image, 255 - self.epsilon) + self.epsilon]
        return bool((least == most).all())

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return one image with each sample at the nearest level."""
        return self._nearest[image]

    def service_call(self, image: Pixels) -> Callable[[], object]:
        """Return the decoding of a file that the camera wrote, and the rounding."""
        return functools.partial(self._served, self.file(image))

    def _served(self, file: bytes) -> list[Pixels]:
        with Image.open(io.BytesIO(file)) as opened:
            return self([np.asarray(opened)])


def levels(epsilon: int) -> npt.NDArray[np.uint8]:
    """Return the levels of the grid for a strength, in ascending order.

    They are 2ε + 1 apart. A sample within ±ε of a level is therefore nearer to it than to any
    other, and is rounded back; and because all levels lie in 0...255, cutting a sample off
    there brings it no farther from its level.

    The fewest levels whose cells, each of 2ε + 1 samples, cover all 256 are taken, with the
    excess shared between both ends. The cells are too long by at most 2ε samples in all, hence
    by at most ε at either end: so each outermost level, in the middle of its cell, is still in
    0...255, and no sample of an image is farther than ε from its level.

    Raises:
        ValueError: `epsilon` is not in 1...127; with more, there is one level for everything.
    """
    if not 1 <= epsilon <= 127:
        raise ValueError(f"the strength of a grid on pixels must be in 1...127, not {epsilon}")
    step = 2 * epsilon + 1
    excess = -256 % step
    return np.arange(epsilon - excess // 2, 256, step, dtype=np.uint8)


def _nearest(levels: npt.NDArray[np.uint8]) -> Pixels:
    """Return the level that is nearest to each sample, 0...255."""
    distances = np.abs(np.arange(256)[:, np.newaxis] - levels)
    nearest: Pixels = levels[distances.argmin(1)]
    return nearest
