"""The base class of attacks, and the conversions between pixels and tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyfd.evaluation.defences.base import Defence

#: The things that an attack may need besides the model:
#:
#: - "epsilon": a strength ε, the largest change of a sample, in 8-bit levels;
#: - "surrogate": other models to attack in place of the model;
#: - "queries": the answers of the model behind the defence, and nothing else of the two, so
#:   that each defence is attacked separately, and no defence as well;
#: - "defence": the defence, so that each defence is attacked separately;
#: - "gradients": the defence, and gradients through it;
#: - "tables": the defence, and its quantization tables;
#: - "4:4:4": the defence, and tables that quantize chroma at its full size.
Need: TypeAlias = Literal[
    "epsilon", "surrogate", "queries", "defence", "gradients", "tables", "4:4:4"
]

_BLACK_BOX: frozenset[Need] = frozenset({"surrogate", "queries"})
_ADAPTIVE: frozenset[Need] = frozenset({"defence", "gradients", "tables", "4:4:4"})

#: The knowledge of the attacker: only surrogates, or answers ("black-box"), the model
#: ("gray-box"), or the model and the defence ("adaptive").
Threat: TypeAlias = Literal["benign", "black-box", "gray-box", "adaptive"]

#: What an error calls an image that only an attack and the model see.
SHOWN = "an image that an attack shows it"

#: The number of draws of a random defence that an attacker averages (EOT).
DRAWS = 20


@dataclass(frozen=True)
class Target:
    """The models and the defence that an attack can use."""

    model: nn.Module
    """A module from N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode."""
    surrogates: tuple[nn.Module, ...] = ()
    """Other such modules, for attacks that need "surrogate"."""
    defence: Defence | None = None
    """The defence in front of the model, for attacks that are aimed at one."""


class Attack:
    """An attack: its name, its needs, and the way it perturbs images.

    Subclasses set `name`, `description` and `needs`, and override `perturb`. With
    more than one worker, they must be importable, so that they can be pickled.
    """

    name: str
    """The name on the command line and in report.json."""
    title: str = ""
    """The name as its authors write it, for reports; by default it is `name`."""
    description: str = ""
    """A phrase for the command's help."""
    needs: frozenset[Need] = frozenset({"epsilon"})
    libraries: ClassVar[Mapping[str, str]] = {}
    """The modules that it imports, and the names under which people install them."""
    parameters: Mapping[str, Any] = {}
    """The values that determine its strength; reports show them."""
    together: int | None = None
    """The most images that it is given at once; None for a chunk of the evaluation. A slow
    attack takes few, because an evaluation that is interrupted loses what was at work."""

    @property
    def threat(self) -> Threat:
        """The knowledge of the attacker."""
        if self.needs & _BLACK_BOX:
            return "black-box"
        return "adaptive" if self.needs & _ADAPTIVE else "gray-box"

    @property
    def aimed(self) -> bool:
        """Whether it is aimed at one defence at a time."""
        return "queries" in self.needs or bool(self.needs & _ADAPTIVE)

    @property
    def bounded(self) -> bool:
        """Whether it is run once for each ε."""
        return "epsilon" in self.needs

    def applies_to(self, defence: Defence) -> bool:
        """Return whether an attack that is aimed at one defence can be aimed at this one."""
        if "queries" in self.needs:  # whoever only asks need not know whether there is a defence
            return True
        if "tables" in self.needs and defence.qtables is None:
            return False
        if "4:4:4" in self.needs and defence.subsampling != "4:4:4":
            return False
        return defence.kind != "none"

    def parameters_against(self, defence: Defence | None) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters for a report's cell; `defence` is the one that it is aimed at."""
        return dict(self.parameters)

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images, or an image itself where no perturbation was found.

        Args:
            target: The model, and everything else that the attack needs.
            images: H×W×3 ``uint8`` arrays of one size.
            labels: The true class of each.
            epsilon: The strength in levels; None for attacks that need none.
            seed: The seed of random numbers; the same seed gives the same images.

        Returns:
            The same number of arrays of the same shape; no sample differs by more than
            `epsilon` from the original.
        """
        raise NotImplementedError


class Benign(Attack):
    """No attack: the images remain as they are."""

    name = "benign"
    description = "the images as they are"
    needs = frozenset()
    threat = "benign"

    def perturb(
        self,
        target: Target,  # noqa: ARG002
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],  # noqa: ARG002
        epsilon: int | None,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> list[Pixels]:
        """Return the images."""
        return list(images)


def to_batch(images: Sequence[Pixels]) -> Tensor:
    """Return H×W×3 levels of one size as N×3×H×W floats in [0, 1]."""
    import torch

    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().contiguous() / 255


def to_pixels(batch: Tensor, images: Sequence[Pixels], epsilon: float | None) -> list[Pixels]:
    """Return N×3×H×W floats as levels, at most ε away from the images that they came from.

    Where a sample is NaN, as gradients that are not finite make it, the image stays as it is.
    """
    start = np.stack(images).astype(np.float32)
    levels = (batch.permute(0, 2, 3, 1).cpu() * 255).round().clamp(0, 255).numpy()
    levels = np.where(np.isnan(levels), start, levels)
    if epsilon is not None:
        bound = math.floor(epsilon)
        levels = np.clip(levels, start - bound, start + bound)
    return [np.ascontiguousarray(image) for image in levels.astype(np.uint8)]


def scores(model: nn.Module, images: Sequence[Pixels]) -> npt.NDArray[np.float64]:
    """Return the N×K logits that a model gives to H×W×3 levels of one size.

    Raises:
        ValueError: A largest logit is not finite.
    """
    import torch

    from pyfd.torch import device_of
    from pyfd.torch.scoring import refuse_unclear

    with torch.no_grad():
        logits = model(to_batch(images).to(device_of(model)))
    refuse_unclear(logits, [SHOWN] * len(images))
    return np.asarray(logits.cpu().double().numpy())  # NumPy has no bfloat16
