"""The rows of the target table against the libraries that a user would choose instead.

Where no other target is stated, it is 1.00: a ratio above it says that the library is ahead.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pyfd
from benchmarks import peers
from benchmarks.cases import Case, Row, UnmeasuredError
from benchmarks.files import (
    BASELINE,
    FEW,
    LARGE,
    OWN,
    PROGRESSIVE,
    SIZES,
    TINY,
    WAYS,
    Files,
    Kind,
    Photo,
)
from benchmarks.timing import (
    Bounds,
    Effort,
    Measurement,
    interleaved,
    repeated,
    repetitions,
    seconds,
)
from pyfd import QTables
from pyfd._core.pixels import Pixels
from pyfd.codec import Subsampling

PRESET = QTables.preset("fd-cvpr2019")
SMALL = ("64×64", "224×224", OWN)
USUAL = tuple(size for size in SIZES if size != TINY)
NAMED = {"fd-cvpr2019": PRESET} | {f"q{q}": QTables.annex_k(q) for q in (75, 90, 95)}
LEVEL = Bounds(1.0)  # whoever is ahead


def plain(data: bytes) -> object:
    return pyfd.decode(data)


def defended(data: bytes) -> object:
    return pyfd.decode(data, PRESET)


# ---- decoding -----------------------------------------------------------------


def sized(
    sizes: Sequence[str] = USUAL, kinds: Sequence[Kind] = (*BASELINE, *PROGRESSIVE)
) -> Iterator[tuple[str, Kind]]:
    """Yield the sizes with the kinds of files; at the large sizes only those of `FEW`."""
    for size in sizes:
        box = SIZES[size]
        large = box is not None and box[0] * box[1] > LARGE
        yield from ((size, kind) for kind in (FEW if large else kinds))


def decodes(
    files: Files,
    theirs: Callable[[bytes], object],
    bounds: Callable[[Kind], Bounds],
    sizes: Sequence[str] = USUAL,
    kinds: Sequence[Kind] = (*BASELINE, *PROGRESSIVE),
) -> list[Case]:
    """Return cases of a defended decode over another call, for each size and kind of file.

    Args:
        files: The photographs.
        theirs: The call in the denominator.
        bounds: A function that returns the target for a kind of file.
        sizes: As for `sized`.
        kinds: As for `sized`.
    """

    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            return interleaved(defended, theirs, files.of(size, kind), effort)

        return Case(f"{size}, {kind}", bounds(kind), measure)

    return [case(size, kind) for size, kind in sized(sizes, kinds)]


def over_simplejpeg(files: Files) -> Row:
    sizes = [size for size in USUAL if size != "64×64"]  # which the row "overhead" measures
    cases = decodes(files, peers.simplejpeg_decode, lambda _: Bounds(0.85), sizes)
    return Row("simplejpeg", "`decode(x, T)` / simplejpeg's plain decode", cases)


def into(files: Files, theirs: Callable[[bytes, Pixels], object]) -> list[Case]:
    """Return cases of a defended decode over another one, into memory that has been used before."""

    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            return interleaved(
                lambda place: pyfd.decode(place[0], PRESET, out=place[1]),
                lambda place: theirs(*place),
                [(data, pyfd.decode(data)) for data in files.of(size, kind)],
                effort,
            )

        return Case(f"{size}, {kind}", LEVEL, measure)

    return [case(size, kind) for size, kind in sized(kinds=FEW)]


def over_simplejpeg_into(files: Files) -> Row:
    cases = into(files, lambda data, out: peers.simplejpeg_decode(data, buffer=out))
    return Row("simplejpeg-into", "`decode(x, T, out=)` / simplejpeg's `buffer=`", cases)


def over_imagecodecs_into(files: Files) -> Row:
    cases = into(files, lambda data, out: peers.imagecodecs_decode(data, out=out))
    return Row("imagecodecs-into", "`decode(x, T, out=)` / imagecodecs' `out=`", cases)


def over_simplejpeg_fast(files: Files) -> Row:
    """Return a row against other pixels, which are not comparable: it has no target."""

    def fast(data: bytes) -> object:
        return peers.simplejpeg_decode(data, fastdct=True, fastupsample=True)

    cases = decodes(files, fast, lambda _: Bounds(), [OWN])
    what = "`decode(x, T)` / simplejpeg's decode with fast DCT and fast upsampling: other pixels"
    return Row("simplejpeg-fast", what, cases)


def over_opencv(files: Files) -> Row:
    cases = decodes(files, peers.opencv_decode, lambda _: LEVEL)
    return Row("opencv", "`decode(x, T)` / OpenCV's plain decode", cases)


def over_imagecodecs(files: Files) -> Row:
    cases = decodes(files, peers.imagecodecs_decode, lambda _: LEVEL)
    return Row("imagecodecs", "`decode(x, T)` / imagecodecs' plain decode", cases)


def over_torchvision(files: Files) -> Row:
    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            return beside_torchvision("decode", defended, files.of(size, kind), effort)

        return Case(f"{size}, {kind}", LEVEL, measure)

    cases = [case(size, kind) for size, kind in sized()]
    return Row("torchvision", "`decode(x, T)` / torchvision's plain decode", cases)


def over_pillow(files: Files) -> Row:
    def bounds(kind: Kind) -> Bounds:
        easy = kind.subsampling == "4:2:0" and not kind.progressive
        return Bounds(0.85 if easy else 0.96)

    cases = decodes(files, peers.pillow_decode, bounds)
    return Row("pillow", "`decode(x, T)` / Pillow's plain decode", cases)


def over_recompression(files: Files) -> Row:
    most = {75: 0.30, 90: 0.36, 95: 0.48}
    cases = decodes(
        files,
        peers.pillow_recompress,
        lambda kind: Bounds(most[kind.quality]),
        ("224×224", OWN),
        BASELINE,
    )
    return Row("recompression", "`decode(x, T)` / Pillow decode + encode at 75 + decode", cases)


# ---- encoding -----------------------------------------------------------------


def encode_over_pillow(files: Files) -> Row:
    def case(size: str, name: str, subsampling: Subsampling, progressive: bool) -> Case:
        tables = NAMED[name]
        pillow = peers.pillow_encode(tables, subsampling, progressive)

        def measure(effort: Effort) -> Measurement:
            return interleaved(
                lambda photo: pyfd.encode(
                    photo.pixels, tables, subsampling=subsampling, progressive=progressive
                ),
                lambda photo: pillow(photo.image),
                files.photos(size),
                effort,
            )

        coding = "progressive" if progressive else "baseline"
        return Case(f"{size}, {name} {subsampling} {coding}", LEVEL, measure)

    ways = [(name, way) for name in NAMED for way in WAYS]
    cases = [case(size, name, way, False) for size in SMALL for name, way in ways]
    cases += [case(OWN, name, way, True) for name, way in ways]
    cases += [case("24 MP", "fd-cvpr2019", way, False) for way in WAYS]
    return Row("encode-pillow", "`encode(i, T)` / Pillow's `save(qtables=T)`", cases)


def ours_as(kind: Kind) -> Callable[[Pixels], bytes]:
    """Return our encode with the standard's tables, which the others write at a quality."""
    tables = QTables.annex_k(kind.quality)
    return lambda pixels: pyfd.encode(pixels, tables, subsampling=kind.subsampling)


def encodes(
    files: Files,
    theirs: Callable[[Kind], Callable[[Any], object]],
    pixels: Callable[[Photo], Any] = lambda photo: photo.pixels,
) -> list[Case]:
    """Return cases of an encode over another library's, with the same tables and sampling.

    Args:
        files: The photographs.
        theirs: A function that returns the other call for a kind of file.
        pixels: A function that returns the other call's preferred input.
    """

    def case(size: str, kind: Kind) -> Case:
        ours, other = ours_as(kind), theirs(kind)

        def measure(effort: Effort) -> Measurement:
            return interleaved(
                lambda pair: ours(pair[0]),
                lambda pair: other(pair[1]),
                [(photo.pixels, pixels(photo)) for photo in files.photos(size)],
                effort,
            )

        return Case(f"{size}, {kind}", LEVEL, measure)

    return [case(size, kind) for size, kind in encoded()]


def encoded() -> Iterator[tuple[str, Kind]]:
    """Yield the sizes and kinds of the files that are written."""
    yield from sized(SMALL, BASELINE)
    yield from (("24 MP", kind) for kind in FEW if not kind.progressive)


def encode_over_simplejpeg(files: Files) -> Row:
    cases = encodes(files, peers.simplejpeg_encode)
    return Row("encode-simplejpeg", "`encode(i, T)` / simplejpeg's encode, same tables", cases)


def encode_over_opencv(files: Files) -> Row:
    cases = encodes(
        files,
        peers.opencv_encode,
        lambda photo: np.ascontiguousarray(photo.pixels[..., ::-1]),
    )
    return Row("encode-opencv", "`encode(i, T)` / OpenCV's encode, same tables", cases)


def encode_over_imagecodecs(files: Files) -> Row:
    cases = encodes(files, peers.imagecodecs_encode)
    return Row("encode-imagecodecs", "`encode(i, T)` / imagecodecs' encode, same tables", cases)


def encode_over_torchvision(files: Files) -> Row:
    """Return a row in 4:2:0, because torchvision writes nothing else."""

    def case(size: str, kind: Kind) -> Case:
        def measure(effort: Effort) -> Measurement:
            photos = [photo.pixels for photo in files.photos(size)]
            return beside_torchvision(f"encode-{kind.quality}", ours_as(kind), photos, effort)

        return Case(f"{size}, {kind}", LEVEL, measure)

    cases = [case(size, kind) for size, kind in encoded() if kind.subsampling == "4:2:0"]
    return Row("encode-torchvision", "`encode(i, T)` / torchvision's encode, same tables", cases)


# ---- another process ----------------------------------------------------------


def beside_torchvision(
    operation: str, ours: Callable[[Any], object], items: Sequence[Any], effort: Effort
) -> Measurement:
    """Time our call here and torchvision's in the process of its environment, in turn.

    Whoever comes after the other finds its caches cold, so that short calls are repeated.

    Args:
        operation: What the worker does.
        ours: The call here.
        items: The files' bytes, or pixels.
        effort: The effort to spend.
    """
    theirs = peers.torchvision()
    with tempfile.TemporaryDirectory() as scratch:
        names = [stored(item, Path(scratch, str(index))) for index, item in enumerate(items)]
        try:
            times = repetitions(lambda: theirs.seconds(operation, names[0]))
            return interleaved(
                lambda pair: seconds(repeated(ours, times), pair[0]) / times,
                lambda pair: theirs.seconds(operation, pair[1], times),
                list(zip(items, names, strict=True)),
                effort,
                clock=lambda measured, pair: measured(pair),
            )
        except subprocess.CalledProcessError as error:
            theirs.close()
            peers.torchvision.cache_clear()  # the next case may start another one
            said = f"torchvision's process ended with exit code {error.returncode}"
            raise UnmeasuredError(said) from None


def stored(item: bytes | Pixels, path: Path) -> str:
    """Write a file or pixels for the worker, and return the path."""
    if isinstance(item, bytes):
        path.write_bytes(item)
        return str(path)
    np.save(path, item)
    return f"{path}.npy"


DECODES = [
    over_simplejpeg,
    over_simplejpeg_into,
    over_simplejpeg_fast,
    over_opencv,
    over_imagecodecs,
    over_imagecodecs_into,
    over_torchvision,
    over_pillow,
    over_recompression,
]
ENCODES = [
    encode_over_pillow,
    encode_over_simplejpeg,
    encode_over_opencv,
    encode_over_imagecodecs,
    encode_over_torchvision,
]
