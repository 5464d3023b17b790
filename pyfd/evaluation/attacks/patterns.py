"""Perturbations of blocks that carry chosen coefficients over rounding boundaries together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyfd._core.arithmetic import DCT, YCBCR
from pyfd.analysis import gains
from pyfd.evaluation.attacks.reach import SLICE, Codec, Room, ends, room, to_blocks, to_planes
from pyfd.qtables import QTables

#: The coefficients of a block that are aimed at together, by the rank of what they gain for
#: the distance: all sets of the best three, and many at once, which move less far.
_TOGETHER = ((0,), (1,), (0, 1), (2,), (0, 2), (1, 2), range(3), range(5), range(8), range(16))
#: The number of patterns for each of these sets: what was missed gets more weight each time.
_PURSUITS, _HASTE = 8, 1.0
#: The number of patterns for all coefficients, of which those out of reach lose weight.
_CORRECTIONS = 12
#: The share of blocks that can move, and their number, up to which the last two numbers count.
#: Where more can move, the first pattern of each set is enough.
_FEW, _SO_FEW = 0.25, 512


class Aim:
    """The coefficients of images that can move within ±ε, and patterns that move them.

    Args:
        qtables: The tables; chroma is not subsampled.
        start: N×3×H×W levels.
        epsilon: The L∞ bound, in levels.
    """

    def __init__(self, qtables: QTables, start: Tensor, epsilon: int) -> None:
        self.start = start
        self.epsilon = epsilon
        # Not every device has float64
        self.device = torch.device("cpu") if start.device.type == "mps" else start.device
        self.codec = Codec(qtables).to(self.device)
        self.colors, self.basis, self.gains = (
            torch.tensor(x, device=self.device) for x in (YCBCR, DCT, gains())
        )
        blocks = to_blocks(start.to(self.device))
        found = room(self.codec, start.to(self.device), epsilon)
        self.places = found.blocks.nonzero().flatten()
        self.per_image = len(blocks) // len(start)
        self.room = Room(*(x[self.places] for x in found))
        self.blocks = blocks[self.places]
        self.few = len(self.places) <= max(_FEW * len(blocks), _SO_FEW)
        self.tied = self._ties(start.shape[2:])

    @property
    def images(self) -> Tensor:
        """Whether each of the N images has a block that can move, on the images' device."""
        found = torch.zeros(len(self.start), dtype=torch.bool, device=self.start.device)
        found[self.places.to(found.device) // self.per_image] = True
        return found

    def _ties(self, size: torch.Size) -> Tensor | None:
        """Return which sample of its block each is a copy of, B×64; None without padding."""
        height, width = size
        if height % 8 == width % 8 == 0:
            return None
        rows, columns = (torch.arange(n, device=self.device) % 8 for n in (height, width))
        places = (8 * rows[:, None] + columns)[None, None].float()
        one = to_blocks(places).flatten(1).long()
        return one.repeat(len(self.start), 1)[self.places]

    def slopes(self, gradient: Tensor) -> Tensor:
        """Return N×3×H×W derivatives by what the model sees as those by the coefficients."""
        height, width = gradient.shape[2:]  # what is decoded beyond the edges is not seen
        seen = nn.functional.pad(gradient.to(self.device), (0, -width % 8, 0, -height % 8))
        blocks = to_blocks(seen)[self.places].double()
        inverse = torch.linalg.inv(self.colors)
        return self.basis @ torch.einsum("ji,bjyx->biyx", inverse, blocks) @ self.basis.T

    def random(self, slopes: Tensor, generator: torch.Generator) -> Tensor:
        """Return random numbers in the shape of slopes; the generator is the processor's."""
        return torch.randn(slopes.shape, generator=generator, dtype=slopes.dtype).to(self.device)

    def some(self, share: float, generator: torch.Generator) -> Tensor:
        """Return the numbers of a random share of the blocks that can move, at least one each."""
        drawn = torch.rand(len(self.places), generator=generator)
        owner = self.places.cpu() // self.per_image
        least = torch.ones(len(self.start)).scatter_reduce_(0, owner, drawn, "amin")
        chosen = drawn <= least.clamp_min(share)[owner]
        return chosen.nonzero().flatten().to(self.device)

    def at(self, slopes: Tensor) -> Tensor:
        """Return the images moved for the largest gain to first order, in levels."""
        return self.moved(self.start, torch.arange(len(self.places), device=self.device), slopes)

    def moved(self, images: Tensor, chosen: Tensor, slopes: Tensor) -> Tensor:
        """Return images in which chosen blocks are those of `at`.

        Args:
            images: N×3×H×W levels.
            chosen: The numbers of K of the blocks that can move.
            slopes: The slopes of these blocks.
        """
        blocks = to_blocks(images)
        parts = torch.split(torch.arange(len(chosen), device=self.device), SLICE)
        found = torch.cat([self._patterned(chosen[part], slopes[part]) for part in parts])
        moved = blocks.index_copy(0, self.places[chosen].to(blocks.device), found.to(blocks))
        return to_planes(moved, tuple(images.shape))

    def _patterned(self, part: Tensor, slopes: Tensor) -> Tensor:
        """Return some of the blocks with the pattern that gains most, of those that are tried."""
        block = _Blocks(self, part, slopes)
        worth = block.worth
        order = worth.flatten(1).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(1).view_as(worth)
        for ranks in _TOGETHER:
            chosen = torch.isin(rank, torch.tensor(ranks, device=rank.device))
            several = 1 < len(ranks) <= 3 and self.few
            block.pursue(torch.where(chosen, worth, 0), _PURSUITS if several else 1)
        if self.few:
            block.correct(_CORRECTIONS)
        return block.best


class _Blocks:
    """Some blocks on which patterns are tried: each keeps the one that gains most."""

    def __init__(self, aim: Aim, part: Tensor, slopes: Tensor) -> None:
        self.aim = aim
        self.start = aim.blocks[part].double()
        self.low, self.high = ends(self.start, aim.epsilon)
        self.tied = None if aim.tied is None else aim.tied[part]
        scaled = aim.codec.scaled(self.start)
        self.steps = aim.codec.steps
        self.now = scaled / 8
        self.stored = aim.codec.quantized(self.start)
        self.slopes = slopes * self.steps
        self.sign = slopes.sign()
        self.needed = ((self.stored + self.sign / 2) * self.steps - self.now) * self.sign
        room = torch.where(slopes > 0, aim.room.up[part], -aim.room.down[part])
        worth = self.slopes.abs() / self.needed.clamp_min(0.25)
        self.worth = torch.where(room > 0, worth, 0)
        self.best = self.start
        self.most = torch.zeros(len(part), dtype=torch.float64, device=slopes.device)

    def pattern(self, weights: Tensor) -> Tensor:
        """Move every sample to an end of its range, by the signs for weighted coefficients."""
        aim = self.aim
        planes = aim.basis.T @ (weights * self.sign / aim.gains) @ aim.basis
        wanted = torch.einsum("ij,biyx->bjyx", aim.colors, planes)
        if self.tied is not None:
            flat, source = wanted.flatten(2), self.tied[:, None].expand(-1, 3, -1)
            sums = torch.zeros_like(flat).scatter_add_(2, source, flat)
            wanted = sums.gather(2, source).view_as(wanted)
        return torch.where(wanted > 0, self.high, torch.where(wanted < 0, self.low, self.start))

    def judge(self, moved: Tensor) -> Tensor:
        """Keep the blocks that gain more than the best so far.

        Returns:
            How far coefficients have passed the boundaries that they aim at.
        """
        scaled = self.aim.codec.scaled(moved)
        flips = self.aim.codec.stored(scaled) - self.stored
        gain = (self.slopes * flips).sum((1, 2, 3))
        better = gain > self.most
        self.most = torch.where(better, gain, self.most)
        self.best = torch.where(better[:, None, None, None], moved, self.best)
        return (scaled / 8 - self.now) * self.sign - self.needed

    def pursue(self, weights: Tensor, times: int) -> None:
        """Try to bring all weighted coefficients over their boundaries together.

        This is the game of a pattern against weights: the weights are multiplied down where a
        pattern has passed the boundary, and up where it has not. The mean of the patterns
        tends to the perturbation whose worst coefficient is as well off as possible.
        """
        total = torch.zeros_like(self.start)
        reach = self.aim.gains * self.aim.epsilon
        for count in range(1, times + 1):
            moved = self.pattern(weights)
            total = total + moved
            excess = self.judge(moved) / reach
            if count > 1:
                self.judge(torch.round(total / count))
            weights = weights * torch.exp(-_HASTE * excess.clamp(-1, 1))
            weights = weights / weights.amax((1, 2, 3), keepdim=True).clamp_min(1e-30)

    def correct(self, times: int) -> None:
        """Try patterns for all coefficients, with less and less weight for those out of reach."""
        weights = self.worth
        for correction in range(times):
            width = 0.05 + 0.5 * (1 - correction / times)
            excess = self.judge(self.pattern(weights)) / self.steps
            weights = (weights + self.worth * torch.exp(-((excess / width) ** 2))) / 2
