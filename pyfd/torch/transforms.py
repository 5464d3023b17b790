"""The codec as a transform for torchvision's ``transforms.v2``.

Needs torchvision, in the build that matches torch: ``pip install torchvision``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyfd._core.pixels import Pixels, pixels_of
from pyfd.codec import Subsampling
from pyfd.qtables import QTablesLike, as_qtables
from pyfd.torch.passes import through_codec

try:
    from torchvision import tv_tensors  # type: ignore[import-not-found]
    from torchvision.transforms import v2  # type: ignore[import-not-found]
except ModuleNotFoundError as error:
    raise ImportError("torchvision is missing: pip install torchvision", name=error.name) from error

import PIL.Image  # torchvision requires it


class JPEG(v2.Transform):  # type: ignore[misc]  # torchvision is not typed
    """A transform that passes images through the encoder and the decoder with the same tables.

    It is like torchvision's ``v2.JPEG``, with tables instead of a quality. It takes
    tensors (``uint8``, …×3×H×W or …×1×H×W), ``tv_tensors.Image`` and ``Video``, and PIL
    images of mode "RGB" or "L", alone or within a sample, and returns the same type and
    shape. The other parts of a sample (boxes, masks, labels) pass through unchanged. It
    has no gradient; `pyfd.torch.FeatureDistillation` has one.

    Args:
        qtables: Tables with steps of 1...8191; a grayscale image uses the first.
        subsampling: As in `pyfd.encode`.

    Raises:
        TypeError: In forward, a tensor is not ``uint8``.
        ValueError: Here, an option is invalid. In forward, the shape or the mode is
            unsupported.
    """

    def __init__(self, qtables: QTablesLike, *, subsampling: Subsampling = "4:4:4") -> None:
        super().__init__()
        self.qtables = as_qtables(qtables)
        self.subsampling = subsampling
        self._through(np.zeros((1, 1), np.uint8))  # refuses invalid options

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ARG002
        """Transform one part of a sample; `forward` calls this for each."""
        if isinstance(inpt, PIL.Image.Image):
            return PIL.Image.fromarray(self._through(pixels_of(inpt)))
        if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(
            inpt, tv_tensors.Image | tv_tensors.Video
        ):
            return inpt
        return tv_tensors.wrap(self._of_tensor(inpt.as_subclass(Tensor)), like=inpt)

    _transform = transform  # its name before torchvision 0.21

    def _of_tensor(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8:
            hint = "use v2.ToDtype(torch.uint8, scale=True)"
            raise TypeError(f"images must be uint8, not {images.dtype}: {hint}")
        if images.dim() < 3 or images.shape[-3] not in (1, 3):
            shape = "×".join(map(str, images.shape))
            raise ValueError(f"images must be …×3×H×W or …×1×H×W, not {shape}")
        if not images.numel():
            return images.clone()
        pixels = images.reshape(-1, *images.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()
        defended = np.stack([self._through(p) for p in pixels])
        planes = torch.from_numpy(defended).permute(0, 3, 1, 2)
        return planes.reshape(images.shape).to(images.device)

    def _through(self, pixels: Pixels) -> Pixels:
        return through_codec(pixels, self.qtables, self.subsampling)

    def extra_repr(self) -> str:
        """Return the options, for ``print(transform)``."""
        return f"{self.qtables.name or 'tables'}, subsampling={self.subsampling}"
