"""A linear model whose robust accuracy is known exactly, and images with chosen margins."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from pyfd.evaluation import evaluate
from pyfd.evaluation.attacks import Attack, find
from pyfd.evaluation.defences import Defence

SIDE = 8

#: The margins of the images in levels; no strength is near one of them.
MARGINS = [k + 0.5 for k in range(10)]


def weights(side: int = SIDE) -> np.ndarray:
    """Return the model's weights, H×W×3 whole numbers without 0."""
    rng = np.random.default_rng(5)
    return rng.choice([-2, -1, 1, 2], (side, side, 3))


class Known(nn.Module):
    """Five classes: the first two by the sign of the score, the others never.

    The score is the mean of the levels, weighted: a perturbation of ε moves it by at most ε, and
    the one that moves it most is ε times the weights' signs.
    """

    def __init__(self) -> None:
        super().__init__()
        found = torch.from_numpy(weights()).permute(2, 0, 1).float()
        self.weights = nn.Parameter(255 * found / found.abs().sum())
        self.scale = 1.0
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = self.scale * (batch * self.weights).sum((1, 2, 3))
        never = torch.full_like(score, -50.0)
        return torch.stack([score, -score, never, never, never], 1)


def known_images(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return images with the margins of `MARGINS` in turn, and their classes."""
    signs, sizes = np.sign(weights()), np.abs(weights())
    images, labels = [], np.arange(count) // len(MARGINS) % 2
    for i, label in enumerate(labels):
        levels = np.random.default_rng(i).integers(90, 166, weights().shape)
        wanted = MARGINS[i % len(MARGINS)] * (1 if label == 0 else -1)
        missing = wanted - (levels * weights()).sum() / sizes.sum()
        levels += int(np.floor(missing)) * signs
        rest = (missing - np.floor(missing)) * sizes.sum()
        levels += np.where(sizes.cumsum().reshape(sizes.shape) <= rest, signs, 0)
        images.append(levels.astype(np.uint8))
    return images, labels


def robust(images: list[np.ndarray], labels: np.ndarray, epsilon: int) -> np.ndarray:
    """Return whether no 8-bit perturbation within ε changes the model's answer to each image."""
    found = []
    for image, label in zip(images, labels, strict=True):
        away = -np.sign(weights()) if label == 0 else np.sign(weights())
        worst = (image.astype(int) + epsilon * away).clip(0, 255)
        score = (worst * weights()).sum() / np.abs(weights()).sum()
        found.append(score > 0 if label == 0 else score < 0)
    return np.array(found)


class Nothing(Defence):
    """A defence that does nothing, of whose gradient an adaptive attacker takes the identity."""

    name, kind = "nothing", "transformation"


def attacked(folder: Path, count: int = 30, **options) -> dict:
    """Evaluate the model, or another one on the same images."""
    images, labels = known_images(count)
    defaults = {"defences": ("none",), "attacks": ("pgd",), "epsilons": (1, 2, 4)}
    model = options.pop("model", None) or Known()
    return evaluate(model, images, labels, output=folder, batch_size=50, **{**defaults, **options})


class Seeded(Nothing):
    """A defence that depends on its seed."""

    def defend(self, image, rng):
        return image + rng.integers(0, 2, image.shape).astype(np.uint8)


class Random(Seeded):
    """A defence that says that it is random."""

    random = True


def levels(content: dict) -> dict[str, str]:
    """Return the level of each check that found something, the worst if there are several."""
    found: dict[str, str] = {}
    for finding in content["findings"]:
        found.setdefault(finding["check"], finding["level"])
    return found


def text(content: dict, check: str) -> str:
    (found,) = [f["text"] for f in content["findings"] if f["check"] == check]
    return found


class Lazy(Attack):
    """An attack that hands over the images as they are, from a strength on or always."""

    name = "lazy"
    parameters = MappingProxyType({"max_iter": 100})

    def __init__(self, since: int = 0, **attributes) -> None:
        self.since = since
        vars(self).update(attributes)

    def perturb(self, target, images, labels, epsilon, seed):
        if epsilon is None or epsilon >= self.since:
            return [image.copy() for image in images]
        return find("pgd").perturb(target, images, labels, epsilon, seed)


KNOWING = frozenset({"epsilon", "defence"})
