"""Luma coefficients near the original's that clipping and padding leave alone.

A decoded pixel is cut to 0...255 in each of R, G and B, and the encoder repeats the last
pixels of an image up to a whole block. Both move the coefficients of a block away from
the grid, as the rounding of pixels does. With the chroma given, what becomes of a block
depends on its own coefficients alone, and `judge` works it out for any number of
candidates, in the codec's integers.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import COLOR_BITS, DCT, TO_YCC
from pyfd._core.planes import inverse

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int32]

_AT_ONCE = 64  # blocks, each with 128 candidates
_STEPS = 12  # from the best start
_UNITS = np.concatenate([np.eye(64, dtype=np.int32), -np.eye(64, dtype=np.int32)])

# The starts: less and less contrast, down to none, and fewer and fewer frequencies
_CONTRASTS = 1 - np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]) / 64
_ROWS, _COLUMNS = np.divmod(np.arange(64), 8)
_PASSED = np.array(
    [np.maximum(_ROWS, _COLUMNS) < top for top in range(7, 0, -1)]
    + [axis < top for axis in (_ROWS, _COLUMNS) for top in range(6, 0, -1)]
)

#: The two-dimensional DCT of a block of 64 samples: (samples, coefficients).
_BASIS = np.kron(DCT, DCT).T.astype(np.float32)


class Blocks(NamedTuple):
    """Blocks of luma, and what decides over their coefficients."""

    chroma: Floats
    """What the chroma adds to R, G and B: (blocks, 64 samples, 3), whole numbers."""
    shown: npt.NDArray[np.intp]
    """The index of the sample that the encoder sees in each sample's place: (blocks, 64)."""
    wish: Floats
    """The coefficients of the original before quantization: (blocks, 64)."""
    steps: Floats
    """The steps: (64,)."""
    margins: Floats
    """The distances from the grid that are allowed: (64,)."""
    weight: Floats
    """The squared distance from the original, (blocks,), that one squared level beyond the
    margins is worth."""

    def some(self, which: npt.NDArray[np.intp]) -> Blocks:
        """Return some of the blocks."""
        return self._replace(
            chroma=self.chroma[which],
            shown=self.shown[which],
            wish=self.wish[which],
            weight=self.weight[which],
        )


def nearest(blocks: Blocks, coefficients: Integers) -> Integers:
    """Return coefficients close to the original that are within the margins, if any are found.

    The search goes down from two starts: the coefficients that are there, and the closest
    that is within the margins among some with less contrast or fewer frequencies.

    Args:
        blocks: The blocks.
        coefficients: Their coefficients, (blocks, 64).
    """
    found = np.empty_like(coefficients)
    for start in range(0, len(found), _AT_ONCE):
        part = np.arange(len(found))[start : start + _AT_ONCE]
        found[part] = _nearest(blocks.some(part), coefficients[part])
    return found


def _nearest(blocks: Blocks, coefficients: Integers) -> Integers:
    found = _descend(blocks, coefficients.copy())
    left = np.flatnonzero(judge(blocks, found[:, np.newaxis])[0][:, 0])
    if left.size:
        some = blocks.some(left)
        starts = _closest(some, _starts(some, coefficients[left]))
        ends = np.stack([found[left], _descend(some, starts)], axis=1)
        found[left] = _closest(some, ends)
    return found


def _starts(blocks: Blocks, coefficients: Integers) -> Integers:
    drawn = _rounded(blocks.wish[:, np.newaxis] * _CONTRASTS[:, np.newaxis] / blocks.steps)
    passed = coefficients[:, np.newaxis] * _PASSED
    return np.concatenate([coefficients[:, np.newaxis], drawn, passed], axis=1)


def _closest(blocks: Blocks, candidates: Integers) -> Integers:
    """Return the closest candidate within the margins, or the first one if there is none."""
    beyond, distance = judge(blocks, candidates)
    best = np.where(beyond > 0, np.inf, distance).argmin(axis=1)
    found: Integers = candidates[np.arange(len(best)), best]
    return found


def _rounded(values: npt.NDArray[np.float64]) -> Integers:
    return np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int32)


def _descend(blocks: Blocks, coefficients: Integers) -> Integers:
    """Take the best step of each block as long as it makes things better."""
    left = np.arange(len(coefficients))
    cost = _cost(blocks, coefficients[:, np.newaxis])[:, 0]
    for _ in range(_STEPS):
        moved = coefficients[left, np.newaxis] + _UNITS
        costs = _cost(blocks.some(left), moved)
        best = costs.argmin(axis=1)
        lowest = costs[np.arange(len(left)), best]
        better = lowest < cost[left] * (1 - 1e-5)
        left, best, lowest, moved = left[better], best[better], lowest[better], moved[better]
        if not left.size:
            break
        coefficients[left] = moved[np.arange(len(left)), best]
        cost[left] = lowest
    return coefficients


def _cost(blocks: Blocks, candidates: Integers) -> Floats:
    beyond, distance = judge(blocks, candidates)
    return blocks.weight[:, np.newaxis] * beyond + distance


def judge(blocks: Blocks, candidates: Integers) -> tuple[Floats, Floats]:
    """Return what becomes of candidates when they are decoded and encoded again.

    Args:
        blocks: The blocks.
        candidates: Quantized coefficients (blocks, candidates, 64).

    Returns:
        The errors beyond the margins, squared, and the squared distance of the pixels from
        the original: (blocks, candidates) each.
    """
    grid = (candidates * blocks.steps).astype(np.float64)
    samples = (inverse(grid) + 128).clip(0, 255).astype(np.float32)
    total = np.full_like(samples, 1 << COLOR_BITS - 1)
    for channel, weight in enumerate(TO_YCC[0]):
        added = blocks.chroma[:, np.newaxis, :, channel]
        total += weight * (samples + added).clip(0, 255)  # less than 2²⁴, and so exact
    seen = np.floor(total / (1 << COLOR_BITS)) - 128
    visible = blocks.shown == np.arange(64)
    original = blocks.wish @ _BASIS.T
    distance = ((seen - original[:, np.newaxis]) * visible[:, np.newaxis]) ** 2
    padded = np.flatnonzero(~visible.all(axis=1))
    shown = blocks.shown[padded, np.newaxis]
    seen[padded] = np.take_along_axis(seen[padded], shown, axis=2)
    errors = np.abs(seen @ _BASIS - grid.astype(np.float32))
    beyond = ((errors - blocks.margins).clip(min=0) ** 2).sum(axis=2)
    return beyond, distance.sum(axis=2)
