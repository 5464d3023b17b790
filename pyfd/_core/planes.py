"""The encoder's planes, block by block: samples, and their DCT in the codec's integers."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import (
    BASIS,
    COLOR_BITS,
    CONSTANT_BITS,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)
from pyfd._core.pixels import Pixels

#: Some blocks of a plane: their rows and their columns.
Places: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]

# The numbers that libjpeg adds to the sum of the samples that it averages, by the column's
# parity, for each pair of (pixels per sample horizontally, vertically)
_BIASES = {(1, 1): (0, 0), (2, 1): (0, 1), (2, 2): (1, 2), (1, 2): (1, 1)}

_BASIS = BASIS.astype(np.float64)
_AT_ONCE = 1024  # blocks


class Plane(NamedTuple):
    """One component of a color image."""

    component: int
    """0 for Y, 1 for Cb, 2 for Cr."""
    height: int
    """The image's height in pixels."""
    width: int
    """The image's width in pixels."""
    across: int
    """The pixels per sample, horizontally."""
    down: int
    """The pixels per sample, vertically."""

    @property
    def shape(self) -> tuple[int, int]:
        """The blocks, (high, wide)."""
        return -(-self.height // (8 * self.down)), -(-self.width // (8 * self.across))

    def pixels(self, image: Pixels, places: Places) -> Pixels:
        """Return the pixels of some blocks: (blocks, 8·down, 8·across, channels).

        They are padded as in libjpeg: to the right, pixels are repeated; downwards, rows of
        samples that are already averaged.
        """
        rows, columns = (axis[:, np.newaxis] for axis in places)
        samples = np.minimum(8 * rows + np.arange(8), -(-self.height // self.down) - 1)
        down = samples[:, :, np.newaxis] * self.down + np.arange(self.down)
        down = down.reshape(-1, 8 * self.down, 1).clip(max=self.height - 1)
        right = (8 * columns * self.across + np.arange(8 * self.across)).clip(max=self.width - 1)
        found: Pixels = image[down, right[:, np.newaxis]]
        return found

    def sums(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum of the pixels of each sample: (blocks, 8, 8)."""
        under = pixels.reshape(-1, 8, self.down, 8, self.across)
        found: npt.NDArray[np.float64] = under.sum(axis=(2, 4))
        return found

    def coefficients(self, image: Pixels, places: Places) -> npt.NDArray[np.float64]:
        """Return the coefficients of some blocks of RGB pixels before quantization.

        Returns:
            (blocks, 64), exact: multiples of 1/8.
        """
        found = np.empty((len(places[0]), 64))
        for start in range(0, len(found), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found[part] = self._transformed(image, (places[0][part], places[1][part]))
        return found

    def _transformed(self, image: Pixels, places: Places) -> npt.NDArray[np.float64]:
        pixels = self.pixels(image, places).astype(np.float64)
        total = pixels @ np.array(TO_YCC[self.component], np.float64)
        levels = np.floor((total + TO_YCC_OFFSETS[self.component]) / 2**COLOR_BITS)
        biases = np.tile(_BIASES[self.across, self.down], 4)
        samples = np.floor((self.sums(levels) + biases) / (self.across * self.down)) - 128
        return forward(samples) / 8


def forward(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return libjpeg's integer DCT, 8 times the coefficients: (blocks, 8, 8) to (blocks, 64)."""
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS):
        samples = _pass(samples, _BASIS.T, bits)
    return samples.reshape(-1, 64)


def inverse(coefficients: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return libjpeg's integer inverse DCT before it is cut to 8 bits.

    Args:
        coefficients: Dequantized coefficients (…, 64).

    Returns:
        Samples of the same shape, 0 being the level 128.
    """
    blocks = coefficients.reshape(-1, 8, 8).swapaxes(1, 2)
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS + 3):
        blocks = _pass(blocks, _BASIS, bits)
    return blocks.swapaxes(1, 2).reshape(coefficients.shape)


def _pass(
    blocks: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], bits: int
) -> npt.NDArray[np.float64]:
    """Return ``blocks @ weights`` in so many bits less, transposed."""
    total = (blocks.reshape(-1, 8) @ weights).reshape(-1, 8, 8)
    shifted: npt.NDArray[np.float64] = np.floor(total / 2**bits + 0.5)
    return shifted.swapaxes(1, 2)
