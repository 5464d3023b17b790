"""AutoAttack in sequence, HopSkipJump's queries, and what random defences ask of attackers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation import attacks
from pyfd.evaluation.attacks import (
    BPDA,
    Attack,
    AutoAttack,
    AutoAttackPart,
    HopSkipJump,
    Noise,
    Queries,
    Restarts,
    Target,
    Targeted,
    to_batch,
)
from pyfd.evaluation.attacks.library import PGD
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.standins import Attackable
from tests.evaluation.toys import Linear, case
from tests.jpegs import picture


class Fake(Attack):
    """A part that deceives a model of brightness about the first image that it is given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parameters = {"of": name}
        self.given: list[int] = []

    def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
        self.given.append(len(images))
        assert len(labels) == len(images)
        return [np.zeros_like(images[0]), *images[1:]]


class Bright(nn.Module):
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        level = batch.mean((1, 2, 3))
        return torch.stack([level, 0.2 - level], 1)


def test_each_part_gets_what_those_before_it_left():
    parts = [Fake("a"), Fake("b"), Fake("c"), Fake("d")]
    images = [np.full((8, 8, 3), 200 + i, np.uint8) for i in range(3)]
    whole = AutoAttack("whole", parts)
    assert whole.parameters == {part.name: {"of": part.name} for part in parts}
    found = whole.perturb(Target(Bright()), images, np.zeros(3, np.int64), 4, 0)
    assert [part.given for part in parts] == [[3], [2], [1], []]
    assert all((image == 0).all() for image in found)
    assert all((image == 200 + i).all() for i, image in enumerate(images))


def test_parts_have_the_parameters_of_version_standard():
    from pyautoattack import AutoAttack as Theirs  # type: ignore[import-untyped]

    theirs = Theirs(nn.Identity(), eps=0.1, version="standard", seed=0)
    assert theirs.attacks_to_run == [part.name for part in attacks.find("autoattack").parts]
    ours = {name: attacks.find(name).parameters for name in theirs.attacks_to_run}
    for name, attack in zip(
        ours, (theirs.apgd, theirs.apgd_targeted, theirs.fab, theirs.square), strict=True
    ):
        for parameter, value in ours[name].items():
            known = "n_target_classes" if parameter == "targets" else parameter
            assert getattr(attack, known) == value


class Waves(nn.Module):
    """Five classes by a small network without training."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3, generator=generator))
        self.weights = nn.Parameter(torch.randn(5, 6 * 36, generator=generator))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        features = torch.tanh(nn.functional.conv2d(batch - 0.5, self.kernel))
        return features.flatten(1) @ self.weights.T


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-t", "fab-t", "square"])
def test_each_part_finds_what_the_librarys_own_finds(name):
    """Called as AutoAttack's version "standard" calls it, with fewer queries, on 8-bit images."""
    from pyautoattack import AutoAttack as Theirs

    model = Waves().eval()
    images = [picture(8, 8, seed=i) for i in range(3)]
    start = to_batch(images)
    with torch.no_grad():
        truth = model(start).argmax(1)
    epsilon, seed = 6, 4
    theirs = Theirs(Attackable(model), eps=epsilon / 255, version="standard", seed=seed)
    parts = (theirs.apgd, theirs.apgd_targeted, theirs.fab, theirs.square)
    part = dict(zip(theirs.attacks_to_run, parts, strict=True))[name]
    part.n_queries, part.n_target_classes = 200, 4
    theirs.apgd.loss, theirs.fab.targeted = "ce", True  # as it does before it runs them
    expected = (part.perturb(start, truth).detach() * 255).round().byte().permute(0, 2, 3, 1)
    ours = copy.copy(attacks.find(name))
    if name == "square":
        ours.parameters = {**ours.parameters, "n_queries": 200}
    found = ours.perturb(Target(model), images, truth.numpy(), epsilon, seed)
    np.testing.assert_array_equal(np.stack(found), expected.numpy())
    with torch.no_grad():
        assert (model(to_batch(found)).argmax(1) != truth).any()


def test_it_reports_only_what_survives_rounding():
    """A model with a cliff between two levels: without rounding, no 8-bit image is behind it."""

    class Cliff(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            off = ((batch * 255 - (batch * 255).round()).abs() * 8).mean((1, 2, 3))
            return torch.stack([torch.full_like(off, 0.5), off], 1)

    images = [picture(8, 8, seed=i) for i in range(2)]
    for name in ("apgd-ce", "fab-t"):
        found = attacks.find(name).perturb(Target(Cliff()), images, np.zeros(2, np.int64), 2, 0)
        assert all(map(np.array_equal, found, images))


def test_a_tie_is_no_success():
    """Square takes a margin of zero for one, and then asks about no images at all."""

    class Tied(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            assert len(batch)
            return batch.new_zeros(len(batch), 4)

    images = [picture(8, 8, seed=i) for i in range(2)]
    labels = np.zeros(2, np.int64)
    found = attacks.find("square").perturb(Target(Tied()), images, labels, 2, 0)
    assert len(found) == 2


# ---- HopSkipJump ----------------------------------------------------------------


class Counting(Linear):
    """A model that counts the images that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.whole = True

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.asked += len(batch)
        levels = batch.detach() * 255
        self.whole &= bool(torch.allclose(levels, levels.round(), atol=1e-3))
        return super().forward(batch)


def test_hopskipjump_asks_no_more_than_it_may_and_only_about_8_bit_images():
    model = Counting().eval()
    _, images, labels = case()
    HopSkipJump(queries=150).perturb(Target(model), images, labels, 1, 0)
    assert 100 < model.asked <= 150 * len(images)
    assert model.whole


def test_hopskipjump_stops_at_the_first_success():
    model = Counting().eval()
    _, images, labels = case()
    found = HopSkipJump(queries=3000).perturb(Target(model), images, labels, 120, 0)
    assert model.asked < 3000
    with torch.no_grad():
        assert (model(to_batch(found)).argmax(1).numpy() != labels).all()


def test_hopskipjump_without_a_start():
    """A model that never changes its mind: all random images are of the same class."""
    _, images, _ = case()

    class Sure(Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.tensor([1.0, 0.0]).expand(len(batch), 2)

    found = HopSkipJump().perturb(Target(Sure()), images, np.zeros(3, np.int64), 9, 0)
    assert all(map(np.array_equal, found, images))


# ---- random defences ------------------------------------------------------------


class Jitter(Defence):
    """A defence that shifts all samples of an image by one random number."""

    name, kind, random = "jitter", "transformation", True

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, images: list[np.ndarray], seed: int = 0) -> list[np.ndarray]:
        self.seeds.append(seed)
        return super().__call__(images, seed)

    def defend(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (image + rng.integers(-3, 4)).clip(0, 255).astype(np.uint8)


def test_random_defences_are_asked_anew_each_time():
    model, images, labels = case()
    square = AutoAttackPart("square", "", "", {"n_queries": 5, "n_restarts": 1, "p_init": 0.8})
    for attack in (Queries(square, "some", draws=4), BPDA(Noise(tries=2), "noisy", draws=4)):
        defence = Jitter()
        assert attack.parameters_against(defence)["draws"] == 4
        attack.perturb(Target(model, defence=defence), images, labels, 1, 6)
        assert len(defence.seeds) >= 8
        assert len(set(defence.seeds)) == len(defence.seeds)
        assert 6 not in defence.seeds  # the one with which it is judged


TINY = {"n_iter": 3, "n_restarts": 1}
PARTS = [
    AutoAttackPart("apgd-ce", "", "", TINY),
    AutoAttackPart("apgd-t", "", "", {**TINY, "targets": 1}),
    AutoAttackPart("fab-t", "", "", {**TINY, "targets": 1}),
    AutoAttackPart("square", "", "", {"n_queries": 9, "n_restarts": 1, "p_init": 0.8}),
]


@pytest.mark.parametrize("kind", [BPDA, Queries])
@pytest.mark.parametrize(
    "attack",
    [
        *PARTS,
        AutoAttack("all", PARTS),
        Targeted(targets=1, max_iter=3),
        Restarts(2, 3),
        Noise(3),
        HopSkipJump(120),
        PGD,
    ],
    ids=lambda attack: attack.name,
)
def test_the_seed_decides_the_draws(kind, attack):
    """Whatever was drawn before in the process: other workers have drawn other numbers."""
    model, images, labels = case()
    found, drawn = [], []
    for state in (1, 2):
        np.random.seed(state)
        torch.manual_seed(state)
        defence = Jitter()
        target = Target(model, defence=defence)
        found.append(kind(attack, draws=2).perturb(target, images, labels, 2, 5))
        drawn.append(defence.seeds)
    assert drawn[0] == drawn[1]
    assert all(map(np.array_equal, *found))


def test_the_answers_are_those_of_the_defence_itself():
    """Not those of its stand-in, which need not be exact."""

    class Unlike(Defence):
        name, kind = "unlike", "transformation"

        def defend(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002
            return 255 - image

        def module(self) -> nn.Module:
            raise AssertionError

    _, images, labels = case()

    class Recording(Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch.detach())
            return super().forward(batch)

    seen: list[torch.Tensor] = []
    target = Target(Recording().eval(), defence=Unlike())
    Queries(Noise(tries=1), "one").perturb(target, images, labels, 0, 0)
    torch.testing.assert_close(seen[0], 1 - to_batch(images))


def test_shield_is_attacked_through_its_draws():
    model, images, labels = case()
    apgd = AutoAttackPart("apgd-ce", "", "", {"n_iter": 6, "n_restarts": 1})
    target = Target(model, defence=parse("shield"))
    found = BPDA(apgd, "few", draws=2).perturb(target, images, labels, 24, 0)
    seen = parse("shield")(found, 0)
    with torch.no_grad():
        assert (model(to_batch(seen)).argmax(1).numpy() != labels).any()
