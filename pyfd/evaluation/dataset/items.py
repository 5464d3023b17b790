"""Pictures of torch's data sets: anything with a length and items (image, label)."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyfd._core.pixels import Pixels
from pyfd.evaluation.classes import MOST_NUMBER
from pyfd.evaluation.dataset.found import Found, places

_MODES = ("RGB", "L", "1", "P")


def read(source: Any, name: str, limit: int | None) -> Found:
    """Return the first pictures of a data set.

    Args:
        source: It has a length, and items ``(image, label)``; its attribute ``classes``, or
            that of the data set that it is a ``Subset`` of, has the names of the classes.
        name: What to call it in messages.
        limit: The most items that are read.

    Raises:
        ValueError: An item is no pair of a picture and a label; the message names it.
    """
    try:
        length = operator.index(len(source))
        names = _names(source)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        kind = type(source).__name__
        raise ValueError(
            f"{name} must be a data set with a length and items (image, label), not {kind}: {error}"
        ) from error
    count = length if limit is None else min(limit, length)
    if not count:
        raise ValueError(f"{name} has no items")
    pixels, numbers = [], []
    for place in range(count):
        try:
            image, number = _pair(source[place])
        except (Exception, SystemExit) as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise ValueError(f"{name}, item {place}: {kind}{error}") from error
        pixels.append(image)
        numbers.append(number)
    found, classes = places(numbers, names)
    return Found(
        names=[str(place) for place in range(count)],
        labels=found,
        classes=classes,
        order="the data set's order",
        pixels=lambda _: pixels,
    )


def _names(source: Any) -> list[str] | None:
    """Return the names of a data set's classes; torchvision's ImageNet has tuples of them."""
    for _ in range(9):  # subsets of subsets
        if hasattr(source, "classes") or not hasattr(source, "dataset"):
            break
        source = source.dataset
    classes = getattr(source, "classes", None)
    if not isinstance(classes, list | tuple) or not classes:
        return None
    return [", ".join(map(str, c)) if isinstance(c, list | tuple) else str(c) for c in classes]


def _pair(item: Any) -> tuple[Pixels, int]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise ValueError(f"an item must be a pair (image, label), not {type(item).__name__}")
    image, label = item
    try:
        number = operator.index(label)
    except TypeError:
        kind = type(label).__name__
        raise ValueError(f"a label must be an integer from 0, not {kind}") from None
    if isinstance(label, bool) or not 0 <= number <= MOST_NUMBER:
        raise ValueError(f"a label must be an integer from 0 to {MOST_NUMBER}, not {label!r}")
    return _pixels(image), number


def _pixels(image: Any) -> Pixels:
    """Return an image as H×W×3 ``uint8``: a Pillow image, a tensor C×H×W or an array H×W×C."""
    if isinstance(image, Image.Image):
        if image.mode not in _MODES or image.has_transparency_data:
            raise ValueError(f"Pillow's image must be RGB or gray, not {image.mode}")
        return np.array(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        array, order = image, "H×W×3, H×W×1 or H×W"
        found = array[..., np.newaxis] if array.ndim == 2 else array
        hint = "image.transpose(1, 2, 0)"
    elif hasattr(image, "detach"):
        tensor = image.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.double()  # NumPy has no bfloat16
        array, order = tensor.numpy(), "3×H×W or 1×H×W"
        found = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
        hint = "image.permute(2, 0, 1)"
    else:
        kind = type(image).__name__
        raise ValueError(f"an image must be Pillow's, a tensor or an array, not {kind}")
    if found.ndim != 3 or found.shape[2] not in (1, 3) or 0 in found.shape:
        shape = "×".join(map(str, array.shape))
        turned = f"; {hint} turns it" if _is_turned(found) else ""
        raise ValueError(f"an image must be {order}, not {shape}{turned}")
    levels = _levels(found)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def _is_turned(found: npt.NDArray[Any]) -> bool:
    return found.ndim == 3 and 3 in (found.shape[0], found.shape[1])


def _levels(samples: npt.NDArray[Any]) -> Pixels:
    """Return samples in 0...255 for ``uint8`` or for floats in 0...1."""
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype.kind != "f":
        raise ValueError(f"samples must be uint8 or floats in 0...1, not {samples.dtype}")
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= 1):  # NaN, too
        scaled = low >= 0 and high <= 255
        why = (
            "divide them by 255"
            if scaled
            else "if they are normalized, leave Normalize out of the data set's transform: the "
            "model normalizes, so that attacks act on what a camera gives"
        )
        raise ValueError(f"floats must be in 0...1, not {low:.4g}...{high:.4g}: {why}")
    rounded: Pixels = np.rint(samples.astype(np.float64) * 255).astype(np.uint8)
    return rounded
