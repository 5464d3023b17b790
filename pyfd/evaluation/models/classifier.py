"""Networks as classifiers of pictures: the way in (crop, resize, normalize), and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation import dataset

try:
    import torch
    from torch import nn
    from torch.nn.functional import interpolate
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd.torch import device_of
from pyfd.torch.answers import described, times

Filter: TypeAlias = Literal["nearest", "bilinear", "bicubic"]

#: The dtypes that attacks compute with; NumPy has no bfloat16.
_PRECISE = (torch.float32, torch.float64)

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Resize(NamedTuple):
    """A resize that comes before the central crop, as pipelines of PyTorch's libraries do it."""

    side: int
    """The length in pixels that the picture's shorter side gets, or both if it is squashed."""
    squashed: bool = False
    """Whether the picture becomes a square whatever its shape."""
    filter: Filter = "bicubic"
    rounded: bool = False
    """Whether half a pixel of the crop's place is rounded to even (torchvision) or down."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture is resized to."""
        if self.squashed:
            return self.side, self.side
        short, long = min(height, width), max(height, width)
        longer = max(int(self.side * long / short), 1)
        return (self.side, longer) if height <= width else (longer, self.side)

    def corner(self, height: int, width: int, crop: int) -> tuple[int, int]:
        """Return the top and left of the central crop of a resized picture."""
        top, left = (height - crop) / 2, (width - crop) / 2
        return (round(top), round(left)) if self.rounded else (int(top), int(left))


class Classifier(nn.Module):
    """A network behind its central crop, resize and normalization, which are attacked with it.

    Args:
        network: A module from N×3×size×size to N×K logits, in any form that `logits_of` knows.
        input_size: The size of the network's input in pixels; None if it takes any, and
            nothing is to be resized.
        mean: The value in 0...255 that is subtracted from each of the network's channels.
        scale: The divisor of the difference, for all channels or for each.
        bgr: Whether the network's channels are blue, green, red.
        resize: How a picture is resized before it is cropped. None: it is cropped first
            (`pyfd.evaluation.dataset.CROP`), and the crop is resized.
        class_names: The names of the K classes.
    """

    def __init__(
        self,
        network: nn.Module,
        input_size: int | None,
        *,
        mean: Sequence[float],
        scale: float | Sequence[float] = 1,
        bgr: bool = False,
        resize: Resize | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        # A sixth faster on CPUs. torch's annotations lack the keyword.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input_size = input_size
        self.bgr = bgr
        self.resize = resize
        self.class_names = None if class_names is None else tuple(class_names)
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        scales = [scale] * 3 if isinstance(scale, int | float) else scale
        for name, values in (("mean", mean), ("scale", scales)):
            tensor = torch.tensor(list(values), dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the N×K logits of N×3×H×W float images, RGB in 0...1.

        Images of any size but the network's own are cropped and resized with antialiasing;
        bicubic overshoot is clamped to 0...1.
        """
        return logits_of(self.network(self.normalized(images)), len(images))

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Return the N×3×size×size input of the network for N×3×H×W float images in 0...1."""
        levels = 255 * self._at_input_size(_checked(images))
        if self.bgr:
            levels = levels.flip(1)
        return (levels - self.mean) / self.scale

    def at_input_size(self, pixels: Pixels) -> Pixels:
        """Return a picture, H×W×3 ``uint8``, as the network's pipeline crops and resizes it."""
        size = self.input_size
        if size is None or pixels.shape[:2] == (size, size):
            return pixels
        if self.resize is None:
            return dataset.at_input_size(pixels, size)
        height, width = self.resize.size(*pixels.shape[:2])
        image = Image.fromarray(pixels).resize((width, height), _FILTERS[self.resize.filter])
        top, left = self.resize.corner(height, width, size)
        return np.array(image.crop((left, top, left + size, top + size)))

    def _at_input_size(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        size = self.input_size
        if size is None or (height, width) == (size, size):
            return images
        if self.resize is None:
            top, left, side = dataset.central_crop(height, width)
            square = images[..., top : top + side, left : left + side]
            return _resized(square, (size, size), "bicubic")
        height, width = self.resize.size(height, width)
        images = _resized(images, (height, width), self.resize.filter)
        top, left = self.resize.corner(height, width, size)
        return images[..., top : top + size, left : left + size]


def _resized(images: torch.Tensor, size: tuple[int, int], method: Filter) -> torch.Tensor:
    if method == "nearest":
        return interpolate(images, size, mode="nearest-exact")
    return interpolate(images, size, mode=method, antialias=True).clamp(0, 1)


def _checked(images: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"images must be N×3×H×W, not {times(images)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating-point in 0...1, not {images.dtype}")
    return images


class Logits(nn.Module):
    """A module whose answer is N×K logits, in whatever form another module gives them.

    Args:
        module: A module from N×3×H×W floats in 0...1 to logits in a form that `logits_of` knows.
            Its attributes `input_size` and `class_names` are taken over.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.input_size: int | None = getattr(module, "input_size", None)
        self.class_names: Sequence[str] | None = getattr(module, "class_names", None)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the N×K logits of N×3×H×W float images."""
        return logits_of(self.module(images), len(images))


def as_classifier(module: nn.Module, image: Pixels | None = None) -> nn.Module:
    """Return a module that gives N×K logits, whatever the given one returns.

    Args:
        module: A module from N×3×H×W floats in 0...1 to a tensor, an object with the attribute
            ``logits`` (as transformers' models return), a dict with the key "logits", or a tuple
            or list whose first N×K tensor holds the logits. It resizes and normalizes its input
            itself, and is put into evaluation mode.
        image: H×W×3 ``uint8``. The module gets it, and if the answer is a tensor of ``float32``
            or ``float64``, the module is returned as it is.

    Returns:
        The module if it is a `Classifier` or gives such tensors, or one around it, in evaluation
        mode.

    Raises:
        TypeError: It is no module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"the model must be a torch.nn.Module, not {type(module).__name__}")
    module.eval()
    if isinstance(module, Classifier | Logits):
        return module
    if image is not None:
        with torch.no_grad():
            answer = module(to_batch([image], module))
        if isinstance(answer, torch.Tensor) and answer.dtype in _PRECISE:
            return module
    return Logits(module).eval()


def to_batch(images: Sequence[Pixels], module: nn.Module) -> torch.Tensor:
    """Return images of one size, H×W×3 ``uint8``, as N×3×H×W floats on a module's device."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return batch.to(device_of(module)).float() / 255


def logits_of(answer: Any, images: int) -> torch.Tensor:
    """Return the N×K logits in a model's answer to N images, as `as_classifier` says.

    Logits of less than ``float32``, as half precision gives them, are converted to it.

    Raises:
        ValueError: There are none; the message says what the model returned.
    """
    found = answer
    if isinstance(answer, Mapping):
        found = answer.get("logits")
    elif isinstance(answer, tuple | list):
        inside = [part for part in answer if isinstance(part, torch.Tensor)]
        matrices = [part for part in inside if part.ndim == 2 and len(part) == images]
        found = getattr(answer, "logits", next(iter(matrices), None))
    elif not isinstance(answer, torch.Tensor):
        found = getattr(answer, "logits", None)
    if not isinstance(found, torch.Tensor):
        raise ValueError(_refusal(described(answer)))
    if found.ndim != 2 or len(found) != images:
        what = f"{times(found)} numbers for {images} image{'s' * (images != 1)}"
        raise ValueError(_refusal(what))
    if found.layout is not torch.strided:
        raise ValueError(_refusal(f"a tensor that is not dense, {found.layout}"))
    if not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise ValueError(_refusal(f"{times(found)} numbers of type {kind}"))
    return found if found.dtype in _PRECISE else found.float()


def _refusal(what: str) -> str:
    return (
        f"the model returned {what}; it must return N×K floating-point logits for N images, "
        "as a tensor, as .logits, as the entry 'logits' of a dict, or in a tuple"
    )
