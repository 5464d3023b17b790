"""Attacks on classifiers: those of ART and foolbox, attacks through the defence, and transfer.

Each attack is one object. For an attack of your own, subclass `Attack` and pass an
object of the subclass to `pyfd.evaluation.evaluate`. A built-in attack is a module here
and an entry of `ATTACKS`, which the evaluation and the command's help read. The modules
import torch and other slow libraries inside functions, so that the help does not wait
for them.

Images go in and come out as 8-bit pixels, because a perturbation that needs more
precision does not survive in a file. Strengths are in 8-bit levels.
"""

from __future__ import annotations

from pyfd.evaluation.attacks import library
from pyfd.evaluation.attacks.base import Attack, Benign, Need, Target, Threat, to_batch, to_pixels
from pyfd.evaluation.attacks.bpda import BPDA
from pyfd.evaluation.attacks.grid import Grid
from pyfd.evaluation.attacks.library import STEPS
from pyfd.evaluation.attacks.transfer import Transfer

__all__ = [
    "ATTACKS",
    "BPDA",
    "STEPS",
    "Attack",
    "Benign",
    "Grid",
    "Need",
    "Target",
    "Threat",
    "Transfer",
    "find",
    "to_batch",
    "to_pixels",
]

#: The built-in attacks by name.
ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        library.FGSM,
        library.BIM,
        library.PGD,
        library.APGD,
        library.DEEPFOOL,
        library.CW_L2,
        BPDA(),
        Grid(),
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
