"""An attack that aims at the quantizer's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target
from pyfd.evaluation.attacks.library import STEPS
from pyfd.evaluation.defences.base import Defence
from pyfd.evaluation.defences.distillation import Distillation


class Grid(Attack):
    """An attack that moves coefficients over the nearest rounding boundaries to raise the loss.

    An attacker who knows the tables does not have to fight the quantizer: a coefficient
    that crosses a rounding boundary moves by a whole step, however small the perturbation
    is that carried it across. ``cross`` in ``pyfd.evaluation.attacks.crossing`` searches.
    """

    name = "grid"
    title = "grid-aimed"
    description = "moves coefficients over the rounding boundaries of the defence's tables"
    needs = frozenset({"epsilon", "tables"})

    def __init__(self, steps: int = STEPS) -> None:
        self.parameters = {"steps": steps}

    def applies_to(self, defence: Defence) -> bool:
        """Return whether a defence is feature distillation, whose arithmetic the search knows."""
        return isinstance(defence, Distillation)

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,  # noqa: ARG002
    ) -> list[Pixels]:
        """Return adversarial images; the search uses no random numbers."""
        from pyfd.evaluation.attacks.crossing import cross

        if not isinstance(target.defence, Distillation) or epsilon is None:
            raise ValueError(f"{self.name!r} needs a defence with tables, and an ε")
        return cross(
            target.model,
            target.defence.module(),
            target.defence.qtables,
            images,
            labels,
            epsilon,
            **self.parameters,
        )
