"""Defences as modules: their results, and the gradients through them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pyfd.evaluation.attacks import to_batch
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.standins import DRAWS, Expectation, StraightThrough, behind
from tests.evaluation.toys import case
from tests.jpegs import picture


def test_straight_through_runs_the_function_and_passes_the_gradient():
    module = StraightThrough(lambda images: [255 - image for image in images])
    batch = to_batch([picture(8, 8)]).requires_grad_()
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

    assert torch.equal(Expectation(Coin(), 4)(torch.zeros(1, 3, 8, 8)), torch.full((1, 2), 2.0))


def test_the_model_behind_a_defence():
    """The stand-in is used if there is one, else straight-through with the defence itself."""

    class Negative(Defence):
        name, kind = "negative", "transformation"

        def defend(self, image: np.ndarray, rng: object) -> np.ndarray:  # noqa: ARG002
            return 255 - image

    model, images, _ = case()
    batch = to_batch(images).requires_grad_()
    torch.testing.assert_close(behind(Negative(), model, 0)(batch), model(1 - batch))
    tables = parse("two-pass:16")
    defended = to_batch(tables(images))
    torch.testing.assert_close(behind(tables, model, 0)(batch), model(defended))
    for defence in (Negative(), tables):
        (gradient,) = torch.autograd.grad(behind(defence, model, 0)(batch)[:, 0].sum(), batch)
        assert gradient.abs().mean() > 0.1


def test_a_random_defence_is_averaged_over_other_draws_than_its_own():
    class Noise(Defence):
        name, kind, random = "noise", "transformation", True
        seeds: list[int] = []  # noqa: RUF012

        def __call__(self, images: list[np.ndarray], seed: int = 0) -> list[np.ndarray]:
            self.seeds.append(seed)
            return super().__call__(images, seed)

        def defend(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return rng.integers(256, size=image.shape, dtype=np.uint8)

    class First(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.flatten(1)[:, :2]

    noise = Noise()
    image = picture(8, 8)
    logits = behind(noise, First(), seed=5)(to_batch([image]))
    assert len(noise.seeds) == DRAWS
    assert 5 not in noise.seeds
    draws = [to_batch(noise([image], seed)).flatten(1)[:, :2] for seed in list(noise.seeds)]
    torch.testing.assert_close(logits, torch.stack(draws).mean(0))
