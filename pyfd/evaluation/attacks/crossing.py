"""The search for perturbations that carry DCT coefficients over rounding boundaries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pyfd._core.arithmetic import DCT, YCBCR
from pyfd._core.pixels import Pixels
from pyfd.analysis import gains
from pyfd.evaluation.attacks.base import to_batch, to_pixels
from pyfd.qtables import QTables
from pyfd.torch import device_of

#: Numbers of coefficients of a block that are aimed at together: few of them move far,
#: many of them move little.
_TOGETHER = (1, 2, 3, 5, 8, 16)


def cross(
    model: nn.Module,
    through: nn.Module,
    qtables: QTables,
    images: Sequence[Pixels],
    labels: npt.NDArray[np.int64],
    epsilon: int,
    steps: int,
) -> list[Pixels]:
    """Return images whose coefficients crossed rounding boundaries to raise the loss.

    Each step takes the gradient of the loss at what the model sees. In each block it
    ranks the coefficients by the gain of crossing, |gradient|·Q for the step Q,
    divided by the distance to the boundary in the gradient's direction. The sign
    pattern that moves the first m of them together farthest within ±ε is tried for
    several m on the quantizer itself, and each block keeps the pattern that gains
    most. Gradients are accumulated over the steps. The result is each image from the
    step that raised its loss most.

    Args:
        model: A module from N×3×H×W in [0, 1] to logits.
        through: The defence's stand-in, such as `pyfd.torch.FeatureDistillation`.
        qtables: Its tables; chroma is not subsampled.
        images: H×W×3 ``uint8`` arrays of one size.
        labels: The true class of each.
        epsilon: The L∞ bound, in levels.
        steps: The number of gradients that are taken.
    """
    device = device_of(model)
    start = to_batch(images).to(device) * 255
    truth = torch.from_numpy(labels).to(device)
    aim = _Aim(qtables, start, epsilon)
    moved, best = start, start
    most = torch.full((len(images),), -math.inf, device=device)
    direction = torch.zeros_like(start)
    for step in range(steps + 1):
        loss, gradient = _loss_behind(model, through, moved, truth)
        better = loss > most
        most = torch.where(better, loss, most)
        best = torch.where(better[:, None, None, None], moved, best)
        if step < steps:
            size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
            direction = direction + gradient / size
            moved = aim.at(direction)
    return to_pixels(best / 255, images, epsilon)


def _loss_behind(
    model: nn.Module, through: nn.Module, moved: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss of each image, and its gradient at what the model sees."""
    with torch.no_grad():
        seen = through(moved / 255)
    seen.requires_grad_()
    loss = cross_entropy(model(seen), truth, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), seen)
    return loss.detach(), gradient


class _Aim:
    """The coefficients of images, and where they lie between rounding boundaries."""

    def __init__(self, qtables: QTables, start: Tensor, epsilon: int) -> None:
        self.start = start
        self.epsilon = epsilon
        self.colors = torch.tensor(YCBCR).to(start)
        self.basis = torch.tensor(DCT).to(start)
        steps = np.stack([qtables[i] for i in range(3)]).astype(np.float32)
        self.steps = torch.from_numpy(steps).to(start.device)[:, None, None]
        self.reach = torch.from_numpy(gains().astype(np.float32)).to(start.device) * epsilon
        self.coefficients = self.transformed(start)
        self.stored = torch.round(self.coefficients / self.steps)

    def transformed(self, levels: Tensor) -> Tensor:
        """Return the orthonormal DCT of Y, Cb and Cr: N×3×blocks high×blocks wide×8×8."""
        planes = torch.einsum("ij,njhw->nihw", self.colors, levels)
        planes[:, 0] -= 128
        return self.basis @ _blocks(planes) @ self.basis.T

    def at(self, gradient: Tensor) -> Tensor:
        """Return the images moved for the largest gain to first order, in levels."""
        inverse = torch.linalg.inv(self.colors).T
        slopes = torch.einsum("ij,njhw->nihw", inverse, gradient)
        slopes = self.basis @ _blocks(slopes) @ self.basis.T
        sign = slopes.sign()
        distance = ((self.stored + sign / 2) * self.steps - self.coefficients) * sign
        worth = slopes.abs() * self.steps / distance.clamp_min(0.25)
        worth = torch.where(distance < self.reach, worth, torch.zeros_like(worth))
        order = worth.permute(0, 2, 3, 1, 4, 5).flatten(3).argsort(-1, descending=True).argsort(-1)
        rank = order.reshape(*order.shape[:3], 3, 8, 8).permute(0, 3, 1, 2, 4, 5)
        best, most = self.start, None
        for count in _TOGETHER:
            aimed = torch.where(rank < count, worth * sign / self.reach, torch.zeros_like(worth))
            moved = self.pushed(aimed)
            flips = torch.round(self.transformed(moved) / self.steps) - self.stored
            gain = (slopes * flips * self.steps).sum((1, 4, 5))
            if most is None:
                best, most = moved, gain
                continue
            better = gain > most
            most = torch.where(better, gain, most)
            mask = better.repeat_interleave(8, 1).repeat_interleave(8, 2)
            best = torch.where(mask[:, None, : moved.shape[2], : moved.shape[3]], moved, best)
        return best

    def pushed(self, aimed: Tensor) -> Tensor:
        """Move every sample by ±ε, with the signs that move the coefficients farthest."""
        planes = _planes(self.basis.T @ aimed @ self.basis)
        pattern = torch.einsum("ij,nihw->njhw", self.colors, planes).sign()
        height, width = self.start.shape[2:]
        return (self.start + self.epsilon * pattern[..., :height, :width]).clamp(0, 255)


def _blocks(planes: Tensor) -> Tensor:
    """Return N×C×H×W as N×C×blocks high×blocks wide×8×8, with the edges replicated."""
    height, width = planes.shape[2:]
    margins = (0, -width % 8, 0, -height % 8)
    padded = nn.functional.pad(planes, margins, mode="replicate")
    n, components, height, width = padded.shape
    return padded.reshape(n, components, height // 8, 8, width // 8, 8).transpose(3, 4)


def _planes(blocks: Tensor) -> Tensor:
    """Return N×C×blocks high×blocks wide×8×8 as N×C×H×W."""
    return blocks.transpose(3, 4).flatten(4).flatten(2, 3)
