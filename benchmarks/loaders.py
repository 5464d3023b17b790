"""Measure torch's DataLoader with several decoders: random crops of 224×224 for training.

    python -m benchmarks.loaders [--photos DIR] [--rounds R] [--quick] [--write docs/performance.md]

All get the same crops of the same files, from a folder and from WebDataset's shards, and leave
the last resize to torch. Ours decodes onto tables, and only what the crop needs; the others
decode without a defence. The ways take turns, each in a process of its own, in every other
round from the last to the first; ratios are of runs of the same round. torchvision's Python is
the one that PYFD_TORCHVISION names.
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

from benchmarks import commands, loading, machine, pages, peers, region_rows
from benchmarks.files import OWN, PHOTOS_HELP, Files, Kind
from benchmarks.timing import Bounds

MAKER = "benchmarks/loaders.py"
KIND = Kind(90, "4:2:0")
TARGET = Bounds(at_least=1.15)
WORKERS = (1, 2, 4)
PACKAGES = ("torch", "webdataset", "simplejpeg", "pillow", "opencv-python-headless")
SHARDS = 8  # at least as many as there are workers
LOADING = Path(loading.__file__)


class Material(NamedTuple):
    """Files to load: how many, in which batches, and what they are.

    Four workers get two batches each, or more: with fewer, some of them would have no work.
    """

    count: int
    batch: int
    make: Callable[[Files], list[bytes]]


#: The files by the size of the photographs
MATERIALS = {
    OWN: Material(1024, 32, lambda files: files.of(OWN, KIND)),
    "12 MP": Material(128, 16, lambda files: [region_rows.file(files, KIND)]),
}
QUICK = Material(16, 8, MATERIALS[OWN].make)


class Way(NamedTuple):
    """A loader: what it reads, with how many workers, and by which decoder."""

    material: str
    source: str
    workers: int
    decoder: str


class Run(NamedTuple):
    """What an epoch took: seconds, those of all CPUs and of the decodes, and the workers' MiB."""

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


def run(way: Way, place: Path, batch: int) -> Run:
    """Load all files of a place, in batches, in a new process."""
    python = peers.torchvision_python() if way.decoder == "torchvision" else sys.executable
    command = [python, LOADING, way.decoder, way.source, place, str(way.workers), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
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
    materials: Mapping[str, Material],
    places: Mapping[str, Mapping[str, Path]],
    workers: Sequence[int],
    rounds: int,
) -> dict[Way, list[Run]]:
    """Return the runs of every way, one for each round."""
    chosen = list(ways(list(materials), workers))
    found: dict[Way, list[Run]] = {way: [] for way in chosen}
    for number in range(rounds):
        for way in reversed(chosen) if number % 2 else chosen:
            place = places[way.material][way.source]
            found[way].append(run(way, place, materials[way.material].batch))
            print(f"{', '.join(map(str, way))}: {found[way][-1].rate:.0f} a second", flush=True)
    return found


# ---- report -------------------------------------------------------------------


def report(found: Mapping[Way, Sequence[Run]]) -> str:
    """Return the verdict, and the table of all ways."""
    ours = gains(found)
    heads = ["photographs", "from", "workers", "decoder", "images a second", "ours / theirs"]
    heads += ["CPU ms an image", "of it decoding", "MiB of the workers at their peaks"]
    lines = [
        [
            *map(str, way),
            f"{median(run.rate for run in runs):,.0f}",
            f"{ours[way]:.2f}" if way in ours else "–",
            f"{median(1000 * run.cpu / run.images for run in runs):.2f}",
            f"{median(run.decoding / run.cpu for run in runs):.0%}",
            f"{median(run.memory for run in runs):,.0f}",
        ]
        for way, runs in found.items()
    ]
    return f"{verdict(ours)}\n\n{pages.table(heads, lines)}"


def gains(found: Mapping[Way, Sequence[Run]]) -> dict[Way, float]:
    """Return our images a second over each other way's: the median of the rounds' ratios."""
    return {
        way: median(
            ours.rate / theirs.rate
            for ours, theirs in zip(found[way._replace(decoder="pyfd")], runs, strict=True)
        )
        for way, runs in found.items()
        if way.decoder != "pyfd"
    }


def verdict(ours: Mapping[Way, float]) -> str:
    """Return a sentence on ours over the best of the others; the worst case decides."""
    best = [min(ours[way] for way in ours if way[:3] == case) for case in {w[:3] for w in ours}]
    worst = min(ours, key=lambda way: ours[way])
    met = "met" if TARGET.met(ours[worst]) else "**not met**"
    return (
        "Images a second, ours over the best of the others: "
        f"{median(best):.2f} typically, {ours[worst]:.2f} at worst (against "
        f"{worst.decoder}: {worst.material}, {worst.source}, workers: {worst.workers}); "
        f"target {TARGET}: {met}."
    )


def note() -> str:
    """Return a line on the machine and on the versions."""
    where, beside = machine.describe(), peers.bundled_beside()
    packages: dict[str, str] = where["packages"]  # type: ignore[assignment]
    named = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    if "torchvision" in beside:
        named.append(f"torchvision {beside['torchvision']['version']}")
        named.append(f"beside torch {beside['torch']['version']}")
    turbo = [f"{name} {version}" for name, version in peers.libraries().items()]
    return (
        f"{where['processor']}, {where['cores']} cores; commit {where['commit']}; "
        f"load {where['load']:.1f} before the run; {where['when']}. {', '.join(named)}. "
        f"Their wheels bring libjpeg-turbo: {', '.join(turbo)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--rounds", type=commands.positive, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke test of 16 small files")
    parser.add_argument("--write", type=Path, help="a page, in which to replace the table")
    arguments = parser.parse_args()
    described, files = note(), Files(arguments.photos)
    materials = {OWN: QUICK} if arguments.quick else MATERIALS
    workers = WORKERS[:1] if arguments.quick else WORKERS
    with tempfile.TemporaryDirectory() as scratch:
        places = {
            name: write(material.make(files), material.count, Path(scratch, name))
            for name, material in materials.items()
        }
        found = measure(materials, places, workers, arguments.rounds)
    text = f"{described}\n\n{report(found)}"
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)
    print(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that load
    commands.run(main)
