"""The reference for `pyfd.certify`: interval arithmetic through the encoder, in numpy.

From the samples of an image to a quantized coefficient the encoder only adds, with fixed
weights, and rounds: color conversion, chroma averaging, the two passes of the integer
DCT, and the division by the step. So a coefficient only rises or only falls with each
sample, and the sign of that sample's weight decides which. Also, each sample enters a
coefficient on only one path. Interval arithmetic is therefore exact here: with the
samples within ±ε (and 0...255), the smallest and the largest sum of each stage, rounded
as the codec rounds it, are the interval of the next stage, and some perturbation does
reach both ends of the last interval.

The rounding is part of the computation, so that no allowance has to be made for it, and
all numbers are integers far below 2⁵³, so that they are exact. Only where the encoder
pads an image to whole blocks does a sample have several paths; there the interval is an
outer bound.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from pyfd.header import SUBSAMPLING
from pyfd.qtables import QTables

Floats: TypeAlias = npt.NDArray[np.float64]
#: The smallest and the largest values, in arrays of one shape.
Bounds: TypeAlias = tuple[Floats, Floats]

#: The largest sample.
WHITE = 255

# The weights of R, G and B, and the offset before the shift; gray passes unchanged
_YCC = tuple(zip(TO_YCC, TO_YCC_OFFSETS, strict=True))
_GRAY = (((1 << COLOR_BITS,), 0),)

# The number that libjpeg adds to the sum of the samples that it averages, by the column's
# parity, for each pair of (pixels per sample horizontally, vertically)
_BIASES = {(1, 1): (0, 0), (2, 1): (0, 1), (2, 2): (1, 2), (1, 2): (1, 1)}

_BASIS = BASIS.T.astype(np.float64)


class Component(NamedTuple):
    """The encoder's steps from pixels to the coefficients of one component."""

    weights: Floats
    """The weights of the image's channels, times 2¹⁶."""
    offset: int
    """The number that is added to the weighted sum before the shift."""
    across: int
    """The number of pixels per sample, horizontally."""
    down: int
    """The number of pixels per sample, vertically."""
    steps: Floats
    """The quantization table, 8×8."""


def radii(pixels: Pixels, tables: QTables, subsampling: str) -> list[Floats]:
    """Return the radii of each component's blocks, (high, wide), by an exhaustive search."""
    steps = [tables[i] for i in range(3)]
    found = []
    for component in components(pixels.ndim, steps, SUBSAMPLING[subsampling]):
        blocks, shape = pixel_blocks(pixels, component)
        found.append(_search(blocks, component).reshape(shape))
    return found


def _search(blocks: Pixels, component: Component) -> Floats:
    """Return the smallest strength that changes each block, by doubling and then bisection."""
    safe = np.zeros(len(blocks), np.int64)
    changed = np.full(len(blocks), WHITE + 1)  # beyond the strongest perturbation
    while (left := np.flatnonzero(changed - safe > 1)).size:
        trial = np.minimum(np.maximum(2 * safe, 1), (safe + changed) // 2)[left]
        low, high = coefficient_bounds(blocks[left], trial, component)
        same = (low == high).all(axis=(1, 2))
        safe[left[same]] = trial[same]
        changed[left[~same]] = trial[~same]
    return np.where(changed > WHITE, np.inf, changed)


def components(
    dimensions: int, steps: Sequence[npt.NDArray[np.uint16]], factors: tuple[int, int]
) -> list[Component]:
    """Return the components of an image: Y, Cb and Cr, or Y alone.

    Args:
        dimensions: 3 for a color image, 2 for a gray one.
        steps: The quantization table of each component.
        factors: The pixels per chroma sample, horizontally and vertically.
    """
    return [
        Component(
            np.array(weights, np.float64),
            offset,
            *(factors if index else (1, 1)),
            steps[index].astype(np.float64),
        )
        for index, (weights, offset) in enumerate(_GRAY if dimensions == 2 else _YCC)
    ]


def pixel_blocks(pixels: Pixels, component: Component) -> tuple[Pixels, tuple[int, int]]:
    """Return the pixels that each block of a component covers.

    They are padded as in libjpeg: to the right, pixels are repeated; downwards, rows of
    samples that are already averaged.

    Returns:
        The pixels (blocks, rows, columns, channels), and the numbers of blocks (high, wide).
    """
    height, width = pixels.shape[:2]
    across, down = component.across, component.down
    high, wide = -(-height // (8 * down)), -(-width // (8 * across))
    row_of_samples = np.minimum(np.arange(8 * high), -(-height // down) - 1)
    rows = np.add.outer(row_of_samples * down, np.arange(down)).clip(max=height - 1)
    columns = np.arange(8 * wide * across).clip(max=width - 1)
    padded = pixels[rows.reshape(-1, 1), columns]
    blocks = padded.reshape(high, 8 * down, wide, 8 * across, -1).swapaxes(1, 2)
    return blocks.reshape(high * wide, *blocks.shape[2:]), (high, wide)


def coefficient_bounds(
    blocks: Pixels, strengths: npt.NDArray[np.int64], component: Component
) -> Bounds:
    """Return the smallest and the largest quantized coefficients, (blocks, 8, 8).

    Args:
        blocks: Pixels as `pixel_blocks` returns them.
        strengths: For each block, the levels by which its samples may move.
        component: The component.
    """
    pixels = blocks.astype(np.float64)
    reach = strengths.reshape(-1, 1, 1, 1)
    low, high = np.maximum(pixels - reach, 0), np.minimum(pixels + reach, WHITE)
    low, high = (
        _average(np.floor((total + component.offset) / 2**COLOR_BITS), component) - 128
        for total in _sums(low, high, component.weights)
    )
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS):
        low, high = (
            np.floor(total / 2**bits + 0.5).swapaxes(1, 2) for total in _sums(low, high, _BASIS)
        )
    return _quantized(low, component.steps), _quantized(high, component.steps)


def _sums(low: Floats, high: Floats, weights: Floats) -> Bounds:
    """Return the bounds of ``values @ weights``."""
    rising, falling = np.maximum(weights, 0), np.minimum(weights, 0)
    return low @ rising + high @ falling, high @ rising + low @ falling


def _average(plane: Floats, component: Component) -> Floats:
    """Return samples (blocks, 8, 8), each averaged from the pixels that it covers."""
    across, down = component.across, component.down
    totals = plane.reshape(-1, 8, down, 8, across).sum(axis=(2, 4))
    averages: Floats = (totals + np.tile(_BIASES[across, down], 4)) / (across * down)
    return np.floor(averages)


def _quantized(coefficients: Floats, steps: Floats) -> Floats:
    """Divide by the steps and round half away from zero; the DCT scales its results by 8."""
    sizes: Floats = np.floor((np.abs(coefficients) + 4 * steps) / (8 * steps))
    return np.copysign(sizes, coefficients)
