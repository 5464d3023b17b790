"""An attack that aims at the quantizer's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target
from pyfd.evaluation.attacks.library import STEPS


class Grid(Attack):
    """An attack that moves coefficients over the nearest rounding boundaries to raise the loss.

    An attacker who knows the tables does not have to fight the quantizer: a coefficient
    that crosses a rounding boundary moves by a whole step, however small the perturbation
    is that carried it across. ``cross`` in ``pyfd.evaluation.attacks.crossing`` searches.

    Args:
        steps: The number of gradients of a climb.
        targets: The number of other classes that are climbed towards, where the first climb,
            towards any, and the trials leave an image right.
        trials: The most times that random blocks get other patterns, where the first climb
            leaves an image right; it ends earlier where that hardly gains.
    """

    name = "grid"
    title = "grid-aimed"
    description = "moves coefficients over the rounding boundaries of the defence's tables"
    needs = frozenset({"epsilon", "gradients", "tables", "4:4:4"})

    def __init__(self, steps: int = STEPS, targets: int = 3, trials: int = 600) -> None:
        self.parameters = {"steps": steps, "targets": targets, "trials": trials}

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images; the seed is that of the random trials."""
        from pyfd.evaluation.attacks.crossing import cross
        from pyfd.evaluation.standins import Attackable, standin

        defence = target.defence
        if defence is None or defence.qtables is None or epsilon is None:
            raise ValueError(f"{self.name!r} needs a defence with tables, and an ε")
        model = Attackable(target.model, rounded=False).eval()
        through = standin(defence, target.model, seed)
        tables = defence.qtables
        return cross(model, through, tables, images, labels, epsilon, seed=seed, **self.parameters)
