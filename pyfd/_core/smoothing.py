"""What decoding and encoding again do to subsampled chroma, and coefficients that they leave alone.

The decoder interpolates subsampled chroma, and the encoder averages it again. In each
direction that is subsampled, a sample becomes an eighth of either neighbour and three
quarters of itself. High frequencies shrink, and a block takes over some of its
neighbours. Apart from rounding and from colors outside of RGB this is linear, so that
the `Response` to a step of each coefficient is known beforehand, and `mend` can look
for steps that keep all coefficients of a block within their margins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import DCT

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = tuple[npt.NDArray[np.intp], ...]

_CANDIDATES = 12  # steps of a block that are worked out exactly
_AT_ONCE = 128  # blocks
_END = 2  # blocks at either end of a row whose response may be their own


class Response(NamedTuple):
    """How a coefficient moves the errors of its block and of the eight blocks around it."""

    table: npt.NDArray[np.float32]
    """(kinds of rows, kinds of columns, 64 coefficients, 9 blocks, 64 errors)."""
    rows: npt.NDArray[np.intp]
    """The kind of each row of blocks."""
    columns: npt.NDArray[np.intp]
    """The kind of each column of blocks."""

    def of(self, places: Places) -> npt.NDArray[np.float32]:
        """Return the table of each block at ``(component, row, column)``."""
        return self.table[self.rows[places[1]], self.columns[places[2]]]


def response(height: int, width: int, factors: tuple[int, int]) -> Response:
    """Return the response of an image's chroma.

    Args:
        height: The image's height in pixels.
        width: The image's width in pixels.
        factors: The pixels per sample, horizontally and vertically.
    """
    across, down = factors
    wide, high = -(-width // across), -(-height // down)
    interpolated = across == 1 or wide > 2  # libjpeg repeats narrower chroma
    columns, horizontal = _one_way(wide, across == 2 and interpolated)
    rows, vertical = _one_way(high, down == 2 and interpolated)
    # vertical[row, i, y, u] is what reaches frequency y of block i; u is the coefficient's
    table = np.einsum("riyu,cjxv->rcuvijyx", vertical, horizontal)
    own = np.arange(8)
    for u in own:
        table[:, :, u, own, 1, 1, u, own] -= 1
    shape = (len(vertical), len(horizontal), 64, 9, 64)
    return Response(table.reshape(shape).astype(np.float32), rows, columns)


def _one_way(samples: int, interpolated: bool) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the kind of each block along an axis, and the response of each kind.

    The blocks far from both ends are all alike. So a short axis stands for a long one.
    """
    blocks = -(-samples // 8)
    short = min(blocks, 2 * _END + 1)
    places = np.arange(blocks)
    kinds = np.where(places < blocks - _END, places.clip(max=_END), places - blocks + short)
    if blocks == short:
        kinds = places
    samples -= 8 * (blocks - short)
    impulses = np.kron(np.eye(short), DCT).reshape(short, 8, short * 8)
    seen = impulses[:, :, :samples].copy()
    if interpolated:
        slopes = np.diff(seen)
        seen[:, :, 1:] -= slopes / 8
        seen[:, :, :-1] += slopes / 8
    padded = np.pad(seen, ((0, 0), (0, 0), (0, 8 * short - samples)), mode="edge")
    found = padded.reshape(short, 8, short, 8) @ DCT.T  # block, coefficient, block, frequency
    around = np.pad(found, ((0, 0), (0, 0), (1, 1), (0, 0)))
    near = np.stack([around[i, :, i : i + 3] for i in range(short)])
    return kinds, near.transpose(0, 2, 3, 1)


class Chroma(NamedTuple):
    """The chroma of an image; all arrays are (2, high, wide, 64) or can be broadcast to it."""

    coefficients: npt.NDArray[np.int64]
    """The quantized coefficients, which `mend` changes."""
    steps: Floats
    """Their steps."""
    wish: Floats
    """What the dequantized coefficients should be."""
    errors: Floats
    """The coefficients when decoded and encoded again, minus what they are."""
    margins: Floats
    """The errors that are allowed."""
    price: Floats
    """The squared error beyond the margin that a squared distance from the wish is worth."""


def mend(chroma: Chroma, failing: Bools, response: Response, most: int) -> Bools:
    """Change coefficients until the errors are within the margins, as far as that goes.

    Each round takes the best step in every block that has no better one within two
    blocks: of the errors beyond the margins, squared, plus the price of the distance
    from the wish, the step takes away the most. So the rounds come to an end.

    Args:
        chroma: The chroma; the coefficients are changed.
        failing: The blocks (2, high, wide) to start from; only they and blocks near them are changed.
        response: The response.
        most: The number of rounds.

    Returns:
        The blocks that were changed.
    """
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    errors = np.pad(chroma.errors, around).astype(np.float32)
    margins = np.pad(np.broadcast_to(chroma.margins, chroma.errors.shape), around, constant_values=np.inf)
    margins = margins.astype(np.float32)
    gains = np.zeros(failing.shape)
    choice = np.zeros(failing.shape, np.intp)
    first = chroma.coefficients.copy()
    stale = spread(failing)
    for _ in range(most):
        places = np.nonzero(stale)
        for start in range(0, len(places[0]), _AT_ONCE):
            some = tuple(axis[start : start + _AT_ONCE] for axis in places)
            gains[some], choice[some] = _best(chroma, errors, margins, response, some)
        taken = (gains > 1e-3) & (gains == _highest(gains, 2))
        if not taken.any():
            break
        places = np.nonzero(taken)
        _step(chroma, errors, response, places, choice[places])
        beyond = (np.abs(errors) > margins).any(axis=3)[:, 1:-1, 1:-1]
        stale = spread(taken, 2) & spread(beyond)
        gains[spread(taken, 2)] = 0
    return (chroma.coefficients != first).any(axis=3)


def spread(mask: Bools, by: int = 1) -> Bools:
    """Return the mask with all blocks that are at most so far from one of it."""
    return _highest(mask, by)


def _highest(values: npt.NDArray[np.generic], by: int) -> npt.NDArray[np.generic]:
    """Return the largest value within a distance, in the last two axes."""
    for axis in (-1, -2):
        kept = values
        for shift in range(1, by + 1):
            for a, b in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
                to, of = [slice(None)] * values.ndim, [slice(None)] * values.ndim
                to[axis], of[axis] = a, b
                if values.shape[axis] > shift:
                    kept = kept.copy() if kept is values else kept
                    kept[tuple(to)] = np.maximum(kept[tuple(to)], values[tuple(of)])
        values = kept
    return values


def _near(values: npt.NDArray[np.float32], places: Places) -> npt.NDArray[np.float32]:
    """Return the nine blocks around each place of a padded array: (places, 9, 64)."""
    component, row, column = (axis[:, np.newaxis] for axis in places)
    down, right = np.divmod(np.arange(9), 3)
    found: npt.NDArray[np.float32] = values[component, row + down, column + right]
    return found


def _best(
    chroma: Chroma,
    errors: npt.NDArray[np.float32],
    margins: npt.NDArray[np.float32],
    response: Response,
    places: Places,
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the gain of each block's best step, and the step: ±(coefficient + 1)."""
    count = np.arange(len(places[0]))[:, np.newaxis]
    table = response.of(places)
    near, allowed = _near(errors, places), _near(margins, places)
    beyond = near - near.clip(-allowed, allowed)
    slopes = 2 * np.einsum("nkbi,nbi->nk", table, beyond, optimize=True)
    steps = np.broadcast_to(chroma.steps, chroma.wish.shape)[places]
    moves = -np.sign(slopes) * steps
    off = chroma.coefficients[places] * steps - chroma.wish[places]
    cost = chroma.price[places][:, np.newaxis] * ((off + moves) ** 2 - off**2)
    few = np.argpartition(moves * slopes + cost, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    moved = near[:, np.newaxis] + table[count, few] * moves[count, few][:, :, np.newaxis, np.newaxis].astype(np.float32)
    left = moved - moved.clip(-allowed[:, np.newaxis], allowed[:, np.newaxis])
    gains = (beyond**2).sum(axis=(1, 2))[:, np.newaxis] - (left**2).sum(axis=(2, 3)) - cost[count, few]
    gains[moves[count, few] == 0] = 0
    best = gains.argmax(axis=1)[:, np.newaxis]
    chosen = few[count, best][:, 0]
    signs = np.sign(moves[count[:, 0], chosen]).astype(np.intp)
    return gains[count, best][:, 0], signs * (chosen + 1)


def _step(
    chroma: Chroma,
    errors: npt.NDArray[np.float32],
    response: Response,
    places: Places,
    choice: npt.NDArray[np.intp],
) -> None:
    """Take a step in each place; no two of them are near each other."""
    which, signs = np.abs(choice) - 1, np.sign(choice)
    chroma.coefficients[(*places, which)] += signs
    steps = np.broadcast_to(chroma.steps, chroma.wish.shape)[(*places, which)]
    moves = response.of(places)[np.arange(len(which)), which] * (signs * steps)[:, np.newaxis, np.newaxis]
    component, row, column = (axis[:, np.newaxis] for axis in places)
    down, right = np.divmod(np.arange(9), 3)
    errors[component, row + down, column + right] += moves.astype(np.float32)
