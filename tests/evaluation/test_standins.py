"""Defences as modules: their results, and the gradients through them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pyfd.evaluation.attacks import to_batch
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.standins import DRAWS, Attackable, Expectation, StraightThrough, behind
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


def test_expectation_differentiates_the_mean_with_one_draw_in_memory():
    """The gradient is that of the mean of the very draws that the forward pass made."""

    class Scaled(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            drawn = batch * torch.rand(1)
            held.append(drawn.grad_fn)
            return torch.stack([drawn.square().sum((1, 2, 3)), drawn.sum((1, 2, 3))], 1)

    held: list[object] = []
    batch = torch.rand(2, 3, 4, 4).requires_grad_()
    results = []
    for average in (
        Expectation(Scaled(), 5),
        lambda x: torch.stack([Scaled()(x) for _ in range(5)]).mean(0),
    ):
        torch.manual_seed(3)
        logits = average(batch)
        loss = nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
        results.append((logits, *torch.autograd.grad(loss, batch)))
    torch.testing.assert_close(*results)
    assert len(held) == 5 + 5 + 5  # once more, backward


def test_a_defence_without_a_stand_in_draws_the_same_again_backward():
    class Gain(Defence):
        name, kind, random = "gain", "transformation", True

        def defend(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return (image * rng.random()).astype(np.uint8)

    class Square(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.square().sum((2, 3))

    batch = to_batch([picture(8, 8)]).requires_grad_()
    torch.manual_seed(0)
    chain = behind(Gain(), Square(), 0, draws=3)
    logits = chain(batch)
    (gradient,) = torch.autograd.grad(logits.sum(), batch)
    torch.manual_seed(0)
    seen = [chain.model[0](batch.detach()) for _ in range(3)]
    torch.testing.assert_close(gradient, 2 * torch.stack(seen).mean(0))


def test_attackable_models_round_and_always_have_a_gradient():
    class Blind(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.detach().flatten(1)[:, :2]

    batch = torch.full((1, 3, 2, 2), 0.5).requires_grad_()
    logits = Attackable(Blind())(batch)
    torch.testing.assert_close(logits.detach(), torch.full((1, 2), 128 / 255))
    (gradient,) = torch.autograd.grad(logits.sum(), batch)
    assert not gradient.any()
    unrounded = Attackable(nn.Flatten(), rounded=False)(batch)
    (gradient,) = torch.autograd.grad(unrounded.sum(), batch)
    assert torch.equal(unrounded, batch.flatten(1))
    assert (gradient == 1).all()


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
