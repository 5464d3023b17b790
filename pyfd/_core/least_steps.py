"""The least steps with which a block can hold a strength ε, frequency by frequency.

A perturbation within ε moves a coefficient by at most gain·ε, gain being the L1 norm of its
basis function. A coefficient on the grid of the step Q withstands moves of less than Q/2, so
the step must be greater than 2·gain·ε. Everything here is computed in the codec's own integers,
for a flat block of level 128: there pixels and coefficients are whole numbers, nothing is
rounded, and the last resort of an encoder that must hold ε is such a block.

Moves are given times 8, which is how libjpeg's integer DCT scales its coefficients. In this
unit, a coefficient that was 0 is no longer quantized to 0 from 4·Q on.
"""

from __future__ import annotations

import functools
import operator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import BASIS, CONSTANT_BITS, PASS1_BITS
from pyfd._core.pixels import WHITE, whole_levels
from pyfd._core.steps import BASELINE_STEP, ENCODER_STEP

Integers: TypeAlias = npt.NDArray[np.int64]

# The samples of level 128 are 0, and reach from -128 to 127
_LEAST, _LARGEST = 128, 127

# The most for which the pixels of a block of level 128 lie in ε + 1 ... 254 - ε
_MOST_FOR_FILES = 126


def least_steps(epsilon: int, *, files: bool = False) -> Integers:
    """Return the least steps with which a flat block of level 128 holds a strength.

    Args:
        epsilon: The strength, in whole 8-bit levels, 0...255.
        files: Hold it for files that an attacker hands to the decoder, not for pixels.

    Returns:
        8×8 ``int64`` in natural order: 16·epsilon + 1 for DC, or + 9 for files; less elsewhere.

    Raises:
        ValueError: `epsilon` is too large for files.
    """
    return _moves(epsilon, files) // 4 + 1


def certified(epsilon: int, *, slack: int, files: bool, baseline: bool) -> Integers:
    """Return the steps of `pyfd.QTables.certified`, 8×8, which describes the arguments.

    Raises:
        TypeError: `epsilon` or `slack` is not an integer.
        ValueError: One of them is out of range, or a step is too large.
    """
    epsilon = whole_levels(epsilon)
    try:
        slack = operator.index(slack)
    except TypeError:
        raise TypeError(f"slack must be an integer, not {slack!r}") from None
    if not 0 <= slack <= ENCODER_STEP:
        raise ValueError(f"slack must be in 0...{ENCODER_STEP}, not {slack}")
    steps = _with_slack(epsilon, slack, files)
    if (largest := steps.max()) > ENCODER_STEP:
        raise ValueError(f"steps must be in 1...{ENCODER_STEP} here, not {largest}: less slack")
    if baseline and largest > BASELINE_STEP:
        tried = (_with_slack(each, slack, files).max() for each in range(WHITE + 1))
        first = next(each for each, most in enumerate(tried) if most > BASELINE_STEP)
        raise ValueError(
            f"the tables for epsilon {epsilon} have a step of {largest}, beyond {BASELINE_STEP}, "
            f"as all from epsilon {first} on with a slack of {slack}; baseline=False allows it"
        )
    return steps


def check_holds(
    tables: npt.NDArray[np.uint16],
    epsilon: int,
    components: int,
    *,
    files: bool = False,
) -> None:
    """Refuse tables with which a flat block of level 128 does not hold a strength.

    Args:
        tables: Tables (tables, 8, 8) in natural order; the last one also serves the components
            after it.
        epsilon: As in `least_steps`; the caller's argument "radius", or "radius_files".
        components: The number of the image's components.
        files: As in `least_steps`.

    Raises:
        TypeError: `epsilon` is not an integer.
        ValueError: `epsilon` is out of range, or a step is too small; the message names the
            first one, and the step that it takes.
    """
    argument, option = ("radius_files", ", files=True") if files else ("radius", "")
    epsilon = whole_levels(epsilon, argument)
    least = least_steps(epsilon, files=files)
    too_small = np.argwhere(tables[:components] < least)
    if len(too_small):
        index, row, column = too_small[0]
        option += ", baseline=False" if least.max() > BASELINE_STEP else ""
        raise ValueError(
            f"qtables[{index}] has step {tables[index, row, column]} at ({row}, {column}), which "
            f"cannot hold {argument} {epsilon}: it needs {least[row, column]} or more. "
            f"QTables.certified({epsilon}{option}) holds it"
        )


def _with_slack(epsilon: int, slack: int, files: bool) -> Integers:
    """Return ⌈2·gain·ε⌉ + `slack`, but no step below the least one."""
    moves = _moves(epsilon, files)
    return np.maximum(-(-moves // 4) + slack, moves // 4 + 1)


@functools.cache
def _moves(epsilon: int, files: bool) -> Integers:
    """Return the largest moves of the coefficients of a flat block of level 128, times 8."""
    moves = _moves_by_files(epsilon) if files else _moves_by_pixels(epsilon)
    moves.flags.writeable = False
    return moves


def _moves_by_pixels(epsilon: int) -> Integers:
    """Return what the encoder's integers make of samples within ±ε, by interval arithmetic.

    Rows are transformed first, then columns. The rounding of each pass is monotone, so that
    the least and the largest sums of a pass give those of the next one.
    """
    low = np.full((8, 8), -min(epsilon, _LEAST))
    high = np.full((8, 8), min(epsilon, _LARGEST))
    rising, falling = np.maximum(BASIS.T, 0), np.minimum(BASIS.T, 0)
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS):
        low, high = (
            ((total + (1 << bits - 1)) >> bits).T
            for total in (low @ rising + high @ falling, high @ rising + low @ falling)
        )
    moves: Integers = np.maximum(-low, high)
    return moves


def _moves_by_files(epsilon: int) -> Integers:
    """Return a bound for files whose samples, decoded without tables, lie within ±ε.

    The decoder's second pass rounds by half a level at most, so that what it rounds lies within
    ε + 1/2. The inverse of its transform leads from there back to the coefficients, which are
    whole numbers. What the first pass rounds, half a unit of each of its results, moves them by
    1/8 more. csrc/file_radius.c has this in integers, whose own rounding is the last term.
    """
    if epsilon > _MOST_FOR_FILES:
        raise ValueError(
            f"files can hold at most {_MOST_FOR_FILES} levels, not {epsilon}: no pixel of a block "
            "may come as near to 0 or 255"
        )
    decoder = BASIS.T / (2**CONSTANT_BITS * np.sqrt(8))
    norms = np.abs(np.linalg.inv(decoder)).sum(axis=1)
    bound = np.outer(norms, norms) * (epsilon + 1 / 2) + 1 / 8 + 2**-9
    moves: Integers = 8 * np.floor(bound).astype(np.int64)
    return moves
