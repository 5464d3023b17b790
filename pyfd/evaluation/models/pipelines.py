"""Differentiable copies of other libraries' preprocessing, found by looking at what it does.

A pipeline turns a picture into a network's input: it resizes, crops, rescales and normalizes.
Its configuration has many spellings, so it is asked: black, white and red pictures give the
normalization, and a drawn picture tells which resize and crop it is. A pipeline that does
anything else is refused, because the copy would be another model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from pyfd.evaluation.models.classifier import Classifier, Resize

#: From a picture to the network's input, 3×H×W.
Pipeline: TypeAlias = Callable[[Image.Image], npt.NDArray[np.floating[Any]]]

_SHAPE = (307, 402)  # of the pictures, in pixels
_TOLERANCE = 2  # levels: pipelines that resize bytes round twice


def copy(
    network: nn.Module,
    pipeline: Pipeline,
    sides: Iterable[float],
    *,
    rounded: bool,
    class_names: Iterable[str] | None,
) -> Classifier:
    """Return a network behind a differentiable copy of its pipeline.

    Args:
        network: What the pipeline's results are for.
        pipeline: From a Pillow picture in RGB to 3×H×W floats.
        sides: The lengths that the pipeline may resize pictures to.
        rounded: As in `Resize`.
        class_names: The names of the network's classes.

    Raises:
        ValueError: The pipeline does something that has no copy, such as padding.
    """
    names = None if class_names is None else tuple(class_names)
    normalization = _normalization(pipeline)
    picture = _drawn()
    expected = np.asarray(pipeline(picture))
    size = _input_size(expected)
    if size is None:
        return Classifier(network, None, **normalization, class_names=names)
    plain = Classifier(nn.Identity(), size, **normalization)
    batch = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[np.newaxis].float() / 255
    scale = plain.scale.numpy()
    best, difference = None, np.inf
    for resize in _resizes(sides, size, rounded):
        plain.resize = resize
        seen = plain.normalized(batch)[0].numpy()
        found = float(np.abs((seen - expected) * scale).max())
        if found < difference:
            best, difference = resize, found
    if best is None or difference > _TOLERANCE:
        raise ValueError(
            "its preprocessing is none that pyfd has a differentiable copy of: a resize "
            "(nearest, bilinear or bicubic), a central crop without padding, and a normalization"
            f" (the nearest differs by {difference:.1f} levels). Write a function that returns the "
            "network with a preprocessing of your own, and give module:function"
        )
    return Classifier(network, size, **normalization, resize=best, class_names=names)


def _resizes(sides: Iterable[float], size: int, rounded: bool) -> Iterable[Resize]:
    lengths = sorted({int(side) for side in sides if side >= size} | {size})
    for side, squashed in itertools.product(lengths, (False, True)):
        yield Resize(side, squashed, "bicubic", rounded)
        yield Resize(side, squashed, "bilinear", rounded)
        yield Resize(side, squashed, "nearest", rounded)


def _normalization(pipeline: Pipeline) -> dict[str, Any]:
    """Return the mean, the scale and the order of the channels, of a linear pipeline."""
    black, white, gray, red = (
        _constant(pipeline, color) for color in ((0,) * 3, (255,) * 3, (102,) * 3, (255, 0, 0))
    )
    scale = 255 / (white - black)
    mean = 0 - black * scale
    levels = red * scale + mean
    bgr = bool(levels[2] > levels[0])
    straight = np.abs(gray * scale + mean - 102).max() < 0.5
    apart = np.abs(levels - (np.array([0, 0, 255]) if bgr else np.array([255, 0, 0]))).max() < 0.5
    if not (straight and apart):
        raise ValueError("its preprocessing does more to colors than a mean and a divisor")
    return {"mean": mean.tolist(), "scale": scale.tolist(), "bgr": bgr}


def _constant(pipeline: Pipeline, color: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the three values that a picture of one color becomes."""
    found = np.asarray(pipeline(Image.new("RGB", _SHAPE[::-1], color)), np.float64)
    if found.ndim != 3 or len(found) != 3:
        raise ValueError(f"its preprocessing gives {found.shape}, and not 3×H×W")
    values: npt.NDArray[np.float64] = found.mean((1, 2))
    if np.ptp(found, axis=(1, 2)).max() > 1e-3 * max(1, np.abs(values).max()):
        raise ValueError("its preprocessing pads pictures, which pyfd has no copy of")
    return values


def _input_size(found: npt.NDArray[Any]) -> int | None:
    height, width = found.shape[1:]
    if (height, width) == _SHAPE:
        return None
    if height != width:
        raise ValueError(f"its input is {height}×{width}; pyfd knows square ones only")
    return int(height)


def _drawn() -> Image.Image:
    """Return a picture in which a shift of half a pixel is seen, and another filter too.

    It is never so bright or dark that a filter's overshoot is clipped.
    """
    random = np.random.default_rng(0)
    coarse = random.integers(48, 208, (_SHAPE[0] // 12, _SHAPE[1] // 12, 3), np.uint8)
    return Image.fromarray(coarse).resize(_SHAPE[::-1], Image.Resampling.BICUBIC)
