"""The codec's differentiable twin beside kornia's, forward alone and with backward.

Torch and kornia are imported only when a case is measured. Both get one thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.files import Photo
from benchmarks.timing import Effort, Measurement, interleaved
from pyfd import QTables

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 8
COMPILED, EAGER = 0.2, 0.6  # at most
PRESET = QTables.preset("fd-cvpr2019")
VERBATIM = 99.5  # the quality at which kornia does not scale tables


class Variant(NamedTuple):
    """How ours is run; kornia's runs as it comes, which is eager and 4:2:0."""

    subsampling: str
    backward: bool = False
    compiled: bool = False
    kornia_compiled: bool = False


def variants() -> Iterator[tuple[str, float, Variant]]:
    """Name, bound and way of every case."""
    for compiled, most in ((False, EAGER), (True, COMPILED)):
        for subsampling in ("4:2:0", "4:4:4"):
            for backward in (False, True):
                name = "compiled" if compiled else "eager"
                name += f", {subsampling}, forward{' and backward' if backward else ''}"
                yield name, most, Variant(subsampling, backward, compiled)


def can_compile() -> bool:
    return shutil.which("g++") is not None or shutil.which("clang++") is not None


def measure(variant: Variant, photos: Sequence[Photo], effort: Effort) -> Measurement:
    """Ours over kornia's, on a batch of photographs."""
    import torch

    torch.set_num_threads(1)
    pixels = np.stack([photos[i % len(photos)].pixels for i in range(BATCH)])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255
    ours, theirs = distillation(variant), kornia()
    if variant.compiled:
        ours = torch.compile(ours)
    if variant.kornia_compiled:
        theirs = torch.compile(theirs)
    step = both_ways if variant.backward else forward
    return interleaved(
        lambda batch: step(ours, batch), lambda batch: step(theirs, batch), [images], effort
    )


def distillation(variant: Variant) -> Callable[..., Any]:
    from pyfd.torch import FeatureDistillation

    return FeatureDistillation(PRESET, subsampling=variant.subsampling)  # type: ignore[arg-type]


def kornia() -> Callable[..., Any]:
    import torch
    from kornia.enhance import jpeg_codec_differentiable

    quality = torch.tensor([VERBATIM])
    luma, chroma = (torch.tensor(PRESET[i].astype(np.float32)) for i in (0, 1))
    return lambda images: jpeg_codec_differentiable(images, quality, luma, chroma)


def forward(defence: Callable[..., Any], images: Tensor) -> None:
    import torch

    with torch.no_grad():
        defence(images)


def both_ways(defence: Callable[..., Any], images: Tensor) -> None:
    defence(images.clone().requires_grad_()).sum().backward()
