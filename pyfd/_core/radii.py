"""The radii that a caller asks of a file, as C takes them."""

from __future__ import annotations

import operator

import numpy as np
import numpy.typing as npt

from pyfd._core.least_steps import check_holds
from pyfd._core.pixels import Pixels


def least_radius(pixels: Pixels, tables: npt.NDArray[np.uint16], epsilon: int | None) -> int:
    """Return the radius that every block must have to hold a strength; 0 for any.

    Raises:
        TypeError: The strength is not an integer.
        ValueError: It is out of range, or no image holds it with these tables.
    """
    if epsilon is None:
        return 0
    check_holds(tables, epsilon, 1 if pixels.ndim == 2 else 3)
    return operator.index(epsilon) + 1


def least_file_radius(
    pixels: Pixels,
    tables: npt.NDArray[np.uint16],
    sampling: tuple[int, int],
    epsilon: int | None,
) -> int:
    """Return the radius for files that every block must have to hold a strength; 0 for any.

    Raises:
        TypeError: The strength is not an integer.
        ValueError: It is out of range, or no image of this shape holds it with these tables.
    """
    if epsilon is None:
        return 0
    height, width = pixels.shape[:2]
    if height % 8 or width % 8:
        raise ValueError(
            f"radius_files needs sides that are multiples of 8, not {width}×{height}: beyond "
            "the edge, another file can hold anything"
        )
    if sampling != (1, 1):
        raise ValueError("radius_files needs chroma that is not subsampled")
    check_holds(tables, epsilon, 1 if pixels.ndim == 2 else 3, files=True)
    return operator.index(epsilon) + 1
