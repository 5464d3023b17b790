"""The quantized DCT coefficients of a file."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.binding import MAX_SIDE
from pyfd.qtables import QTables

_COMPONENTS = {"L": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Quantized DCT coefficients, and everything else that is needed to write them back.

    The coefficients of a component that is ``h`` blocks high and ``w`` wide are
    indexed by ``[block row, block column, vertical frequency, horizontal
    frequency]``. The numbers of blocks are libjpeg's ``height_in_blocks`` and
    ``width_in_blocks``, which leave out the padding of the last MCUs.
    """

    components: Sequence[npt.NDArray[np.int16]]
    """An ``int16`` array (h, w, 8, 8) for each component, in natural order."""
    qtables: QTables
    """The tables of the coefficients, one per component. For a file, they are those in
    force at the component's first scan."""
    sampling: tuple[tuple[int, int], ...]
    """The horizontal and the vertical sampling factor of each component, 1 to 4."""
    width: int
    """The width in pixels."""
    height: int
    """The height in pixels."""
    color_space: str
    """"L", "YCbCr", "RGB", "CMYK" or "YCCK"."""

    def dequantized(self, component: int) -> npt.NDArray[np.int32]:
        """Return a component's coefficients times their steps (ITU-T T.81, A.3.4).

        Args:
            component: The component's index.

        Returns:
            An ``int32`` array (h, w, 8, 8).
        """
        table = self.qtables[component].astype(np.int32)
        return self.components[component].astype(np.int32) * table

    def checked(self) -> npt.NDArray[np.int16]:
        """Return the components, one after the other, as a new array that a file can hold.

        Huffman coding of 8-bit images holds AC coefficients within ±1023 and DC
        coefficients within −1024...1023 (ITU-T T.81, F.1.2).

        Raises:
            ValueError: A file cannot hold these coefficients, size or sampling.
        """
        if self.color_space not in _COMPONENTS:
            raise ValueError(f"color_space must be one of {', '.join(_COMPONENTS)}")
        count = _COMPONENTS[self.color_space]
        if len(self.components) != count or len(self.sampling) != count:
            raise ValueError(f"{self.color_space} has {count} components")
        width, height = operator.index(self.width), operator.index(self.height)
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise ValueError(f"width and height must be in 1...{MAX_SIDE}")
        for horizontal, vertical in self.sampling:
            if not (1 <= horizontal <= 4 and 1 <= vertical <= 4):
                raise ValueError(f"sampling factors must be in 1...4, not {self.sampling}")
        shapes = [(*blocks, 8, 8) for blocks in self._blocks()]
        for index, (array, shape) in enumerate(zip(self.components, shapes, strict=True)):
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
                raise ValueError(f"component {index} must be an array of integers")
            if array.shape != shape:
                raise ValueError(
                    f"component {index} must have the shape {shape}, not {array.shape}"
                )
        sizes = [math.prod(shape) for shape in shapes]
        copy = np.empty(sum(sizes), np.int16)  # which nobody changes after the checks
        parts = np.split(copy, np.cumsum(sizes)[:-1])
        for index, (array, part) in enumerate(zip(self.components, parts, strict=True)):
            _copy(index, array, part.reshape(array.shape))
        return copy

    def _blocks(self) -> list[tuple[int, int]]:
        """Return each component's size in blocks, (high, wide) (ITU-T T.81, A.1.1 and A.2.4)."""
        max_h = max(h for h, _ in self.sampling)
        max_v = max(v for _, v in self.sampling)
        width, height = operator.index(self.width), operator.index(self.height)
        return [
            (-(-height * v // (8 * max_v)), -(-width * h // (8 * max_h))) for h, v in self.sampling
        ]


def _copy(index: int, array: npt.NDArray[Any], copy: npt.NDArray[np.int16]) -> None:
    """Copy a component of any integer type, and check the copy."""
    # Clipped, because out of range must stay out of range in 16 bits
    np.clip(array, np.int16(-2000), np.int16(2000), out=copy, casting="unsafe")
    dc = copy[:, :, 0, 0]
    if dc.min() < -1024 or dc.max() > 1023:
        raise ValueError(f"component {index} has a DC coefficient beyond −1024...1023")
    ac = copy.reshape(*copy.shape[:2], 64)[:, :, 1:]
    if ac.min() < -1023 or ac.max() > 1023:
        raise ValueError(f"component {index} has an AC coefficient beyond ±1023")
