"""Tables of two bands: protected frequencies with a fine step, the others with a coarse one."""

from __future__ import annotations

import operator
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Statistics(Protocol):
    """The part of a `pyfd.FrequencyStatistics` that `QTables.for_threat` uses."""

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """The standard deviations of the DCT coefficients, 3×8×8."""

    @property
    def digest(self) -> str:
        """A short name that identifies the statistics."""


def two_band(
    importance: npt.ArrayLike, *, step: int, protected_step: int, protected: int
) -> npt.NDArray[np.int64]:
    """Return n×8×8 tables; `pyfd.QTables.two_band` describes the arguments.

    Raises:
        ValueError: An argument has another shape or is out of range.
    """
    weights = np.asarray(importance, dtype=np.float64)
    if weights.ndim == 2:
        weights = weights[np.newaxis]
    if weights.shape[1:] != (8, 8):
        raise ValueError(f"importance must be 8×8 or n×8×8, not {shape_of(weights)}")
    if np.isnan(weights).any():
        raise ValueError("importance must not contain NaN")
    if not 0 <= protected <= 64:
        raise ValueError(f"protected must be in 0...64, not {protected}")
    for name, value in (("step", step), ("protected_step", protected_step)):
        if abs(operator.index(value)) >> 16:  # the sign and the rest are checked with the tables
            raise ValueError(f"{name} is not in 1...65535")
    tables = np.full(weights.shape, operator.index(step), dtype=np.int64)
    order = zigzag_order()
    for table, weight in zip(tables, weights, strict=True):
        ranked = order[np.argsort(-weight.ravel()[order], kind="stable")]
        table.ravel()[ranked[:protected]] = operator.index(protected_step)
    return tables


def counted(deviations: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the deviations (n×8×8) of the components with blocks: gray images have only Y.

    Args:
        deviations: Standard deviations of the DCT coefficients, 3×8×8; NaN for a
            component without blocks.

    Raises:
        ValueError: The array has another shape, or no component has blocks.
    """
    std = np.asarray(deviations, dtype=np.float64)
    if std.shape != (3, 8, 8):
        raise ValueError(f"the statistics must be 3×8×8, not {shape_of(std)}")
    with_blocks = std[~np.isnan(std).all(axis=(1, 2))]
    if not len(with_blocks):
        raise ValueError("the statistics hold no blocks")
    return with_blocks


def shape_of(array: npt.NDArray[np.generic]) -> str:
    """Return an array's shape for an error message."""
    return "×".join(map(str, array.shape)) or "a single number"


def zigzag_order() -> npt.NDArray[np.intp]:
    """Return the natural-order indices in the zigzag order of ITU-T T.81, figure A.6."""

    def key(index: int) -> tuple[int, int]:
        row, column = divmod(index, 8)
        diagonal = row + column
        return diagonal, row if diagonal % 2 else column

    return np.array(sorted(range(64), key=key))
