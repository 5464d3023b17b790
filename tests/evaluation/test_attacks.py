"""The attacks: their bounds, their strength, and where each one aims."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import pyfd
from pyfd import QTables
from pyfd.evaluation import attacks
from pyfd.torch import FeatureDistillation
from tests.jpegs import picture


class Linear(nn.Module):
    """Two classes by the sign of a fixed random pattern: every gradient is known."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.pattern = nn.Parameter(torch.randn(3, size, size, generator=generator))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = (batch * self.pattern).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


class Wavy(Linear):
    """With many local maxima, so that where an attack starts decides where it ends."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.sin(400 * batch))


def case() -> tuple[nn.Module, list[np.ndarray], np.ndarray]:
    model = Linear().eval()
    images = [picture(32, 32, seed=i) for i in range(3)]
    with torch.no_grad():
        labels = model(attacks.to_batch(images)).argmax(1).numpy()
    return model, images, labels


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_images_stay_images(name):
    model, images, labels = case()
    bounded = attacks.ATTACKS[name].bounded
    moved = attacks.run(name, model, images, labels, 3 if bounded else None, seed=0)
    distances = []
    for before, after in zip(images, moved, strict=True):
        assert after.dtype == np.uint8
        assert after.shape == before.shape
        assert after.flags.c_contiguous
        distances.append(np.abs(after.astype(int) - before).max())
    assert max(distances) >= 1
    assert not bounded or max(distances) == 3


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "apgd"])
def test_follows_the_gradient(name):
    """Against a linear model the best perturbation is ε times the gradient's sign."""
    model, images, labels = case()
    moved = attacks.run(name, model, images, labels, 4, seed=0)
    sign = np.sign(model.pattern.detach().permute(1, 2, 0).numpy())
    for before, after, label in zip(images, moved, labels, strict=True):
        inside = (before >= 4) & (before <= 251)
        toward = -sign if label == 0 else sign
        agree = (after.astype(int) - before == 4 * toward)[inside].mean()
        assert agree > 0.95


@pytest.mark.parametrize("name", ["deepfool", "cw-l2"])
def test_image_itself_where_nothing_is_found(name):
    """Foolbox's CW would hand over black images."""

    class Sure(Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch * 1e-9) + torch.tensor([1e3, 0.0])

    images = [picture(32, 32, seed=i) for i in range(3)]
    moved = attacks.run(name, Sure().eval(), images, np.zeros(3, np.int64), None, seed=0)
    for before, after in zip(images, moved, strict=True):
        assert np.array_equal(before, after)


def test_is_repeatable():
    _, images, labels = case()
    model = Wavy()
    first, second, other = (attacks.run("pgd", model, images, labels, 4, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


# ---- through a defence --------------------------------------------------------


def test_straight_through_runs_the_function_and_passes_the_gradient():
    module = attacks.StraightThrough(lambda images: [255 - image for image in images])
    batch = attacks.to_batch([picture(8, 8)]).requires_grad_()
    result = module(batch)
    torch.testing.assert_close(result, 1 - batch)
    weights = torch.randn_like(batch)
    (gradient,) = torch.autograd.grad((result * weights).sum(), batch)
    assert torch.equal(gradient, weights)


def test_expectation_averages_draws():
    class Coin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.draws = iter([0.0, 1.0, 2.0, 5.0])

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.full((len(batch), 2), next(self.draws))

    assert torch.equal(
        attacks.Expectation(Coin(), 4)(torch.zeros(1, 3, 8, 8)), torch.full((1, 2), 2.0)
    )


# ---- at the grid --------------------------------------------------------------


def loss(model: nn.Module, images: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = model(attacks.to_batch(images))
    return nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()


@pytest.mark.parametrize(("step", "epsilon"), [(16, 2), (16, 4), (30, 4)])
def test_grid_beats_what_ignores_the_grid(step, epsilon):
    """Behind two passes it raises the loss more than PGD, with or without the defence."""
    model, images, labels = case()
    tables = QTables.uniform(step)

    def defended(pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [pyfd.decode(pyfd.encode(p, tables), tables) for p in pictures]

    start = defended(images)
    through = FeatureDistillation(tables)
    aimed = attacks.grid(model, through, tables, start, labels, epsilon)
    for before, after in zip(start, aimed, strict=True):
        assert np.abs(after.astype(int) - before).max() <= epsilon
    behind = nn.Sequential(through, model).eval()
    blind = attacks.run("pgd", model, start, labels, epsilon, seed=0)
    bpda = attacks.run("pgd", behind, start, labels, epsilon, seed=0)
    reached = loss(model, defended(aimed), labels).mean()
    assert reached > loss(model, defended(blind), labels).mean()
    assert reached > loss(model, defended(bpda), labels).mean()


def test_grid_cannot_do_what_is_certified():
    """Inside the certified radius no coefficient moves, wherever one aims."""
    model, images, labels = case()
    tables = QTables.uniform(40)
    flat = [np.full_like(image, 128) for image in images]
    certified = pyfd.certify(flat[0], tables)
    assert certified.radius > 1
    aimed = attacks.grid(model, FeatureDistillation(tables), tables, flat[:1], labels[:1], 1)
    kept = [pyfd.read_coefficients(pyfd.encode(image, tables)) for image in (flat[0], aimed[0])]
    for before, after in zip(kept[0].components, kept[1].components, strict=True):
        assert np.array_equal(before, after)
