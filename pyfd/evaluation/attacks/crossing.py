"""The search for perturbations that carry DCT coefficients over rounding boundaries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import to_batch, to_pixels
from pyfd.evaluation.attacks.patterns import Aim
from pyfd.qtables import QTables
from pyfd.torch import device_of


def cross(
    model: nn.Module,
    through: nn.Module,
    qtables: QTables,
    images: Sequence[Pixels],
    labels: npt.NDArray[np.int64],
    epsilon: int,
    *,
    steps: int,
    targets: int,
    restarts: int,
    seed: int,
) -> list[Pixels]:
    """Return images whose coefficients crossed rounding boundaries until the class is another.

    The codec's arithmetic says which coefficients can move at all within ±ε
    (`pyfd.evaluation.attacks.reach`); only the blocks that have some are searched. A climb
    takes the gradient of the margin at what the model sees, and gives all these blocks the
    patterns that gain most by it (`Aim`), again and again, with the sum of the gradients. The
    first climb is towards any other class. The images that it leaves right are tried again,
    towards each of the likeliest other classes, and from random patterns.

    Args:
        model: A module from N×3×H×W in [0, 1] to logits.
        through: The defence's stand-in, such as `pyfd.torch.FeatureDistillation`.
        qtables: Its tables; chroma is not subsampled.
        images: H×W×3 ``uint8`` arrays of one size.
        labels: The true class of each.
        epsilon: The L∞ bound, in levels.
        steps: The number of gradients of a climb.
        targets: The number of other classes that are climbed towards.
        restarts: The number of climbs from random patterns.
        seed: The seed of these.

    Returns:
        Each image from the step at which the margin of its true class was least.
    """
    device = device_of(model)
    start = to_batch(images).to(device) * 255
    truth = torch.from_numpy(labels).to(device)
    with torch.no_grad():
        logits = model(through(start / 255))
    margins, best = _margins(logits, truth), start.clone()
    free = Aim(qtables, start, epsilon).images
    generator = torch.Generator().manual_seed(seed % 2**63)
    for rivals, random in _climbs(logits, truth, targets, restarts):
        right = ((margins >= 0) & free).nonzero().flatten()
        if not len(right):
            break
        climb = _Climb(model, through, truth[right], rivals[right])
        aim = Aim(qtables, start[right], epsilon)
        moved, reached = climb.run(aim, steps, generator if random else None)
        better = reached < margins[right]
        margins[right[better]] = reached[better]
        best[right[better]] = moved[better]
    return to_pixels(best / 255, images, epsilon)


def _climbs(
    logits: Tensor, truth: Tensor, targets: int, restarts: int
) -> Iterator[tuple[Tensor, bool]]:
    """Yield the classes that each climb may lead to, and whether it starts at random.

    The classes are N×K ``bool``, of which each image's true one is never set.
    """
    others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, truth[:, None], False)
    yield others, False
    order = logits.masked_fill(~others, -math.inf).argsort(dim=1, descending=True, stable=True)
    for rank in range(min(targets, logits.shape[1] - 1)):
        one = torch.zeros_like(others).scatter_(1, order[:, rank : rank + 1], True)
        yield one, False
    for _ in range(restarts):
        yield others, True


def _margins(logits: Tensor, truth: Tensor, rivals: Tensor | None = None) -> Tensor:
    """Return by how much the true class's logit exceeds the largest of its rivals', N."""
    own = logits.gather(1, truth[:, None])[:, 0]
    if rivals is None:
        rivals = torch.ones_like(logits, dtype=torch.bool).scatter_(1, truth[:, None], False)
    return own - logits.masked_fill(~rivals, -math.inf).amax(1)


class _Climb:
    """A climb of several images towards other classes."""

    def __init__(self, model: nn.Module, through: nn.Module, truth: Tensor, rivals: Tensor) -> None:
        self.model = model
        self.through = through
        self.truth = truth
        self.rivals = rivals

    def run(self, aim: Aim, steps: int, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return each image from its best step, as N×3×H×W levels, and its margin there."""
        moved = aim.start if random is None else aim.at(aim.random(random))
        best, least = aim.start, torch.full(self.truth.shape, math.inf, device=aim.start.device)
        slopes: Tensor | None = None
        for step in range(steps + 1):
            margins, gradient = self.look(moved)
            better = margins < least
            least = torch.where(better, margins, least)
            best = torch.where(better[:, None, None, None], moved, best)
            if step < steps:
                more = aim.slopes(gradient)
                slopes = more if slopes is None else slopes + more
                moved = aim.at(slopes)
        return best, least

    def look(self, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margins, and the gradient, at what the model sees, that lowers them."""
        with torch.no_grad():
            seen = self.through(moved / 255)
        seen.requires_grad_()
        logits = self.model(seen)
        (gradient,) = torch.autograd.grad(-_margins(logits, self.truth, self.rivals).sum(), seen)
        # What is black cannot become blacker, nor white whiter
        stuck = ((seen <= 0) & (gradient < 0)) | ((seen >= 1) & (gradient > 0))
        gradient = gradient.masked_fill(stuck, 0)
        size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
        return _margins(logits.detach(), self.truth), gradient / size
