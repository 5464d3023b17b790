"""What decoding and encoding again do to subsampled chroma, and coefficients that bear it.

The decoder interpolates subsampled chroma, and the encoder averages it again. In each
direction that is subsampled, three quarters of a sample remain, and an eighth of either
neighbour is added. So high frequencies shrink, and a block takes over a part of its
neighbours. Apart from rounding, and from colors outside of RGB, this is linear: the
`Response` says how a step of a coefficient moves the errors around it, and `mend`
takes the steps that bring all errors into their margins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import DCT

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
#: Some blocks of Cb and Cr: their component (0 or 1), row and column.
Places: TypeAlias = tuple[npt.NDArray[np.intp], ...]

_CANDIDATES = 12  # steps of a block that are worked out in full
_AT_ONCE = 128  # blocks
_ENDS = 2  # the blocks at either end of a row whose response may differ from the others'
_LEAST_GAIN = 1e-3  # far above the rounding of float32


class Response(NamedTuple):
    """How a coefficient moves the errors of its block and of the eight around it."""

    table: Floats
    """(kinds of rows, kinds of columns, 64 coefficients, 9 blocks · 64 errors)."""
    rows: npt.NDArray[np.intp]
    """The kind of each row of blocks."""
    columns: npt.NDArray[np.intp]
    """The kind of each column of blocks."""

    def groups(self, places: Places) -> Iterator[tuple[npt.NDArray[np.intp], Floats]]:
        """Yield the indices of places that have the same response, and that response."""
        kinds = self.rows[places[1]] * self.table.shape[1] + self.columns[places[2]]
        for kind in np.unique(kinds):
            table = self.table[divmod(int(kind), self.table.shape[1])]
            same = np.flatnonzero(kinds == kind)
            for start in range(0, len(same), _AT_ONCE):
                yield same[start : start + _AT_ONCE], table


def response(height: int, width: int, factors: tuple[int, int]) -> Response:
    """Return the response of an image's chroma.

    Args:
        height: The image's height in pixels.
        width: The image's width in pixels.
        factors: The pixels per sample, horizontally and vertically.
    """
    across, down = factors
    interpolated = across == 1 or width > 4  # libjpeg repeats the samples of narrower chroma
    columns, horizontal = _one_way(width, across, interpolated, averaged=False)
    rows, vertical = _one_way(height, down, interpolated, averaged=True)
    # kind of row and column; coefficient (u, v); block (i, j); error (y, x)
    table = np.einsum("riyu,cjxv->rcuvijyx", vertical, horizontal)
    for u, v in np.ndindex(8, 8):
        table[:, :, u, v, 1, 1, u, v] -= 1
    return Response(table.reshape(*table.shape[:2], 64, 576).astype(np.float32), rows, columns)


def _one_way(
    pixels: int, factor: int, interpolated: bool, *, averaged: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the kind of each block along an axis, and what each kind of block becomes.

    Blocks far from both ends are all alike. So a short axis stands for a long one.

    Args:
        pixels: The image's side.
        factor: The pixels per sample.
        interpolated: Whether the decoder interpolates.
        averaged: Whether the encoder repeats the last sample, not the last pixel.

    Returns:
        The kinds, and (kinds, 3 blocks around, 8 frequencies that result, 8 coefficients).
    """
    samples = -(-pixels // factor)
    blocks = -(-samples // 8)
    short = min(blocks, 2 * _ENDS + 1)
    places = np.arange(blocks)
    kinds = np.maximum(np.minimum(places, _ENDS), places - (blocks - short))
    samples -= 8 * (blocks - short)
    waves = np.kron(np.eye(short), DCT)[:, :samples]  # of each block, the 8 basis functions
    edge = waves[:, -1:]
    if factor == 2 and interpolated:
        eighths = np.pad(np.diff(waves) / 8, ((0, 0), (1, 1)))
        waves = waves + eighths[:, 1:] - eighths[:, :-1]
        if pixels % 2:  # the last sample is one pixel, a quarter of which is its neighbour's
            edge = waves[:, -1:] = waves[:, -1:] - eighths[:, -2:-1]
        elif averaged:
            edge = waves[:, -1:]
    waves = np.hstack([waves, edge.repeat(8 * short - samples, axis=1)])
    found = waves.reshape(short, 8, short, 8) @ DCT.T
    around = np.pad(found, ((0, 0), (0, 0), (1, 1), (0, 0)))
    near = np.stack([around[i, :, i : i + 3] for i in range(short)])
    return kinds, near.transpose(0, 2, 3, 1)


class Chroma(NamedTuple):
    """The chroma of an image, in arrays (2, high, wide, 64)."""

    coefficients: npt.NDArray[np.int32]
    """The quantized coefficients, which `mend` changes."""
    steps: Floats
    """Their steps, (2, 64)."""
    wish: Floats
    """What the dequantized coefficients should be."""
    errors: Floats
    """What decoding and encoding again adds to them."""
    margins: Floats
    """The errors that are allowed."""
    price: Floats
    """The squared error beyond the margins that a squared distance from the wish is worth,
    (2, high, wide)."""


def mend(chroma: Chroma, failing: Bools, response: Response, rounds: int) -> None:
    """Change coefficients until the errors are within the margins, as far as that goes.

    The cost of a state is the sum of the errors beyond the margins, squared, and of the
    distances from the wish, squared, times the price. A round takes the best step of each
    block that no block near it can better. Each step lowers the cost, so the rounds end.

    Args:
        chroma: The chroma; its coefficients are changed.
        failing: The blocks to start from, (2, high, wide).
        response: The response.
        rounds: The most rounds.
    """
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    errors = np.pad(chroma.errors, around)
    margins = np.pad(chroma.margins, around, constant_values=np.inf)
    gains = np.zeros(failing.shape)
    steps = np.zeros(failing.shape, np.int64)
    stale = spread(failing)
    for _ in range(rounds):
        gains[stale] = 0
        places = np.nonzero(stale & spread(_beyond(errors, margins)))
        gains[places], steps[places] = _best(chroma, errors, margins, response, places)
        ranks = gains.argsort(axis=None).argsort().reshape(gains.shape)  # without ties
        taken = (gains > _LEAST_GAIN) & (ranks == highest(ranks, 2))
        if not taken.any():
            break
        places = np.nonzero(taken)
        _take(chroma, errors, response, places, steps[places])
        stale = spread(taken, 2)


def spread(mask: Bools, by: int = 1) -> Bools:
    """Return the blocks that are at most so far from a block of the mask."""
    return highest(mask, by).astype(np.bool_)


def highest(values: npt.NDArray[np.generic], by: int) -> npt.NDArray[np.generic]:
    """Return the highest value at most so far away, in the last two axes."""
    for axis in (-1, -2):
        values = np.moveaxis(values, axis, -1)
        kept = values.copy()
        for shift in range(1, min(by, values.shape[-1] - 1) + 1):
            kept[..., shift:] = np.maximum(kept[..., shift:], values[..., :-shift])
            kept[..., :-shift] = np.maximum(kept[..., :-shift], values[..., shift:])
        values = np.moveaxis(kept, -1, axis)
    return values


def _beyond(errors: Floats, margins: Floats) -> Bools:
    """Return the blocks that have errors beyond their margins, without the frame around."""
    inner = slice(None), slice(1, -1), slice(1, -1)
    beyond: Bools = np.abs(errors[inner]) > margins[inner]
    found: Bools = np.any(beyond, axis=3)
    return found


def _frames(places: Places) -> Places:
    """Return the indices of the nine blocks around each place in arrays with a frame."""
    component, row, column = (axis[:, np.newaxis] for axis in places)
    down, right = np.divmod(np.arange(9), 3)
    return component, row + down, column + right


def _best(
    chroma: Chroma, errors: Floats, margins: Floats, response: Response, places: Places
) -> tuple[npt.NDArray[np.float64], Integers]:
    """Return what each block's best step gains, and the step: ±(1 + the coefficient's index)."""
    gains = np.zeros(len(places[0]))
    steps = np.zeros(len(gains), np.int64)
    for some, table in response.groups(places):
        here = tuple(axis[some] for axis in places)
        frames = _frames(here)
        near = errors[frames].reshape(len(some), 576)
        allowed = margins[frames].reshape(len(some), 576)
        sizes = chroma.steps[here[0]]
        off = chroma.coefficients[here] * sizes - chroma.wish[here]
        price = chroma.price[here][:, np.newaxis]
        gains[some], steps[some] = _best_of(near, allowed, table, sizes, off, price)
    return gains, steps


def _best_of(
    near: Floats, allowed: Floats, table: Floats, sizes: Floats, off: Floats, price: Floats
) -> tuple[Floats, Integers]:
    """Return the best step of blocks that have one response, and what it gains."""
    count = np.arange(len(near))[:, np.newaxis]
    beyond = near - near.clip(-allowed, allowed)
    slopes = 2 * beyond @ table.T
    moves = -np.sign(slopes) * sizes
    cost = price * moves * (2 * off + moves)
    few = np.argpartition(moves * slopes + cost, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    moves, cost = moves[count, few], cost[count, few]
    moved = near[:, np.newaxis] + table[few] * moves[:, :, np.newaxis]
    allowed = allowed[:, np.newaxis]
    left = ((moved - moved.clip(-allowed, allowed)) ** 2).sum(axis=2)
    gains = (beyond**2).sum(axis=1, keepdims=True) - left - cost
    gains[moves == 0] = 0
    count, best = count[:, 0], gains.argmax(axis=1)
    signs = np.sign(moves[count, best]).astype(np.int64)
    return gains[count, best], signs * (few[count, best] + 1)


def _take(
    chroma: Chroma, errors: Floats, response: Response, places: Places, steps: Integers
) -> None:
    """Take a step in each place. No two places are close enough to share errors."""
    which, signs = np.abs(steps) - 1, np.sign(steps)
    chroma.coefficients[(*places, which)] += signs
    moves = (signs * chroma.steps[places[0], which]).astype(np.float32)
    for some, table in response.groups(places):
        moved = moves[some, np.newaxis] * table[which[some]]
        errors[_frames(tuple(axis[some] for axis in places))] += moved.reshape(-1, 9, 64)
