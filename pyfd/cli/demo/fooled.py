"""What a network takes photographs for: as the camera wrote them, attacked, and defended.

Both photographs are encoded with the finest tables that hold epsilon, one without a certificate
and one with it. One attacker follows the network's derivatives and ignores the defence. The
other one knows the tables: he carries coefficients across their rounding boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import pyfd
from pyfd._core.pixels import WHITE, Pixels
from pyfd.cli.demo.aimed import aim
from pyfd.cli.demo.certified import tables_for
from pyfd.cli.demo.measurement import View, difference, load, moved
from pyfd.cli.demo.network import Answer, Network, named
from pyfd.evaluation import ndf
from pyfd.evaluation.classes import imagenet_names

#: Of the photographs: those that are shown. The network recognizes them.
SHOWN = ("coffee", "imagenet_08_915", "imagenet_15_99")

_STEPS = 6  # of the attack that follows the derivatives


class Seen(NamedTuple):
    """A picture that the network sees, and what it takes it for."""

    view: View
    answer: Answer


class Story(NamedTuple):
    """What becomes of one photograph."""

    name: str
    camera: Seen
    """As the camera wrote it, without a certificate."""
    attacked: Seen
    """A copy that misleads the network, without a defence."""
    defended: Seen
    """The same copy behind the defence."""
    aimed: Seen
    """Behind the defence, a copy whose attacker aimed at the tables."""
    certified: Seen
    """The certified photograph, which is seen behind the defence whatever an attacker does."""
    unchanged: bool
    """Whether both attacks on the certified photograph left the same picture, bit for bit."""


class Witness(NamedTuple):
    """A network, and the names of its classes if they are known."""

    network: Network
    names: Sequence[str] | None

    def says(self, answer: Answer) -> str:
        """Return an answer in words."""
        return named(answer.number, self.names)


def witness() -> Witness:
    """Return the network of the installed package ndf.

    Raises:
        ValueError: The package is missing, or holds something else.
    """
    return Witness(Network(ndf.weights()), imagenet_names())


def tell(path: Path, network: Network, epsilon: int) -> Story:
    """Attack a photograph with and without a certificate, and ask the network about it."""
    original, tables = load(path), tables_for(epsilon)
    files = [
        pyfd.encode(original, tables, baseline=False, radius=radius) for radius in (None, epsilon)
    ]
    plain, certified = (pyfd.decode(file, tables) for file in files)
    answer, misleading, aimed = _attacks(plain, network, epsilon)
    proved, *attacks = _attacks(certified, network, epsilon)

    def seen(pixels: Pixels) -> Seen:
        return Seen(View(pixels, difference(pixels, plain)), network.answer(pixels))

    return Story(
        name=path.stem,
        camera=Seen(View(plain, difference(plain, plain)), answer),
        attacked=seen(misleading),
        defended=seen(_defended(misleading, epsilon)),
        aimed=seen(_defended(aimed, epsilon)),
        certified=Seen(View(certified, difference(certified, certified)), proved),
        unchanged=all(np.array_equal(_defended(a, epsilon), certified) for a in attacks),
    )


def _defended(pixels: Pixels, epsilon: int) -> Pixels:
    """Return what the classifier's encoder and decoder make of pixels."""
    tables = tables_for(epsilon)
    return pyfd.decode(pyfd.encode(pixels, tables, baseline=False), tables)


def _attacks(pixels: Pixels, network: Network, epsilon: int) -> tuple[Answer, Pixels, Pixels]:
    """Return the answer for a picture, and two attacks on it within epsilon."""
    answer, derivatives = network.derivatives(pixels)
    low = np.maximum(pixels, epsilon) - np.uint8(epsilon)
    high = np.minimum(pixels, WHITE - epsilon) + np.uint8(epsilon)
    step, attacked, slopes = np.int16(-(-epsilon // 4)), pixels, derivatives
    for number in range(_STEPS):
        attacked = moved(attacked, step * np.sign(slopes).astype(np.int16)).clip(low, high)
        if number < _STEPS - 1:
            _, slopes = network.derivatives(attacked, answer.number)
    signs = aim(pixels, tables_for(epsilon), epsilon, derivatives)
    return answer, attacked, moved(pixels, np.int16(epsilon) * signs)
