"""Attacks on classifiers: the field's, from ART and foolbox, and one that aims at the grid.

Images go in and come out as 8-bit pixels: an attack that needs more than that
cannot be put into a file. Strengths are in 8-bit levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pyfd._core.arithmetic import DCT, YCBCR
from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.analysis import gains
from pyfd.qtables import QTables
from pyfd.torch import device_of

try:
    from art.attacks import evasion  # type: ignore[import-untyped]
    from art.estimators.classification import PyTorchClassifier  # type: ignore[import-untyped]
    from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
    from foolbox.attacks.deepfool import L2DeepFoolAttack
    from foolbox.models.pytorch import PyTorchModel
except ModuleNotFoundError as error:
    library = "foolbox" if error.name == "foolbox" else "ART"
    raise missing(library, "evaluate", module=error.name) from error


STEPS = 10
"""Of iterated L∞ attacks; each step is 2.5·ε / STEPS long."""


class Attack(NamedTuple):
    """An attack of a library's."""

    kind: Any
    """Its class there."""
    parameters: dict[str, Any]
    bounded: bool = True
    """In L∞ by ε, with ART; the others, foolbox's, look for a small L2 norm themselves."""
    iterated: bool = True


#: By their names here. PGD starts at random, BIM at the image. DeepFool overshoots and
#: CW has some confidence, because what they find else is so small that 8 bits erase it:
#: 0.03 instead of the 0.7 in L2 that Liu et al. (2018) attack with.
ATTACKS = {
    "fgsm": Attack(evasion.FastGradientMethod, {}, iterated=False),
    "bim": Attack(evasion.BasicIterativeMethod, {"max_iter": STEPS}),
    "pgd": Attack(
        evasion.ProjectedGradientDescentPyTorch, {"max_iter": STEPS, "num_random_init": 1}
    ),
    "apgd": Attack(
        evasion.AutoProjectedGradientDescent,
        {"max_iter": 2 * STEPS, "nb_random_init": 1, "loss_type": "cross_entropy"},
    ),
    "deepfool": Attack(
        L2DeepFoolAttack,
        {"steps": 30, "candidates": 10, "overshoot": 9},
        bounded=False,
    ),
    "cw-l2": Attack(
        L2CarliniWagnerAttack,
        {
            "binary_search_steps": 4,
            "steps": 10,
            "stepsize": 0.01,
            "confidence": 1,
            "initial_const": 1.0,
            "abort_early": False,
        },
        bounded=False,
    ),
}


def run(
    name: str,
    model: nn.Module,
    images: Sequence[Pixels],
    labels: npt.NDArray[np.int64],
    epsilon: float | None,
    seed: int,
) -> list[Pixels]:
    """Adversarial images of one of `ATTACKS`, rounded to 8 bits.

    Args:
        name: The attack's.
        model: From N×3×H×W in [0, 1] to logits, in evaluation mode.
        images: H×W×3, all of one size.
        labels: The true class of each.
        epsilon: The L∞ bound in levels, for the bounded ones.
        seed: For numpy's and torch's generators, which the libraries draw from.

    Returns:
        As many images; the image itself where an attack found nothing.
    """
    attack = ATTACKS[name]
    np.random.seed(seed % 2**32)  # ART draws from the global generators
    torch.manual_seed(seed)
    start = to_batch(images)
    if attack.bounded:
        moved = _with_art(attack, model, start, labels, (epsilon or 0) / 255)
    else:
        moved = _with_foolbox(attack, model, start, labels)
    return to_pixels(moved, images, epsilon)


def _with_art(
    attack: Attack, model: nn.Module, start: Tensor, labels: npt.NDArray[np.int64], size: float
) -> Tensor:
    classifier = _classifier(model, start.numpy())
    options = dict(attack.parameters)
    if attack.iterated:
        options |= {"eps_step": 2.5 * size / options["max_iter"], "verbose": False}
    made = attack.kind(classifier, eps=size, batch_size=len(start), **options)
    moved = made.generate(start.numpy(), _one_hot(labels, classifier.nb_classes))
    return torch.from_numpy(np.asarray(moved, np.float32))


def _with_foolbox(
    attack: Attack, model: nn.Module, start: Tensor, labels: npt.NDArray[np.int64]
) -> Tensor:
    device = device_of(model)
    start = start.to(device)
    attacked = PyTorchModel(model, bounds=(0, 1), device=device)
    truth = torch.from_numpy(labels).to(device)
    _, moved, found = attack.kind(**attack.parameters)(attacked, start, truth, epsilons=None)
    return torch.where(found[:, None, None, None], moved, start)  # CW gives black for no success


def _classifier(model: nn.Module, start: npt.NDArray[np.float32]) -> PyTorchClassifier:
    device = device_of(model)
    with torch.no_grad():
        classes = model(torch.from_numpy(start[:1]).to(device)).shape[1]
    return PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=start.shape[1:],
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if device.type == "cuda" else "cpu",
    )


def _one_hot(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[labels]


def to_batch(images: Sequence[Pixels]) -> Tensor:
    """H×W×3 levels of one size as N×3×H×W floats in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().contiguous() / 255


def to_pixels(batch: Tensor, images: Sequence[Pixels], epsilon: float | None) -> list[Pixels]:
    """Rounded to levels, and no farther than ε from the images they came from."""
    levels = (batch.permute(0, 2, 3, 1).cpu() * 255).round().clamp(0, 255).numpy()
    if epsilon is not None:
        start = np.stack(images).astype(np.float32)
        bound = math.floor(epsilon)
        levels = np.clip(levels, start - bound, start + bound)
    return [np.ascontiguousarray(image) for image in levels.astype(np.uint8)]


# ---- attacks through a defence ------------------------------------------------


class Expectation(nn.Module):
    """A random defence and a model: the mean of the logits over several draws (EOT).

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        self.model = model
        self.samples = samples

    def forward(self, batch: Tensor) -> Tensor:
        """Logits, N×K."""
        return torch.stack([self.model(batch) for _ in range(self.samples)]).mean(0)


class StraightThrough(nn.Module):
    """Any function of 8-bit images, with the identity as its derivative (BPDA)."""

    def __init__(self, function: Callable[[list[Pixels]], Sequence[Pixels]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: Tensor) -> Tensor:
        """N×3×H×W in [0, 1]."""
        levels = (batch.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        seen = self.function([np.ascontiguousarray(x) for x in levels.cpu().numpy()])
        defended = to_batch(seen).to(batch)
        return defended + (batch - batch.detach())


# ---- the attack on the grid ---------------------------------------------------

#: How many coefficients of a block are aimed at together: few reach far, many reach little.
_TOGETHER = (1, 2, 3, 5, 8, 16)


def grid(
    model: nn.Module,
    through: nn.Module,
    qtables: QTables,
    images: Sequence[Pixels],
    labels: npt.NDArray[np.int64],
    epsilon: int,
    *,
    steps: int = STEPS,
) -> list[Pixels]:
    """Move coefficients over the nearest rounding boundary, where the gradient wants them.

    An attacker who knows the tables need not fight the quantizer: a coefficient
    that crosses a boundary moves by a whole step Q, whatever little was needed.
    Every step takes the gradient behind the defence, and for each block ranks the
    coefficients by what crossing gains, |gradient|·Q, over the distance to the
    boundary in the gradient's direction. The sign pattern that moves the first m
    of them together farthest within ±ε is tried for several m, on the quantizer
    itself, and each block keeps what gains most. Gradients are accumulated over
    the steps; the images that raise the loss most are kept.

    Args:
        model: From N×3×H×W in [0, 1] to logits.
        through: The defence's stand-in, `pyfd.torch.FeatureDistillation`.
        qtables: Its tables; chroma is not subsampled.
        images: H×W×3 ``uint8``, all of one size.
        labels: The true class of each.
        epsilon: The L∞ bound, in levels.
        steps: Gradients that are taken.
    """
    device = device_of(model)
    start = to_batch(images).to(device) * 255
    truth = torch.from_numpy(labels).to(device)
    aim = _Aim(qtables, start, epsilon)
    moved, best = start, start
    most = torch.full((len(images),), -math.inf, device=device)
    direction = torch.zeros_like(start)
    for step in range(steps + 1):
        loss, gradient = _loss_behind(model, through, moved, truth)
        better = loss > most
        most = torch.where(better, loss, most)
        best = torch.where(better[:, None, None, None], moved, best)
        if step < steps:
            size = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
            direction = direction + gradient / size
            moved = aim.at(direction)
    return to_pixels(best / 255, images, epsilon)


def _loss_behind(
    model: nn.Module, through: nn.Module, moved: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor]:
    """Per image the loss, and its gradient at what the model sees."""
    with torch.no_grad():
        seen = through(moved / 255)
    seen.requires_grad_()
    loss = cross_entropy(model(seen), truth, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), seen)
    return loss.detach(), gradient


class _Aim:
    """The blocks of images, and where their coefficients lie between boundaries."""

    def __init__(self, qtables: QTables, start: Tensor, epsilon: int) -> None:
        self.start = start
        self.epsilon = epsilon
        self.colors = torch.tensor(YCBCR).to(start)
        self.basis = torch.tensor(DCT).to(start)
        steps = np.stack([qtables[i] for i in range(3)]).astype(np.float32)
        self.steps = torch.from_numpy(steps).to(start.device)[:, None, None]
        self.reach = torch.from_numpy(gains().astype(np.float32)).to(start.device) * epsilon
        self.coefficients = self.transformed(start)
        self.stored = torch.round(self.coefficients / self.steps)

    def transformed(self, levels: Tensor) -> Tensor:
        """Orthonormal DCT of Y, Cb, Cr: N×3×blocks high×blocks wide×8×8."""
        planes = torch.einsum("ij,njhw->nihw", self.colors, levels)
        planes[:, 0] -= 128
        return self.basis @ _blocks(planes) @ self.basis.T

    def at(self, gradient: Tensor) -> Tensor:
        """The images moved for the largest gain to first order, in levels."""
        inverse = torch.linalg.inv(self.colors).T
        slopes = torch.einsum("ij,njhw->nihw", inverse, gradient)
        slopes = self.basis @ _blocks(slopes) @ self.basis.T
        sign = slopes.sign()
        distance = ((self.stored + sign / 2) * self.steps - self.coefficients) * sign
        worth = slopes.abs() * self.steps / distance.clamp_min(0.25)
        worth = torch.where(distance < self.reach, worth, torch.zeros_like(worth))
        order = worth.permute(0, 2, 3, 1, 4, 5).flatten(3).argsort(-1, descending=True).argsort(-1)
        rank = order.reshape(*order.shape[:3], 3, 8, 8).permute(0, 3, 1, 2, 4, 5)
        best, most = self.start, None
        for count in _TOGETHER:
            aimed = torch.where(rank < count, worth * sign / self.reach, torch.zeros_like(worth))
            moved = self.pushed(aimed)
            flips = torch.round(self.transformed(moved) / self.steps) - self.stored
            gain = (slopes * flips * self.steps).sum((1, 4, 5))
            if most is None:
                best, most = moved, gain
                continue
            better = gain > most
            most = torch.where(better, gain, most)
            mask = better.repeat_interleave(8, 1).repeat_interleave(8, 2)
            best = torch.where(mask[:, None, : moved.shape[2], : moved.shape[3]], moved, best)
        return best

    def pushed(self, aimed: Tensor) -> Tensor:
        """±ε in every sample, by the sign that moves the coefficients that way farthest."""
        planes = _planes(self.basis.T @ aimed @ self.basis)
        pattern = torch.einsum("ij,nihw->njhw", self.colors, planes).sign()
        height, width = self.start.shape[2:]
        return (self.start + self.epsilon * pattern[..., :height, :width]).clamp(0, 255)


def _blocks(planes: Tensor) -> Tensor:
    """N×C×H×W as N×C×blocks high×blocks wide×8×8, edges replicated."""
    height, width = planes.shape[2:]
    margins = (0, -width % 8, 0, -height % 8)
    padded = nn.functional.pad(planes, margins, mode="replicate")
    n, components, height, width = padded.shape
    return padded.reshape(n, components, height // 8, 8, width // 8, 8).transpose(3, 4)


def _planes(blocks: Tensor) -> Tensor:
    return blocks.transpose(3, 4).flatten(4).flatten(2, 3)
