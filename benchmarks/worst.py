"""Search for the files that take the most CPU time within the default limits.

    python -m benchmarks.worst [--steps 12] [--write docs/security.md]

A `Shape` describes a hostile file: how many components, how its scans divide the
coefficients, how many of them are not 0, and so on. Every file has as many scans as the
limits allow. For each entry point, the search runs `SEEDS` and goes on from the slowest one:
it changes one property at a time and keeps what takes longer. The files run in child
processes, whose CPU time the kernel measures.
"""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import math
import random
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import pyfd
from benchmarks import commands, hostile, machine, pages
from pyfd import Limits
from tests.attacks import bits
from tests.jpegs import EOI, SOI, dht, dqt, segment, sof, sos

MAKER = "benchmarks/worst.py"
PERIOD = 4096  # different blocks, then the same again: more than a processor remembers
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

# ---- the files ---------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """The properties of a hostile file."""

    components: int = 1
    subsampled: bool = False
    """Whether the first component has twice the others' samples in both directions."""
    progressive: bool = True
    band: int = 1
    """Coefficients in an AC scan, 1...63."""
    refinements: int = 0
    """Scans that refine each band, 0...13."""
    density: float = 0
    """The share of coefficients that are not 0."""
    size: int = 1
    """The bits of a coefficient as it is first sent, 1...8."""
    restarts: bool = False
    """Whether a restart marker follows each block."""
    missing: bool = False
    """Whether the scans lack their data, which only a lenient reader takes."""
    share: float = 1
    """The share of the pixels that are allowed."""

    def __str__(self) -> str:
        kind = "progressive" if self.progressive else "baseline"
        parts = [f"{self.components} components" if self.components > 1 else "gray", kind]
        if self.subsampled:
            parts.append("4:2:0")
        if self.progressive:
            parts.append(f"bands of {self.band}, {self.refinements} refinements")
        if self.missing:
            parts.append("no data")
        elif self.density:
            parts.append(f"{self.density:.0%} nonzero, {self.size} bits each")
        if self.restarts:
            parts.append("restarts")
        if self.share < 1:
            parts.append(f"{self.share:.0%} of the pixels")
        return ", ".join(parts)


CHOICES: dict[str, tuple[object, ...]] = {
    "components": (1, 3, 4),
    "subsampled": (False, True),
    "progressive": (False, True),
    "band": (1, 2, 5, 9, 16, 32, 63),
    "refinements": (0, 1, 2, 4, 8, 13),
    "density": (0.0, 0.02, 0.1, 0.25, 0.5, 0.8, 1.0),
    "size": (1, 2, 3, 4, 6, 8),
    "restarts": (False, True),
    "missing": (False, True),
    "share": (1.0, 0.8, 0.6, 0.4, 0.25, 0.06),
}
SEEDS = (
    Shape(),
    Shape(components=4),
    Shape(refinements=13),
    Shape(components=4, refinements=13),
    Shape(components=4, density=1),
    Shape(components=4, refinements=13, density=1),
    Shape(components=3, density=0.5, size=2, band=5, refinements=2),
    Shape(components=3, missing=True),
    Shape(components=4, missing=True),
    Shape(components=4, progressive=False, density=1),
    Shape(components=4, progressive=False, density=0.5, size=2),
    Shape(components=3, progressive=False, missing=True),
)


def make(shape: Shape, limits: Limits) -> bytes:
    """Return a file with as many scans as the limits allow, smaller if not even one is."""
    pixels = limits.max_pixels * shape.share
    while (found := _of_size(shape, limits, int(pixels))) is None:
        pixels *= 0.8
    return found


def _of_size(shape: Shape, limits: Limits, pixels: int) -> bytes | None:
    """Return a file of about so many pixels, or None if its first scan exceeds a limit."""
    factor = 2 if shape.subsampled and shape.components > 1 else 1
    side = math.isqrt(pixels) // 16 * 16
    blocks = [(side // 8) ** 2 // (factor**2 if i else 1) for i in range(shape.components)]
    sampling = (0x10 * factor + factor, *[0x11] * (shape.components - 1))
    data = SOI + dqt() + sof(side, side, sampling, 0xC2 if shape.progressive else 0xC0)
    if shape.restarts:
        data += segment(0xDD, b"\0\1")
    counted, best, parts = Work(), 0, [data]
    counted.add(data[len(SOI) :])
    size = len(data) + len(EOI)
    scans = _progressive(shape, blocks) if shape.progressive else _baseline(shape, blocks)
    for scan in itertools.islice(scans, limits.max_scans):
        size += len(scan)
        if size > limits.max_bytes:
            break
        parts.append(scan)
        counted.add(scan)
        if counted.total < limits.max_work:  # smoothing can end with a later scan
            best = len(parts)
    return b"".join([*parts[:best], EOI]) if best else None


def _baseline(shape: Shape, blocks: list[int]) -> Iterator[bytes]:
    """Yield one scan of all components, whose DC coefficients are 0."""
    bodies, tables = _coefficients(shape, shape.density, 63)
    yield _scan(
        shape,
        dht({1: [0]}) + tables + sos(tuple(range(1, len(blocks) + 1))),
        ["0" + body for body in bodies],
        sum(blocks),
    )


def _progressive(shape: Shape, blocks: list[int]) -> Iterator[bytes]:
    """Yield the scan of the DC coefficients, then those of bands, each with its refinements."""
    everything = tuple(range(1, len(blocks) + 1))
    yield _scan(shape, dht({1: [0]}) + sos(everything, end=0), ["0"], sum(blocks))
    top = shape.refinements
    for start in range(1, 64, shape.band):
        end = min(63, start + shape.band - 1)
        bodies, tables = _coefficients(shape, shape.density, end - start + 1)
        counts = _nonzero(shape, shape.density, end - start + 1).sum(1)
        signs = random.Random(start)
        refined = [f"0{signs.getrandbits(64):064b}"[: 1 + count] for count in counts]
        for component in everything:
            n = blocks[component - 1]
            head = sos((component,), start=start, end=end, approximation=top)
            yield _scan(shape, tables + head, bodies, n)
            for low in range(top - 1, -1, -1):
                head = sos((component,), start=start, end=end, approximation=low + 1 << 4 | low)
                yield _scan(shape, dht({1: [0]}, ac=True) + head, refined, n)


def _nonzero(shape: Shape, density: float, width: int) -> np.ndarray:
    """Return which coefficients of `PERIOD` blocks are not 0: (blocks, width)."""
    rng = np.random.default_rng([width, shape.size])
    return rng.random((PERIOD, width)) < density


@functools.lru_cache(maxsize=8)
def _coefficients(shape: Shape, density: float, width: int) -> tuple[list[str], bytes]:
    """Return the blocks' codes of a band (T.81 F.1.2.2), and the segment of their table."""
    size = shape.size
    table: dict[int, list[int]]
    if density == 1:
        codes = {0: "0"}
        table, skip, end = {1: [size], 2: [0]}, "", "10"
    else:
        codes = {run: f"{32 + run:06b}" for run in range(16)}
        table, skip, end = {2: [0, 0xF0], 6: [run << 4 | size for run in range(16)]}, "01", "00"
    values = random.Random(width)
    bodies = []
    for nonzero in _nonzero(shape, density, width):
        body, after = "", 0
        for place in np.flatnonzero(nonzero):
            long, run = divmod(int(place) - after, 16)
            body += skip * long + codes[run] + f"{values.getrandbits(size):0{size}b}"
            after = int(place) + 1
        bodies.append(body + (end if after < width else ""))
    return bodies, dht(table, ac=True)


def _scan(shape: Shape, head: bytes, bodies: list[str], n: int) -> bytes:
    """Return a scan of n blocks, which take turns among the bodies."""
    if shape.missing:
        return head
    if shape.restarts:
        return head + _with_restarts(bodies, n)
    whole = "".join(bodies) * 8
    many, few = divmod(n, 8 * len(bodies))
    rest = "".join((bodies * 8)[:few])
    return head + bits(whole) * many + (bits(rest) if rest else b"")


def _with_restarts(bodies: list[str], n: int) -> bytes:
    whole = [bits(body) for body in (bodies * 8)[: max(8, len(bodies))]]
    turn = b"".join(body + bytes([0xFF, 0xD0 + i % 8]) for i, body in enumerate(whole))
    many, few = divmod(n, len(whole))
    rest = b"".join(body + bytes([0xFF, 0xD0 + i % 8]) for i, body in enumerate(whole[:few]))
    return (turn * many + rest)[:-2]


# ---- their work ----------------------------------------------------------------


class Work:
    """What `Limits.max_work` says of a file, by a walk of its own over the segments."""

    def __init__(self) -> None:
        self._total = 0
        self._blocks: dict[int, int] = {}
        self._bits_left: dict[tuple[int, int], int] = {}

    def add(self, part: bytes) -> None:
        """Count a part of a file that consists of whole segments, and the data behind them."""
        place = 0
        while marker := _MARKER.search(part, place):
            self._total += marker.start() + 1 - place
            place = marker.end()
            if marker[0] not in (SOI, EOI):
                length = int.from_bytes(part[place : place + 2], "big")
                self._segment(marker[0][1], part[place + 2 : place + length])
                place += length
        self._total += len(part) - place

    def _segment(self, marker: int, content: bytes) -> None:
        if marker in (0xC0, 0xC2):
            self._blocks = _blocks(content)
            smoothed = range(1, 10 if marker == 0xC2 else 0)
            self._bits_left = {(i, k): -1 for i in self._blocks for k in smoothed}
        elif marker == 0xDA:
            ids = content[1 : 1 + 2 * content[0] : 2]
            self._total += sum(self._blocks[i] for i in ids)
            for i in ids:
                for k in range(content[-3], content[-2] + 1):
                    if (i, k) in self._bits_left:
                        self._bits_left[i, k] = content[-1] & 15

    @property
    def total(self) -> int:
        """The work so far, with the smoothing of a file that ends here."""
        return self._total + 12 * sum(self._blocks.values()) * any(self._bits_left.values())


def work(data: bytes) -> int:
    """Return the work of a whole file."""
    counted = Work()
    counted.add(data[len(SOI) :])
    return counted.total


def _blocks(frame: bytes) -> dict[int, int]:
    """Return the number of blocks of each component of a frame header, by its id."""
    height, width = (int.from_bytes(frame[i : i + 2], "big") for i in (1, 3))
    parts = [(frame[i], frame[i + 1] >> 4, frame[i + 1] & 15) for i in range(6, len(frame), 3)]
    most_h, most_v = max(h for _, h, _ in parts), max(v for _, _, v in parts)
    return {
        i: math.ceil(width * h / (8 * most_h)) * math.ceil(height * v / (8 * most_v))
        for i, h, v in parts
    }


# ---- the entry points ------------------------------------------------------------

FINE = pyfd.QTables.uniform(1)  # keeps every coefficient


def _with_pillow(data: bytes) -> None:
    import PIL.Image

    import pyfd.pillow

    pyfd.pillow.register("fd-cvpr2019")
    PIL.Image.open(io.BytesIO(data)).load()


def _with_opencv(data: bytes) -> None:
    import pyfd.opencv

    if pyfd.opencv.imdecode(np.frombuffer(data, np.uint8)) is None:
        raise ValueError


ENTRY_POINTS: dict[str, Callable[[bytes], object]] = {
    "`decode`": lambda data: pyfd.decode(data),
    "`decode`, lenient": lambda data: pyfd.decode(data, strict=False),
    "`decode` onto tables": lambda data: pyfd.decode(data, "fd-cvpr2019"),
    "`snap`": lambda data: pyfd.snap(data, "fd-cvpr2019"),
    "`read_coefficients`": lambda data: pyfd.read_coefficients(data),
    "`why_uncovered`": lambda data: pyfd.why_uncovered(data),
    "`calibrate`": lambda data: pyfd.calibrate([data], workers=1),
    "`pyfd.pillow`": _with_pillow,
    "`pyfd.opencv`": _with_opencv,
    "`requantize`": lambda data: pyfd.requantize(data, FINE),
    "`requantize`, lenient": lambda data: pyfd.requantize(data, FINE, strict=False),
    "`requantize`, optimized": lambda data: pyfd.requantize(data, FINE, optimize=True),
    "`requantize`, progressive": lambda data: pyfd.requantize(data, FINE, progressive=True),
}


def measure(call: Callable[[bytes], object], data: bytes) -> float:
    """Return the CPU seconds of a call, and 0 if it refuses the file."""

    def run(data: bytes) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(data)
        return "taken"

    outcome = hostile.run(run, data)
    return 0.0 if outcome.what.endswith("Error") else outcome.cpu


def search(
    call: Callable[[bytes], object],
    limits: Limits,
    steps: int,
    seeds: tuple[Shape, ...] = SEEDS,
    cost: Callable[[Callable[[bytes], object], bytes], float] = measure,
) -> tuple[Shape, float]:
    """Return the slowest shape that was found for an entry point, and its CPU seconds."""
    tried = {shape: cost(call, _file(shape, limits)) for shape in seeds}
    chance = random.Random(0)
    for _ in range(steps):
        slowest = max(tried, key=tried.__getitem__)
        name = chance.choice(list(CHOICES))
        shape = replace(slowest, **{name: chance.choice(CHOICES[name])})
        if shape not in tried:
            tried[shape] = cost(call, _file(shape, limits))
    slowest = max(tried, key=tried.__getitem__)
    return slowest, tried[slowest]


_file = functools.lru_cache(maxsize=len(SEEDS))(make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=12, help="changes to try, per entry point")
    parser.add_argument("--write", type=Path, help="the page to put the table in")
    defaults = Limits()
    parser.add_argument("--max-pixels", type=int, default=defaults.max_pixels)
    parser.add_argument("--max-bytes", type=int, default=defaults.max_bytes)
    arguments = parser.parse_args()
    limits = replace(defaults, max_pixels=arguments.max_pixels, max_bytes=arguments.max_bytes)
    rows = []
    for name, call in ENTRY_POINTS.items():
        shape, seconds = search(call, limits, arguments.steps)
        data = make(shape, limits)
        rows.append([name, f"{seconds:.1f} s", f"{work(data):,}", f"{len(data):,}", str(shape)])
        print(" | ".join(rows[-1]), flush=True)
    table = pages.table(["entry point", "CPU", "work", "bytes", "the worst file found"], rows)
    if arguments.write:
        text = f"{machine.processor()}; CPU seconds of one run.\n\n{table}"
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    commands.run(main)
