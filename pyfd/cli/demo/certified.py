"""What attackers can change in a photograph of two passes, and in a certified one.

Both are encoded with the finest tables that hold epsilon. Not all blocks of the plain one do
hold it: some lie off the grid, because the decoder has cut their pixels at 0 and 255 and has
rounded them. The encoder of the certified one has replaced these blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.cli.demo.aimed import aim
from pyfd.cli.demo.measurement import Differences, load, moved, noise, psnr, write
from pyfd.qtables import QTables

NOISES = 4
"""How many random perturbations are tried."""


class Trial(NamedTuple):
    """A photograph, and what is left of it after perturbations."""

    name: str
    bytes: int
    """The file's size."""
    psnr: float
    """Its quality against the original, in dB."""
    holding: float
    """The share of blocks, 0 to 1, that no perturbation can change."""
    aimed: float
    """The share of pixels that the perturbation of `aim` does not change."""
    noise: float
    """The share of pixels that no random perturbation has changed."""


class Attack(NamedTuple):
    """A picture, and what an attack does to it."""

    pixels: Pixels
    moves: Differences
    """What the attack adds to each sample."""
    unchanged: npt.NDArray[np.bool_]
    """H×W: where the classifier's decoder gives the same pixels as without the attack."""


class Pair(NamedTuple):
    """The same photograph twice."""

    plain: tuple[Trial, Attack]
    certified: tuple[Trial, Attack]


def tables_for(epsilon: int) -> QTables:
    """Return the finest tables that hold epsilon, for both photographs."""
    return QTables.certified(epsilon, baseline=False)


def compare(path: Path, epsilon: int, output: Path) -> Pair:
    """Perturb a photograph with and without a certificate, and write the certified file."""
    original = load(path)
    tables = tables_for(epsilon)
    plain = pyfd.encode(original, tables, baseline=False)
    certified = pyfd.encode(original, tables, baseline=False, radius=epsilon)
    write(output / "certified" / f"{path.stem}.jpg", certified)
    return Pair(*(_tried(path.stem, original, file, epsilon) for file in (plain, certified)))


def _tried(name: str, original: Pixels, file: bytes, epsilon: int) -> tuple[Trial, Attack]:
    tables = tables_for(epsilon)
    pixels = pyfd.decode(file, tables)
    moves = aim(pixels, tables, epsilon) * np.int16(epsilon)
    unchanged = _unchanged(pixels, moves, tables)
    random = (noise(pixels.shape, epsilon, number) for number in range(NOISES))
    survived = np.logical_and.reduce([_unchanged(pixels, moves, tables) for moves in random])
    trial = Trial(
        name=name,
        bytes=len(file),
        psnr=psnr(original, pixels),
        holding=float(pyfd.holds(pixels, tables, epsilon).mean()),
        aimed=float(unchanged.mean()),
        noise=float(survived.mean()),
    )
    return trial, Attack(pixels, moves, unchanged)


def _unchanged(pixels: Pixels, moves: Differences, tables: QTables) -> npt.NDArray[np.bool_]:
    """Return where the classifier's decoder, H×W, undoes a perturbation."""
    attacked = pyfd.encode(moved(pixels, moves), tables, baseline=False)
    same: npt.NDArray[np.bool_] = (pyfd.decode(attacked, tables) == pixels).all(axis=2)
    return same
