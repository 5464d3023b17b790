"""Measure torch's DataLoader with several decoders: random crops of 224×224 for training.

    python -m benchmarks.loaders [--photos DIR] [--rounds R] [--quick] [--write docs/performance.md]

All get the same crops of the same files, from a folder and from WebDataset's shards, and leave
the last resize to torch. Ours decodes onto tables, and only what the crop needs; the others
decode without a defence. The ways take turns, each in a process of its own; torchvision's
is the Python that PYFD_TORCHVISION names.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import loading, machine, pages, peers, region_rows
from benchmarks.files import OWN, PHOTOS_HELP, Files, Kind
from benchmarks.timing import Bounds

MAKER = "benchmarks/loaders.py"
KIND = Kind(90, "4:2:0")
TARGET = Bounds(at_least=1.15)
WORKERS = (1, 2, 4)
SHARDS = 8  # at least as many as there are workers
LOADING = Path(loading.__file__)

#: The files to load by the size of the photographs: how many, and what they are.
MATERIALS: dict[str, tuple[int, Callable[[Files], list[bytes]]]] = {
    OWN: (1024, lambda files: files.of(OWN, KIND)),
    "12 MP": (64, lambda files: [region_rows.file(files, KIND)]),
}


class Way(NamedTuple):
    """A loader: what it reads, with how many workers, and by which decoder."""

    material: str
    source: str
    workers: int
    decoder: str


class Run(NamedTuple):
    """What an epoch took: seconds, those of all CPUs and of the decodes, and MiB of the workers."""

    images: int
    seconds: float
    cpu: float
    decoding: float
    memory: float

    @property
    def rate(self) -> float:
        """The images a second."""
        return self.images / self.seconds


def write(made: Sequence[bytes], count: int, top: Path) -> dict[str, Path]:
    """Write so many files into a folder and into shards, and return both by their names."""
    places = {source: top / source for source in loading.SOURCES}
    for place in places.values():
        place.mkdir(parents=True)
    for index in range(count):
        (places["folder"] / f"{index:06}.jpg").write_bytes(made[index % len(made)])
    for shard in range(SHARDS):
        with tarfile.open(places["shards"] / f"{shard:03}.tar", "w") as tar:
            for index in range(shard, count, SHARDS):
                member = tarfile.TarInfo(f"{index:06}.jpg")
                member.size = len(made[index % len(made)])
                tar.addfile(member, io.BytesIO(made[index % len(made)]))
    return places


def run(way: Way, place: Path) -> Run:
    """Load all files of a place once, in a new process."""
    python = peers.torchvision_python() if way.decoder == "torchvision" else sys.executable
    command = [python, str(LOADING), way.decoder, way.source, str(place), str(way.workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout))


def ways(materials: Sequence[str], workers: Sequence[int]) -> Iterator[Way]:
    """Yield the loaders; those of torchvision, if its environment has what they need."""
    beside = peers.bundled_beside()
    for material in materials:
        for source in loading.SOURCES:
            needs = {"torchvision"} | ({"webdataset"} if source == "shards" else set())
            for count in workers:
                for decoder in loading.DECODERS:
                    if decoder != "torchvision" or needs <= beside.keys():
                        yield Way(material, source, count, decoder)


def measure(
    chosen: Sequence[Way], places: Mapping[str, Mapping[str, Path]], rounds: int
) -> dict[Way, list[Run]]:
    """Return the runs of every way, which take turns."""
    found: dict[Way, list[Run]] = {way: [] for way in chosen}
    for _ in range(rounds):
        for way in chosen:
            found[way].append(run(way, places[way.material][way.source]))
            print(f"{', '.join(map(str, way))}: {found[way][-1].rate:.0f} a second", flush=True)
    return found


# ---- report -------------------------------------------------------------------


def report(found: Mapping[Way, Sequence[Run]]) -> str:
    """Return the verdict, and the table of all ways."""
    rates = {way: median(run.rate for run in runs) for way, runs in found.items()}
    heads = ["photographs", "from", "workers", "decoder", "images a second", "ours / theirs"]
    heads += ["CPU ms an image", "of it decoding", "MiB of the workers"]
    lines = [
        [
            *map(str, way),
            f"{rates[way]:,.0f}",
            f"{rates[way._replace(decoder='pyfd')] / rates[way]:.2f}",
            f"{median(1000 * run.cpu / run.images for run in runs):.2f}",
            f"{median(run.decoding / run.cpu for run in runs):.0%}",
            f"{median(run.memory for run in runs):,.0f}",
        ]
        for way, runs in found.items()
    ]
    return f"{verdict(rates)}\n\n{pages.table(heads, lines)}"


def verdict(rates: Mapping[Way, float]) -> str:
    """Return a sentence on ours over the best of the others; the worst case decides."""
    gains = {}
    for way in rates:
        if way.decoder == "pyfd":
            others = {other: rate for other, rate in rates.items() if other[:3] == way[:3]}
            best = max((o for o in others if o != way), key=lambda other: others[other])
            gains[best] = rates[way] / rates[best]
    worst = min(gains, key=lambda way: gains[way])
    met = "met" if TARGET.met(gains[worst]) else "**not met**"
    return (
        "Images a second, ours over the best of the others: "
        f"{median(gains.values()):.2f} typically, {gains[worst]:.2f} at worst (against "
        f"{worst.decoder}: {worst.material}, {worst.source}, workers: {worst.workers}); "
        f"target {TARGET}: {met}."
    )


def note() -> str:
    """Return a line on the machine and on the versions."""
    where, beside = machine.describe(), peers.bundled_beside()
    packages: dict[str, str] = where["packages"]  # type: ignore[assignment]
    named = [f"{name} {packages[name]}" for name in ("torch", "webdataset", "simplejpeg", "pillow")]
    named.append(f"opencv-python-headless {packages['opencv-python-headless']}")
    if "torchvision" in beside:
        named.append(f"torchvision {beside['torchvision']['version']}")
        named.append(f"beside torch {beside['torch']['version']}")
    return (
        f"{where['processor']}, {where['cores']} cores; commit {where['commit']}; "
        f"load {where['load']:.1f} before the run; {where['when']}. {', '.join(named)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke test of 16 small files")
    parser.add_argument("--write", type=Path, help="a page, in which to replace the table")
    arguments = parser.parse_args()
    described, files = note(), Files(arguments.photos)
    materials = [OWN] if arguments.quick else list(MATERIALS)
    workers = WORKERS[:1] if arguments.quick else WORKERS
    with tempfile.TemporaryDirectory() as scratch:
        places = {}
        for name in materials:
            count, make = MATERIALS[name]
            places[name] = write(make(files), 16 if arguments.quick else count, Path(scratch, name))
        found = measure(list(ways(materials, workers)), places, arguments.rounds)
    text = f"{described}\n\n{report(found)}"
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)
    print(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that load
    main()
