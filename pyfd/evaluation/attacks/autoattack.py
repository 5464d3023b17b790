"""AutoAttack's four attacks, each alone, and one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import SHOWN, Attack, Target, to_batch, to_pixels
from pyfd.evaluation.libraries import AUTOATTACK, require

if TYPE_CHECKING:
    import torch
    from torch import nn

#: The attacks' names in pyautoattack.
Part: TypeAlias = Literal["apgd-ce", "apgd-t", "fab-t", "square"]

#: The most images at once, for a part and for all four: on a CPU, a quarter of an hour's work.
_TOGETHER, _FEW_TOGETHER = 5, 2

_FEWEST_FOR_DLR = 4


class AutoAttackPart(Attack):
    """One of the four attacks of AutoAttack's version "standard", in L∞.

    Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
    Parameter-free Attacks", 2020; the code is theirs (pyautoattack). It sees every image
    rounded to 8 bits, so that it does not count what rounding undoes. As in AutoAttack, an image
    for which nothing is found stays as it is.

    Models with fewer classes have fewer targets: one for each wrong class. The DLR loss needs
    four classes; with fewer, APGD-T takes the cross-entropy of the target instead.

    Args:
        name: Its name, here and in pyautoattack.
        title: Its name as its authors write it.
        description: A phrase for the command's help.
        parameters: The library's parameters; "targets" is the number of wrong classes.
    """

    libraries = AUTOATTACK
    together = _TOGETHER

    def __init__(
        self, name: Part, title: str, description: str, parameters: dict[str, Any]
    ) -> None:
        self.name: Part = name
        self.title = title
        self.description = description
        self.parameters = parameters

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images, rounded to 8 bits."""
        require(self.libraries)
        import torch

        from pyfd.torch import device_of

        device = device_of(target.model)
        start = to_batch(images).to(device)
        truth = torch.from_numpy(labels).to(device)
        with torch.no_grad():
            model = _Predict(target.model, target.model(start[:1]).shape[1])
            attack = self._attack(model, (epsilon or 0) / 255, seed, device)
            moved = attack.perturb(start, truth)
        return to_pixels(moved, images, epsilon)

    def _attack(self, model: _Predict, size: float, seed: int, device: torch.device) -> Any:
        """Return the library's attack."""
        from pyautoattack import (  # type: ignore[import-untyped]
            autopgd_base,
            fab_pt,
            square,
        )

        options: dict[str, Any] = {"norm": "Linf", "eps": size, "seed": seed, "device": device}
        options |= self.parameters
        if "targets" in options:
            options["n_target_classes"] = min(options.pop("targets"), model.classes - 1)
        match self.name:
            case "apgd-ce":
                return autopgd_base.APGDAttack(model, loss="ce", logger=_quiet(), **options)
            case "apgd-t":
                attack = autopgd_base.APGDAttack_targeted(model, logger=_quiet(), **options)
                if model.classes < _FEWEST_FOR_DLR:
                    attack.dlr_loss_targeted = attack.ce_loss_targeted
                return attack
            case "fab-t":
                return fab_pt.FABAttack_PT(model, targeted=True, **options)
            case "square":
                return square.SquareAttack(model, resc_schedule=False, **options)


class _Predict:
    """A model for the library, which may ask about no images at all."""

    def __init__(self, model: nn.Module, classes: int) -> None:
        from pyfd.evaluation.standins import Attackable

        self.model = Attackable(model).eval()
        self.classes = classes

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, N×K."""
        if not len(images):
            return images.new_zeros(0, self.classes)
        logits: torch.Tensor = self.model(images)
        return logits


def _quiet() -> logging.Logger:
    """Return a logger without output: the evaluation looks for vanishing gradients itself."""
    logger = logging.Logger("pyautoattack")
    logger.disabled = True
    return logger


class AutoAttack(Attack):
    """AutoAttack's version "standard": its attacks in sequence.

    Each is given only the images on which the model is still right.

    Args:
        name: Its name.
        parts: The attacks.
    """

    title = "AutoAttack"
    description = "the four in sequence, each on the images that those before it left"
    libraries = AUTOATTACK
    together = _FEW_TOGETHER

    def __init__(self, name: str, parts: Sequence[Attack]) -> None:
        self.name = name
        self.parts = parts
        self.parameters = {part.name: dict(part.parameters) for part in parts}

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images, rounded to 8 bits."""
        require(self.libraries)
        from pyfd.torch.scoring import predict_named

        found = list(images)
        for part in self.parts:
            said = predict_named(target.model, found, [SHOWN] * len(found))
            left = np.flatnonzero(said == labels).tolist()
            if not left:
                break
            chosen = [images[i] for i in left]
            moved = part.perturb(target, chosen, labels[left], epsilon, seed)
            for i, image in zip(left, moved, strict=True):
                found[i] = image
        return found


APGD_CE = AutoAttackPart(
    "apgd-ce",
    "APGD-CE",
    "AutoAttack's PGD without a step size, on the cross-entropy",
    {"n_iter": 100, "n_restarts": 1},
)

APGD_T = AutoAttackPart(
    "apgd-t",
    "APGD-T",
    "the same on the targeted DLR loss, for the nine most likely wrong classes",
    {"n_iter": 100, "n_restarts": 1, "targets": 9},
)

FAB_T = AutoAttackPart(
    "fab-t",
    "FAB-T",
    "AutoAttack's search for the nearest decision boundary, for the same classes",
    {"n_iter": 100, "n_restarts": 1, "targets": 9},
)

SQUARE = AutoAttackPart(
    "square",
    "Square",
    "AutoAttack's random search with squares, without gradients",
    {"n_queries": 5000, "n_restarts": 1, "p_init": 0.8},
)

AUTO = AutoAttack("autoattack", (APGD_CE, APGD_T, FAB_T, SQUARE))
