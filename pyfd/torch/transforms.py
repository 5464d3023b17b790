"""The codec as a transform for torchvision's ``transforms.v2``.

Needs torchvision, in the build that goes with your torch: ``pip install torchvision``.
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

import PIL.Image  # torchvision needs it, too


class JPEG(v2.Transform):  # type: ignore[misc]  # torchvision is not typed
    """Images through an encoder and a decoder with defensive tables.

    Like torchvision's ``v2.JPEG``, with tables in place of a quality: it takes
    tensors (``uint8``, …×3×H×W or …×1×H×W), ``tv_tensors.Image`` and ``Video``,
    and PIL images of mode "RGB" or "L", alone or within a sample, and gives the
    same type and shape back. What else a sample has (boxes, masks, labels)
    passes through. There is no gradient: for that there is
    `pyfd.torch.FeatureDistillation`.

    Args:
        qtables: Tables with steps of 1...8191; a grayscale image uses the first.
        subsampling: As for `pyfd.encode`.

    Raises:
        TypeError: In forward, for a tensor that is not ``uint8``.
        ValueError: In forward, for another shape or mode; here, for bad options.
    """

    def __init__(self, qtables: QTablesLike, *, subsampling: Subsampling = "4:4:4") -> None:
        super().__init__()
        self.qtables = as_qtables(qtables)
        self.subsampling = subsampling
        self._through(np.zeros((1, 1), np.uint8))  # complains of its options

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ARG002
        """What `forward` does to each image of a sample."""
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
        """The options, for ``print(transform)``."""
        return f"{self.qtables.name or 'tables'}, subsampling={self.subsampling}"
