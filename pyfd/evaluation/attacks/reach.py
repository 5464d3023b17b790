"""What a perturbation can make of each coefficient, in the codec's own integers.

From the pixels to a quantized coefficient the encoder only adds with fixed weights, and rounds.
So the smallest and the largest coefficient within ±ε come from the samples at their ends, each
by the sign of its weight (`pyfd.certificate` gives the proof; this is the same arithmetic, for
each coefficient and with its result instead of a verdict). Between the two, everything may be
reached; beyond them, nothing is.

Blocks are B×3×8×8 tensors of ``float64``, in which all integers here are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyfd._core.arithmetic import (
    BASIS,
    COLOR_BITS,
    CONSTANT_BITS,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)
from pyfd._core.pixels import WHITE
from pyfd.qtables import QTables

#: The largest coefficient that Huffman codes can hold (ITU-T T.81, F.1.2); DC may also be -1024.
_LARGEST = 1023
#: Blocks that are worked on at a time, which bounds the memory.
SLICE = 4096


class Codec(nn.Module):
    """The encoder from the pixels of blocks to their quantized coefficients.

    Args:
        qtables: The tables; chroma is not subsampled.
    """

    steps: Tensor
    _colors: Tensor
    _offsets: Tensor
    _basis: Tensor
    _lowest: Tensor

    def __init__(self, qtables: QTables) -> None:
        super().__init__()
        lowest = np.full((8, 8), -_LARGEST)
        lowest[0, 0] -= 1
        constants = {
            "steps": np.stack([qtables[i] for i in range(3)]),
            "_colors": np.array(TO_YCC),
            "_offsets": np.array(TO_YCC_OFFSETS)[:, None, None],
            "_basis": BASIS,
            "_lowest": lowest,
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values.astype(np.float64)))

    def scaled(self, levels: Tensor) -> Tensor:
        """Return 8 times the DCT coefficients of blocks, as the codec rounds them."""
        (scaled,) = self._through(levels)
        return scaled

    def quantized(self, levels: Tensor) -> Tensor:
        """Return the coefficients that the encoder stores, in units of their steps."""
        return self.stored(self.scaled(levels))

    def bounds(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest stored coefficients of pixels in low...high."""
        least, most = self._through(low, high)
        return self.stored(least), self.stored(most)

    def _through(self, *ends: Tensor) -> tuple[Tensor, ...]:
        """Return the scaled coefficients of pixels, or of the smallest and the largest ones."""
        ends = _product("ij,bjyx->biyx", self._colors, *ends)
        ends = tuple(torch.floor((x + self._offsets) / 2**COLOR_BITS) - 128 for x in ends)
        ends = _product("ux,biyx->biyu", self._basis, *ends)
        ends = tuple(torch.floor(x / 2 ** (CONSTANT_BITS - PASS1_BITS) + 0.5) for x in ends)
        ends = _product("vy,biyu->bivu", self._basis, *ends)
        return tuple(torch.floor(x / 2 ** (CONSTANT_BITS + PASS1_BITS) + 0.5) for x in ends)

    def stored(self, scaled: Tensor) -> Tensor:
        """Return scaled coefficients divided by their steps, and rounded as the codec does."""
        sizes = torch.floor(scaled.abs() / (8 * self.steps) + 0.5)
        return torch.maximum((sizes * scaled.sign()).clamp(max=_LARGEST), self._lowest)


def _product(equation: str, matrix: Tensor, *ends: Tensor) -> tuple[Tensor, ...]:
    """Multiply by a matrix; of a smallest and a largest value, return the two ends again."""
    if len(ends) == 1:
        return (torch.einsum(equation, matrix, ends[0]),)
    low, high = ends
    more, less = matrix.clamp_min(0), matrix.clamp_max(0)
    return tuple(
        torch.einsum(equation, more, a) + torch.einsum(equation, less, b)
        for a, b in ((low, high), (high, low))
    )


def ends(levels: Tensor, epsilon: int) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest pixels within ±ε, in 0...255."""
    return (levels - epsilon).clamp_min(0), (levels + epsilon).clamp_max(WHITE)


def to_blocks(planes: Tensor) -> Tensor:
    """Return N×3×H×W as B×3×8×8, image by image and row by row, with the edges replicated."""
    height, width = planes.shape[2:]
    padded = nn.functional.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate")
    cut = padded.unfold(2, 8, 8).unfold(3, 8, 8)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def to_planes(blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return B×3×8×8 as N×3×H×W of a shape, without what was replicated."""
    count, channels, height, width = shape
    high, wide = -(-height // 8), -(-width // 8)
    planes = blocks.reshape(count, high, wide, channels, 8, 8).permute(0, 3, 1, 4, 2, 5)
    return planes.flatten(4).flatten(2, 3)[..., :height, :width]


class Room(NamedTuple):
    """How far the coefficients of an image can move within ±ε."""

    down: Tensor
    """By how many steps each can fall: B×3×8×8, 0 or less."""
    up: Tensor
    """By how many steps each can rise: B×3×8×8, 0 or more."""

    @property
    def blocks(self) -> Tensor:
        """Whether each of the B blocks can change at all."""
        return (self.up != self.down).flatten(1).any(1)


def room(codec: Codec, levels: Tensor, epsilon: int) -> Room:
    """Return how far the stored coefficients of N×3×H×W levels can move within ±ε.

    What lies beyond is impossible for every perturbation. Both ends are reached by some
    perturbation, except where the encoder pads: there they are outer bounds.
    """
    found = []
    for blocks in torch.split(to_blocks(levels), SLICE):
        wide = blocks.double()
        stored = codec.quantized(wide)
        found.append([x - stored for x in codec.bounds(*ends(wide, epsilon))])
    return Room(*(torch.cat(parts).float() for parts in zip(*found, strict=True)))
