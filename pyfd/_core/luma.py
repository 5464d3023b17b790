"""Luma coefficients near the original's that clipping and padding leave alone.

A decoded pixel is cut to 0...255, in R, G and B, and the encoder repeats the last
pixels of an image to whole blocks. Both move the coefficients of a block that does not
lie on the grid already. With the chroma given, this depends on nothing but the block
itself, so that `nearest` can work out what becomes of a candidate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import BASIS, COLOR_BITS, CONSTANT_BITS, DCT, PASS1_BITS, TO_YCC

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_ROWS = 64  # candidates at a time, each with its 128 steps
_STEPS = 12
_SCALES = 1 - np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]) / 64

#: The two-dimensional DCT of a block of 64 samples: (samples, coefficients).
_BASIS = np.einsum("uy,vx->yxuv", DCT, DCT).reshape(64, 64).astype(np.float32)

_INTEGERS = BASIS.astype(np.float64)


class Blocks(NamedTuple):
    """Blocks of luma, and what is around them."""

    chroma: Floats
    """What the chroma adds to R, G and B: (blocks, 64 samples, 3)."""
    shown: npt.NDArray[np.intp]
    """The sample that the encoder will see in each sample's place: (blocks, 64)."""
    wish: Floats
    """The dequantized coefficients of the original: (blocks, 64)."""
    steps: Floats
    """The steps: (64,)."""
    margins: Floats
    """The distance from the grid that is allowed: (64,)."""
    weight: Floats
    """The squared distance that one squared level beyond the margins is worth: (blocks,)."""

    def some(self, which: npt.NDArray[np.intp]) -> Blocks:
        """Return some of the blocks."""
        return self._replace(
            chroma=self.chroma[which], shown=self.shown[which], wish=self.wish[which], weight=self.weight[which]
        )


def nearest(blocks: Blocks, coefficients: Integers) -> Integers:
    """Return coefficients for each block that hold and are close to the original.

    Tried are those that are there, the original with less and less contrast, and with
    fewer frequencies if the block is padded, and steps from the best of them.
    """
    count = len(coefficients)
    steps = blocks.steps
    drawn = [_rounded(scale * blocks.wish / steps) for scale in _SCALES]
    frequencies = np.maximum(*np.divmod(np.arange(64), 8))
    drawn += [np.where(frequencies < top, coefficients, 0) for top in range(7, 0, -1)]
    rows, columns = np.divmod(np.arange(64), 8)
    drawn += [np.where(rows < top, coefficients, 0) for top in range(6, 0, -1)]
    drawn += [np.where(columns < top, coefficients, 0) for top in range(6, 0, -1)]
    starts = np.stack([coefficients, *drawn], axis=1)
    beyond, distance = _judge(blocks, starts)
    distance[beyond > 0] = np.inf
    best = distance.argmin(axis=1)
    twice = np.concatenate([coefficients, starts[np.arange(count), best]])
    both = blocks.some(np.tile(np.arange(count), 2))
    for start in range(0, 2 * count, _ROWS):
        part = slice(start, start + _ROWS)
        twice[part] = _descend(both.some(np.arange(2 * count)[part]), twice[part])
    beyond, distance = _judge(both, twice[:, np.newaxis])
    distance[beyond > 0] = np.inf
    first, second = distance.reshape(2, count)
    return np.where((first < second)[:, np.newaxis], twice[:count], twice[count:])


def holding(blocks: Blocks, coefficients: Integers) -> Bools:
    """Return whether each block is within its margins but for rounding."""
    return _judge(blocks, coefficients[:, np.newaxis])[0][:, 0] == 0


def flipped(blocks: Blocks, coefficients: Integers, rank: npt.NDArray[np.intp]) -> Integers:
    """Return each block with one step: the best, the second best and so on."""
    found = coefficients.copy()
    for start in range(0, len(found), _ROWS):
        part = np.arange(len(found))[start : start + _ROWS]
        moved, cost = _moves(blocks.some(part), coefficients[part])
        order = np.argsort(cost, axis=1)
        found[part] = moved[np.arange(len(part)), order[np.arange(len(part)), rank[part] % 128]]
    return found


def _rounded(values: Floats) -> Integers:
    return (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64)


def _descend(blocks: Blocks, coefficients: Integers) -> Integers:
    """Return the blocks after the best steps, as long as they get better."""
    left = np.arange(len(coefficients))
    beyond, distance = _judge(blocks, coefficients[:, np.newaxis])
    cost = blocks.weight * beyond[:, 0] + distance[:, 0]
    for _ in range(_STEPS):
        moved, costs = _moves(blocks.some(left), coefficients[left])
        best = costs.argmin(axis=1)
        lowest = costs[np.arange(len(left)), best]
        better = lowest < cost[left] - 1e-2
        coefficients[left[better]] = moved[better, best[better]]
        cost[left[better]] = lowest[better]
        left = left[better]
        if not left.size:
            break
    return coefficients


def _moves(blocks: Blocks, coefficients: Integers) -> tuple[Integers, Floats]:
    """Return the 128 single steps from each block, and their cost."""
    units = np.concatenate([np.eye(64, dtype=np.int64), -np.eye(64, dtype=np.int64)])
    moved = coefficients[:, np.newaxis] + units
    beyond, distance = _judge(blocks, moved)
    return moved, blocks.weight[:, np.newaxis] * beyond + distance


def _decoded(grid: Floats) -> Floats:
    """Return the integer inverse DCT of coefficients (…, 64), without the cut to 8 bits."""
    values = grid.reshape(-1, 8, 8).astype(np.float64).swapaxes(1, 2)
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS + 3):
        values = np.floor((values.reshape(-1, 8) @ _INTEGERS) / 2**bits + 0.5)
        values = values.reshape(-1, 8, 8).swapaxes(1, 2)
    samples: Floats = values.swapaxes(1, 2).reshape(grid.shape).astype(np.float32)
    return samples


def _judge(blocks: Blocks, candidates: Integers) -> tuple[Floats, Floats]:
    """Return what is beyond the margins, squared, and the squared distance from the original.

    Args:
        blocks: The blocks.
        candidates: (blocks, candidates, 64).
    """
    grid = candidates.astype(np.float32) * blocks.steps
    samples = (_decoded(grid) + 128).clip(0, 255)
    total = np.full_like(samples, 1 << 15)
    for channel, weight in enumerate(TO_YCC[0]):
        shift = blocks.chroma[:, np.newaxis, :, channel]
        total += weight * (samples + shift).clip(0, 255)  # at most 2²⁴: exact
    seen = np.floor(total / (1 << COLOR_BITS)) - 128
    own = np.arange(64)
    shown = blocks.shown == own
    wish = blocks.wish @ _BASIS.T
    distance = (((seen - wish[:, np.newaxis]) * shown[:, np.newaxis]) ** 2).sum(axis=2)
    padded = np.flatnonzero(~shown.all(axis=1))
    seen[padded] = np.take_along_axis(seen[padded], blocks.shown[padded][:, np.newaxis], axis=2)
    errors = seen @ _BASIS - grid
    return ((np.abs(errors) - blocks.margins).clip(min=0) ** 2).sum(axis=2), distance
