"""Pixels: their type, and the checks of images and of strengths that a caller passes."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from pyfd._core.binding import MAX_SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

#: An image: H×W×C or, for grayscale, H×W, with 8 bits per sample.
Pixels: TypeAlias = npt.NDArray[np.uint8]

#: The color of pixels that are encoded.
PixelMode: TypeAlias = Literal["RGB", "BGR", "L", "YCbCr"]
PIXEL_MODES = ("RGB", "BGR", "L", "YCbCr")

#: The order of an image's axes: H×W×C or C×H×W.
Layout: TypeAlias = Literal["HWC", "CHW"]
LAYOUTS = ("HWC", "CHW")

#: The largest sample, and the strongest perturbation.
WHITE = 255

_UINT8 = np.dtype(np.uint8)

# The channels that an image may be thought to have
_CHANNELS = (1, 3, 4)

# The shapes of color images and of gray ones
_COLOR = {"HWC": ("H×W×3",), "CHW": ("3×H×W",)}
_GRAY = {"HWC": ("H×W",), "CHW": ("1×H×W", "H×W")}


def check_layout(layout: object) -> None:
    """Refuse what is not the name of a layout."""
    if not (isinstance(layout, str) and layout in LAYOUTS):
        raise ValueError(f'layout must be "HWC" or "CHW", not {layout!r}')


def check_pixel_mode(mode: object) -> None:
    """Refuse what is neither the name of a color of pixels nor None."""
    if mode is not None and not (isinstance(mode, str) and mode in PIXEL_MODES):
        raise ValueError(f"mode must be one of {', '.join(PIXEL_MODES)} or None, not {mode!r}")


def pixels_of(image: npt.ArrayLike | Image) -> Pixels:
    """Return a caller's image, RGB or gray, as a C-contiguous array, H×W×3 or H×W.

    Raises:
        TypeError: The image is a file or a path.
        ValueError: The image has another shape, dtype or mode.
    """
    return np.ascontiguousarray(view_of(image))


def view_of(
    image: npt.ArrayLike | Image, mode: PixelMode | None = None, layout: Layout = "HWC"
) -> Pixels:
    """Return a caller's image as an array H×W×3 or H×W, with any strides.

    An array, or a tensor in the CPU's memory, is not copied.

    Args:
        image: An array, a tensor or a PIL image.
        mode: Its color; None for RGB or gray.
        layout: The order of its axes.

    Raises:
        TypeError: The image is a file or a path, or cannot be an array.
        ValueError: The image has another shape, dtype, color or order of axes.
    """
    array = image if isinstance(image, np.ndarray) else _array_of(image, mode, layout)
    if array.dtype != _UINT8:
        raise _wrong_dtype(str(array.dtype), ".astype('uint8')")
    shape = array.shape
    is_color = len(shape) == 3 and shape[2 if layout == "HWC" else 0] == 3
    is_gray = len(shape) == 2 or (len(shape) == 3 and layout == "CHW" and shape[0] == 1)
    if not (is_gray and mode in (None, "L")) and not (is_color and mode != "L"):
        raise _wrong_shape(shape, mode, layout)
    if len(shape) == 3 and layout == "CHW":
        array = array.transpose(1, 2, 0) if is_color else array[0]
    height, width = array.shape[:2]
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"sides must be in 1...{MAX_SIDE}, not {(height, width)}")
    return array


def is_pil_image(image: object) -> TypeGuard[Image]:
    """Return whether this is an image of Pillow's, which need not be installed."""
    if isinstance(image, np.ndarray) or hasattr(image, "read"):  # np.memmap has a mode, too
        return False
    return isinstance(getattr(image, "mode", None), str)


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


def _wrong_dtype(dtype: str, cast: str) -> ValueError:
    return ValueError(
        f"pixels must be uint8 in 0...255, not {dtype}: scale, round and clip, then {cast}"
    )


def _wrong_shape(shape: tuple[int, ...], mode: PixelMode | None, layout: Layout) -> ValueError:
    shapes = [*(() if mode == "L" else _COLOR[layout])]
    shapes += _GRAY[layout] if mode in (None, "L") else ()
    *others, last = shapes
    kinds = f"{', '.join(others)} or {last}" if others else last
    start = f"pixels of mode {mode}" if mode else "pixels"
    return ValueError(f"{start} must be {kinds}, not {shape}{_hint(shape, layout)}")


def _hint(shape: tuple[int, ...], layout: Layout) -> str:
    if len(shape) != 3:
        return ""
    ours, theirs = (shape[2], shape[0]) if layout == "HWC" else (shape[0], shape[2])
    other = "CHW" if layout == "HWC" else "HWC"
    if ours not in _CHANNELS and theirs in _CHANNELS:
        return f': did you mean layout="{other}"?'
    if ours == 4:
        part = "image[:, :, :3]" if layout == "HWC" else "image[:3]"
        return f": drop the alpha channel with {part}"
    if ours == 1 and layout == "HWC":
        return ": drop the axis of the channels with image[:, :, 0]"
    return ""


def _array_of(
    image: npt.ArrayLike | Image, mode: PixelMode | None, layout: Layout
) -> npt.NDArray[Any]:
    if isinstance(image, str | bytes | os.PathLike) or hasattr(image, "read"):
        raise TypeError("encode takes pixels (an array or a PIL image), not a file")
    if is_pil_image(image):
        _check_pil_image(image.mode, mode, layout)
    return array_of(image)


def array_of(image: npt.ArrayLike | Image) -> npt.NDArray[Any]:
    """Return an array of what is none yet, without a copy if it has memory that numpy can use.

    Raises:
        TypeError: It cannot be an array.
        ValueError: It is a tensor of another dtype, that requires grad, or on another device.
    """
    if str(getattr(image, "dtype", "")).startswith("torch."):
        _check_tensor(image)
    try:
        return np.asarray(image)
    except (TypeError, RuntimeError) as error:  # of libraries with memory of their own
        raise TypeError(f"no pixels can be read from {type(image).__name__}: {error}") from error


def _check_pil_image(own: str, mode: PixelMode | None, layout: Layout) -> None:
    if own == "YCbCr" and mode is None:
        raise ValueError(
            'a PIL image must have mode "RGB" or "L": use image.convert("RGB"), or say mode="YCbCr"'
        )
    if own not in ("RGB", "L", "YCbCr"):
        raise ValueError(
            f'a PIL image must have mode "RGB" or "L": use image.convert("RGB") ({own})'
        )
    if mode not in (None, own):
        raise ValueError(f'the PIL image has mode "{own}", not "{mode}": leave mode out')
    if layout != "HWC":
        raise ValueError(f'a PIL image has no layout "{layout}": leave layout out')


def _check_tensor(image: Any) -> None:
    """Refuse tensors of torch for which numpy's messages would not help."""
    dtype = str(image.dtype).removeprefix("torch.")
    if image.requires_grad:
        raise _wrong_dtype(f"{dtype} that requires grad", ".detach().to(torch.uint8)")
    if dtype != "uint8":
        raise _wrong_dtype(dtype, ".to(torch.uint8)")
    if image.device.type != "cpu":
        raise ValueError(f"the tensor is on {image.device}, and pyfd runs on the CPU: use .cpu()")
