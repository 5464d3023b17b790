"""The rows of the target table that are about parts of images."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

import pyfd
from benchmarks.cases import Case, Row
from benchmarks.files import FEW, WAYS, Files, Kind, tiled
from benchmarks.timing import Bounds, Effort, Measurement, cpu_seconds, interleaved
from pyfd import QTables
from pyfd._core.pixels import Pixels

PRESET = QTables.preset("fd-cvpr2019")
SIZE = (4000, 3000)
#: The centre quarter: left, top, width, height
CENTRE = (SIZE[0] // 4, SIZE[1] // 4, SIZE[0] // 2, SIZE[1] // 2)
KINDS = [Kind(quality, way) for quality in (75, 90, 95) for way in WAYS]


def file(files: Files, kind: Kind, **options: object) -> bytes:
    """Return the typical photograph, repeated, as a file of 12 megapixels."""
    buffer = io.BytesIO()
    tiled(files.typical, SIZE).save(buffer, "JPEG", **kind._asdict(), **options)
    return buffer.getvalue()


def whole(data: bytes) -> Pixels:
    return pyfd.decode(data, PRESET)


def centre(data: bytes) -> Pixels:
    return pyfd.decode(data, PRESET, region=CENTRE)


def plain_centre(data: bytes) -> Pixels:
    return pyfd.decode(data, region=CENTRE)


def pillow_centre(data: bytes) -> Image.Image:
    left, top, width, height = CENTRE
    return Image.open(io.BytesIO(data)).crop((left, top, left + width, top + height))


def case(
    label: str,
    data: Callable[[], bytes],
    ours: Callable[[bytes], object],
    theirs: Callable[[bytes], object],
    bounds: Bounds,
) -> Case:
    def measure(effort: Effort) -> Measurement:
        return interleaved(ours, theirs, [data()], effort, cpu_seconds)

    return Case(f"12 MP, {label}", bounds, measure)


def region(files: Files) -> Row:
    cases = [
        case(str(kind), lambda kind=kind: file(files, kind), centre, whole, Bounds(0.60))
        for kind in KINDS
    ]
    cases += [
        case(
            f"{kind}, restart markers",
            lambda kind=kind: file(files, kind, restart_marker_rows=1),
            centre,
            whole,
            Bounds(0.45),
        )
        for kind in KINDS
    ]
    progressive = FEW[1]  # of which all scans must be read
    cases.append(case(str(progressive), lambda: file(files, progressive), centre, whole, Bounds()))
    return Row("region", "`decode(x, T, region=)` of the centre quarter / `decode(x, T)`", cases)


def region_over_pillow(files: Files) -> Row:
    cases = [
        case(str(kind), lambda kind=kind: file(files, kind), plain_centre, pillow_centre, Bounds())
        for kind in KINDS
    ]
    return Row("region-pillow", "`decode(x, region=)` of the centre quarter / Pillow's crop", cases)


ROWS = [region, region_over_pillow]
