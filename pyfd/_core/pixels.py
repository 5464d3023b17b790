"""Pixels: their type, and the checks of images and of strengths that a caller passes."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.binding import MAX_SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

#: An image: H×W×C or, for grayscale, H×W, with 8 bits per sample.
Pixels: TypeAlias = npt.NDArray[np.uint8]

#: The largest sample, and the strongest perturbation.
WHITE = 255


def pixels_of(image: npt.ArrayLike | Image) -> Pixels:
    """Return a caller's image as a C-contiguous array, H×W×3 or H×W.

    Raises:
        TypeError: The image is a file or a path.
        ValueError: The image has another shape, dtype or mode.
    """
    array = image if isinstance(image, np.ndarray) else _array_of(image)
    if array.dtype != np.uint8:
        raise ValueError(
            f"pixels must be uint8 in 0...255, not {array.dtype}: "
            "scale, round and clip, then .astype('uint8')"
        )
    shape = array.shape
    if len(shape) != 2 and shape[2:] != (3,):
        hint = ": drop the alpha channel with image[:, :, :3]" if shape[2:] == (4,) else ""
        raise ValueError(f"pixels must be H×W×3 or H×W, not {shape}{hint}")
    if not (1 <= shape[0] <= MAX_SIDE and 1 <= shape[1] <= MAX_SIDE):
        raise ValueError(f"sides must be in 1...{MAX_SIDE}, not {shape[:2]}")
    return np.ascontiguousarray(array)


def whole_levels(value: int, name: str = "epsilon") -> int:
    """Return a strength that a caller passes: a whole number of 8-bit levels.

    Raises:
        TypeError: The value is not an integer.
        ValueError: It is not in 0...255.
    """
    try:
        levels = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number of 8-bit levels, not {value!r}") from None
    if not 0 <= levels <= WHITE:
        raise ValueError(f"{name} is in 8-bit levels, 0...{WHITE}, not {levels}")
    return levels


def _array_of(image: npt.ArrayLike | Image) -> npt.NDArray[Any]:
    mode = getattr(image, "mode", None)
    if isinstance(mode, str) and mode not in ("RGB", "L"):
        raise ValueError(
            f'a PIL image must have mode "RGB" or "L": use image.convert("RGB") ({mode})'
        )
    if isinstance(image, str | bytes | os.PathLike):
        raise TypeError("encode takes pixels (an array or a PIL image), not a file")
    return np.asarray(image)
