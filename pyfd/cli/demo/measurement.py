"""The changes that an attack makes to photographs, with and without the defence.

An attack can meet the defence in two ways. With two passes, the camera wrote the
photograph with the defensive tables, the attacker perturbs its pixels, and the
classifier's decoder puts them onto the same tables. With one pass, the photograph
is an ordinary one, and only the decoder has the tables.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyfd
from pyfd._core.pixels import Pixels
from pyfd._core.writing import make_parents, write_file
from pyfd.qtables import QTables

Differences: TypeAlias = "npt.NDArray[np.int16]"

# The first few are shown on the contact sheet.
_PHOTOGRAPHS = (
    ("skimage", ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")),
    ("foolbox", ("imagenet_*.jpg",)),
)
_ORDINARY = QTables.annex_k(95)
_SEED = 20190616
_WARM_UPS, _TIMED_RUNS = 4, 16


class Unmoved(NamedTuple):
    """The shares, 0 to 1, of the decoder's result that an attack does not change."""

    coefficients: float
    pixels: float


@dataclass(frozen=True)
class Result:
    """The measurements of one photograph."""

    name: str
    width: int
    height: int
    ordinary_bytes: int
    """The photograph's size at quality 95."""
    defended_bytes: int
    """Its size with the defensive tables."""
    psnr: float
    """The quality of the defended photograph against the original, in dB."""
    one_pass: Unmoved
    two_pass: Unmoved
    plain_ms: float
    """Milliseconds of the processor to decode the attacker's file without tables."""
    defended_ms: float
    """Milliseconds to decode it onto the tables."""


class View(NamedTuple):
    """A picture, and how the attack changed each sample."""

    pixels: Pixels
    left: Differences


class Views(NamedTuple):
    """The pictures of one photograph."""

    original: Pixels
    defended: Pixels
    attacked: View
    one_pass: View
    two_pass: View


# ---- the photographs ------------------------------------------------------


def photographs() -> list[Path]:
    """Return the photographs that installed packages ship, without importing the packages.

    Raises:
        ModuleNotFoundError: A package is missing.
    """
    found: list[Path] = []
    for package, names in _PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        data = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"
        photos = [] if data is None else [p for name in names for p in sorted(data.glob(name))]
        if not photos:
            raise ModuleNotFoundError(f"no photographs of {package}", name=package)
        found += photos
    return found


def load(path: Path) -> Pixels:
    """Return a photograph's pixels, H×W×3."""
    if path.suffix == ".jpg":
        return pyfd.decode(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# ---- the measurements -----------------------------------------------------


def measure(path: Path, tables: QTables, epsilon: int, output: Path) -> tuple[Result, Views]:
    """Defend, attack and measure one photograph, and write its .jpg files into `output`."""
    original = load(path)
    perturbation = noise(original.shape, epsilon)
    ordinary = pyfd.encode(original, _ORDINARY)
    defended = pyfd.encode(original, tables)
    benign = pyfd.decode(defended)
    attacked = moved(benign, perturbation)
    attack = pyfd.encode(moved(original, perturbation), _ORDINARY)
    write(output / "defended" / f"{path.stem}.jpg", defended)
    write(output / "attacked" / f"{path.stem}.jpg", attack)

    one_pass, one_pass_view = _outcome(ordinary, attack, tables)
    two_pass, two_pass_view = _outcome(defended, pyfd.encode(attacked, tables), tables)
    plain_ms, defended_ms = _timings(attack, tables)
    result = Result(
        name=path.stem,
        width=original.shape[1],
        height=original.shape[0],
        ordinary_bytes=len(ordinary),
        defended_bytes=len(defended),
        psnr=psnr(original, benign),
        one_pass=one_pass,
        two_pass=two_pass,
        plain_ms=plain_ms,
        defended_ms=defended_ms,
    )
    perturbed = View(attacked, difference(attacked, benign))
    return result, Views(original, benign, perturbed, one_pass_view, two_pass_view)


def _outcome(benign: bytes, attack: bytes, tables: QTables) -> tuple[Unmoved, View]:
    """Return what is left of an attack when both files are decoded onto the tables."""
    files = (pyfd.requantize(benign, tables), pyfd.requantize(attack, tables))
    before, after = (pyfd.read_coefficients(file) for file in files)
    pairs = list(zip(before.components, after.components, strict=True))
    equal = sum(int(np.count_nonzero(old == new)) for old, new in pairs)
    pixels = pyfd.decode(attack, tables)
    left = difference(pixels, pyfd.decode(benign, tables))
    unmoved = Unmoved(
        coefficients=equal / sum(old.size for old, _ in pairs),
        pixels=float(np.mean((left == 0).all(axis=2))),
    )
    return unmoved, View(pixels, left)


def noise(shape: tuple[int, ...], epsilon: int, number: int = 0) -> Differences:
    """Return random noise of full strength: +epsilon or -epsilon for each sample.

    Args:
        shape: The picture's shape.
        epsilon: The strength, in 8-bit levels.
        number: Another number gives other noise.
    """
    signs = np.random.default_rng(_SEED + number).integers(0, 2, shape, dtype=np.int16)
    return (2 * signs - 1) * np.int16(epsilon)


def moved(pixels: Pixels, perturbation: Differences) -> Pixels:
    """Return perturbed pixels, cut at 0 and 255."""
    return (pixels + perturbation).clip(0, 255).astype(np.uint8)


def difference(a: Pixels, b: Pixels) -> Differences:
    """Return a - b."""
    return a.astype(np.int16) - b


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all samples, in dB."""
    error = float(np.mean(np.square(difference(a, b), dtype=np.float64)))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _timings(file: bytes, tables: QTables) -> tuple[float, float]:
    """Return milliseconds to decode a file plainly and onto tables.

    Both are medians of interleaved runs, of which each is the first of a pair in turn. The first
    few are not counted: they warm up the caches and the processor's clock.
    """
    out = pyfd.decode(file)
    calls = (lambda: pyfd.decode(file, out=out), lambda: pyfd.decode(file, tables, out=out))
    taken: tuple[list[float], list[float]] = ([], [])
    for run in range(_WARM_UPS + _TIMED_RUNS):
        for place in (0, 1) if run % 2 else (1, 0):
            taken[place].append(_milliseconds(calls[place]))
    plain, defended = (median(times[_WARM_UPS:]) for times in taken)
    return plain, defended


def _milliseconds(call: Callable[[], object]) -> float:
    """Return the time that a call keeps the processor busy, whatever else the machine does."""
    start = time.thread_time()
    call()
    return 1000 * (time.thread_time() - start)


def write(path: Path, data: bytes) -> None:
    """Write a file, and make its directory first."""
    make_parents(path)
    write_file(path, data, through=False)
