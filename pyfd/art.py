"""The defence for the Adversarial Robustness Toolbox (ART).

Needs ART and torch: the extra ``art``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing

try:
    import torch
    from art.defences.preprocessor.preprocessor import (  # type: ignore[import-untyped]
        PreprocessorPyTorch,
    )
    from torch import Tensor
except ModuleNotFoundError as error:
    library = "torch" if error.name == "torch" else "adversarial-robustness-toolbox"
    raise missing(library, "art", module=error.name) from error

import pyfd.torch
from pyfd.codec import Subsampling
from pyfd.qtables import QTablesLike, as_qtables

#: The images of one pass through the codec: each takes some hundred bytes per sample.
_AT_ONCE = 16


class FeatureDistillation(PreprocessorPyTorch):  # type: ignore[misc]  # ART is not typed
    """A preprocessor for a classifier's ``preprocessing_defences``.

    It wraps `pyfd.torch.FeatureDistillation`: for images of 8-bit levels the result is
    that of ``pyfd.decode(pyfd.encode(image, qtables), qtables)``; other values are
    rounded to levels first. The gradient is straight-through, and `forward` itself has
    it: if all defences are PyTorch's, ART's attacks differentiate `forward` instead of
    calling `estimate_forward`.

    Values outside `clip_values` become its ends, as they do in a file, with a warning
    (`UserWarning`) and with the gradient of the identity. Some of ART's attacks need this,
    such as NewtonFool: they clip only what they return.

    It works with classifiers of every framework: frameworks other than PyTorch call it
    with arrays.

    Args:
        qtables: Tables with steps of 1...8191; table i serves component i.
        clip_values: The values of the levels 0 and 255, as in the classifier: numbers,
            or arrays that broadcast over a batch.
        channels_first: Whether images are N×C×H×W instead of N×H×W×C. C is 3, or 1 for
            grayscale.
        subsampling: The chroma subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".
        apply_fit: Whether to defend the images that the classifier is trained on.
        apply_predict: Whether to defend the images that it classifies.
        device_type: The device for arrays: "gpu", if there is one, or "cpu". Tensors
            stay on their device.

    Raises:
        ValueError: Here and in `set_params`, an option is invalid. In `forward`, the
            shape is unsupported, or a value is not finite.
    """

    params = ["qtables", "clip_values", "channels_first", "subsampling"]  # noqa: RUF012

    def __init__(
        self,
        qtables: QTablesLike,
        *,
        clip_values: tuple[npt.ArrayLike, npt.ArrayLike],
        channels_first: bool = False,
        subsampling: Subsampling = "4:4:4",
        apply_fit: bool = False,
        apply_predict: bool = True,
        device_type: str = "gpu",
    ) -> None:
        super().__init__(
            device_type=device_type,
            is_fitted=True,
            apply_fit=apply_fit,
            apply_predict=apply_predict,
        )
        self.qtables = qtables
        self.clip_values = clip_values
        self.channels_first = channels_first
        self.subsampling: Subsampling = subsampling
        self._check_params()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.params)
        return f"FeatureDistillation({shown})"

    def __call__(
        self, x: npt.NDArray[Any], y: Any = None
    ) -> tuple[npt.NDArray[np.floating[Any]], Any]:
        """Apply `forward` to an array; `y` is returned unchanged."""
        with torch.no_grad():
            defended, _ = self.forward(torch.tensor(x, device=self.device))
        return defended.cpu().numpy(), y

    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        """Return defended images, differentiable, and `y` unchanged.

        Args:
            x: Images of one size.
            y: Labels, or anything else.

        Returns:
            Images of the same shape and device, and `y`. They are ``float32``, ART's own
            type, unless `x` has a floating-point type of fewer bits, which is kept.

        Raises:
            ValueError: The shape is unsupported, or a value is not finite.
        """
        channels = x.shape[1 if self.channels_first else -1] if x.dim() == 4 else 0
        if channels not in (1, 3):
            expected = "N×3×H×W or N×1×H×W" if self.channels_first else "N×H×W×3 or N×H×W×1"
            raise ValueError(
                f"x must be {expected} with channels_first={self.channels_first}, "
                f"not {'×'.join(map(str, x.shape))}; a JPEG file has no other channels, so "
                "defend groups of them, each on its own"
            )
        if not x.numel():
            raise ValueError("x must not be empty")
        starts = range(0, len(x), _AT_ONCE)
        return torch.cat([self._defended(x[i : i + _AT_ONCE]) for i in starts]), y

    def _defended(self, x: Tensor) -> Tensor:
        # In float64, so that levels stay levels; MPS, which has none, changes them by less
        # than a thousandth of a level, which rounds to the same
        wide = torch.float32 if x.device.type == "mps" else torch.float64
        low, high = (torch.as_tensor(v, dtype=wide, device=x.device) for v in self._clip)
        images = (x.to(wide) - low) / (high - low)
        if not self.channels_first:
            images = images.movedim(3, 1)
        images = self._twin.to(images.device)(self._clipped(images))
        if not self.channels_first:
            images = images.movedim(1, 3)
        defended: Tensor = images * (high - low) + low
        is_small = x.dtype in (torch.float16, torch.bfloat16)
        return defended.to(x.dtype if is_small else torch.float32)

    def _clipped(self, images: Tensor) -> Tensor:
        """Return images within [0, 1], with the gradient of the identity."""
        values = images.detach()
        smallest, largest = values.aminmax()
        # Values that an attack's rounding moves slightly outside still round to a level
        if smallest > -0.5 / 255 and largest < 255.5 / 255:
            return images
        if not (smallest.isfinite() and largest.isfinite()):
            raise ValueError("x must be finite, without NaN")
        warnings.warn(
            f"x has values outside of clip_values, {self.clip_values}, which must be the "
            "classifier's: they are clipped",
            stacklevel=2,
        )
        return images + (values.clamp(0, 1) - values)

    def _check_params(self) -> None:
        try:
            low, high = (np.asarray(value, np.float64) for value in self.clip_values)
        except (TypeError, ValueError):
            raise ValueError("'clip_values' must be a pair (min, max) of numbers") from None
        if not (np.isfinite(high - low).all() and (low < high).all()):
            raise ValueError("Invalid 'clip_values': min >= max.")
        if not isinstance(self.channels_first, bool):
            raise ValueError("'channels_first' must be True or False")
        self.qtables = as_qtables(self.qtables)
        self._clip = low, high
        self._twin = pyfd.torch.FeatureDistillation(self.qtables, subsampling=self.subsampling)
