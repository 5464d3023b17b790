"""Measure how time and memory grow: from 0.01 to 100 megapixels, and from 1 to 100,000 files.

    python -m benchmarks.growth [--photos DIR] [--megapixels M] [--files N]
                                [--output DIR] [--write docs/performance.md]

The pictures are one photograph, repeated. The folders hold many names (hard links) of eight
files of 224×224 pixels, which the kernel keeps in memory: a disk is not measured. Ray's
cluster is this machine: each worker is a process of its own, but all share memory and disk.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pyfd
from benchmarks import commands, folders, machine, memory, pages, speed_page, speed_plots
from benchmarks.files import PHOTOS_HELP, Files, Kind, tiled, write
from benchmarks.folders import Run
from benchmarks.peer_rows import PRESET
from benchmarks.timing import Effort, cpu_seconds, medians
from pyfd import Limits, plots
from pyfd._core.writing import write_file

MAKER = "benchmarks/growth.py"
MEGAPIXELS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
COUNTS = (1, 10, 100, 1_000, 10_000, 100_000)
BASELINE, PROGRESSIVE = Kind(90, "4:2:0"), Kind(90, "4:2:0", progressive=True)
EFFORT = Effort(seconds=0.5, rounds=3)
WORKERS = 2
NAME = "fd-cvpr2019"
FREE = Limits.unlimited()  # 100 megapixels are beyond the default ones
#: What is done, and with which kind of file.
OPERATIONS = {
    "decode": ("decode", BASELINE),
    "decode, progressive": ("decode", PROGRESSIVE),
    "encode": ("encode", BASELINE),
    "requantize": ("requantize", BASELINE),
    "requantize, progressive": ("requantize", PROGRESSIVE),
}
PICTURES = {
    "growth-time.png": "CPU time a megapixel",
    "growth-memory.png": "Memory of a call",
    "growth-files.png": "CPU time a file",
    "growth-files-memory.png": "Memory of a batch",
}


# ---- pixels -------------------------------------------------------------------


def by_pixels(files: Files, most: float) -> list[dict[str, Any]]:
    """Return, for each size, CPU milliseconds a megapixel and MiB beyond what goes in and out."""
    found = []
    for megapixels in (each for each in MEGAPIXELS if each <= most):
        height = round(math.sqrt(megapixels * 1e6 / 1.5))
        image = tiled(files.typical, (round(1.5 * height), height))
        made = {kind: write(image, kind) for kind in (BASELINE, PROGRESSIVE)}
        area = image.width * image.height / 1e6
        times = medians(calls(made), EFFORT, cpu_seconds)
        found.append(
            {
                "megapixels": megapixels,
                "milliseconds": {name: 1000 * t / area for name, t in times.items()},
                "mebibytes": {
                    name: memory.beyond(what, made[kind], NAME)
                    for name, (what, kind) in OPERATIONS.items()
                },
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def calls(made: Mapping[Kind, bytes]) -> dict[str, Callable[[], object]]:
    """Return the calls to time, on files of both kinds."""
    pixels = pyfd.decode(made[BASELINE], limits=FREE)
    return {
        name: partial(pyfd.encode, pixels, PRESET, subsampling=kind.subsampling)
        if what == "encode"
        else partial(getattr(pyfd, what), made[kind], PRESET, limits=FREE)
        for name, (what, kind) in OPERATIONS.items()
    }


# ---- files --------------------------------------------------------------------


def by_files(files: Files, most: int, top: Path) -> list[dict[str, Any]]:
    """Return, for each number of files, what the command takes in threads and on Ray."""
    made = files.of("224×224", BASELINE)
    places = {count: links(made, count, top / str(count)) for count in COUNTS if count <= most}
    found: dict[int, dict[str, Any]] = {count: {"files": count} for count in places}
    for engine, measure in (("threads", in_threads), ("Ray", on_ray)):
        for count, run in measure(places):
            found[count][engine] = run._asdict()
            print(f"{count} files, {engine}: {json.dumps(run._asdict())}", flush=True)
    return list(found.values())


def links(made: Sequence[bytes], count: int, folder: Path) -> Path:
    """Write the files into a folder, and give them so many names together."""
    folder.mkdir(parents=True)
    for index in range(count):
        path = folder / f"{index:06}.jpg"
        if index < len(made):
            path.write_bytes(made[index])
        else:
            os.link(folder / f"{index % len(made):06}.jpg", path)
    return folder


def in_threads(places: Mapping[int, Path]) -> Iterator[tuple[int, Run]]:
    """Yield the numbers of files with what one process takes."""
    for count, place in places.items():
        options = ["-q", NAME, "--workers", str(WORKERS)]
        yield count, middle([folders.run(place, options, lambda: 0.0) for _ in rounds(count)])


def on_ray(places: Mapping[int, Path]) -> Iterator[tuple[int, Run]]:
    """Yield the numbers of files with what the command and Ray's processes take together."""
    options = ["-q", NAME, "--engine", "ray"]
    with folders.ray_of(WORKERS) as meter:
        folders.run(places[min(places)], options, meter.seconds)  # starts the workers
        for count, place in places.items():
            runs = []
            for _ in rounds(count):
                meter.forget()
                run = folders.run(place, options, meter.seconds)
                runs.append(run._replace(peak=meter.peak()))
            yield count, middle(runs)


def rounds(count: int) -> range:
    """Return three rounds, or one where that takes minutes."""
    return range(3 if count <= 1_000 else 1)


def middle(runs: Sequence[Run]) -> Run:
    """Return the median of each number of some runs."""
    return Run(*(median(values) for values in zip(*runs, strict=True)))


# ---- report -------------------------------------------------------------------


def report(content: Mapping[str, Any]) -> str:
    """Return the generated part: tables, and the pictures that `draw` writes."""
    sizes, counts = content["pixels"], content["files"]
    parts = [content["machine"]]
    for unit, what in (
        ("milliseconds", "CPU milliseconds a megapixel"),
        ("mebibytes", "MiB at the peak of a call, beyond what goes in and what comes out"),
    ):
        lines = [[f"{s['megapixels']:g}", *(f"{n:.2f}" for n in s[unit].values())] for s in sizes]
        parts.append(f"{what}:\n\n{pages.table(['megapixels', *OPERATIONS], lines)}")
    heads = ["files", "by", "seconds", "files a second", "CPU ms a file", "MiB at the peak"]
    lines = [
        [
            f"{entry['files']:,}",
            f"{WORKERS} workers of Ray" if engine == "Ray" else f"{WORKERS} threads",
            f"{entry[engine]['wall']:,.1f}",
            speed_page.number(entry["files"] / entry[engine]["wall"]),
            speed_page.number(1000 * entry[engine]["cpu"] / entry["files"]),
            f"{entry[engine]['peak']:,.0f}",
        ]
        for entry in counts
        for engine in ("threads", "Ray")
    ]
    parts.append(f"`pyfd requantize DIRECTORY`, with its start:\n\n{pages.table(heads, lines)}")
    parts.append("\n".join(f"![{what}](images/{name})" for name, what in PICTURES.items()))
    return "\n\n".join(parts)


def draw(content: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures, all over a logarithmic axis."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes, counts = content["pixels"], content["files"]
    areas, numbers = [s["megapixels"] for s in sizes], [entry["files"] for entry in counts]

    def by_size(unit: str) -> dict[str, list[float]]:
        return {name: [max(s[unit][name], 0.01) for s in sizes] for name in OPERATIONS}

    def by_count(value: Callable[[Any, int], float]) -> dict[str, list[float]]:
        engines = ("threads", "Ray")
        return {name: [value(entry[name], entry["files"]) for entry in counts] for name in engines}

    per_file = by_count(lambda run, count: 1000 * run["cpu"] / count)
    figures = [
        (areas, by_size("milliseconds"), "megapixels", "CPU ms a megapixel"),
        (areas, by_size("mebibytes"), "megapixels", "MiB beyond input and output"),
        (numbers, per_file, "files", "CPU ms a file"),
        (numbers, by_count(lambda run, _: run["peak"]), "files", "MiB at the peak"),
    ]
    for name, (x, curves, below, left) in zip(PICTURES, figures, strict=True):
        figure = speed_plots.lines(x, curves, below, left)
        figure.axes[0].set_xscale("log")
        figure.axes[0].set_yscale("log")
        plots.save(figure, folder / name)


def note() -> str:
    """Return a line on the machine and on Ray's version."""
    where = machine.describe()
    return (
        f"{where['processor']}, {where['cores']} cores; commit {where['commit']}; "
        f"load {where['load']:.1f} before the run; {where['when']}. Ray {version('ray')}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument(
        "--megapixels", type=float, default=MEGAPIXELS[-1], help="at most, from 0.01 on"
    )
    parser.add_argument("--files", type=commands.positive, default=COUNTS[-1], help="at most")
    parser.add_argument("--output", type=Path, default=Path("build/growth"))
    parser.add_argument("--write", type=Path, help="a page, in which to replace the tables")
    arguments = parser.parse_args()
    if not arguments.megapixels >= MEGAPIXELS[0]:
        parser.error(f"--megapixels: from {MEGAPIXELS[0]} on")
    if not find_spec("ray"):
        raise SystemExit("needs Ray, which requirements-dev.txt has")
    files = Files(arguments.photos)
    content: dict[str, Any] = {"machine": note()}
    try:
        content["pixels"] = by_pixels(files, arguments.megapixels)
        with tempfile.TemporaryDirectory() as scratch:
            content["files"] = by_files(files, arguments.files, Path(scratch))
    finally:  # an error must not lose results that took minutes
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_file(arguments.output / "growth.json", json.dumps(content, indent=1).encode())
    draw(content, arguments.output)
    text = report(content)
    if arguments.write:
        draw(content, arguments.write.parent / "images")
        pages.publish(arguments.write, MAKER, text)
    print(text)


if __name__ == "__main__":
    commands.run(main)
