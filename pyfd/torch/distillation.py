"""The codec's differentiable twin, as a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pyfd._core.arithmetic import BASIS
from pyfd._core.encoding import SUBSAMPLING
from pyfd.codec import Subsampling
from pyfd.qtables import ENCODER_STEP, QTables, QTablesLike, as_qtables, steps_within
from pyfd.torch import stages
from pyfd.torch.passes import through_codec

Color: TypeAlias = Literal["ycbcr", "rgb"]
Gradient: TypeAlias = Literal["straight-through", "soft", "none"]


class FeatureDistillation(nn.Module):
    """A module that passes images through the encoder and the decoder with the same tables.

    With ``color="ycbcr"``, for images of 8-bit levels (x = level / 255), the result is
    ``pyfd.decode(pyfd.encode(image, qtables), qtables)``, pixel for pixel. Other values
    are rounded to levels first. On a CPU the codec itself does the work, in
    ``torch.get_num_threads()`` threads. On other devices, and in programs that
    ``torch.export`` writes, tensor operations with the codec's integer arithmetic do it;
    ``int32`` and ``float32`` suffice for them.

    With ``color="rgb"`` it is the paper's reference code without its bugs: tables apply
    to R, G and B in 0...255, without level shift and without rounding to 8 bits. This
    needs ``float64``.

    Forward takes floats in [0, 1], N×C×H×W or C×H×W, where C is 3, or 1 for grayscale (a
    grayscale file, with the first table). It returns the same shape, dtype and device; edges
    are replicated to whole blocks. N may be 0.

    Args:
        qtables: Tables with steps of 1...8191; table i serves component i.
        color: "ycbcr" or "rgb".
        subsampling: The chroma subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".
        gradient: The gradient of the quantization. "straight-through" replaces it by
            the identity (BPDA: Athalye et al., 2018); "soft" gives rounding the slope
            3·(c - round(c))² (Shin and Song, 2017); "none" detaches the result.

    Raises:
        ValueError: Here, an option is invalid. In forward, the shape is unsupported,
            values are outside [0, 1] (not checked if tensor operations are compiled), the
            device has no ``float64`` for ``color="rgb"``, or no values, as "meta".
        TypeError: In forward, the tensor holds no floats, or is sparse.
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
            ("subsampling", subsampling, tuple(SUBSAMPLING)),
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
        # As integers, which module.half() does not convert
        self.register_buffer("steps", torch.from_numpy(steps), persistent=False)
        self.register_buffer("basis", torch.from_numpy(BASIS.astype(np.int32)), persistent=False)

    def extra_repr(self) -> str:
        """Return the options, for ``print(module)``."""
        name = self.qtables.name or "tables"
        return (
            f"{name}, color={self.color}, subsampling={self.subsampling}, gradient={self.gradient}"
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return defended images, of the same shape, dtype and device as `images`."""
        _check(images)
        if images.dim() == 3:
            return self._defended(images[None])[0]
        return self._defended(images)

    def _defended(self, images: Tensor) -> Tensor:
        if not images.numel():
            return images.detach().clone() if self.gradient == "none" else images.clone()
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
        """Return the result of `_by_codec`, bit for bit, by tensor operations."""
        if not torch.compiler.is_compiling():  # the check needs values, which break the graph
            _check_range(images)
        levels = _double(images) * 255 if self.color == "rgb" else _levels(images)
        defended = self._through(levels, stages.EXACT)
        return _fractions(_wide(defended, images.dtype)).to(images.dtype)

    def _smooth(self, images: Tensor) -> Tensor:
        """Return the images that backward differentiates instead of the defended ones."""
        if self.gradient == "straight-through" and self.subsampling == "4:4:4":
            return images
        arithmetic = stages.SOFT if self.gradient == "soft" else stages.STRAIGHT
        return self._through(_wide(images, images.dtype) * 255, arithmetic) / 255

    def _through(self, levels: Tensor, arithmetic: stages.Arithmetic) -> Tensor:
        if self.color == "rgb":
            return stages.by_real_dct(levels, self.steps, arithmetic)
        factors = SUBSAMPLING[self.subsampling]
        return stages.by_integer_dct(levels, self.steps, self.basis, factors, arithmetic)


def _check(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, not {type(images).__name__}")
    if images.dim() not in (3, 4) or images.shape[-3] not in (1, 3):
        raise ValueError(
            f"images must be N×C×H×W or C×H×W with C = 3 or 1, not {_shape(images)}: "
            + _hint_for_shape(images)
        )
    if not images.is_floating_point():
        raise TypeError(f"images must be floats in [0, 1], not {images.dtype}" + _hint_for(images))
    if images.layout is not torch.strided:
        raise TypeError(f"images must be dense, not {images.layout}: use images.to_dense()")
    if images.device.type == "meta":
        raise ValueError('images must have values: on the device "meta", they have none')
    if not images.shape[-2] or not images.shape[-1]:
        raise ValueError(f"images must have pixels, unlike {_shape(images)}")


def _shape(images: Tensor) -> str:
    return "×".join(map(str, images.shape))


def _hint_for(images: Tensor) -> str:
    """Return what to do with a tensor that holds no floats; not all of them hold levels."""
    if images.dtype == torch.bool:
        return ": a mask is no image, unless images.float() is what you mean"
    if images.dtype.is_complex or images.is_quantized:
        return ""
    return ": use images.float() / 255"


def _hint_for_shape(images: Tensor) -> str:
    if images.dim() < 3:
        return "add the missing axes, as with images[None]"
    if images.dim() > 4:
        return "join the first axes with images.flatten(0, -4)"
    if images.shape[-1] in (1, 3):
        return "put the channels first with images.movedim(-1, -3)"
    return "a JPEG file has 3 or 1, so pass groups of 3 or 1 channels, each on its own"


def _check_range(images: Tensor) -> None:
    low, high = torch.stack(images.detach().aminmax()).tolist()  # a GPU is waited for once
    # Values that an attack's rounding moves slightly outside still round to a level
    if not (low > -0.5 / 255 and high < 255.5 / 255):
        raise ValueError(
            f"images must lie in [0, 1], not in [{low:g}, {high:g}]: divide levels by 255, "
            "defend before you normalize, and clamp what an attack moves"
        )


def _double(images: Tensor) -> Tensor:
    try:
        return images.double()
    except TypeError as error:  # MPS has none
        hint = "move the images to the CPU"
        device = images.device.type
        raise ValueError(f'color="rgb" needs float64, which {device} lacks: {hint}') from error


def _wide(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to `dtype`, but at least to ``float32``, which holds every integer up to 2²⁴."""
    floats = torch.promote_types(dtype, torch.float32)
    return values.to(torch.promote_types(floats, values.dtype))


def _levels(images: Tensor) -> Tensor:
    return (_wide(images, images.dtype) * 255).round_().clamp_(0, 255).to(torch.int32)


def _fractions(levels: Tensor) -> Tensor:
    """Return the nearest floats to level / 255, which a GPU's division does not give."""
    most = 0x10101 / 2**24  # three terms of 1/255 = 2**-8 + 2**-16 + ..., for exact products
    return (levels * most).add_(levels, alpha=2**-24 / 255)


# ---- the codec itself ---------------------------------------------------------


# An operator that is registered with torch: to tracers and compilers it is one opaque step
torch.library.define(
    "pyfd::through_codec", "(Tensor images, Tensor steps, str subsampling) -> Tensor"
)
torch.library.register_fake("pyfd::through_codec", lambda images, *_: torch.empty_like(images))
_by_codec = torch.ops.pyfd.through_codec


@torch.library.impl("pyfd::through_codec", "cpu")
def _on_cpu(images: Tensor, steps: Tensor, subsampling: Subsampling) -> Tensor:
    _check_range(images)
    wide = _wide(images.detach(), images.dtype)
    defended = torch.empty_like(wide)
    one = functools.partial(
        _image_by_codec, qtables=QTables(steps.numpy()), subsampling=subsampling
    )
    workers = min(len(images), torch.get_num_threads())
    if workers == 1:  # a thread would cost a heap of its own
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
    """Defend one image, 3×H×W or 1×H×W in [0, 1], into `out`.

    One image at a time stays in the processor's cache, and in this thread.
    """
    levels = image * 255
    np.rint(levels, out=levels).clip(0, 255, out=levels)
    pixels = np.empty((*image.shape[1:], len(image)), np.uint8)
    for i, plane in enumerate(levels.astype(np.uint8)):
        pixels[:, :, i] = plane  # much faster than all three planes together
    pixels = through_codec(pixels, qtables, subsampling)
    np.divide(pixels.transpose(2, 0, 1), 255, out=out, dtype=out.dtype)


# An exported program may run where pyfd is not installed. Torch before 2.7 does not
# distinguish exporting from compiling.
_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)
