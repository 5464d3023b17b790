"""The codec's stages in tensor operations: color, chroma subsampling, blocks, quantizer.

With `EXACT` arithmetic the stages work on ``int32`` and round as libjpeg rounds, so that
their pixels are the codec's. With another `Arithmetic` they work on floats and are
differentiable.

What is exact uses neither ``float64``, which MPS lacks, nor matrix products: most devices
have none of integers, and TF32 or autocast may compute those of floats with fewer bits.
``int32`` holds every number. Levels less 128 have a size of up to 2⁷, so that a block has a
Euclidean norm of up to 2¹⁰; libjpeg's basis is 2¹³·√8 times an orthonormal matrix, but for
one part in 10⁴, and the absolute values of a row of it add up to 2¹⁶ at most. Therefore:

- Color and chroma: the weights of 16 bits add up to less than 2, so sums stay below 2²⁵.
- Forward DCT: the first pass stays within 2⁷·2¹⁶ = 2²³, and its result within 2¹²; the second
  within 2¹²·2¹⁶ = 2²⁸. Its result is 8·c, where c is an orthonormal coefficient.
- Quantizer: where it does not round to 0, it at most doubles a coefficient. So the norm of
  a block is 2·(2¹⁰ + 2) < 2¹² afterwards; the 2 is for the roundings before.
- Inverse DCT: a row's norm is 2¹³·√8. By the Cauchy-Schwarz inequality the first pass stays
  within 2¹²·2¹³·√8 < 2²⁷. Its result has a norm of up to 2·(2¹⁰ + 2)·4·√8 < 2¹⁵, so that
  SIMD, which saturates at 16 bits, does not. The second stays within 2¹⁵·2¹³·√8 < 2³⁰.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyfd._core.arithmetic import (
    COLOR_BITS,
    CONSTANT_BITS,
    DCT,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)

#: The offsets of Y, Cb and Cr, without the middle level of chroma.
_TO_YCC_BIASES = [offset % (1 << COLOR_BITS) for offset in TO_YCC_OFFSETS]

#: libjpeg's conversion to R, G and B (ITU-T T.871, 7), with `COLOR_BITS` fraction bits.
_CR_TO_R, _CB_TO_G, _CR_TO_G, _CB_TO_B = 91881, -22554, -46802, 116130

#: The level that is subtracted from Y, Cb and Cr throughout, as the DCT expects.
_MIDDLE = 128

#: The largest width of chroma that is repeated instead of interpolated.
_NARROW = 2

#: The largest coefficient that Huffman codes can hold (ITU-T T.81, F.1.2); DC may also be -1024.
_LARGEST = 1023

#: The factor that moves halves away from zero, as the codec rounds, before `torch.round`.
#: The quantizer rounds n / (8·step), where the integer n is below 2¹⁴ in size. What is not
#: half an odd integer differs from the next one by 1/(8·step) at least, which is 1/n of it,
#: and so is not moved past it by 2⁻¹⁸ of its size, nor by a few roundings of ``float32``, each
#: 2⁻²⁴ of it.
_AWAY = 1 + 2**-18

#: The same for the DCT in real numbers, in ``float64``: more than its errors.
_REAL_AWAY = 1 + 2**-40


# ---- arithmetic ---------------------------------------------------------------


class Arithmetic(NamedTuple):
    """The roundings of a pass through the codec. They may overwrite their operands."""

    shift: Callable[[Tensor, int, Any], Tensor]
    """Add a bias, divide by 2^bits, and round down."""
    clamp: Callable[[Tensor, Any, Any], Tensor]
    quantize: Callable[[Tensor], Tensor] | None
    """The rounding of coefficients in units of their step; None leaves out the transform."""


def _shift(values: Tensor, bits: int, bias: Tensor | int) -> Tensor:
    return torch.bitwise_right_shift(values.add_(bias), bits)


def _divide(values: Tensor, bits: int, _: object) -> Tensor:
    """Divide without the bias, whose only purpose is to make up for rounding down."""
    return values / (1 << bits)


def _unchanged(values: Tensor, *_: object) -> Tensor:
    return values


def _softly_nearest(sizes: Tensor) -> Tensor:
    nearest = sizes.detach().round()
    return nearest + (sizes - nearest) ** 3


def _straight_nearest(sizes: Tensor) -> Tensor:
    """Round; the slope is 1, so that of c = x/Q times Q, by Q, is round(c) - c (Esser et al.)."""
    return sizes + (sizes.round() - sizes).detach()


#: The codec's own roundings.
EXACT = Arithmetic(_shift, torch.clamp_, torch.round_)
#: Roundings whose slope at c is 3·(c - round(c))² in the quantizer, and 1 elsewhere.
SOFT = Arithmetic(_divide, _unchanged, _softly_nearest)
#: Roundings whose slope is 1, with a quantizer that has a slope by its steps, too.
LEARNED = Arithmetic(_divide, _unchanged, _straight_nearest)
#: No rounding at all, and no quantizer.
STRAIGHT = Arithmetic(_divide, _unchanged, None)


# ---- the whole codec ------------------------------------------------------------


def by_integer_dct(
    levels: Tensor, steps: Tensor, basis: Tensor, factors: tuple[int, int], arithmetic: Arithmetic
) -> Tensor:
    """Pass levels through the codec, with its integer DCT.

    Args:
        levels: R, G and B, N×3×H×W, or gray, N×1×H×W, 0...255: ``int32`` if the arithmetic
            is `EXACT`, else floats.
        steps: The tables, 3×8×8 ``int32``; gray has the first.
        basis: libjpeg's integer DCT, 8×8 ``int32``.
        factors: The pixels per chroma sample, horizontally and vertically.
        arithmetic: The roundings.
    """
    if levels.shape[1] == 1:
        gray = _in_blocks(levels - _MIDDLE, steps[:1], basis, arithmetic)
        return arithmetic.clamp(gray + _MIDDLE, 0, 255)
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


def by_real_dct(levels: Tensor, steps: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Quantize N×C×H×W planes, 0...255, with the DCT in real numbers and no level shift.

    Args:
        levels: One or three planes, in floats.
        steps: The tables, 3×8×8.
        arithmetic: The roundings.
    """
    planes = _in_blocks(levels, steps[: levels.shape[1]], None, arithmetic)
    return planes.clamp(0, 255)


# ---- color and chroma -----------------------------------------------------------


def _to_ycc(levels: Tensor, arithmetic: Arithmetic) -> tuple[Tensor, Tensor]:
    """Return luma, N×1×H×W, and chroma, N×2×H×W."""
    red, green, blue = levels.unbind(1)
    luma, *chroma = (
        arithmetic.shift((red * r).add_(green, alpha=g).add_(blue, alpha=b), COLOR_BITS, bias)
        for (r, g, b), bias in zip(TO_YCC, _TO_YCC_BIASES, strict=True)
    )
    return luma[:, None] - _MIDDLE, torch.stack(chroma, 1)


def _to_rgb(luma: Tensor, chroma: Tensor, arithmetic: Arithmetic) -> Tensor:
    blue, red = chroma.unbind(1)
    moves = red * _CR_TO_R, (blue * _CB_TO_G).add_(red, alpha=_CR_TO_G), blue * _CB_TO_B
    planes = _rounded(torch.stack(moves, 1), COLOR_BITS, arithmetic).add_(luma + _MIDDLE)
    return arithmetic.clamp(planes, 0, 255)


def _downsampled(planes: Tensor, factors: tuple[int, int], arithmetic: Arithmetic) -> Tensor:
    """Average neighbors; libjpeg pads the width to whole blocks before that, the height after."""
    across, down = factors
    sums = _padded(planes, down, 8 * across)
    for axis in (2,) * (down - 1) + (3,) * (across - 1):
        even, odd = _split(sums, axis, 2).unbind(axis + 1)
        sums = even + odd
    half = across * down // 2
    # The bias alternates between columns, so that halves do not drift
    bias = _alternating((half - 1, half), sums, 3) if across > 1 else half
    return arithmetic.shift(sums, across + down - 2, bias)


def _upsampled(planes: Tensor, factors: tuple[int, int], arithmetic: Arithmetic) -> Tensor:
    """Interpolate with a triangle filter: 3/4 of the nearer sample and 1/4 of the other."""
    across, down = factors
    narrow = across > 1 and planes.shape[3] <= _NARROW
    for axis in (2,) * (down - 1) + (3,) * (across - 1):
        halves = (planes, planes) if narrow else _weighted(planes, axis)
        planes = torch.stack(halves, axis + 1).flatten(axis, axis + 1)
    if narrow:
        return planes
    # The two halves of a sample have different biases, so that they do not drift
    biases = (8, 7) if across == down else (1, 2)
    bias = _alternating(biases, planes, 3 if across > 1 else 2)
    return arithmetic.shift(planes, 2 * (across + down - 2), bias)


def _weighted(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return 3·sample plus the previous, and plus the next sample; edges are replicated."""
    size = planes.shape[axis]
    first, but_first = torch.split(planes, [1, size - 1], axis)
    but_last, last = torch.split(planes, [size - 1, 1], axis)
    most = 3 * planes
    return most + torch.cat([first, but_last], axis), most + torch.cat([but_first, last], axis)


def _alternating(pair: tuple[int, int], like: Tensor, axis: int) -> Tensor:
    """Return two values in turn along an axis, for broadcasting."""
    shape = [1] * like.dim()
    shape[axis] = -1
    return _constant(pair, like).repeat(like.shape[axis] // 2).view(shape)


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
    # Rows and columns of a block come first, so that a pass works on contiguous numbers
    places = _split(_split(_padded(planes, 8, 8), 3, 8), 2, 8).permute(3, 5, 0, 1, 2, 4)
    blocks = places.contiguous()
    grid = steps.permute(1, 2, 0)[:, :, None, :, None, None]
    if basis is None:
        blocks = _real_dct(blocks, grid, arithmetic.quantize)
    else:
        blocks = _integer_dct(blocks, grid, basis, arithmetic)
    restored = blocks.permute(2, 3, 4, 0, 5, 1).flatten(4).flatten(2, 3)
    return restored[..., :height, :width]


def _integer_dct(blocks: Tensor, grid: Tensor, basis: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Apply the accurate integer DCT, the quantizer and the inverse; each pass rounds half up."""
    assert arithmetic.quantize is not None
    first, second = CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS
    passed = _rounded(_by_rows(blocks, basis), first, arithmetic)
    scaled = _rounded(_by_columns(passed, basis), second, arithmetic)
    sizes = _in_steps(scaled, grid)
    steps = arithmetic.clamp(arithmetic.quantize(sizes), *_codable(sizes))
    coefficients = steps.to(blocks.dtype) * grid
    passed = _rounded(_by_columns(coefficients, basis.T), first, arithmetic)
    restored = _rounded(_by_rows(passed, basis.T), second + 3, arithmetic)
    return arithmetic.clamp(restored, -_MIDDLE, _MIDDLE - 1)


def _in_steps(scaled: Tensor, grid: Tensor) -> Tensor:
    """Return coefficients, given 8 times as large, in units of their step, in floats."""
    floats = torch.promote_types(scaled.dtype, torch.float32)
    return scaled * (_AWAY / (8 * grid.to(floats)))


def _codable(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bounds at which the codec's quantizer saturates."""
    highest = sizes.new_full((8, 8, 1, 1, 1, 1), _LARGEST)
    lowest = -highest
    lowest[0, 0] -= 1
    return lowest, highest


def _real_dct(blocks: Tensor, grid: Tensor, quantize: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply the orthonormal DCT (ITU-T T.81, A.3.3), the quantizer and the inverse."""
    basis = _constant(DCT, blocks)
    scale = _REAL_AWAY / grid.to(blocks.dtype)
    coefficients = quantize(_by_columns(_by_rows(blocks, basis), basis) * scale) * grid
    return _by_rows(_by_columns(coefficients, basis.T), basis.T)


def _rounded(values: Tensor, bits: int, arithmetic: Arithmetic) -> Tensor:
    """Divide by 2^bits, and round half up."""
    return arithmetic.shift(values, bits, 1 << (bits - 1))


def _by_rows(blocks: Tensor, matrix: Tensor) -> Tensor:
    """Multiply a matrix by each row as a column vector."""
    return _product(matrix, blocks.flatten(2), 1).view_as(blocks)


def _by_columns(blocks: Tensor, matrix: Tensor) -> Tensor:
    """Multiply a matrix by each column."""
    return _product(matrix, blocks.flatten(1), 0).view_as(blocks)


def _product(matrix: Tensor, vectors: Tensor, axis: int) -> Tensor:
    """Multiply a matrix by the vectors that lie along an axis, without a product of torch's."""
    columns = matrix.to(vectors.dtype)[..., None].unbind(1)
    first, *others = torch.split(vectors, 1, axis)
    product: Tensor = columns[0] * first
    for column, numbers in zip(columns[1:], others, strict=True):
        product.addcmul_(column, numbers)
    return product


def _split(planes: Tensor, axis: int, size: int) -> Tensor:
    """Split an axis into two: groups, and the positions within a group."""
    shape = planes.shape
    return planes.reshape(*shape[:axis], -1, size, *shape[axis + 1 :])


def _padded(planes: Tensor, down: int, across: int) -> Tensor:
    """Replicate the last row and column until height and width are multiples."""
    for axis, multiple in ((2, down), (3, across)):
        size = planes.shape[axis]
        margin = -size % multiple
        if margin:
            last = planes.narrow(axis, size - 1, 1)
            planes = torch.cat([planes, *[last] * margin], axis)
    return planes


def _constant(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
