"""The floor, which is the work that no decoder can avoid, and the curves of the pages.

Every decoder has to read the entropy-coded symbols and to write its output.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

import pyfd
from benchmarks import peers
from benchmarks.files import OWN, PROGRESSIVE, QUALITIES, WAYS, Files, Kind, tiled, write
from benchmarks.rows import PRESET, defended, plain
from benchmarks.timing import Effort, medians

MEGA = 1e6
SIDES = (64, 128, 224, 512, 1024, 2048, 4096)
DECODERS = {
    "pyfd, defended": defended,
    "pyfd, plain": plain,
    "simplejpeg": peers.simplejpeg_decode,
    "OpenCV": peers.opencv_decode,
    "Pillow": peers.pillow_decode,
}


def floor(files: Files, effort: Effort, size: str = OWN) -> list[dict[str, Any]]:
    """Return the milliseconds per megapixel of decodes, and of their unavoidable parts."""
    found = []
    for kind in (Kind(quality, way) for way in WAYS for quality in QUALITIES):
        data = files.of(size, kind)[-1]
        times = medians(parts(data), effort)
        per_megapixel = {name: 1000 * t * MEGA / area(data) for name, t in times.items()}
        found.append({"kind": str(kind), "size": size, "milliseconds": per_megapixel})
    return found


def parts(data: bytes) -> dict[str, Any]:
    """Return the calls to time; a decode at an eighth of the size stands for the symbols."""
    out = pyfd.decode(data)
    other = np.zeros_like(out)
    return {
        "symbols": lambda: pyfd.decode(data, scale=8),
        "copy": lambda: np.copyto(other, out),
        "new memory": lambda: np.full(out.shape, 1, np.uint8),
        "plain": lambda: pyfd.decode(data),
        "defended": lambda: pyfd.decode(data, PRESET),
        "defended, out=": lambda: pyfd.decode(data, PRESET, out=other),
    }


# ---- curves -------------------------------------------------------------------


def by_size(files: Files, effort: Effort) -> dict[str, Any]:
    """Return the milliseconds per image of each decoder, for squares of several sizes."""
    times: dict[str, list[float]] = {name: [] for name in DECODERS}
    for side in SIDES:
        data = write(tiled(files.typical, (side, side)), Kind(75, "4:2:0"))
        calls = {name: partial(decode, data) for name, decode in DECODERS.items()}
        for name, found in medians(calls, effort).items():
            times[name].append(1000 * found)
    return {"sides": list(SIDES), "milliseconds": times}


def by_workers(files: Files, effort: Effort) -> dict[str, Any]:
    """Return the files per second for one thread up to as many as there are cores, at most 16."""
    many = (files.of(OWN, Kind(75, "4:2:0")) * 64)[:64]
    counts = list(range(1, min(len(os.sched_getaffinity(0)), 16) + 1))
    rates: dict[str, list[float]] = {}
    for name, tables in (("defended", PRESET), ("plain", None)):
        calls = {str(n): partial(pyfd.decode_many, many, tables, workers=n) for n in counts}
        rates[name] = [len(many) / t for t in medians(calls, effort).values()]
    return {"workers": counts, "files_per_second": rates}


def by_pixels(files: Files, effort: Effort) -> dict[str, Any]:
    """Return the nanoseconds per pixel of files that repeat the same content."""
    repeats = (1, 2, 3, 5, 7, 10)
    lines: dict[str, list[float]] = {}
    for kind in (Kind(75, "4:2:0"), PROGRESSIVE[0]):
        sources = [files.tile(kind, n, n) for n in repeats]
        for name, decode in (("defended", defended), ("plain", plain)):
            calls = {str(i): partial(decode, data) for i, data in enumerate(sources)}
            times = medians(calls, effort).values()
            lines[f"{name}, {'progressive' if kind.progressive else 'baseline'}"] = [
                1e9 * t / pixels for t, pixels in zip(times, map(area, sources), strict=True)
            ]
    return {"megapixels": [area(x) / MEGA for x in sources], "nanoseconds_per_pixel": lines}


def area(data: bytes) -> int:
    """Return a file's number of pixels."""
    header = pyfd.probe(data)
    return header.width * header.height
