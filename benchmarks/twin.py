"""The codec's differentiable twin compared with kornia's codec, with and without a backward pass.

Torch and kornia are imported only when a case is measured. Both run on one thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.files import WAYS, Photo
from benchmarks.timing import Bounds, Effort, Measurement, interleaved
from pyfd import QTables
from pyfd.codec import Subsampling

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 8
CODEC, EAGER = Bounds(0.2), Bounds(0.6)
PRESET = QTables.preset("fd-cvpr2019")
UNSCALED = 99.5  # the quality at which kornia takes tables as they are


class Variant(NamedTuple):
    """A way to run pyfd's twin; kornia's codec always runs eagerly, at 4:2:0."""

    name: str
    bounds: Bounds
    subsampling: Subsampling
    backward: bool
    tensors: bool  # whether tensor operations run, as on a GPU, instead of the codec
    compiled: bool = False

    def __str__(self) -> str:
        way = "forward and backward" if self.backward else "forward"
        return f"{self.name}, {self.subsampling}, {way}"


def variants() -> Iterator[Variant]:
    """Yield every variant. Compiled tensor operations have no target: the codec is faster."""
    for name, bounds, *ways in (
        ("the codec", CODEC, False),
        ("tensors", EAGER, True),
        ("tensors, compiled", Bounds(), True, True),
    ):
        for subsampling in WAYS:
            for backward in (False, True):
                yield Variant(name, bounds, subsampling, backward, *ways)


def can_compile() -> bool:
    """Return whether `torch.compile` finds a C++ compiler."""
    return shutil.which("g++") is not None or shutil.which("clang++") is not None


def measure(variant: Variant, photos: Sequence[Photo], effort: Effort) -> Measurement:
    """Return the time of pyfd's twin over that of kornia's codec, for a batch of photographs."""
    import torch

    import pyfd.torch.distillation

    torch.set_num_threads(1)
    pixels = np.stack([photos[i % len(photos)].pixels for i in range(BATCH)])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255
    ours, theirs = distillation(variant), kornia()
    if variant.compiled:
        ours = torch.compile(ours)
    step = both_ways if variant.backward else forward
    # An exported twin consists of tensor operations on a CPU too
    with patch.object(pyfd.torch.distillation, "_is_exporting", lambda: variant.tensors):
        return interleaved(
            lambda batch: step(ours, batch), lambda batch: step(theirs, batch), [images], effort
        )


def distillation(variant: Variant) -> Callable[..., Any]:
    """Return pyfd's twin."""
    from pyfd.torch import FeatureDistillation

    return FeatureDistillation(PRESET, subsampling=variant.subsampling)


def kornia() -> Callable[..., Any]:
    """Return kornia's codec with the same tables."""
    import torch
    from kornia.enhance import jpeg_codec_differentiable

    quality = torch.tensor([UNSCALED])
    luma, chroma = (torch.tensor(PRESET[i].astype(np.float32)) for i in (0, 1))
    return lambda images: jpeg_codec_differentiable(images, quality, luma, chroma)


def forward(defence: Callable[..., Any], images: Tensor) -> None:
    """Run the forward pass."""
    import torch

    with torch.no_grad():
        defence(images)


def both_ways(defence: Callable[..., Any], images: Tensor) -> None:
    """Run the forward and the backward pass."""
    defence(images.clone().requires_grad_()).sum().backward()
