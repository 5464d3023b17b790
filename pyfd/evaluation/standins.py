"""Defences as torch modules, through which an attacker's gradients flow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import to_batch
from pyfd.evaluation.defences.base import Defence

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd.torch import device_of

#: The number of draws of a random defence that an adaptive attacker averages.
DRAWS = 4


def behind(defence: Defence, model: nn.Module, seed: int) -> nn.Module:
    """Return a model behind a differentiable stand-in for a defence (BPDA).

    For a random defence, `Expectation` averages `DRAWS` draws (EOT).

    Args:
        defence: The defence.
        model: A module from N×3×H×W in [0, 1] to N×K logits.
        seed: The seed with which the defence is judged; the stand-in's draws use others.
    """
    chain = nn.Sequential(standin(defence, model, seed), model).eval()
    return Expectation(chain, DRAWS) if defence.random else chain


def standin(defence: Defence, model: nn.Module, seed: int) -> nn.Module:
    """Return a defence's own stand-in, or `StraightThrough` if it has none, on a model's device.

    The arguments are those of `behind`.
    """
    module = defence.module()
    if module is None:
        draws = itertools.count(seed + 1)
        module = StraightThrough(lambda images: defence(images, next(draws)))
    return module.to(device_of(model))


class StraightThrough(nn.Module):
    """Any function of 8-bit images, with the identity as its derivative (BPDA).

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018.

    Args:
        function: A function from H×W×3 ``uint8`` images of one size to the same.
    """

    def __init__(self, function: Callable[[list[Pixels]], Sequence[Pixels]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: Tensor) -> Tensor:
        """Return the function's result for N×3×H×W floats in [0, 1], rounded to levels first."""
        levels = (batch.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        seen = self.function([np.ascontiguousarray(x) for x in levels.cpu().numpy()])
        defended = to_batch(seen).to(batch)
        return defended + (batch - batch.detach())


class Expectation(nn.Module):
    """A random defence and a model: the mean of the logits over several draws (EOT).

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        self.model = model
        self.samples = samples

    def forward(self, batch: Tensor) -> Tensor:
        """Return the logits, N×K."""
        return torch.stack([self.model(batch) for _ in range(self.samples)]).mean(0)


class Rounding(nn.Module):
    """Bit-depth reduction, with the identity as its derivative."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.largest = 2**bits - 1

    def forward(self, images: Tensor) -> Tensor:
        """Return N×3×H×W images in [0, 1] at 2^bits levels, rounded to 8 bits."""
        squeezed = torch.round(images * self.largest) / self.largest
        return images + (torch.round(squeezed * 255) / 255 - images).detach()


class Mixing(nn.Module):
    """A mix of codecs: torch's generator draws the codec of each block of each image.

    Args:
        codecs: Modules from N×3×H×W to the same.
        block: The side of the blocks in pixels.
    """

    def __init__(self, codecs: Sequence[nn.Module], block: int) -> None:
        super().__init__()
        self.codecs = nn.ModuleList(codecs)
        self.block = block

    def forward(self, images: Tensor) -> Tensor:
        """Return N×3×H×W images with their blocks mixed."""
        count, _, height, width = images.shape
        size = (count, 1, -(-height // self.block), -(-width // self.block))
        chosen = torch.randint(len(self.codecs), size, device=images.device)
        for axis in (2, 3):
            chosen = chosen.repeat_interleave(self.block, axis)
        chosen = chosen[:, :, :height, :width].expand_as(images)
        compressed = torch.stack([codec(images) for codec in self.codecs])
        return compressed.gather(0, chosen[None])[0]
