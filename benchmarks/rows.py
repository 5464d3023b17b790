"""The rows of the target table: the calls and cases to measure, and their targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import pyfd
from benchmarks import (
    camera_rows,
    certificate_rows,
    memory,
    peer_rows,
    peers,
    region_rows,
    strip_rows,
    timing,
    twin,
    yuv_rows,
)
from benchmarks.cases import Case, Row, UnmeasuredError, thinned
from benchmarks.files import BASELINE, FEW, OWN, PROGRESSIVE, TILE, TINY, WAYS, Files, Kind
from benchmarks.peer_rows import PRESET, SMALL, decodes, defended, plain
from benchmarks.timing import (
    Bounds,
    Effort,
    Measurement,
    cpu_seconds,
    interleaved,
    inverse,
    repeated,
    repetitions,
    seconds,
)
from pyfd._core.pixels import Pixels
from pyfd.codec import Layout, Subsampling


def rows(files: Files, quick: bool = False) -> list[Row]:
    """Return every row of the table, in order; with `quick`, each has only a few cases."""
    made = [make(files) for make in ROWS]
    if quick:
        made = [Row(row.key, row.what, thinned(row.cases), row.unit) for row in made]
    return made


# ---- decoding -----------------------------------------------------------------


def over_plain(files: Files) -> Row:
    cases = decodes(files, plain, lambda _: Bounds(1.02))
    return Row("plain", "`decode(x, T)` / `decode(x)`", cases)


def overhead(files: Files) -> Row:
    cases = decodes(files, peers.simplejpeg_decode, lambda _: Bounds(1.0), ["64×64"])
    cases += decodes(files, peers.simplejpeg_decode, lambda _: Bounds(2.0), [TINY])
    return Row("overhead", "`decode(x, T)` at 64×64 and 8×8 / simplejpeg's plain decode", cases)


# ---- transcoding --------------------------------------------------------------


def requantize_over_both(files: Files) -> Row:
    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            return interleaved(
                lambda data: pyfd.requantize(data, PRESET),
                lambda data: pyfd.encode(pyfd.decode(data), PRESET, subsampling=kind.subsampling),
                files.of(size, kind),
                effort,
            )

        most = 0.80 if kind.progressive else 0.58 if size == "64×64" else 0.60
        return Case(f"{size}, {kind}", Bounds(most), measure)

    cases = [case(size, kind) for size in SMALL for kind in BASELINE + PROGRESSIVE]
    cases += [case("24 MP", kind) for kind in FEW]
    return Row("requantize", "`requantize(x, T)` / (`decode` + `encode`)", cases)


# ---- many files ---------------------------------------------------------------


def calibrate_over_plain(files: Files) -> Row:
    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            many = files.of(size, kind)
            many = many * max(1, 16 // len(many))
            return interleaved(
                lambda sources: pyfd.calibrate(sources, workers=1),
                lambda sources: [pyfd.decode(data) for data in sources],
                [many],
                effort,
            )

        return Case(f"{size}, {kind}", Bounds(0.95 if kind.progressive else 0.80), measure)

    cases = [case(size, kind) for size in ("224×224", OWN) for kind in BASELINE + PROGRESSIVE]
    return Row("calibrate", "`calibrate` per file / plain decode", cases)


def workers(files: Files) -> Row:
    def case(size: str, kind: Kind, count: int) -> Case:
        def measure(effort: Effort) -> Measurement:
            if len(os.sched_getaffinity(0)) < 2:
                raise UnmeasuredError("needs 2 cores")
            many = (files.of(size, kind) * count)[:count]
            return interleaved(
                lambda sources: pyfd.decode_many(sources, PRESET, workers=2),
                lambda sources: pyfd.decode_many(sources, PRESET, workers=1),
                [many],
                effort.times(2),
            )

        return Case(f"{count} files, {size}, {kind}", Bounds(0.54), measure)

    cases = [case(OWN, kind, 64) for kind in FEW]
    cases += [case("224×224", kind, 128) for kind in FEW]
    cases.append(case("4 MP", FEW[0], 8))
    return Row("workers", "`decode_many`, 2 workers / 1 worker", cases)


def batch(files: Files) -> Row:
    def case(kind: Kind, layout: Layout, count: int = 64) -> Case:
        def measure(effort: Effort) -> Measurement:
            many = (files.of("224×224", kind) * count)[:count]
            out = into_batch(many, layout)
            return interleaved(
                lambda sources: pyfd.decode_many(
                    sources, PRESET, workers=1, out=out, layout=layout
                ),
                lambda sources: stacked(pyfd.decode_many(sources, PRESET, workers=1), layout),
                [many],
                effort,
                cpu_seconds,  # all in this thread
            )

        return Case(f"{count} files, 224×224, {kind}, {layout}", Bounds(1.0), measure)

    layouts: tuple[Layout, ...] = ("HWC", "CHW")
    cases = [case(kind, layout) for kind in FEW for layout in layouts]
    return Row("batch", "`decode_many(out=)` / `decode_many` + `np.stack`", cases)


def into_batch(many: list[bytes], layout: Layout) -> Pixels:
    """Return an array with a place for each file, whose memory has been used before."""
    return stacked(pyfd.decode_many(many), layout)


def stacked(images: list[Pixels], layout: Layout) -> Pixels:
    """Return images as one array in the order of a layout."""
    whole = np.stack(images)
    return np.ascontiguousarray(whole.transpose(0, 3, 1, 2)) if layout == "CHW" else whole


def encode_workers(files: Files) -> Row:
    def case(size: str, way: Subsampling, count: int) -> Case:
        def measure(effort: Effort) -> Measurement:
            if len(os.sched_getaffinity(0)) < 2:
                raise UnmeasuredError("needs 2 cores")
            many = [photo.pixels for photo in files.photos(size)] * count
            return interleaved(
                lambda images: pyfd.encode_many(images, PRESET, workers=2, subsampling=way),
                lambda images: pyfd.encode_many(images, PRESET, workers=1, subsampling=way),
                [many[:count]],
                effort.times(2),
            )

        return Case(f"{count} images, {size}, fd-cvpr2019 {way}", Bounds(0.56), measure)

    cases = [case("224×224", way, 128) for way in WAYS] + [case(OWN, way, 64) for way in WAYS]
    return Row("encode-workers", "`encode_many`, 2 workers / 1 worker", cases)


# ---- other defences -----------------------------------------------------------


def under_defence(
    files: Files, kind: Kind, least: float, make: Callable[[], Callable[..., object]]
) -> Case:
    """Return a case: another defence on pixels over a defended decode of the same picture.

    The decode is repeated, as in a service that has many files: alone after a call that is
    hundreds of times as long, it would only find its caches cold.
    """

    def measure(effort: Effort) -> Measurement:
        defence = make()
        size = "224×224"
        pairs = list(zip(files.photos(size), files.of(size, kind), strict=True))
        times = repetitions(lambda: seconds(defended, pairs[0][1]))
        found = interleaved(
            lambda pair: cpu_seconds(repeated(defended, times), pair[1]) / times,
            lambda pair: cpu_seconds(defence, pair[0].pixels),
            pairs,
            effort,
            clock=lambda measured, pair: measured(pair),
        )
        return inverse(found)

    return Case(f"224×224, {kind}", Bounds(at_least=least, digits=0), measure)


def reference(files: Files) -> Row:
    def make() -> Callable[..., object]:
        return partial(peers.reference_arithmetic, steps=PRESET[0])

    cases = [under_defence(files, kind, 100, make) for kind in BASELINE + PROGRESSIVE[:2]]
    return Row("reference", "the paper's arithmetic in numpy / `decode(x, T)`, 224×224", cases)


def total_variation(files: Files) -> Row:
    cases = [under_defence(files, kind, 400, peers.total_variation) for kind in BASELINE]
    return Row("tvm", "ART's total-variation minimization / `decode(x, T)`, 224×224", cases)


def twins(files: Files) -> Row:
    def case(variant: twin.Variant) -> Case:
        def measure(effort: Effort) -> Measurement:
            if variant.compiled and not twin.can_compile():
                raise UnmeasuredError("needs a C++ compiler")
            return twin.measure(variant, files.photos("224×224"), effort.times(2))

        return Case(str(variant), variant.bounds, measure)

    what = "`pyfd.torch.FeatureDistillation` / kornia's `jpeg_codec_differentiable`"
    cases = [case(variant) for variant in twin.variants()]
    return Row("twin", f"{what}, {twin.BATCH}×3×224×224", cases)


# ---- memory and scale ---------------------------------------------------------


def peak_memory(files: Files) -> Row:
    def case(kind: Kind, name: str | None) -> Case:
        def measure(_: Effort) -> Measurement:
            data = files.of("24 MP", kind)[0]
            found = [memory.beyond("decode", data, name) for _ in range(3)]
            low, middle, high = timing.quartiles(found)
            return Measurement(middle, low, high, len(found), float("nan"), float("nan"))

        what = "defended" if name else "plain"
        return Case(f"24 MP, {kind}, {what}", Bounds(4.0, digits=1), measure)

    cases = [
        case(kind, name) for kind in FEW if not kind.progressive for name in (None, "fd-cvpr2019")
    ]
    return Row("memory", "peak memory of a single-scan decode beyond its output", cases, "MiB")


def scaling(files: Files) -> Row:
    """Return a row of a file of many tiles over as many decodes of one tile: the same blocks."""
    down, across = 10, 10

    def case(name: str, decode: Callable[[bytes], object], kind: Kind) -> Case:
        def repeatedly(data: bytes) -> None:
            for _ in range(down * across):
                decode(data)

        def measure(effort: Effort) -> Measurement:
            large, small = files.tile(kind, down, across), files.tile(kind)
            return interleaved(
                lambda pair: decode(pair[0]),
                lambda pair: repeatedly(pair[1]),
                [(large, small)],
                effort,
            )

        return Case(f"{name}, {kind}", Bounds(at_least=0.85, at_most=1.15), measure)

    cases = [case("defended", defended, kind) for kind in BASELINE + PROGRESSIVE[1:4:2]]
    cases += [case("plain", plain, kind) for kind in FEW]
    sizes = f"{down * across * TILE[0] * TILE[1] / 1e6:.1f} MP / {TILE[0] * TILE[1] / 1e6:.2f} MP"
    return Row("scaling", f"time per pixel, {sizes}, the same content", cases)


ROWS: list[Callable[[Files], Row]] = [
    over_plain,
    *peer_rows.DECODES,
    overhead,
    *peer_rows.ENCODES,
    yuv_rows.yuv,
    requantize_over_both,
    calibrate_over_plain,
    workers,
    *camera_rows.ROWS,
    batch,
    encode_workers,
    reference,
    total_variation,
    peak_memory,
    *region_rows.ROWS,
    *strip_rows.ROWS,
    *certificate_rows.ROWS,
    scaling,
    twins,  # last, because loading torch changes the process
]


def selected(made: list[Row], only: list[str]) -> Iterator[Row]:
    """Yield the rows with the given keys, or all rows."""
    known = [row.key for row in made]
    for key in only:
        if key not in known:
            raise SystemExit(f"no row {key!r}: there are {', '.join(known)}")
    return (row for row in made if not only or row.key in only)
