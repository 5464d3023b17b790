"""Attacks through the defence: with gradients (BPDA), or with nothing but its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import DRAWS, Attack, Need, Target
from pyfd.evaluation.attacks.library import PGD, seed_all
from pyfd.evaluation.defences.base import Defence

if TYPE_CHECKING:
    from torch import nn


class BPDA(Attack):
    """An attack on the model behind a differentiable stand-in for the defence.

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018.

    Args:
        attack: An attack that needs only the model.
        name: The name of the attack through the defence.
        title: The name for reports.
        description: A phrase for the command's help.
        draws: The number of draws of a random defence whose mean answer is attacked.
    """

    needs: frozenset[Need] = frozenset({"epsilon", "gradients"})

    def __init__(
        self,
        attack: Attack = PGD,
        name: str = "bpda",
        title: str = "BPDA",
        description: str = "PGD through the defence, whose rounding counts as the identity",
        *,
        draws: int = DRAWS,
    ) -> None:
        self.attack = attack
        self.name = name
        self.title = title
        self.description = description
        self.draws = draws
        self.libraries = attack.libraries  # type: ignore[misc]
        self.parameters = attack.parameters
        self.together = attack.together

    def parameters_against(self, defence: Defence | None) -> dict[str, Any]:
        """Return the attack's parameters, and the number of draws from a random defence."""
        draws = {"draws": self.draws} if defence is not None and defence.random else {}
        return {**self.parameters, **draws}

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images for the model behind the target's defence."""
        if target.defence is None:
            raise ValueError(f"{self.name!r} needs a defence")
        chain = self.chain(target.defence, target.model, seed)
        seed_all(seed)  # the defence's draws come from torch's generator
        return self.attack.perturb(Target(chain), images, labels, epsilon, seed)

    def chain(self, defence: Defence, model: nn.Module, seed: int) -> nn.Module:
        """Return what the attack sees: the model behind the defence's stand-in."""
        from pyfd.evaluation.standins import behind

        return behind(defence, model, seed, self.draws)


class Queries(BPDA):
    """An attack that sees only the answers of the model behind the defence itself.

    The arguments are those of `BPDA`; the attack must not follow gradients.
    """

    needs: frozenset[Need] = frozenset({"epsilon", "queries"})

    def chain(self, defence: Defence, model: nn.Module, seed: int) -> nn.Module:
        """Return what the attack sees: the model behind the defence."""
        from pyfd.evaluation.standins import answering

        return answering(defence, model, seed, self.draws)
