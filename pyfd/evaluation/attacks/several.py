"""Attacks that make several images of each, and keep the one of which the model is least sure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target, scores
from pyfd.evaluation.attacks.library import PGD, STEPS, ARTAttack

if TYPE_CHECKING:
    from torch import nn


class Several(Attack):
    """The base class: the best of `candidates`, by the margin of the true class.

    Among images of the same margin, the first is kept.
    """

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return the candidates of which the model is least sure."""
        best, least = list(images), np.full(len(images), math.inf)
        for moved in self.candidates(target.model, images, labels, epsilon, seed):
            margins = _margins(target.model, moved, labels)
            for i in np.flatnonzero(margins < least):
                best[i], least[i] = moved[i], margins[i]
        return best

    def candidates(
        self,
        model: nn.Module,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> Iterator[list[Pixels]]:
        """Yield all images, moved in one way after the other."""
        raise NotImplementedError


class Targeted(Several):
    """PGD toward each of the most likely wrong classes (Kurakin et al., 2017)."""

    name = "pgd-t"
    title = "PGD-T"
    libraries = PGD.libraries

    def __init__(self, targets: int = 3, max_iter: int = 2 * STEPS) -> None:
        self.description = f"PGD toward each of the {targets} most likely wrong classes"
        self.targets = targets
        self._pgd = _pgd(max_iter)
        self.parameters = {**self._pgd.parameters, "targets": targets}

    def candidates(
        self,
        model: nn.Module,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> Iterator[list[Pixels]]:
        """Yield the images moved toward the likeliest wrong class, then the next."""
        logits = scores(model, images)
        logits[np.arange(len(images)), labels] = -math.inf
        likely = np.argsort(-logits, 1, kind="stable")
        for place in range(min(self.targets, logits.shape[1] - 1)):
            wrong = likely[:, place]
            yield self._pgd.toward(model, images, wrong, epsilon, seed + place, targeted=True)


class Restarts(Several):
    """PGD with more steps, from several random starts (Madry et al., 2018)."""

    name = "pgd-strong"
    title = "PGD"
    libraries = PGD.libraries

    def __init__(self, restarts: int = 5, max_iter: int = 5 * STEPS) -> None:
        self.description = f"PGD with {max_iter} steps from each of {restarts} random starts"
        self.restarts = restarts
        self._pgd = _pgd(max_iter)
        self.parameters = {**self._pgd.parameters, "restarts": restarts}

    def candidates(
        self,
        model: nn.Module,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> Iterator[list[Pixels]]:
        """Yield the images moved from one random start after the other."""
        for restart in range(self.restarts):
            yield self._pgd.toward(model, images, labels, epsilon, seed + restart)


class Noise(Several):
    """Random signs: what an attack must beat to be worth its name."""

    name = "noise"

    def __init__(self, tries: int = 10) -> None:
        self.description = f"every sample moved by ±ε at random, the best of {tries} tries"
        self.parameters = {"tries": tries}

    def candidates(
        self,
        model: nn.Module,  # noqa: ARG002
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],  # noqa: ARG002
        epsilon: int | None,
        seed: int,
    ) -> Iterator[list[Pixels]]:
        """Yield the images moved at random."""
        for n in range(self.parameters["tries"]):
            yield [
                _shaken(image, epsilon or 0, np.random.default_rng([seed, n, i]))
                for i, image in enumerate(images)
            ]


def _pgd(max_iter: int) -> ARTAttack:
    options: dict[str, Any] = {**PGD.parameters, "max_iter": max_iter}
    return ARTAttack(PGD.name, PGD.title, PGD.description, PGD.kind, options)


def _shaken(image: Pixels, epsilon: int, rng: np.random.Generator) -> Pixels:
    signs = 2 * rng.integers(2, size=image.shape) - 1
    moved: Pixels = (image + epsilon * signs).clip(0, 255).astype(np.uint8)
    return moved


def _margins(
    model: nn.Module, images: Sequence[Pixels], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return by how much the true class's logit is larger than the largest other one."""
    logits = scores(model, images)
    places = np.arange(len(images))
    true = logits[places, labels].copy()
    logits[places, labels] = -math.inf
    margins: npt.NDArray[np.float64] = true - logits.max(1)
    return margins
