"""The radii that a caller asks of a file, as C takes them."""

from __future__ import annotations

import operator

import numpy as np
import numpy.typing as npt

from pyfd._core import binding
from pyfd._core.least_steps import check_holds


def least_radius(
    shape: tuple[int, ...], tables: npt.NDArray[np.uint16], epsilon: int | None
) -> int:
    """Return the radius that every block must have to hold a strength; 0 for any.

    Args:
        shape: That of the pixels: H×W×3 or H×W.
        tables: The tables, (tables, 8, 8).
        epsilon: The strength, or None.

    Raises:
        TypeError: The strength is not an integer.
        ValueError: It is out of range, or no image holds it with these tables.
    """
    if epsilon is None:
        return 0
    check_holds(tables, epsilon, 1 if len(shape) == 2 else 3)
    return operator.index(epsilon) + 1


def least_file_radius(
    shape: tuple[int, ...],
    tables: npt.NDArray[np.uint16],
    sampling: tuple[int, int],
    epsilon: int | None,
) -> int:
    """Return the radius for files that every block must have to hold a strength; 0 for any.

    Args:
        shape: As in `least_radius`.
        tables: As in `least_radius`.
        sampling: The pixels per chroma sample, horizontally and vertically.
        epsilon: The strength, or None.

    Raises:
        TypeError: The strength is not an integer.
        ValueError: It is out of range, or no image of this shape holds it with these tables.
    """
    if epsilon is None:
        return 0
    height, width = shape[:2]
    if height % 8 or width % 8:
        raise ValueError(
            f"radius_files needs sides that are multiples of 8, not {width}×{height}: beyond "
            "the edge, another file can hold anything"
        )
    if sampling != (1, 1):
        raise ValueError("radius_files needs chroma that is not subsampled")
    check_holds(tables, epsilon, 1 if len(shape) == 2 else 3, files=True)
    return operator.index(epsilon) + 1


def least_radii(
    frame: binding.Frame,
    tables: npt.NDArray[np.uint16],
    epsilon: int | None,
    file_epsilon: int | None,
) -> tuple[int, int]:
    """Return both of these radii for the pixels of a file, which are encoded in 4:4:4.

    Raises:
        TypeError: A strength is not an integer.
        ValueError: A strength is out of range, or no file of this kind can hold it.
    """
    if epsilon is file_epsilon is None:
        return 0, 0
    if frame.color_space in ("CMYK", "YCCK"):
        raise ValueError("a CMYK image has no radius: convert it to RGB, and encode the pixels")
    shape = (frame.height, frame.width, 3)[: 2 if frame.color_space == "L" else 3]
    return (
        least_radius(shape, tables, epsilon),
        least_file_radius(shape, tables, (1, 1), file_epsilon),
    )
