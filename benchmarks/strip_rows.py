"""The rows of the target table that are about one image on several threads."""

from __future__ import annotations

from collections.abc import Callable

import pyfd
from benchmarks.cases import Case, Row
from benchmarks.files import WAYS, Files, Kind, tiled
from benchmarks.timing import Bounds, Effort, Measurement, interleaved
from pyfd import QTables
from pyfd._core.pixels import Pixels

PRESET = QTables.preset("fd-cvpr2019")
SIZE = (6000, 4000)
TARGET = Bounds(0.56)
#: Without restart markers: at least 1.3 times as fast
STAGES_TARGET = Bounds(0.77)
#: Rows of MCUs from a restart marker to the next
APART = (1, 8)
KINDS = [(Kind(quality, way), rows) for quality in (75, 95) for way in WAYS for rows in APART]


def image(files: Files) -> Pixels:
    """Return the typical photograph, repeated, as pixels."""
    return pyfd.decode(pyfd.encode(tiled(files.typical, SIZE), QTables.annex_k(95)))


def file(files: Files, kind: Kind, rows: int | None) -> bytes:
    """Return it as a file, with restart markers so many rows apart."""
    return pyfd.encode(
        tiled(files.typical, SIZE),
        QTables.annex_k(kind.quality),
        subsampling=kind.subsampling,
        restart_rows=rows,
    )


def named(kind: Kind, rows: int) -> str:
    return f"{kind}, every {rows} rows"


def case(
    what: str, make: Callable[[], object], call: Callable[..., object], target: Bounds = TARGET
) -> Case:
    def measure(effort: Effort) -> Measurement:
        return interleaved(
            lambda source: call(source, workers=2),
            lambda source: call(source, workers=1),
            [make()],
            effort,
        )

    return Case(f"24 MP, {what}", target, measure)


def decoded(data: bytes, workers: int) -> Pixels:
    return pyfd.decode(data, PRESET, workers=workers)


def decode(files: Files) -> Row:
    cases = [
        case(named(kind, rows), lambda kind=kind, rows=rows: file(files, kind, rows), decoded)
        for kind, rows in KINDS
    ]
    return Row("strips-decode", "`decode(x, T, workers=2)` / `workers=1`, restart markers", cases)


def decode_in_stages(files: Files) -> Row:
    cases = [
        case(str(kind), lambda kind=kind: file(files, kind, None), decoded, STAGES_TARGET)
        for kind in dict(KINDS)
    ]
    what = "`decode(x, T, workers=2)` / `workers=1`, no restart markers"
    return Row("stages-decode", what, cases)


def requantize(files: Files) -> Row:
    def one(kind: Kind, rows: int) -> Case:
        def call(data: bytes, workers: int) -> bytes:
            return pyfd.requantize(data, PRESET, restart_rows=rows, workers=workers)

        return case(named(kind, rows), lambda: file(files, kind, rows), call)

    cases = [one(kind, rows) for kind, rows in KINDS]
    what = "`requantize(x, T, restart_rows=, workers=2)` / `workers=1`, restart markers"
    return Row("strips-requantize", what, cases)


def encode(files: Files) -> Row:
    def one(kind: Kind, rows: int) -> Case:
        tables = QTables.annex_k(kind.quality)

        def call(pixels: Pixels, workers: int) -> bytes:
            return pyfd.encode(
                pixels, tables, subsampling=kind.subsampling, restart_rows=rows, workers=workers
            )

        return case(named(kind, rows), lambda: image(files), call)

    cases = [one(kind, rows) for kind, rows in KINDS]
    return Row("strips-encode", "`encode(i, T, restart_rows=, workers=2)` / `workers=1`", cases)


ROWS = [decode, decode_in_stages, requantize, encode]
