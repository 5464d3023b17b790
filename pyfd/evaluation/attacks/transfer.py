"""PGD on other models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target
from pyfd.evaluation.attacks.library import PGD

if TYPE_CHECKING:
    from torch import nn


class Transfer(Attack):
    """PGD on surrogates, whose adversarial images often deceive the model too.

    With several surrogates, it attacks the mean of their logits (Dong et al., "Boosting
    Adversarial Attacks with Momentum", 2018, section 3.4). An attacker who cannot ask the
    model does not know which surrogate's images would deceive it, so the best of several
    attacks is not reported.
    """

    name = "transfer"
    description = "PGD on the surrogates, all together"
    needs = frozenset({"epsilon", "surrogate"})
    libraries = PGD.libraries
    parameters = PGD.parameters

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images for the surrogates."""
        if not target.surrogates:
            raise ValueError(f"{self.name!r} needs another model (--surrogate, surrogate=)")
        return PGD.perturb(Target(_together(target.surrogates)), images, labels, epsilon, seed)


def _together(models: Sequence[nn.Module]) -> nn.Module:
    if len(models) == 1:
        return models[0]
    from pyfd.evaluation.standins import Ensemble

    return Ensemble(models).eval()
