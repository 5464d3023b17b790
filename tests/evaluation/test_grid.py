"""The attack on the grid: it is stronger than others, and certificates hold against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import pyfd
from pyfd import QTables
from pyfd.evaluation.attacks import ATTACKS, Target, to_batch
from pyfd.evaluation.attacks.grid import Grid
from pyfd.evaluation.attacks.patterns import Aim
from pyfd.evaluation.defences import Distillation
from pyfd.torch import FeatureDistillation
from tests.evaluation.toys import Wavy, case
from tests.jpegs import picture

GRID, PGD = ATTACKS["grid"], ATTACKS["pgd"]


def loss(model: nn.Module, images: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = model(to_batch(images))
    return nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()


@pytest.mark.parametrize(("step", "epsilon"), [(16, 2), (16, 4), (30, 4)])
def test_grid_beats_what_ignores_the_grid(step, epsilon):
    """Against two passes, it raises the loss more than PGD with or without the defence.

    It does so with a small part of the trials that it makes by default.
    """
    model, images, labels = case()
    tables = QTables.uniform(step)

    def defended(pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [pyfd.decode(pyfd.encode(p, tables), tables) for p in pictures]

    start = defended(images)
    through = FeatureDistillation(tables)
    target = Target(model, defence=Distillation(tables))
    aimed = Grid(targets=1, trials=15).perturb(target, start, labels, epsilon, 0)
    for before, after in zip(start, aimed, strict=True):
        assert np.abs(after.astype(int) - before).max() <= epsilon
    behind = nn.Sequential(through, model).eval()
    blind = PGD.perturb(Target(model), start, labels, epsilon, 0)
    bpda = PGD.perturb(Target(behind), start, labels, epsilon, 0)
    reached = loss(model, defended(aimed), labels).mean()
    assert reached > loss(model, defended(blind), labels).mean()
    assert reached > loss(model, defended(bpda), labels).mean()


def test_grid_cannot_do_what_is_certified():
    """Inside the certified radius no coefficient moves, wherever the attack aims."""
    model, images, labels = case()
    tables = QTables.uniform(40)
    flat = [np.full_like(image, 128) for image in images]
    certified = pyfd.certify(flat[0], tables)
    assert certified.radius > 1
    target = Target(model, defence=Distillation(tables))
    aimed = GRID.perturb(target, flat[:1], labels[:1], 1, 0)
    kept = [pyfd.read_coefficients(pyfd.encode(image, tables)) for image in (flat[0], aimed[0])]
    for before, after in zip(kept[0].components, kept[1].components, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("size", [(32, 24), (29, 21)])
def test_blocks_that_are_certified_keep_their_coefficients(size):
    """Black, white and padded blocks are left to the attack, and it moves some of them."""
    tables, epsilon = QTables.certified(2), 2
    photo = picture(*size) // 2 + 64
    photo[:12] = (4.0 * photo[:12] - 380).clip(0, 255)
    start = pyfd.decode(pyfd.encode(photo, tables), tables)
    held = pyfd.holds(start, tables, epsilon)
    assert 0 < held.sum() < held.size
    target = Target(Mean(), defence=Distillation(tables))
    (moved,) = Grid(steps=2, targets=1, trials=4).perturb(
        target, [start], np.array([0]), epsilon, 0
    )
    assert moved.dtype == np.uint8
    assert np.abs(moved.astype(int) - start).max() <= epsilon
    files = [pyfd.encode(image, tables) for image in (start, moved)]
    parts = [pyfd.read_coefficients(file).components for file in files]
    changed = np.any([(a != b).any((2, 3)) for a, b in zip(*parts, strict=True)], axis=0)
    assert changed.any()
    assert not (changed & held).any()


class Mean(nn.Module):
    """A model of the mean; the class is always 0, but 1 is nearer the brighter an image is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = (batch * self.weight).mean((1, 2, 3))
        return torch.stack([9 - score, score, score / 2], 1)


def test_more_climbs_leave_no_more_and_the_seed_decides():
    """`Wavy` has many local maxima."""
    _, images, _ = case()
    model, tables = Wavy().eval(), QTables.uniform(16)
    start = [pyfd.decode(pyfd.encode(image, tables), tables) for image in images]
    with torch.no_grad():
        labels = model(to_batch(start)).argmax(1).numpy()
    target = Target(model, defence=Distillation(tables))

    def attacked(seed: int = 0, **parameters: int) -> list[np.ndarray]:
        return Grid(steps=1, **parameters).perturb(target, start, labels, 1, seed)

    def reached(moved: list[np.ndarray]) -> np.ndarray:
        seen = [pyfd.decode(pyfd.encode(image, tables), tables) for image in moved]
        return loss(model, seen, labels)

    once = attacked(targets=0, trials=0)
    often = attacked(targets=1, trials=6)
    assert (reached(often) >= reached(once) - 1e-4).all()
    assert all(map(np.array_equal, often, attacked(targets=1, trials=6)))
    assert all(map(np.array_equal, once, attacked(1, targets=0, trials=0)))


def test_an_image_without_a_block_that_can_move_is_not_attacked():
    """The model is asked once, for its answer."""
    asked = []

    class Asked(Mean):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            asked.append(len(batch))
            return super().forward(batch)

    tables = QTables.uniform(40)
    flat = np.full((16, 16, 3), 128, np.uint8)
    target = Target(Asked(), defence=Distillation(tables))
    (moved,) = GRID.perturb(target, [flat], np.array([0]), 1, 0)
    assert np.array_equal(moved, flat)
    assert asked == [1]


class Sinking(nn.Module):
    """A model whose margin is less each time that it sees a dark image; it says how many it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(batch))
        mean = batch.mean((1, 2, 3))
        margin = torch.where(mean < 0.5, 0.999 ** len(self.asked), 1.0)
        return torch.stack([margin + 0 * mean, 0 * mean], 1)


@pytest.mark.parametrize(
    ("levels", "rounds"), [([200], [1]), ([60], [1] * 3), ([60, 200], [2, 1, 1])]
)
def test_trials_go_on_for_the_images_that_gain(levels, rounds):
    """Images whose margin does not fall in a round of 120 trials are given up after it."""
    model, tables = Sinking().eval(), QTables.uniform(16)
    noise = np.random.default_rng(0).integers(-20, 20, (16, 16, 3))
    start = [(level + noise).astype(np.uint8) for level in levels]
    start = [pyfd.decode(pyfd.encode(image, tables), tables) for image in start]
    labels = np.zeros(len(start), int)
    Grid(steps=1, targets=0, trials=360).perturb(
        Target(model, defence=Distillation(tables)), start, labels, 4, 0
    )
    before, of_round = 1 + 2, 120 + 12  # the answer and the climb; the gradients of a round
    assert model.asked[before:] == [n for n in rounds for _ in range(of_round)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_every_image_has_a_block_in_each_trial(share):
    start = to_batch([picture(64, 48, seed=i) for i in range(3)]) * 255
    aim = Aim(QTables.uniform(16), start, 4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        chosen = aim.some(share, generator)
        assert len(chosen.unique()) == len(chosen)
        of_each = torch.bincount(aim.places[chosen] // aim.per_image, minlength=3)
        assert (of_each >= 1).all()
        assert share == 0 or (of_each <= 3 + 2 * share * aim.per_image).all()
        assert (of_each == 48).all() or share < 1
