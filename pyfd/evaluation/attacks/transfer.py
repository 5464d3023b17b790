"""PGD on another model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target
from pyfd.evaluation.attacks.library import PGD


class Transfer(Attack):
    """PGD on a surrogate, whose adversarial images often deceive the model too."""

    name = "transfer"
    description = "PGD on another model, the surrogate"
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
        """Return adversarial images for the surrogate."""
        if not target.surrogates:
            raise ValueError(f"{self.name!r} needs another model to attack")
        return PGD.perturb(Target(target.surrogates[0]), images, labels, epsilon, seed)
