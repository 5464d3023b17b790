"""Attacks that ART (the Adversarial Robustness Toolbox) and foolbox implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Need, Target, to_batch, to_pixels
from pyfd.evaluation.libraries import ART, FOOLBOX, require

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier  # type: ignore[import-untyped]
    from torch import nn

#: The number of gradients that an iterated L∞ attack takes.
STEPS = 10

#: The length of its steps, for reports.
_STEP = "2.5 ε / max_iter"


class LibraryAttack(Attack):
    """An attack of a library.

    Args:
        name: Its name.
        title: Its name as its authors write it.
        description: A phrase for the command's help.
        kind: The name of its class in the library.
        parameters: The class's parameters.
    """

    def __init__(
        self, name: str, title: str, description: str, kind: str, parameters: dict[str, Any]
    ) -> None:
        self.name = name
        self.title = title
        self.description = description
        self.kind = kind
        self.parameters = parameters


class ARTAttack(LibraryAttack):
    """An attack of ART in L∞, bounded by ε; its class is in ``art.attacks.evasion``."""

    libraries = ART

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images, rounded to 8 bits."""
        return self.toward(target.model, images, labels, epsilon, seed)

    def toward(
        self,
        model: nn.Module,
        images: Sequence[Pixels],
        classes: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
        *,
        targeted: bool = False,
    ) -> list[Pixels]:
        """Return images rounded to 8 bits, moved away from classes, or toward them if targeted."""
        require(self.libraries)
        import torch
        from art.attacks import evasion  # type: ignore[import-untyped]

        seed_all(seed)
        start = to_batch(images).numpy()
        size = (epsilon or 0) / 255
        classifier = _classifier(model, start)
        options = dict(self.parameters)
        if targeted:
            options["targeted"] = True
        if "max_iter" in options:  # it iterates
            options |= {"eps_step": 2.5 * size / options["max_iter"], "verbose": False}  # `_STEP`
        kind = getattr(evasion, self.kind)
        attack = kind(classifier, eps=size, batch_size=len(start), **options)
        truth = np.eye(classifier.nb_classes, dtype=np.float32)[classes]
        moved = torch.from_numpy(np.asarray(attack.generate(start, truth), np.float32))
        return to_pixels(moved, images, epsilon)


def _classifier(model: nn.Module, start: npt.NDArray[np.float32]) -> PyTorchClassifier:
    import torch
    from art.estimators.classification import PyTorchClassifier
    from torch import nn

    from pyfd.evaluation.standins import Attackable
    from pyfd.torch import device_of

    device = device_of(model)
    with torch.no_grad():
        classes = model(torch.from_numpy(start[:1]).to(device)).shape[1]
    return PyTorchClassifier(
        Attackable(model, rounded=False).eval(),
        loss=nn.CrossEntropyLoss(),
        input_shape=start.shape[1:],
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if device.type == "cuda" else "cpu",
    )


class FoolboxAttack(LibraryAttack):
    """An attack of foolbox that minimizes the L2 norm; its class is in ``foolbox.attacks``."""

    needs: frozenset[Need] = frozenset()
    libraries = FOOLBOX

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
        import foolbox
        import torch
        from foolbox.models.pytorch import PyTorchModel

        from pyfd.evaluation.standins import Attackable
        from pyfd.torch import device_of

        seed_all(seed)
        device = device_of(target.model)
        start = to_batch(images).to(device)
        attackable = Attackable(target.model, rounded=False).eval()
        model = PyTorchModel(attackable, bounds=(0, 1), device=device)
        attack = getattr(foolbox.attacks, self.kind)(**self.parameters)
        truth = torch.from_numpy(labels).to(device)
        _, moved, found = attack(model, start, truth, epsilons=None)
        # Where CW has no success, it returns a black image
        moved = torch.where(found[:, None, None, None], moved, start)
        return to_pixels(moved, images, epsilon)


def seed_all(seed: int) -> None:
    """Seed the global generators, from which the libraries draw."""
    import torch

    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


FGSM = ARTAttack("fgsm", "FGSM", "one step along the gradient's sign", "FastGradientMethod", {})

BIM = ARTAttack(
    "bim",
    "BIM",
    f"{STEPS} steps along the gradient's sign, from the image",
    "BasicIterativeMethod",
    {"max_iter": STEPS, "eps_step": _STEP},
)

PGD = ARTAttack(
    "pgd",
    "PGD",
    f"{STEPS} steps along the gradient's sign, from a random start",
    "ProjectedGradientDescentPyTorch",
    {"max_iter": STEPS, "eps_step": _STEP, "num_random_init": 1},
)

APGD = ARTAttack(
    "apgd",
    "APGD",
    "PGD that adapts its step size",
    "AutoProjectedGradientDescent",
    {
        "max_iter": 2 * STEPS,
        "eps_step": _STEP,
        "nb_random_init": 1,
        "loss_type": "cross_entropy",
    },
)

# DeepFool overshoots and CW has a confidence margin, because rounding to 8 bits would
# erase what they find otherwise: an L2 norm of 0.03, whereas Liu et al. (2018) attack
# with 0.7.

DEEPFOOL = FoolboxAttack(
    "deepfool",
    "DeepFool",
    "a small L2 norm, by linearization",
    "L2DeepFoolAttack",
    {"steps": 30, "candidates": 10, "overshoot": 9},
)

CW_L2 = FoolboxAttack(
    "cw-l2",
    "CW",
    "a small L2 norm, by optimization (Carlini and Wagner)",
    "L2CarliniWagnerAttack",
    {
        "binary_search_steps": 4,
        "steps": 10,
        "stepsize": 0.01,
        "confidence": 1,
        "initial_const": 1.0,
        "abort_early": False,
    },
)
