"""Compare the time and the instructions of two commits of pyfd.

    python -m benchmarks.compare OLD [NEW] [--photos DIR] [--seconds S]

Each commit is built into its own folder below build/compare. Two processes, one with
each build, do the same work in turn; a ratio is new over old. The seconds are those for
which the process computes, so other programs disturb them little. Without NEW, the working
tree is compared, without the files that git does not track.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import instructions, pages, speed_page
from benchmarks.files import FEW, OWN, PHOTOS_HELP, Files, Kind, write
from benchmarks.machine import ROOT, first_line
from benchmarks.timing import Effort, Measurement, Worker, interleaved, repetitions

CACHE = ROOT / "build" / "compare"
WORKER = Path(__file__).with_name("compare_worker.py")
DRIVER = instructions.DRIVER.relative_to(ROOT)
OPERATIONS = instructions.OPERATIONS
SIZES = ("64×64", OWN, "4 MP")
COUNTED = ("64×64", OWN)  # counting takes fifty times as long as timing
KINDS = [*FEW, Kind(75, "4:4:4"), Kind(95, "4:2:0")]
ROUNDS = 5  # the fewest rounds of each case


# ---- building -----------------------------------------------------------------


def commit_of(name: str | None) -> str:
    """Return a commit's full hash; for the working tree, that of a commit on no branch."""
    if name is None:
        found = first_line("git", "stash", "create") or first_line("git", "rev-parse", "HEAD")
    else:
        found = first_line("git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not found:
        raise SystemExit(f"git knows no commit {name!r}")
    return found


def build(commit: str) -> Path:
    """Return the folder that the commit's package is installed in; build it if necessary."""
    site = CACHE / commit[:12] / "site"
    if site.is_dir():
        return site
    print(f"building {commit[:12]}", flush=True)
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent) as scratch:
        source, made = Path(scratch) / "source", Path(scratch) / "site"
        source.mkdir()
        tar = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "x", "-C", source], input=tar.stdout, check=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
        done = subprocess.run(
            [*pip, made, source],
            env=os.environ | tarball(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        shutil.copy(source / DRIVER, made)  # calls the C functions of this commit
        made.rename(site)
    return site


def tarball() -> dict[str, str]:
    """Return the environment that lets a build take libjpeg-turbo's source from this tree."""
    found = sorted((ROOT / "build").glob("libjpeg-turbo_*.orig.tar.*"))
    return {"PYFD_LIBJPEG_TURBO_TARBALL": str(found[0])} if found else {}


# ---- timing -------------------------------------------------------------------


@contextmanager
def workers(sites: Sequence[Path], folder: Path) -> Iterator[list[Worker]]:
    """Start a worker for each build, and stop them at the end of the block."""
    made = [Worker(sys.executable, str(WORKER), str(site), str(folder)) for site in sites]
    try:
        yield made
    finally:
        for worker in made:
            worker.close()


def compare(old: Worker, new: Worker, operation: str, name: str, effort: float) -> Measurement:
    """Return the time of the new build over that of the old one."""
    times = repetitions(max(worker.seconds(operation, name) for worker in (old, new)))
    return interleaved(
        partial(new.seconds, operation, times=times),
        partial(old.seconds, operation, times=times),
        [name],
        Effort(effort, ROUNDS),
        clock=lambda seconds, name: seconds(name),
    )


def cases(files: Files, folder: Path) -> dict[str, str]:
    """Write the files, and return their names by size and kind."""
    found: dict[str, str] = {}
    for size in SIZES:
        for kind in KINDS:
            path = folder / f"{len(found)}.jpg"
            image = files.photos(size)[-1].image
            path.write_bytes(write(image, kind))
            found[f"{size}, {kind}"] = path.name
    return found


def timed(sites: Sequence[Path], files: Files, effort: float) -> str:
    """Return a table of the times of both builds."""
    heads = ["operation", "file", "new / old", "quartiles", "pairs", "old", "new"]
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        names = cases(files, Path(scratch))
        with workers(sites, Path(scratch)) as (old, new):
            for operation in OPERATIONS:
                for label, name in names.items():
                    found = compare(old, new, operation, name, effort)
                    lines.append([operation, label, *shown(found)])
    return pages.table(heads, lines)


def shown(found: Measurement) -> list[str]:
    """Return the cells of a measurement."""
    return [
        f"{found.value:.3f}",
        f"{found.low:.3f} to {found.high:.3f}",
        str(found.pairs),
        speed_page.time(found.theirs),
        speed_page.time(found.ours),
    ]


# ---- counting -----------------------------------------------------------------


def counted(sites: Sequence[Path], files: Files) -> str:
    """Return a table of the instructions per block of both builds, for operations of both."""
    drivers = [(site / DRIVER.name).read_text() for site in sites]
    known = [name for name in OPERATIONS if all(f'"{name}"' in text for text in drivers)]
    lines = []
    for size in COUNTED:
        old, new = (
            instructions.count(site / "pyfd/native", files, KINDS, known, site / DRIVER.name, size)
            for site in sites
        )
        lines += [
            [
                before["operation"],
                f"{size}, {before['kind']}",
                f"{after['per_block'] / before['per_block']:.4f}",
                f"{before['per_block']:,.1f}",
                f"{after['per_block']:,.1f}",
            ]
            for before, after in zip(old, new, strict=True)
        ]
    return pages.table(["operation", "file", "new / old", "old", "new"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case")
    arguments = parser.parse_args()
    commits = [commit_of(arguments.old), commit_of(arguments.new)]
    sites, files = [build(commit) for commit in commits], Files(arguments.photos)
    print(f"old is {commits[0][:12]}, new is {commits[1][:12]}\n", flush=True)
    libraries = all((site / "pyfd" / "native" / "lib").is_dir() for site in sites)
    if libraries and instructions.available():
        print(f"Instructions per 8×8 block\n\n{counted(sites, files)}\n", flush=True)
    print(f"CPU seconds\n\n{timed(sites, files, arguments.seconds)}")


if __name__ == "__main__":
    main()
