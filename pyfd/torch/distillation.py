"""The codec's differentiable twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pyfd import codec
from pyfd._arithmetic import (
    BASIS,
    COLOR_BITS,
    CONSTANT_BITS,
    DCT,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)
from pyfd.codec import Subsampling
from pyfd.qtables import QTablesLike, as_qtables

Color: TypeAlias = Literal["ycbcr", "rgb"]
Gradient: TypeAlias = Literal["straight-through", "soft", "none"]

#: By how much chroma is finer horizontally and vertically.
_FACTORS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}

#: libjpeg's conversion back, in 16-bit fixed point (ITU-T T.871, 7).
_TO_RGB = ((0, 91881), (-22554, -46802), (116130, 0))

#: Chroma up to this width is repeated, not interpolated.
_NARROW = 2

#: The largest coefficient that Huffman codes can hold (ITU-T T.81, F.1.2); DC has -1024 too.
_LARGEST = 1023


class FeatureDistillation(nn.Module):
    """Images through an encoder and a decoder with defensive tables, as tensors.

    With ``color="ycbcr"`` it does the shipped codec's integer arithmetic: for
    images of 8-bit levels (x = level / 255) the result is
    ``pyfd.decode(pyfd.encode(image, qtables), qtables)``, pixel for pixel. Other
    values are rounded to levels first. With ``color="rgb"`` it is the paper's
    reference code without its bugs: tables act on R, G and B in 0...255, without
    level shift and without rounding to 8 bits.

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
            checked inside ``torch.compile``); here, for bad options.
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
        if self.qtables.array.max() > codec.ENCODER_LIMIT:
            raise ValueError(f"steps must be at most {codec.ENCODER_LIMIT}")
        self.color = color
        self.subsampling = subsampling
        self.gradient = gradient
        steps = np.stack([self.qtables[i] for i in range(3)]).astype(np.int32)
        # Integers, which module.half() leaves alone; 3×1×8×1×8 as blocks are laid out
        self.register_buffer(
            "steps", torch.from_numpy(steps).reshape(3, 1, 8, 1, 8), persistent=False
        )
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
        with torch.no_grad():
            defended = self._through(images, _EXACT).to(images.dtype)
        if self.gradient == "none" or not images.requires_grad:
            return defended
        smooth = self._smooth(images)
        return defended + (smooth - smooth.detach()).to(images.dtype)

    def _smooth(self, images: Tensor) -> Tensor:
        """What backward differentiates instead."""
        if self.gradient == "soft":
            return self._through(images, _SOFT)
        if self.subsampling == "4:4:4":
            return images
        return self._through(images, _STRAIGHT)

    def _through(self, images: Tensor, arithmetic: _Arithmetic) -> Tensor:
        """The whole codec."""
        levels = images.double() * 255
        steps = self.steps.double()
        if self.color == "rgb":
            return _in_blocks(levels, steps, None, arithmetic).clamp(0, 255) / 255
        basis = self.basis.double()
        planes = _to_ycc(arithmetic.clamp(arithmetic.floor(levels + 0.5), 0, 255), arithmetic)
        if self.subsampling == "4:4:4":
            planes = _in_blocks(planes, steps, basis, arithmetic)
        else:
            height, width = images.shape[2:]
            factors = _FACTORS[self.subsampling]
            luma = _in_blocks(planes[:, :1], steps[:1], basis, arithmetic)
            chroma = _downsampled(planes[:, 1:], factors, arithmetic)
            chroma = _in_blocks(chroma, steps[1:], basis, arithmetic)
            chroma = chroma[..., : -(-width // factors[0])]  # the encoder's padding ends here
            chroma = _upsampled(chroma, factors, arithmetic)[..., :height, :width]
            planes = torch.cat([luma, chroma], 1)
        return _to_rgb(planes, arithmetic) / 255


def _check(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, not {type(images).__name__}")
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be N×3×H×W, not {'×'.join(map(str, images.shape))}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floats in [0, 1], not {images.dtype}: divide by 255")
    if not images.numel():
        raise ValueError("images must not be empty")
    if torch.compiler.is_compiling():  # the check needs the values, which would break the graph
        return
    low, high = (float(value) for value in images.detach().aminmax())
    # What an attack's own rounding puts beyond 0 and 1 still rounds to a level
    if not (low > -0.5 / 255 and high < 255.5 / 255):
        raise ValueError(f"images must lie in [0, 1], not in [{low:g}, {high:g}]")


# ---- arithmetic ---------------------------------------------------------------


class _Arithmetic(NamedTuple):
    """How a pass through the codec rounds."""

    floor: Callable[[Tensor], Tensor]
    clamp: Callable[[Tensor, int, int], Tensor]
    quantize: Callable[[Tensor], Tensor] | None
    """Of coefficients in units of their step; None leaves out the whole transform."""


def _nearest(sizes: Tensor) -> Tensor:
    """Half away from zero. Exact: the distance from a half is 0 or at least 1/(8·step)."""
    return sizes.sign() * torch.floor(sizes.abs() + 0.5)


def _softly_nearest(sizes: Tensor) -> Tensor:
    nearest = sizes.detach().round()
    return nearest + (sizes - nearest) ** 3


def _middle(values: Tensor) -> Tensor:
    """Floor, but for what it discards on average; so that rounding becomes the identity."""
    return values - 0.5


def _unclamped(values: Tensor, _low: int, _high: int) -> Tensor:
    return values


_EXACT = _Arithmetic(torch.floor, torch.clamp, _nearest)
_SOFT = _Arithmetic(_middle, _unclamped, _softly_nearest)
_STRAIGHT = _Arithmetic(_middle, _unclamped, None)


# ---- the codec's stages, on float64 that holds integers -----------------------


def _descaled(values: Tensor, bits: int, arithmetic: _Arithmetic) -> Tensor:
    """Divide by a power of two, rounding half up."""
    return arithmetic.floor((values + (1 << bits >> 1)) * 2.0**-bits)


def _to_ycc(levels: Tensor, arithmetic: _Arithmetic) -> Tensor:
    matrix, offsets = _constant(TO_YCC, levels), _constant(TO_YCC_OFFSETS, levels)
    planes = torch.einsum("ij,njhw->nihw", matrix, levels)
    return arithmetic.floor((planes + offsets[:, None, None]) * 2.0**-COLOR_BITS)


def _to_rgb(planes: Tensor, arithmetic: _Arithmetic) -> Tensor:
    moves = torch.einsum("ij,njhw->nihw", _constant(_TO_RGB, planes), planes[:, 1:] - 128)
    return arithmetic.clamp(planes[:, :1] + _descaled(moves, 16, arithmetic), 0, 255)


def _downsampled(planes: Tensor, factors: tuple[int, int], arithmetic: _Arithmetic) -> Tensor:
    """The means of neighbours; libjpeg pads rows to whole blocks before, columns after."""
    across, down = factors
    planes = _padded(planes, down, 8 * across)
    sums = functional.avg_pool2d(planes, (down, across), divisor_override=1)
    bias = torch.full((sums.shape[3],), across * down / 2, dtype=sums.dtype, device=sums.device)
    if across > 1:  # alternates between columns, so that halves do not drift
        bias[0::2] -= 1
    return arithmetic.floor((sums + bias) / (across * down))


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
    return arithmetic.floor((planes + bias) / 4 ** (across + down - 2))


def _weighted(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """3·sample + the one before it, and + the one after it; edges are replicated."""
    size = planes.shape[axis]
    before = torch.cat([planes.narrow(axis, 0, 1), planes.narrow(axis, 0, size - 1)], axis)
    after = torch.cat([planes.narrow(axis, 1, size - 1), planes.narrow(axis, size - 1, 1)], axis)
    return 3 * planes + before, 3 * planes + after


# ---- blocks -------------------------------------------------------------------


def _in_blocks(
    planes: Tensor, steps: Tensor, basis: Tensor | None, arithmetic: _Arithmetic
) -> Tensor:
    """N×C×H×W planes, quantized block by block to C×1×8×1×8 `steps`.

    With libjpeg's integer `basis`, or without one by the DCT in real numbers.
    """
    if arithmetic.quantize is None:
        return planes
    height, width = planes.shape[2:]
    padded = _padded(planes, 8, 8)
    if basis is None:
        blocks = _real_dct(padded, steps, arithmetic.quantize)
    else:
        blocks = _integer_dct(padded, steps, basis, arithmetic)
    return blocks[..., :height, :width]


def _integer_dct(planes: Tensor, steps: Tensor, basis: Tensor, arithmetic: _Arithmetic) -> Tensor:
    """The accurate integer DCT, the quantizer, and the inverse."""
    assert arithmetic.quantize is not None
    first, second = CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS
    passed = _descaled(_split(planes - 128, 3) @ basis.T, first, arithmetic)
    passed = basis @ _split(passed.flatten(3), 2)
    scaled = _split(_descaled(passed, second, arithmetic), 4)
    coefficients = arithmetic.quantize(scaled / (8 * steps))
    coefficients = _codable(coefficients, arithmetic) * steps
    passed = _descaled(basis.T @ coefficients.flatten(4), first, arithmetic)
    # Where SIMD saturates, and C would wrap
    passed = arithmetic.clamp(passed, -32768, 32767).flatten(2, 3)
    samples = _descaled(_split(passed, 3) @ basis, second + 3, arithmetic).flatten(3)
    return arithmetic.clamp(samples + 128, 0, 255)


def _codable(coefficients: Tensor, arithmetic: _Arithmetic) -> Tensor:
    """Saturated as the codec's quantizer does, N×C×blocks×8×blocks×8."""
    saturated = arithmetic.clamp(coefficients, -_LARGEST, _LARGEST)
    dc = torch.zeros(8, 1, 8, dtype=torch.bool, device=coefficients.device)
    dc[0, 0, 0] = True
    return torch.where(dc, arithmetic.clamp(coefficients, -_LARGEST - 1, _LARGEST), saturated)


def _real_dct(planes: Tensor, steps: Tensor, quantize: Callable[[Tensor], Tensor]) -> Tensor:
    """The orthonormal DCT (ITU-T T.81, A.3.3), the quantizer, and the inverse; no level shift."""
    basis = _constant(DCT, planes)
    blocks = _split(_split(planes, 3), 2)
    coefficients = torch.einsum("ncyjxk,uj,vk->ncyuxv", blocks, basis, basis)
    coefficients = quantize(coefficients / steps) * steps
    blocks = torch.einsum("ncyuxv,uj,vk->ncyjxk", coefficients, basis, basis)
    return blocks.flatten(4).flatten(2, 3)


def _split(planes: Tensor, axis: int) -> Tensor:
    """An axis as two: blocks, and places within a block."""
    shape = planes.shape
    return planes.reshape(*shape[:axis], -1, 8, *shape[axis + 1 :])


def _padded(planes: Tensor, down: int, across: int) -> Tensor:
    """With the last row and column replicated up to multiples."""
    height, width = planes.shape[2:]
    margins = (0, -width % across, 0, -height % down)
    return functional.pad(planes, margins, mode="replicate") if any(margins) else planes


def _constant(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
