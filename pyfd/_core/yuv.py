"""Planes of YCbCr, as cameras and video decoders leave them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.binding import MAX_SIDE
from pyfd._core.pixels import Pixels, array_of

#: Y and interleaved Cb and Cr (NV12), or Y, Cb and Cr.
Planes: TypeAlias = (
    tuple[npt.ArrayLike, npt.ArrayLike] | tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
)


class Samples(NamedTuple):
    """A component's samples, where the caller has them or in a copy."""

    array: Pixels  # rows × columns
    stride: int  # bytes from a row to the next one
    step: int  # bytes from a sample to the next one

    @property
    def size(self) -> int:
        """Return the number of bytes from the lowest address to the highest one."""
        rows, columns = self.array.shape
        return int((rows - 1) * abs(self.stride) + (columns - 1) * self.step + 1)


def samples_of(
    planes: Sequence[npt.ArrayLike], subsampling: str, sampling: tuple[int, int]
) -> tuple[Samples, Samples, Samples]:
    """Return a caller's planes as Y, Cb and Cr, without a copy if their strides permit.

    Args:
        planes: Y, H×W; and then Cb and Cr, which have as many rows and columns as cover
            the image, or an array of both: rows × columns × 2 or rows × (2 · columns).
        subsampling: The name of the chroma's subsampling.
        sampling: Its columns and rows of pixels per sample.

    Raises:
        ValueError: The planes are not two or three, not ``uint8``, or do not fit the
            subsampling.
    """
    if len(planes) not in (2, 3):
        raise ValueError(
            f"a tuple of planes is (Y, Cb, Cr) or (Y, CbCr), not {len(planes)} of them"
        )
    luma, *chroma = map(_plane_of, planes)
    height, width = luma.shape if luma.ndim == 2 else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"Y must be H×W with sides in 1...{MAX_SIDE}, not {luma.shape}")
    across, down = sampling
    shape = (rows, columns) = -(-height // down), -(-width // across)
    if len(chroma) == 1 and chroma[0].shape in ((*shape, 2), (rows, 2 * columns)):
        pairs = chroma[0].reshape(*shape, 2)
        chroma = [pairs[:, :, 0], pairs[:, :, 1]]
    if [array.shape for array in chroma] != [shape, shape]:
        fitting = f"Cb and Cr of {shape} each"
        if len(chroma) == 1:
            fitting = f"CbCr of {(*shape, 2)} or {(rows, 2 * columns)}"
        given = " and ".join(str(array.shape) for array in chroma)
        raise ValueError(f"{subsampling} with Y of {luma.shape} takes {fitting}, not {given}")
    y, cb, cr = map(_samples, (luma, *chroma))
    return y, cb, cr


def _plane_of(plane: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return an array of its own for a plane, whose shape no other thread changes."""
    array = array_of(plane)[...]
    if array.dtype != np.uint8:
        raise ValueError(f"planes must be uint8 in 0...255, not {array.dtype}")
    return array


def _samples(array: Pixels) -> Samples:
    """Return an array's samples, copied if C cannot walk along its rows."""
    rows, columns = array.shape
    stride = array.strides[0] if rows > 1 else 0
    step = array.strides[1] if columns > 1 else 1
    if step < 1 or (rows > 1 and abs(stride) <= (columns - 1) * step):
        array, stride, step = np.ascontiguousarray(array), columns, 1
    return Samples(array, stride, step)
