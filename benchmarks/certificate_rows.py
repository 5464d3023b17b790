"""The rows of the target table that are about certificates and certified files.

The tables are those of `QTables.certified` at each strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import ImageOps

import pyfd
from benchmarks import memory, timing
from benchmarks.cases import Case, Row
from benchmarks.files import FEW, Files, tiled
from benchmarks.timing import Bounds, Effort, Measurement, cpu_seconds, interleaved
from pyfd import QTables
from pyfd._core.pixels import Pixels

SIZES = {"0.25 MP": (576, 432), "12 MP": (4000, 3000)}
SMALL, LARGE = SIZES
MOST = {1: Bounds(6.0, digits=1), 2: Bounds(6.0, digits=1), 4: Bounds(8.0, digits=1)}


def finest(epsilon: int) -> QTables:
    return QTables.certified(epsilon)


def photos(files: Files, size: str, epsilon: int) -> list[Pixels]:
    """Return the photographs at one of `SIZES`.

    At the large one it is the median photograph, repeated: the one that leaves as many blocks
    to the search as most others.
    """
    images = [ImageOps.fit(image, SIZES[SMALL]) for image in files.originals]
    if size == LARGE:
        by_share = sorted(images, key=lambda image: share(np.asarray(image), epsilon))
        images = [tiled(by_share[len(images) // 2], SIZES[LARGE])]
    return [np.asarray(image) for image in images]


def share(pixels: Pixels, epsilon: int) -> float:
    """Return the share of blocks that hold after a plain encoding."""
    tables = finest(epsilon)
    return float(pyfd.holds(on_grid(pixels, tables), tables, epsilon).mean())


def on_grid(pixels: Pixels, tables: QTables) -> Pixels:
    return pyfd.decode(pyfd.encode(pixels, tables))


def over_encode(
    files: Files,
    bounds: Callable[[int], Bounds],
    call: Callable[[Pixels, QTables, int], object],
    *,
    decoded: bool,
) -> list[Case]:
    """Return cases of a call over a plain encoding of the same pixels.

    Args:
        files: The photographs.
        bounds: A function that returns the target for a strength.
        call: The call, which takes pixels, tables and a strength.
        decoded: Give both calls photographs that were encoded with the tables and decoded.
    """

    def case(size: str, epsilon: int) -> Case:
        tables = finest(epsilon)

        def measure(effort: Effort) -> Measurement:
            pixels = photos(files, size, epsilon)
            if decoded:
                pixels = [on_grid(x, tables) for x in pixels]
            return interleaved(
                lambda x: call(x, tables, epsilon),
                lambda x: pyfd.encode(x, tables),
                pixels,
                effort,
                cpu_seconds,
            )

        return Case(f"{size}, ε = {epsilon}", bounds(epsilon), measure)

    return [case(size, epsilon) for size in (SMALL, LARGE) for epsilon in MOST]


def certified(pixels: Pixels, tables: QTables, epsilon: int) -> object:
    return pyfd.encode(pixels, tables, radius=epsilon)


def exact_radii(files: Files) -> Row:
    cases = over_encode(
        files,
        lambda _: Bounds(8.0, digits=1),
        lambda x, tables, _: pyfd.certify(x, tables),
        decoded=True,
    )
    return Row("certify", "`certify(i, T)` / `encode(i, T)`", cases)


def one_strength(files: Files) -> Row:
    cases = over_encode(files, lambda _: Bounds(2.5, digits=1), pyfd.holds, decoded=True)
    return Row("holds", "`holds(i, T, ε)` / `encode(i, T)`", cases)


def median_photograph(files: Files) -> Row:
    cases = over_encode(files, MOST.__getitem__, certified, decoded=False)
    return Row("radius", "`encode(i, T, radius=ε)` / `encode(i, T)`", cases)


def slowest_photograph(files: Files) -> Row:
    """Return a row without a target: the photograph with the largest ratio."""

    def case(epsilon: int) -> Case:
        tables = finest(epsilon)

        def measure(effort: Effort) -> Measurement:
            pixels = photos(files, SMALL, epsilon)
            each = Effort(effort.seconds / len(pixels), effort.rounds)
            found = [
                interleaved(
                    lambda x: certified(x, tables, epsilon),
                    lambda x: pyfd.encode(x, tables),
                    [x],
                    each,
                    cpu_seconds,
                )
                for x in pixels
            ]
            return max(found, key=lambda measured: measured.value)

        return Case(f"{SMALL}, ε = {epsilon}", Bounds(), measure)

    what = "the same, the slowest of the photographs"
    return Row("radius-slowest", what, [case(epsilon) for epsilon in MOST])


def peak_memory(files: Files) -> Row:
    def case(subject: str, radius: int | None) -> Case:
        def measure(_: Effort) -> Measurement:
            data = files.of("24 MP", FEW[-1])[0]
            found = [memory.beyond("encode", data, "fd-cvpr2019", radius) for _ in range(3)]
            low, middle, high = timing.quartiles(found)
            return Measurement(middle, low, high, len(found), float("nan"), float("nan"))

        return Case(f"24 MP, {subject}", Bounds(4.0, digits=1), measure)

    cases = [case("ε = 1", 1), case("plain", None)]
    what = "peak memory of `encode(i, T, radius=ε)` beyond the file"
    return Row("radius-memory", what, cases, "MiB")


ROWS: Sequence[Callable[[Files], Row]] = (
    exact_radii,
    one_strength,
    median_photograph,
    slowest_photograph,
    peak_memory,
)
