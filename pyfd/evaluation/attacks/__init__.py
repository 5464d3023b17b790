"""Attacks on classifiers: of ART, foolbox and AutoAttack, through the defence, and transfer.

Each attack is one object. For an attack of your own, subclass `Attack` and pass an
object of the subclass to `pyfd.evaluation.evaluate`. A built-in attack is a module here
and an entry of `ATTACKS`, which the evaluation and the command's help read. The modules
import torch and other slow libraries inside functions, so that the help does not wait
for them.

Images go in and come out as 8-bit pixels, because a perturbation that needs more
precision does not survive in a file. Strengths are in 8-bit levels.
"""

from __future__ import annotations

from pyfd.evaluation.attacks import autoattack, library
from pyfd.evaluation.attacks.autoattack import AutoAttack, AutoAttackPart
from pyfd.evaluation.attacks.base import (
    DRAWS,
    Attack,
    Benign,
    Need,
    Target,
    Threat,
    to_batch,
    to_pixels,
)
from pyfd.evaluation.attacks.bpda import BPDA, Queries
from pyfd.evaluation.attacks.decisions import HopSkipJump
from pyfd.evaluation.attacks.grid import Grid
from pyfd.evaluation.attacks.library import STEPS
from pyfd.evaluation.attacks.several import Noise, Restarts, Several, Targeted
from pyfd.evaluation.attacks.transfer import Transfer

__all__ = [
    "ATTACKS",
    "BPDA",
    "DRAWS",
    "STEPS",
    "Attack",
    "AutoAttack",
    "AutoAttackPart",
    "Benign",
    "Grid",
    "HopSkipJump",
    "Need",
    "Noise",
    "Queries",
    "Restarts",
    "Several",
    "Target",
    "Targeted",
    "Threat",
    "Transfer",
    "find",
    "to_batch",
    "to_pixels",
]


def _through(attack: Attack) -> BPDA:
    """Return an attack through the defence, under its name after "bpda-"."""
    title = f"BPDA {attack.title}"
    return BPDA(attack, f"bpda-{attack.name}", title, f"{attack.name} through the defence")


_TARGETED, _RESTARTS = Targeted(), Restarts()

#: The built-in attacks by name.
ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        library.FGSM,
        library.BIM,
        library.PGD,
        library.APGD,
        _TARGETED,
        autoattack.APGD_CE,
        autoattack.APGD_T,
        autoattack.FAB_T,
        autoattack.SQUARE,
        autoattack.AUTO,
        library.DEEPFOOL,
        library.CW_L2,
        Noise(),
        BPDA(),
        BPDA(_TARGETED, "bpda-t", "BPDA-T", "pgd-t through the defence"),
        BPDA(
            _RESTARTS,
            "bpda-strong",
            "BPDA strong",
            f"bpda with {_RESTARTS.parameters['max_iter']} steps from each of "
            f"{_RESTARTS.parameters['restarts']} random starts",
        ),
        _through(autoattack.APGD_CE),
        _through(autoattack.APGD_T),
        _through(autoattack.FAB_T),
        _through(autoattack.AUTO),
        Grid(),
        Queries(
            autoattack.SQUARE,
            "square-whole",
            "Square, whole",
            "square on the logits of the model behind the defence",
        ),
        Queries(
            HopSkipJump(),
            "hopskipjump",
            "HopSkipJump",
            "a walk along the decision boundary of the model behind the defence",
        ),
        Transfer(),
    )
}


def find(name: str) -> Attack:
    """Return the attack with a given name.

    Raises:
        ValueError: There is no such attack.
    """
    try:
        return ATTACKS[name]
    except KeyError:
        raise ValueError(f"no attack {name!r}: there are {', '.join(ATTACKS)}") from None
