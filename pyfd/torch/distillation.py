"""The codec's differentiable twin."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pyfd._core.arithmetic import (
    BASIS,
    COLOR_BITS,
    CONSTANT_BITS,
    DCT,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)
from pyfd.codec import Subsampling
from pyfd.qtables import ENCODER_STEP, QTables, QTablesLike, as_qtables, steps_within
from pyfd.torch.decoding import through_codec

Color: TypeAlias = Literal["ycbcr", "rgb"]
Gradient: TypeAlias = Literal["straight-through", "soft", "none"]

#: By how much chroma is finer horizontally and vertically.
_FACTORS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}

#: Weights of R, G and B, and what is added: Y, Cb and Cr less 128.
_TO_YCC = [
    (*(weight / 2**COLOR_BITS for weight in weights), offset / 2**COLOR_BITS - 128)
    for weights, offset in zip(TO_YCC, TO_YCC_OFFSETS, strict=True)
]

#: libjpeg's conversion back, in 16-bit fixed point (ITU-T T.871, 7).
_CR_TO_R, _CB_TO_G, _CR_TO_G, _CB_TO_B = (n / 2**16 for n in (91881, -22554, -46802, 116130))

#: Chroma up to this width is repeated, not interpolated.
_NARROW = 2

#: The largest coefficient that Huffman codes can hold (ITU-T T.81, F.1.2); DC has -1024 too.
_LARGEST = 1023


class FeatureDistillation(nn.Module):
    """Images through an encoder and a decoder with defensive tables, as tensors.

    With ``color="ycbcr"``, for images of 8-bit levels (x = level / 255), the result
    is ``pyfd.decode(pyfd.encode(image, qtables), qtables)``, pixel for pixel. Other
    values are rounded to levels first. On a CPU the codec itself does the work, in
    ``torch.get_num_threads()`` threads; on other devices, and in what
    ``torch.export`` writes, tensor operations with its integer arithmetic do. With
    ``color="rgb"`` it is the paper's reference code without its bugs: tables act on
    R, G and B in 0...255, without level shift and without rounding to 8 bits.

    Forward takes N×3×H×W floats in [0, 1], and returns the same shape, dtype and
    device; edges are replicated to whole blocks.

    Args:
        qtables: Tables with steps of 1...8191; table i serves component i.
        color: "ycbcr" or "rgb".
        subsampling: Of the chroma: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".
        gradient: What backward does. "straight-through" takes the quantization
            for the identity (BPDA: Athalye et al., 2018); "soft" gives rounding
            the slope 3·(c - round(c))² (Shin and Song, 2017); "none" has none.

    Raises:
        ValueError: In forward, for other shapes, for values outside [0, 1] (not
            checked where tensor operations are compiled); here, for bad options.
        TypeError: In forward, for integer tensors.
    """

    steps: Tensor
    basis: Tensor

    def __init__(
        self,
        qtables: QTablesLike,
        *,
        color: Color = "ycbcr",
        subsampling: Subsampling = "4:4:4",
        gradient: Gradient = "straight-through",
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("color", color, ("ycbcr", "rgb")),
            ("subsampling", subsampling, tuple(_FACTORS)),
            ("gradient", gradient, ("straight-through", "soft", "none")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if color == "rgb" and subsampling != "4:4:4":
            raise ValueError('color="rgb" has no chroma to subsample')
        self.qtables = as_qtables(qtables)
        steps_within(self.qtables, ENCODER_STEP)
        self.color = color
        self.subsampling = subsampling
        self.gradient = gradient
        steps = np.stack([self.qtables[i] for i in range(3)]).astype(np.int32)
        # Integers, which module.half() leaves alone
        self.register_buffer("steps", torch.from_numpy(steps), persistent=False)
        self.register_buffer("basis", torch.from_numpy(BASIS.astype(np.int32)), persistent=False)

    def extra_repr(self) -> str:
        """The options, for ``print(module)``."""
        name = self.qtables.name or "tables"
        return (
            f"{name}, color={self.color}, subsampling={self.subsampling}, gradient={self.gradient}"
        )

    def forward(self, images: Tensor) -> Tensor:
        """Defended images: of the same shape, dtype and device as N×3×H×W `images`."""
        _check(images)
        on_cpu = images.device.type == "cpu"
        with torch.no_grad():
            if on_cpu and self.color == "ycbcr" and not _is_exporting():
                defended: Tensor = _by_codec(images, self.steps, self.subsampling)
            else:
                defended = self._in_tensors(images)
        if self.gradient == "none" or not images.requires_grad:
            return defended
        smooth = self._smooth(images)
        return defended + (smooth - smooth.detach()).to(images.dtype)

    def _in_tensors(self, images: Tensor) -> Tensor:
        """What `_by_codec` gives, bit for bit."""
        if not torch.compiler.is_compiling():  # the check needs the values: a break in the graph
            _check_range(images)
        levels = images.double() * 255 if self.color == "rgb" else _levels(images)
        return _fractions(self._through(levels, _EXACT)).to(images.dtype)

    def _smooth(self, images: Tensor) -> Tensor:
        """What backward differentiates instead."""
        if self.gradient == "straight-through" and self.subsampling == "4:4:4":
            return images
        arithmetic = _SOFT if self.gradient == "soft" else _STRAIGHT
        return self._through(_wide(images) * 255, arithmetic) / 255

    def _through(self, levels: Tensor, arithmetic: _Arithmetic) -> Tensor:
        """The whole codec, from 0...255 to 0...255."""
        if self.color == "rgb":
            return _in_blocks(levels, self.steps, None, arithmetic).clamp(0, 255)
        luma, chroma = _to_ycc(levels, arithmetic)
        luma = _in_blocks(luma, self.steps[:1], self.basis, arithmetic)
        if self.subsampling == "4:4:4":
            chroma = _in_blocks(chroma, self.steps[1:], self.basis, arithmetic)
        else:
            height, width = levels.shape[2:]
            factors = _FACTORS[self.subsampling]
            chroma = _downsampled(chroma, factors, arithmetic)
            chroma = _in_blocks(chroma, self.steps[1:], self.basis, arithmetic)
            chroma = chroma[..., : -(-width // factors[0])]  # the encoder's padding ends here
            chroma = _upsampled(chroma, factors, arithmetic)[..., :height, :width]
        return _to_rgb(luma, chroma, arithmetic)


def _check(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, not {type(images).__name__}")
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be N×3×H×W, not {'×'.join(map(str, images.shape))}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floats in [0, 1], not {images.dtype}: divide by 255")
    if not images.numel():
        raise ValueError("images must not be empty")


def _check_range(images: Tensor) -> None:
    low, high = (float(value) for value in images.detach().aminmax())
    # What an attack's own rounding puts beyond 0 and 1 still rounds to a level
    if not (low > -0.5 / 255 and high < 255.5 / 255):
        raise ValueError(f"images must lie in [0, 1], not in [{low:g}, {high:g}]")


def _wide(images: Tensor) -> Tensor:
    """As ``float32`` at least, which holds every integer up to 2²⁴."""
    return images.to(torch.promote_types(images.dtype, torch.float32))


def _levels(images: Tensor) -> Tensor:
    return (_wide(images) * 255).round_().clamp_(0, 255)


def _fractions(levels: Tensor) -> Tensor:
    """The nearest floats to level / 255. A GPU's division would not do."""
    most = 0x10101 / 2**24  # 1/255 is 2**-8 + 2**-16 + ...; of three terms, products are exact
    return (levels * most).add_(levels, alpha=2**-24 / 255)


# ---- the codec itself ---------------------------------------------------------


# An operator of torch's own: what traces or wraps tensors sees one opaque step.
torch.library.define(
    "pyfd::through_codec", "(Tensor images, Tensor steps, str subsampling) -> Tensor"
)
torch.library.register_fake("pyfd::through_codec", lambda images, *_: torch.empty_like(images))
_by_codec = torch.ops.pyfd.through_codec


@torch.library.impl("pyfd::through_codec", "cpu")
def _on_cpu(images: Tensor, steps: Tensor, subsampling: Subsampling) -> Tensor:
    _check_range(images)
    wide = _wide(images.detach())
    defended = torch.empty_like(wide)
    one = functools.partial(
        _image_by_codec, qtables=QTables(steps.numpy()), subsampling=subsampling
    )
    workers = min(len(images), torch.get_num_threads())
    if workers == 1:  # a thread has a heap of its own, which is not free
        list(map(one, wide.numpy(), defended.numpy()))
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, wide.numpy(), defended.numpy()))
    return defended.to(images.dtype)


def _image_by_codec(
    image: npt.NDArray[np.floating[Any]],
    out: npt.NDArray[np.floating[Any]],
    qtables: QTables,
    subsampling: Subsampling,
) -> None:
    """3×H×W, one by one: what is in between stays in the cache, and in this thread."""
    levels = image * 255
    np.rint(levels, out=levels).clip(0, 255, out=levels)
    pixels = np.empty((*image.shape[1:], 3), np.uint8)
    for i, plane in enumerate(levels.astype(np.uint8)):
        pixels[:, :, i] = plane  # much faster than all three at once
    pixels = through_codec(pixels, qtables, subsampling)
    np.divide(pixels.transpose(2, 0, 1), 255, out=out, dtype=out.dtype)


# What is exported may run where there is no pyfd. Torch before 2.7 does not tell exporting from
# compiling.
_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)


# ---- arithmetic ---------------------------------------------------------------


class _Arithmetic(NamedTuple):
    """How a pass through the codec rounds. Operands may be overwritten."""

    floor: Callable[[Tensor], Tensor]
    round: Callable[[Tensor], Tensor]
    clamp: Callable[[Tensor, Any, Any], Tensor]
    quantize: Callable[[Tensor], Tensor] | None
    """Of coefficients in units of their step; None leaves out the whole transform."""


def _half_up(values: Tensor) -> Tensor:
    return values.add_(0.5).floor_()


def _nearest(sizes: Tensor) -> Tensor:
    """Half away from zero: others are at least 1/(8·step) from a half, and do not reach it."""
    return sizes.mul_(1 + 2**-40).round_()


def _softly_nearest(sizes: Tensor) -> Tensor:
    nearest = sizes.detach().round()
    return nearest + (sizes - nearest) ** 3


def _middle(values: Tensor) -> Tensor:
    """Floor, but for what it discards on average; so that rounding becomes the identity."""
    return values - 0.5


def _unchanged(values: Tensor, *_: object) -> Tensor:
    return values


_EXACT = _Arithmetic(torch.floor_, _half_up, torch.clamp_, _nearest)
_SOFT = _Arithmetic(_middle, _unchanged, _unchanged, _softly_nearest)
_STRAIGHT = _Arithmetic(_middle, _unchanged, _unchanged, None)


# ---- the codec's stages, on floats that hold integers --------------------------
#
# Y, Cb and Cr are less 128 throughout, which is what the DCT takes. Color and chroma stay
# below 2²⁴, in float32; the DCT does not. No float32 meets a matrix product: torch can be
# told, by autocast or for TF32, to do those in fewer bits.


def _to_ycc(levels: Tensor, arithmetic: _Arithmetic) -> tuple[Tensor, Tensor]:
    """Luma, N×1×H×W, and chroma, N×2×H×W."""
    red, green, blue = levels.unbind(1)
    luma, *chroma = (
        (red * r).add_(green, alpha=g).add_(blue, alpha=b).add_(offset)
        for r, g, b, offset in _TO_YCC
    )
    return arithmetic.floor(luma)[:, None], arithmetic.floor(torch.stack(chroma, 1))


def _to_rgb(luma: Tensor, chroma: Tensor, arithmetic: _Arithmetic) -> Tensor:
    blue, red = chroma.unbind(1)
    moves = red * _CR_TO_R, (blue * _CB_TO_G).add_(red, alpha=_CR_TO_G), blue * _CB_TO_B
    planes = arithmetic.round(torch.stack(moves, 1)).add_(luma + 128)
    return arithmetic.clamp(planes, 0, 255)


def _downsampled(planes: Tensor, factors: tuple[int, int], arithmetic: _Arithmetic) -> Tensor:
    """The means of neighbours; libjpeg pads rows to whole blocks before, columns after."""
    across, down = factors
    sums = _padded(planes, down, 8 * across)
    for axis in (2,) * (down - 1) + (3,) * (across - 1):
        even, odd = _split(sums, axis, 2).unbind(axis + 1)
        sums = even + odd
    bias = torch.full((sums.shape[3],), across * down / 2, dtype=sums.dtype, device=sums.device)
    if across > 1:  # alternates between columns, so that halves do not drift
        bias[0::2] -= 1
    return arithmetic.floor((sums + bias).div_(across * down))


def _upsampled(planes: Tensor, factors: tuple[int, int], arithmetic: _Arithmetic) -> Tensor:
    """A triangle filter: three quarters of the nearer sample, one of the other."""
    across, down = factors
    if across > 1 and planes.shape[3] <= _NARROW:
        return planes.repeat_interleave(across, 3).repeat_interleave(down, 2)
    if down > 1:
        planes = torch.stack(_weighted(planes, 2), 3).flatten(2, 3)
    if across > 1:
        planes = torch.stack(_weighted(planes, 3), 4).flatten(3, 4)
    # The two halves of a sample are rounded unlike, so that they do not drift
    bias = _constant((8, 7) if across == down else (1, 2), planes)
    bias = bias if across > 1 else bias[:, None]
    repeats = planes.shape[3 if across > 1 else 2] // 2
    bias = bias.repeat(repeats, *(1,) * (bias.dim() - 1))
    return arithmetic.floor((planes + bias).div_(4 ** (across + down - 2)))


def _weighted(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """3·sample + the one before it, and + the one after it; edges are replicated."""
    size = planes.shape[axis]
    first, but_first = torch.split(planes, [1, size - 1], axis)
    but_last, last = torch.split(planes, [size - 1, 1], axis)
    most = 3 * planes
    return most + torch.cat([first, but_last], axis), most + torch.cat([but_first, last], axis)


# ---- blocks -------------------------------------------------------------------


def _in_blocks(
    planes: Tensor, steps: Tensor, basis: Tensor | None, arithmetic: _Arithmetic
) -> Tensor:
    """N×C×H×W planes, quantized block by block to C×8×8 `steps`.

    With libjpeg's integer `basis`, or without one by the DCT in real numbers.
    """
    if arithmetic.quantize is None:
        return planes
    height, width = planes.shape[2:]
    # Places within a block come first, so that a pass is one product, 8×8 by 8×many
    places = _split(_split(_padded(planes, 8, 8), 3, 8), 2, 8).permute(3, 5, 0, 1, 2, 4)
    blocks = places.to(torch.float64, memory_format=torch.contiguous_format)
    grid = steps.double().permute(1, 2, 0)[:, :, None, :, None, None]
    if basis is None:
        blocks = _real_dct(blocks, grid, arithmetic.quantize)
    else:
        blocks = _integer_dct(blocks, grid, basis.double(), arithmetic)
    restored = blocks.to(planes.dtype).permute(2, 3, 4, 0, 5, 1).flatten(4).flatten(2, 3)
    return restored[..., :height, :width]


def _integer_dct(blocks: Tensor, grid: Tensor, basis: Tensor, arithmetic: _Arithmetic) -> Tensor:
    """The accurate integer DCT, the quantizer, and the inverse; each pass rounds half up."""
    assert arithmetic.quantize is not None
    first = basis / 2 ** (CONSTANT_BITS - PASS1_BITS)
    second = basis / 2 ** (CONSTANT_BITS + PASS1_BITS + 3)
    passed = arithmetic.round(_by_rows(blocks, first))
    scaled = arithmetic.round(_by_columns(passed, 8 * second))
    sizes = scaled.div_(8 * grid)
    coefficients = arithmetic.clamp(arithmetic.quantize(sizes), *_codable(sizes)).mul_(grid)
    passed = arithmetic.round(_by_columns(coefficients, first.T))
    passed = arithmetic.clamp(passed, -32768, 32767)  # where SIMD saturates, and C would wrap
    return arithmetic.clamp(arithmetic.round(_by_rows(passed, second.T)), -128, 127)


def _codable(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """What the codec's quantizer saturates at."""
    highest = sizes.new_full((8, 8, 1, 1, 1, 1), _LARGEST)
    lowest = -highest
    lowest[0, 0] -= 1
    return lowest, highest


def _real_dct(blocks: Tensor, grid: Tensor, quantize: Callable[[Tensor], Tensor]) -> Tensor:
    """The orthonormal DCT (ITU-T T.81, A.3.3), the quantizer, and the inverse; no level shift."""
    basis = _constant(DCT, blocks)
    coefficients = quantize(_by_columns(_by_rows(blocks, basis), basis).div_(grid)).mul_(grid)
    return _by_rows(_by_columns(coefficients, basis.T), basis.T)


def _by_rows(blocks: Tensor, matrix: Tensor) -> Tensor:
    """A matrix times each row, as a column."""
    return (matrix @ blocks.flatten(2)).view_as(blocks)


def _by_columns(blocks: Tensor, matrix: Tensor) -> Tensor:
    """A matrix times each column."""
    return (matrix @ blocks.flatten(1)).view_as(blocks)


def _split(planes: Tensor, axis: int, size: int) -> Tensor:
    """An axis as two: groups, and the places within one."""
    shape = planes.shape
    return planes.reshape(*shape[:axis], -1, size, *shape[axis + 1 :])


def _padded(planes: Tensor, down: int, across: int) -> Tensor:
    """With the last row and column replicated up to multiples."""
    height, width = planes.shape[2:]
    margins = (0, -width % across, 0, -height % down)
    return functional.pad(planes, margins, mode="replicate") if any(margins) else planes


def _constant(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
