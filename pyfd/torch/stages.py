"""The codec's stages in tensor operations: color, chroma subsampling, blocks, quantizer.

The stages work on floats that hold integers, and round as libjpeg rounds, so that their
pixels are the codec's. With another `Arithmetic` they are differentiable instead.

128 is subtracted from Y, Cb and Cr throughout, as the DCT expects. The numbers of color
and chroma stay below 2²⁴, which float32 holds exactly; those of the DCT do not. No
float32 enters a matrix product, because autocast or TF32 may make torch compute it with
fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pyfd._core.arithmetic import (
    COLOR_BITS,
    CONSTANT_BITS,
    DCT,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)

#: The weights of R, G and B, and the offset, for each of Y, Cb and Cr, less 128.
_TO_YCC = [
    (*(weight / 2**COLOR_BITS for weight in weights), offset / 2**COLOR_BITS - 128)
    for weights, offset in zip(TO_YCC, TO_YCC_OFFSETS, strict=True)
]

#: libjpeg's conversion back, in 16-bit fixed point (ITU-T T.871, 7).
_CR_TO_R, _CB_TO_G, _CR_TO_G, _CB_TO_B = (n / 2**16 for n in (91881, -22554, -46802, 116130))

#: The largest width of chroma that is repeated instead of interpolated.
_NARROW = 2

#: The largest coefficient that Huffman codes can hold (ITU-T T.81, F.1.2); DC may also be -1024.
_LARGEST = 1023


# ---- arithmetic ---------------------------------------------------------------


class Arithmetic(NamedTuple):
    """The roundings of a pass through the codec. They may overwrite their operands."""

    floor: Callable[[Tensor], Tensor]
    round: Callable[[Tensor], Tensor]
    clamp: Callable[[Tensor, Any, Any], Tensor]
    quantize: Callable[[Tensor], Tensor] | None
    """The rounding of coefficients in units of their step; None leaves out the transform."""


def _half_up(values: Tensor) -> Tensor:
    return values.add_(0.5).floor_()


def _nearest(sizes: Tensor) -> Tensor:
    """Round half away from zero.

    The factor moves halves away from zero, so that they are no longer ties. All other
    sizes are at least 1/(8·step) from a half, and it does not move them that far.
    """
    return sizes.mul_(1 + 2**-40).round_()


def _softly_nearest(sizes: Tensor) -> Tensor:
    nearest = sizes.detach().round()
    return nearest + (sizes - nearest) ** 3


def _straight_nearest(sizes: Tensor) -> Tensor:
    """Round; the slope is 1, so that of c = x/Q times Q, by Q, is round(c) - c (Esser et al.)."""
    return sizes + (sizes.round() - sizes).detach()


def _middle(values: Tensor) -> Tensor:
    """Subtract the mean of what floor discards, so that rounding becomes the identity."""
    return values - 0.5


def _unchanged(values: Tensor, *_: object) -> Tensor:
    return values


#: The codec's own roundings.
EXACT = Arithmetic(torch.floor_, _half_up, torch.clamp_, _nearest)
#: Roundings whose slope at c is 3·(c - round(c))² in the quantizer, and 1 elsewhere.
SOFT = Arithmetic(_middle, _unchanged, _unchanged, _softly_nearest)
#: Roundings whose slope is 1, with a quantizer that has a slope by its steps, too.
LEARNED = Arithmetic(_middle, _unchanged, _unchanged, _straight_nearest)
#: No rounding at all, and no quantizer.
STRAIGHT = Arithmetic(_middle, _unchanged, _unchanged, None)


# ---- the whole codec ------------------------------------------------------------


def through_ycc(
    levels: Tensor, steps: Tensor, basis: Tensor, factors: tuple[int, int], arithmetic: Arithmetic
) -> Tensor:
    """Pass N×3×H×W levels, 0...255, through the codec with the integer DCT.

    Args:
        levels: R, G and B.
        steps: The tables, 3×8×8.
        basis: libjpeg's integer DCT, 8×8.
        factors: The pixels per chroma sample, horizontally and vertically.
        arithmetic: The roundings.
    """
    luma, chroma = _to_ycc(levels, arithmetic)
    luma = _in_blocks(luma, steps[:1], basis, arithmetic)
    if factors == (1, 1):
        chroma = _in_blocks(chroma, steps[1:], basis, arithmetic)
    else:
        height, width = levels.shape[2:]
        chroma = _downsampled(chroma, factors, arithmetic)
        chroma = _in_blocks(chroma, steps[1:], basis, arithmetic)
        chroma = chroma[..., : -(-width // factors[0])]  # drops the encoder's padding
        chroma = _upsampled(chroma, factors, arithmetic)[..., :height, :width]
    return _to_rgb(luma, chroma, arithmetic)


def through_rgb(levels: Tensor, steps: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Quantize N×3×H×W planes, 0...255, with the DCT in real numbers and no level shift.

    Args:
        levels: R, G and B.
        steps: The tables, 3×8×8.
        arithmetic: The roundings.
    """
    return _in_blocks(levels, steps, None, arithmetic).clamp(0, 255)


# ---- color and chroma -----------------------------------------------------------


def _to_ycc(levels: Tensor, arithmetic: Arithmetic) -> tuple[Tensor, Tensor]:
    """Return luma, N×1×H×W, and chroma, N×2×H×W."""
    red, green, blue = levels.unbind(1)
    luma, *chroma = (
        (red * r).add_(green, alpha=g).add_(blue, alpha=b).add_(offset)
        for r, g, b, offset in _TO_YCC
    )
    return arithmetic.floor(luma)[:, None], arithmetic.floor(torch.stack(chroma, 1))


def _to_rgb(luma: Tensor, chroma: Tensor, arithmetic: Arithmetic) -> Tensor:
    blue, red = chroma.unbind(1)
    moves = red * _CR_TO_R, (blue * _CB_TO_G).add_(red, alpha=_CR_TO_G), blue * _CB_TO_B
    planes = arithmetic.round(torch.stack(moves, 1)).add_(luma + 128)
    return arithmetic.clamp(planes, 0, 255)


def _downsampled(planes: Tensor, factors: tuple[int, int], arithmetic: Arithmetic) -> Tensor:
    """Average neighbors; libjpeg pads the width to whole blocks before that, the height after."""
    across, down = factors
    sums = _padded(planes, down, 8 * across)
    for axis in (2,) * (down - 1) + (3,) * (across - 1):
        even, odd = _split(sums, axis, 2).unbind(axis + 1)
        sums = even + odd
    bias = torch.full((sums.shape[3],), across * down / 2, dtype=sums.dtype, device=sums.device)
    if across > 1:  # the bias alternates between columns, so that halves do not drift
        bias[0::2] -= 1
    return arithmetic.floor((sums + bias).div_(across * down))


def _upsampled(planes: Tensor, factors: tuple[int, int], arithmetic: Arithmetic) -> Tensor:
    """Interpolate with a triangle filter: 3/4 of the nearer sample and 1/4 of the other."""
    across, down = factors
    if across > 1 and planes.shape[3] <= _NARROW:
        return planes.repeat_interleave(across, 3).repeat_interleave(down, 2)
    if down > 1:
        planes = torch.stack(_weighted(planes, 2), 3).flatten(2, 3)
    if across > 1:
        planes = torch.stack(_weighted(planes, 3), 4).flatten(3, 4)
    # The two halves of a sample have different biases, so that they do not drift
    bias = _constant((8, 7) if across == down else (1, 2), planes)
    bias = bias if across > 1 else bias[:, None]
    repeats = planes.shape[3 if across > 1 else 2] // 2
    bias = bias.repeat(repeats, *(1,) * (bias.dim() - 1))
    return arithmetic.floor((planes + bias).div_(4 ** (across + down - 2)))


def _weighted(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return 3·sample plus the previous, and plus the next sample; edges are replicated."""
    size = planes.shape[axis]
    first, but_first = torch.split(planes, [1, size - 1], axis)
    but_last, last = torch.split(planes, [size - 1, 1], axis)
    most = 3 * planes
    return most + torch.cat([first, but_last], axis), most + torch.cat([but_first, last], axis)


# ---- blocks -------------------------------------------------------------------


def _in_blocks(
    planes: Tensor, steps: Tensor, basis: Tensor | None, arithmetic: Arithmetic
) -> Tensor:
    """Quantize N×C×H×W planes block by block with C×8×8 steps.

    With libjpeg's integer `basis`, the DCT is libjpeg's; without it, that in real numbers.
    """
    if arithmetic.quantize is None:
        return planes
    height, width = planes.shape[2:]
    # Rows and columns of a block come first, so that a pass is one product, 8×8 by 8×many
    places = _split(_split(_padded(planes, 8, 8), 3, 8), 2, 8).permute(3, 5, 0, 1, 2, 4)
    blocks = places.to(torch.float64, memory_format=torch.contiguous_format)
    grid = steps.double().permute(1, 2, 0)[:, :, None, :, None, None]
    if basis is None:
        blocks = _real_dct(blocks, grid, arithmetic.quantize)
    else:
        blocks = _integer_dct(blocks, grid, basis.double(), arithmetic)
    restored = blocks.to(planes.dtype).permute(2, 3, 4, 0, 5, 1).flatten(4).flatten(2, 3)
    return restored[..., :height, :width]


def _integer_dct(blocks: Tensor, grid: Tensor, basis: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Apply the accurate integer DCT, the quantizer and the inverse; each pass rounds half up."""
    assert arithmetic.quantize is not None
    first = basis / 2 ** (CONSTANT_BITS - PASS1_BITS)
    second = basis / 2 ** (CONSTANT_BITS + PASS1_BITS + 3)
    passed = arithmetic.round(_by_rows(blocks, first))
    scaled = arithmetic.round(_by_columns(passed, 8 * second))
    sizes = scaled.div_(8 * grid)
    coefficients = arithmetic.clamp(arithmetic.quantize(sizes), *_codable(sizes)).mul_(grid)
    passed = arithmetic.round(_by_columns(coefficients, first.T))
    passed = arithmetic.clamp(passed, -32768, 32767)  # as SIMD saturates; C would wrap
    return arithmetic.clamp(arithmetic.round(_by_rows(passed, second.T)), -128, 127)


def _codable(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bounds at which the codec's quantizer saturates."""
    highest = sizes.new_full((8, 8, 1, 1, 1, 1), _LARGEST)
    lowest = -highest
    lowest[0, 0] -= 1
    return lowest, highest


def _real_dct(blocks: Tensor, grid: Tensor, quantize: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply the orthonormal DCT (ITU-T T.81, A.3.3), the quantizer and the inverse."""
    basis = _constant(DCT, blocks)
    coefficients = quantize(_by_columns(_by_rows(blocks, basis), basis).div_(grid)).mul_(grid)
    return _by_rows(_by_columns(coefficients, basis.T), basis.T)


def _by_rows(blocks: Tensor, matrix: Tensor) -> Tensor:
    """Multiply a matrix by each row as a column vector."""
    return (matrix @ blocks.flatten(2)).view_as(blocks)


def _by_columns(blocks: Tensor, matrix: Tensor) -> Tensor:
    """Multiply a matrix by each column."""
    return (matrix @ blocks.flatten(1)).view_as(blocks)


def _split(planes: Tensor, axis: int, size: int) -> Tensor:
    """Split an axis into two: groups, and the positions within a group."""
    shape = planes.shape
    return planes.reshape(*shape[:axis], -1, size, *shape[axis + 1 :])


def _padded(planes: Tensor, down: int, across: int) -> Tensor:
    """Replicate the last row and column until height and width are multiples."""
    height, width = planes.shape[2:]
    margins = (0, -width % across, 0, -height % down)
    return functional.pad(planes, margins, mode="replicate") if any(margins) else planes


def _constant(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
