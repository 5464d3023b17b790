"""PGD through the defence (BPDA)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target
from pyfd.evaluation.attacks.library import PGD
from pyfd.evaluation.defences.base import Defence


class BPDA(Attack):
    """PGD on the model behind a differentiable stand-in for the defence.

    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018.
    """

    name = "bpda"
    title = "BPDA"
    description = "PGD through the defence, whose rounding counts as the identity"
    needs = frozenset({"epsilon", "gradients"})
    libraries = PGD.libraries
    parameters = PGD.parameters

    def parameters_against(self, defence: Defence | None) -> dict[str, Any]:
        """Return PGD's parameters, and the number of draws from a random defence."""
        from pyfd.evaluation.standins import DRAWS

        draws = {"draws": DRAWS} if defence is not None and defence.random else {}
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
        from pyfd.evaluation.standins import behind

        if target.defence is None:
            raise ValueError(f"{self.name!r} needs a defence")
        chain = behind(target.defence, target.model, seed)
        return PGD.perturb(Target(chain), images, labels, epsilon, seed)
