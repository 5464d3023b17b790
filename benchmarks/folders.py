"""Measure files a second of `pyfd requantize DIRECTORY`: threads of one process, and Ray.

    python -m benchmarks.folders [--photos DIR] [--files N] [--rounds R]
        [--write docs/performance.md]

The ways take turns. A run over 16 files is the start, whose time is subtracted. CPU time is
that of the command and, with Ray, of everything that Ray has started.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import commands, machine, memory, pages
from benchmarks.files import OWN, PHOTOS_HELP, Files, Kind

MAKER = "benchmarks/folders.py"
KIND = Kind(90, "4:2:0")
TASKS = {
    "onto tables": ["-q", "fd-cvpr2019"],
    "certified": ["-q", "certified:1", "--radius", "1"],
}
WORKERS = (1, 2)
FEW = 16  # enough for two workers to start


class Run(NamedTuple):
    """What a command took."""

    wall: float
    cpu: float
    peak: float = 0.0  # MiB of the command itself


class Way(NamedTuple):
    """A row of the table."""

    task: str
    engine: str
    workers: int


class Folders(NamedTuple):
    """A folder of few files, for the time of the start, and one of all of them."""

    few: Path
    all: Path


def write(files: Files, count: int, top: Path) -> Folders:
    """Write photographs over and over again, each time with another name."""
    made = files.of(OWN, KIND)
    folders = Folders(top / "few", top / "all")
    for folder, number in zip(folders, (FEW, count), strict=True):
        folder.mkdir()
        for index in range(number):
            (folder / f"{index:05}.jpg").write_bytes(made[index % len(made)])
    return folders


def run(source: Path, options: list[str], cluster: Callable[[], float]) -> Run:
    """Run the command into a new folder; `cluster` tells the CPU seconds of Ray's processes."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "pyfd", "requantize", source, "-o", out, *options]
        before, start = cluster(), time.perf_counter()
        with subprocess.Popen(command) as process, watched(process.pid) as peaks:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - start
        if process.returncode:
            raise SystemExit("pyfd requantize failed")
        more = cluster() - before
        return Run(wall, more or usage.ru_utime + usage.ru_stime, max(peaks, default=0.0))


@contextmanager
def watched(process: int) -> Iterator[list[float]]:
    """Look at a process in the block fifty times a second; yield the MiB of its peak so far.

    `ru_maxrss` would not do: it begins with the peak of the process that starts another one.
    """
    peaks: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            with suppress(OSError, ValueError):  # it has ended
                peaks.append(memory.kibibytes("VmHWM", process) / 1024)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


class Meter:
    """The CPU time and the memory of all processes below this one, also of those that have ended.

    Ray's workers end with the command, and nobody waits for them, so a thread looks at all
    processes ten times a second, and at their memory once. Pages that several of them share
    count once.
    """

    def __init__(self) -> None:
        self._peak = 0.0
        self._seen: dict[tuple[int, str], int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """Return the CPU seconds so far."""
        self._look()
        return sum(self._seen.values()) / os.sysconf("SC_CLK_TCK")

    def forget(self) -> None:
        """Forget the peak of the memory so far."""
        self._peak = 0.0

    def peak(self) -> float:
        """Return the most MiB of all processes together since `forget`."""
        self._weigh(self._look())
        return self._peak

    def stop(self) -> None:
        """Stop looking."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._done.wait(0.1):
            below = self._look()
            if looks % 10 == 0:
                self._weigh(below)
            looks += 1

    def _weigh(self, processes: set[int]) -> None:
        total = 0
        for number in processes:
            with suppress(OSError):  # it has ended
                text = Path(f"/proc/{number}/smaps_rollup").read_text()
                total += sum(map(int, re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)))
        self._peak = max(self._peak, total / 1024)

    def _look(self) -> set[int]:
        parents, found = {}, {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                fields = path.read_text().rpartition(")")[2].split()
                number = int(path.parent.name)
                parents[number] = int(fields[1])
                found[number] = fields[19], int(fields[11]) + int(fields[12])
        below = {os.getpid()}
        while more := {number for number, parent in parents.items() if parent in below} - below:
            below |= more
        below.remove(os.getpid())
        for number in below:
            start, ticks = found[number]
            self._seen[number, start] = ticks
        return below


@contextmanager
def ray_of(workers: int) -> Iterator[Meter]:
    """Start Ray with so many workers for the commands in the block; yield its meter."""
    import ray

    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
    context = ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    os.environ["RAY_ADDRESS"] = context.address_info["address"]

    meter = Meter()
    try:
        yield meter
    finally:
        meter.stop()
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()


def measure(folders: Folders, rounds: int) -> dict[Way, list[tuple[Run, Run]]]:
    """Return the runs over few files and over all, of every way in every round."""
    found: dict[Way, list[tuple[Run, Run]]] = {}

    def note(way: Way, options: list[str], cluster: Callable[[], float]) -> None:
        each = [run(folder, TASKS[way.task] + options, cluster) for folder in folders]
        found.setdefault(way, []).append((each[0], each[1]))

    for _ in range(rounds):
        for workers in WORKERS:
            for task in TASKS:
                note(Way(task, "threads", workers), ["--workers", str(workers)], lambda: 0.0)
            with ray_of(workers) as meter:
                run(folders.few, ["--engine", "ray"], meter.seconds)  # starts the workers
                for task in TASKS:
                    note(Way(task, "Ray", workers), ["--engine", "ray"], meter.seconds)
    return found


def report(found: dict[Way, list[tuple[Run, Run]]], count: int) -> str:
    """Return the table, in which a run over all files lacks the time of its start."""
    base = {
        way.task: _seconds(runs)
        for way, runs in found.items()
        if (way.engine, way.workers) == ("threads", 1)
    }
    lines = []
    for way in sorted(found, key=lambda way: (way.task != "onto tables", way.engine == "Ray", way)):
        runs = found[way]
        left, cpu = _seconds(runs), median(all_.cpu - few.cpu for few, all_ in runs)
        start = median(few.wall for few, _ in runs)
        lines.append(
            [
                way.task,
                f"{way.workers} {'worker of Ray' if way.engine == 'Ray' else 'thread'}"
                + ("s" if way.workers > 1 and way.engine != "Ray" else ""),
                f"{(count - FEW) / left:.0f}",
                f"{base[way.task] / left:.2f}",
                f"{1000 * cpu / (count - FEW):.1f}",
                f"{start:.1f}",
            ]
        )
    heads = ["files", "by", "files a second", "against one thread", "CPU ms a file", "start, s"]
    return pages.table(heads, lines).replace("2 worker of", "2 workers of")


def _seconds(runs: list[tuple[Run, Run]]) -> float:
    return median(all_.wall - few.wall for few, all_ in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--files", type=commands.positive, default=1000, help="in the folder")
    parser.add_argument("--rounds", type=commands.positive, default=3)
    parser.add_argument("--write", type=Path, help="a page, in which to replace the table")
    arguments = parser.parse_args()
    if arguments.files <= FEW:
        parser.error(f"--files: more than {FEW}, which are subtracted")
    with tempfile.TemporaryDirectory() as scratch:
        folders = write(Files(arguments.photos), arguments.files, Path(scratch))
        found = measure(folders, arguments.rounds)
    where = machine.describe()
    note = f"{where['processor']}, {where['cores']} cores; {arguments.files} files."
    text = f"{note}\n\n{report(found, arguments.files)}"
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)
    print(text)
    print(json.dumps({" ".join(map(str, way)): runs for way, runs in found.items()}))


if __name__ == "__main__":
    commands.run(main)
