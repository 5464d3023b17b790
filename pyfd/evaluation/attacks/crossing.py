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

#: Trials take these shares of the blocks, at least one, and this much noise, in turn.
_SHARES, _NOISES = (0.1, 0.05, 0.02, 0.01), (0.0, 1.0, 2.0)
#: Trials after which the gradient is taken again.
_RENEWAL = 10
#: Trials in a round: an image whose margin falls by less than this share in one is given up.
_ROUND, _PACE = 120, 0.02


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
    trials: int,
    seed: int,
) -> list[Pixels]:
    """Return images whose coefficients crossed rounding boundaries until the class is another.

    The codec's arithmetic says which coefficients can move at all within ±ε
    (`pyfd.evaluation.attacks.reach`); only the blocks that have some are searched. A climb
    takes the gradient of the margin at what the model sees, and gives all these blocks the
    patterns that gain most by it (`Aim`), again and again, with the sum of the gradients. The
    first climb is towards any other class. Some blocks at random of the images that it leaves
    right get other patterns, and keep them if the margin falls. That ends where it hardly does.
    What is right even then is climbed with again, towards each of the likeliest other classes.

    Args:
        model: A module from N×3×H×W in [0, 1] to logits, which has a gradient.
        through: The defence's stand-in, such as `pyfd.torch.FeatureDistillation`.
        qtables: Its tables; chroma is not subsampled.
        images: H×W×3 ``uint8`` arrays of one size.
        labels: The true class of each.
        epsilon: The L∞ bound, in levels.
        steps: The number of gradients of a climb.
        targets: The number of other classes that are climbed towards.
        trials: The most times that random blocks get other patterns.
        seed: The seed of these.

    Returns:
        Each image from the step or the trial at which the margin of its true class was least.
    """
    device = device_of(model)
    start = to_batch(images).to(device) * 255
    hunt = _Hunt(model, through, qtables, epsilon, start, torch.from_numpy(labels).to(device))
    hunt.climb(hunt.others, steps)
    hunt.wander(trials, torch.Generator().manual_seed(seed % 2**63))
    for rivals in _likeliest(hunt.logits, hunt.others, targets):
        hunt.climb(rivals, steps)
    return to_pixels(hunt.best / 255, images, epsilon)


def _likeliest(logits: Tensor, others: Tensor, count: int) -> Iterator[Tensor]:
    """Yield each image's likeliest of its other classes, one after the other.

    Classes are N×K ``bool``: those that are searched towards, never the true one.
    """
    order = logits.masked_fill(~others, -math.inf).argsort(dim=1, descending=True, stable=True)
    for rank in range(min(count, logits.shape[1] - 1)):
        yield torch.zeros_like(others).scatter_(1, order[:, rank : rank + 1], True)


def _margins(logits: Tensor, truth: Tensor, rivals: Tensor | None = None) -> Tensor:
    """Return by how much the true class's logit exceeds the largest of its rivals', N."""
    own = logits.gather(1, truth[:, None])[:, 0]
    if rivals is None:
        rivals = torch.ones_like(logits, dtype=torch.bool).scatter_(1, truth[:, None], False)
    return own - logits.masked_fill(~rivals, -math.inf).amax(1)


class _Hunt:
    """The images, and the best that all searches made of them: N×3×H×W levels, and margins.

    The arguments are those of `cross`; `start` is N×3×H×W levels, `truth` are the labels.
    """

    def __init__(
        self,
        model: nn.Module,
        through: nn.Module,
        qtables: QTables,
        epsilon: int,
        start: Tensor,
        truth: Tensor,
    ) -> None:
        self.model = model
        self.through = through
        self.qtables = qtables
        self.epsilon = epsilon
        self.start = start
        self.truth = truth
        with torch.no_grad():
            self.logits = model(through(start / 255))
        self.others = torch.ones_like(self.logits, dtype=torch.bool)
        self.others.scatter_(1, truth[:, None], False)
        self.best, self.margins = start.clone(), _margins(self.logits, truth)
        self.free = Aim(qtables, start, epsilon).images

    def right(self) -> Tensor:
        """Return the numbers of the images that are right, and can move."""
        return ((self.margins >= 0) & self.free).nonzero().flatten()

    def climb(self, rivals: Tensor, steps: int) -> None:
        """Climb with the images that are right towards their rivals, N×K ``bool``."""
        which = self.right()
        if len(which):
            search = _Search(self, which, rivals)
            search.climb(steps)
            self.take(search)

    def wander(self, trials: int, generator: torch.Generator) -> None:
        """Try patterns on the images that are right, round by round, until they hardly gain."""
        which = self.right()
        for left in range(trials, 0, -_ROUND):
            if not len(which):
                return
            before = self.margins[which]
            search = _Search(self, which, self.others)
            search.wander(min(left, _ROUND), generator)
            self.take(search)
            gained = before - search.least >= _PACE * search.least
            which = which[(search.least >= 0) & gained]

    def take(self, search: _Search) -> None:
        """Take over what a search found."""
        self.best[search.which], self.margins[search.which] = search.best, search.least


class _Search:
    """A search of several images, and the best that was found: N×3×H×W levels, and margins.

    Args:
        hunt: Where it is searched.
        which: The numbers of the images.
        rivals: N×K ``bool``: the classes of all images that are searched towards.
    """

    def __init__(self, hunt: _Hunt, which: Tensor, rivals: Tensor) -> None:
        self.which = which
        self.model = hunt.model
        self.through = hunt.through
        self.aim = Aim(hunt.qtables, hunt.start[which], hunt.epsilon)
        self.truth = hunt.truth[which]
        self.rivals = rivals[which]
        self.best = hunt.best[which]
        self.least = hunt.margins[which]

    def climb(self, steps: int) -> None:
        """Go from pattern to pattern by the sum of the gradients."""
        slopes = self.look(self.aim.start)
        for step in range(1, steps + 1):
            more = self.look(self.aim.at(slopes))
            if step < steps:
                slopes = slopes + more

    def wander(self, trials: int, generator: torch.Generator) -> None:
        """Give random blocks of the best images other patterns, by the gradient and noise."""
        for trial in range(trials):
            if trial % _RENEWAL == 0:
                if (self.least < 0).all():
                    return
                slopes = self.look(self.best)
                size = slopes.abs().mean((1, 2, 3), keepdim=True)
            share, noise = _SHARES[trial % len(_SHARES)], _NOISES[trial % len(_NOISES)]
            chosen = self.aim.some(share, generator)
            wild = size[chosen] * self.aim.random(slopes[chosen], generator)
            moved = self.aim.moved(self.best, chosen, slopes[chosen] + noise * wild)
            with torch.no_grad():
                self.keep(moved, _margins(self.model(self.through(moved / 255)), self.truth))

    def keep(self, moved: Tensor, margins: Tensor) -> None:
        """Keep the images whose margins are less than the least so far."""
        better = margins < self.least
        self.least = torch.where(better, margins, self.least)
        self.best = torch.where(better[:, None, None, None], moved, self.best)

    def look(self, moved: Tensor) -> Tensor:
        """Keep what is better, and return the slopes that lower the margins over the rivals."""
        with torch.no_grad():
            seen = self.through(moved / 255)
        seen.requires_grad_()
        logits = self.model(seen)
        (gradient,) = torch.autograd.grad(-_margins(logits, self.truth, self.rivals).sum(), seen)
        self.keep(moved, _margins(logits.detach(), self.truth))
        # What is black cannot become blacker, nor white whiter
        stuck = ((seen <= 0) & (gradient < 0)) | ((seen >= 1) & (gradient > 0))
        gradient = gradient.masked_fill(stuck, 0)
        size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
        return self.aim.slopes(gradient / size)
