"""Defences as torch modules, through which an attacker's gradients flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import DRAWS, SHOWN, to_batch
from pyfd.evaluation.defences.base import Defence

try:
    import torch
    from torch import Tensor, nn
    from torch.utils.checkpoint import checkpoint
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd.torch import device_of
from pyfd.torch.scoring import refuse_unclear


def behind(defence: Defence, model: nn.Module, seed: int, draws: int = DRAWS) -> nn.Module:
    """Return a model behind a differentiable stand-in for a defence (BPDA).

    Args:
        defence: The defence.
        model: A module from N×3×H×W in [0, 1] to N×K logits.
        seed: The seed with which the defence is judged; the stand-in's draws use others,
            which torch's generator gives.
        draws: The number of draws of a random defence that `Expectation` averages (EOT).
    """
    return _expected(defence, standin(defence, model, seed), model, draws)


def answering(defence: Defence, model: nn.Module, seed: int, draws: int = DRAWS) -> nn.Module:
    """Return a model behind the defence itself, whose answers whoever has no gradients sees.

    Images are rounded to 8 bits, as files hold them, and a random defence draws anew for
    every query. The arguments are those of `behind`.
    """
    return _expected(defence, _drawing(defence, seed), model, draws)


def _expected(defence: Defence, through: nn.Module, model: nn.Module, draws: int) -> nn.Module:
    chain = nn.Sequential(through, model).eval()
    return Expectation(chain, draws) if defence.random else chain


def standin(defence: Defence, model: nn.Module, seed: int) -> nn.Module:
    """Return a defence's own stand-in, or `StraightThrough` if it has none, on a model's device.

    The arguments are those of `behind`.
    """
    module = defence.module()
    if module is None:
        module = _drawing(defence, seed)
    return module.to(device_of(model))


def _drawing(defence: Defence, seed: int) -> StraightThrough:
    """Return a defence that draws with torch's generator, and never with `seed` itself."""
    return StraightThrough(lambda images: defence(images, seed + 1 + int(torch.randint(2**62, ()))))


class Attackable(nn.Module):
    """A model as attackers see it: every image is rounded to 8 bits, and there is a gradient.

    An attack that looks through the rounding (with the identity as its derivative) reports
    only what survives in a file. Where the model gives no gradient, the gradient is zero,
    so that attacks that follow it are blind instead of failing.

    Args:
        model: A module from N×3×H×W in [0, 1] to N×K logits.
        rounded: Whether images are rounded to 8 bits first.
    """

    def __init__(self, model: nn.Module, *, rounded: bool = True) -> None:
        super().__init__()
        self.model = model
        self.rounding = Rounding(8) if rounded else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, N×K.

        Raises:
            ValueError: A largest logit of an image is not finite.
        """
        logits: Tensor = self.model(self.rounding(images))
        if images.isfinite().all():  # or else gradients are not, which `probe` finds
            refuse_unclear(logits, [SHOWN] * len(images))
        if torch.is_grad_enabled() and images.requires_grad:
            return logits + 0 * images.sum()
        return logits.clone() if logits.is_inference() else logits  # attacks may write to them


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

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018. The loss is
    that of the mean answer, not the mean of the draws' losses: an attacker who may ask often
    sees the mean, and one draw on which the model is very wrong cannot outweigh the others.

    The backward pass runs each draw again, with the random numbers that torch's generator gave
    before, so that one draw's activations are in memory at a time. This costs a third more.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        self.model = model
        self.samples = samples

    def forward(self, batch: Tensor) -> Tensor:
        """Return the logits, N×K."""
        total = self._drawn(batch)
        for _ in range(self.samples - 1):
            total = total + self._drawn(batch)
        return total / self.samples

    def _drawn(self, batch: Tensor) -> Tensor:
        drawn: Tensor
        if torch.is_grad_enabled() and batch.requires_grad:
            drawn = checkpoint(self.model, batch, use_reentrant=False)
        else:
            drawn = self.model(batch)
        return drawn


class Ensemble(nn.Module):
    """Several models: the mean of their logits.

    Args:
        models: Modules from N×3×H×W to N×K logits, with the same classes.

    Raises:
        ValueError: In forward, the models have different numbers of classes.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, N×K."""
        logits = [model(images) for model in self.models]
        if len({answers.shape for answers in logits}) > 1:
            classes = " and ".join(str(answers.shape[-1]) for answers in logits)
            raise ValueError(f"the surrogates must have the same classes, not {classes} of them")
        return torch.stack(logits).mean(0)


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
