"""Compare the instructions and the time of two commits of pyfd.

    python -m benchmarks.compare [OLD [NEW]] [--photos DIR] [--seconds S] [--quick]

Both commits are built in this run, with the same compiler, because the numbers of instructions
depend on it. Without OLD, it is the merge base of main and of what is checked out; without NEW,
the working tree without the files that git does not track. If an operation takes over 2 %
more instructions, the last lines say so and the exit code is 1.

Instructions are counted twice: those of the C functions per 8×8 block, and those of a whole call
of a small file from Python. For the times, two processes, one with each build, do the same work in
turn; a ratio is new over old. The seconds are those for which the process computes, so
that other programs disturb them little. They are no part of the verdict.
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
from typing import NamedTuple

from benchmarks import commands, instructions, pages, speed_page
from benchmarks.files import FEW, OWN, PHOTOS_HELP, Files, Kind, write
from benchmarks.machine import ROOT, first_line
from benchmarks.timing import Effort, Measurement, Worker, interleaved, repetitions

FOLDER = ROOT / "build" / "compare"
WORKER = Path(__file__).with_name("compare_worker.py")
DRIVER = instructions.DRIVER.relative_to(ROOT)
OPERATIONS = instructions.OPERATIONS


class Scale(NamedTuple):
    """The files that are compared: kinds, sizes to time, and sizes whose instructions count."""

    kinds: list[Kind]
    sizes: tuple[str, ...]
    counted: tuple[str, ...]  # fewer, because it takes fifty times as long as timing


USUAL = Scale([*FEW, Kind(75, "4:4:4"), Kind(95, "4:2:0")], ("64×64", OWN, "4 MP"), ("64×64", OWN))
QUICK = Scale(FEW[:1], ("64×64",), ("64×64",))
ROUNDS = 5  # the fewest rounds of each case
MOST = 1.02  # the growth of instructions from which on a commit is slower
CALLS = ("plain", "defended", "encode", "requantize", "decode_many")
CALLED = Kind(75, "4:2:0")  # at 64×64
FIRST, TIMES = 5, 40  # calls whose instructions are not counted, and those that are


# ---- building -----------------------------------------------------------------


def commit_of(name: str | None) -> str:
    """Return a commit's full hash; for the working tree, that of a commit on no branch."""
    if name is None:
        return git("stash", "create") or git("rev-parse", "HEAD")
    if found := first_line("git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return found
    raise SystemExit(f"git knows no commit {name!r}")


def merge_base() -> str:
    """Return the commit at which what is checked out left main."""
    known = False
    for main in ("main", "origin/main"):
        known |= bool(first_line("git", "rev-parse", "--verify", "--quiet", main))
        if found := first_line("git", "merge-base", main, "HEAD"):
            return found
    if not known:
        raise SystemExit("git knows no branch main: name the old commit (OLD=)")
    raise SystemExit(
        "main and HEAD have no common commit here, as in a shallow clone: "
        "fetch more (git fetch --unshallow), or name the old commit (OLD=)"
    )


def chosen(old: str | None, new: str | None) -> tuple[str, str]:
    """Return the hashes of the commits to compare.

    Raises:
        SystemExit: git is missing, this is no repository of it, or it does not know a commit;
            or no commit was named, and the tree is the one at which it left main.
    """
    git("rev-parse", "--git-dir")
    found = commit_of(old or merge_base()), commit_of(new or None)
    if not old and found[0] == found[1]:
        raise SystemExit("this is a commit of main: name an older one (OLD=HEAD~1)")
    return found


def git(*command: str) -> str:
    """Return what git prints.

    Raises:
        SystemExit: It fails.
    """
    try:
        done = subprocess.run(
            ["git", *command], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise SystemExit("needs git") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(commands.failure(error)) from None
    return done.stdout.strip()


def build(commit: str, folder: Path) -> Path:
    """Build a commit's package, and return the folder below another one that has it."""
    print(f"building {commit[:12]}", flush=True)
    source, site = folder / f"{commit[:12]}-source", folder / commit[:12]
    source.mkdir()
    tar = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", source], input=tar.stdout, check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    done = subprocess.run(
        [*pip, site, source],
        env=os.environ | tarball(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\n{commit[:12]} cannot be built: see above")
    if not (source / DRIVER).is_file():
        raise SystemExit(f"{commit[:12]} is too old: it has no {DRIVER}")
    shutil.copy(source / DRIVER, site)  # calls the C functions of this commit
    shutil.rmtree(source)
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
    times = repetitions(lambda: max(worker.seconds(operation, name) for worker in (old, new)))
    return interleaved(
        partial(new.seconds, operation, times=times),
        partial(old.seconds, operation, times=times),
        [name],
        Effort(effort, ROUNDS),
        clock=lambda seconds, name: seconds(name),
    )


def cases(files: Files, folder: Path, scale: Scale) -> dict[str, str]:
    """Write the files, and return their names by size and kind."""
    found: dict[str, str] = {}
    for size in scale.sizes:
        for kind in scale.kinds:
            path = folder / f"{len(found)}.jpg"
            image = files.photos(size)[-1].image
            path.write_bytes(write(image, kind))
            found[f"{size}, {kind}"] = path.name
    return found


def timed(sites: Sequence[Path], files: Files, scale: Scale, effort: float) -> str:
    """Return a table of the times of both builds."""
    heads = ["operation", "file", "new / old", "quartiles", "pairs", "old", "new"]
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        names = cases(files, Path(scratch), scale)
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


class Count(NamedTuple):
    """The instructions of an operation in both builds."""

    operation: str
    file: str
    old: float
    new: float

    @property
    def ratio(self) -> float:
        """New over old."""
        return self.new / self.old


def counted(sites: Sequence[Path], files: Files, scale: Scale) -> list[Count]:
    """Return the instructions per block of both builds, for the operations of both."""
    drivers = [(site / DRIVER.name).read_text() for site in sites]
    known = [name for name in OPERATIONS if all(f'"{name}"' in text for text in drivers)]
    found = []
    for size in scale.counted:
        old, new = (
            instructions.count(
                site / "pyfd/native", files, scale.kinds, known, site / DRIVER.name, size
            )
            for site in sites
        )
        found += [
            Count(
                before["operation"],
                f"{size}, {before['kind']}",
                before["per_block"],
                after["per_block"],
            )
            for before, after in zip(old, new, strict=True)
        ]
    return found


def called(sites: Sequence[Path], files: Files) -> list[Count]:
    """Return the instructions of a whole call of a small file from Python, in both builds."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "0.jpg").write_bytes(files.of("64×64", CALLED)[-1])
        counts = [of_calls(site, Path(scratch)) for site in sites]
    return [
        Count(name, f"64×64, {CALLED}, from Python", counts[0][name], counts[1][name])
        for name in CALLS
    ]


def of_calls(site: Path, folder: Path) -> dict[str, float]:
    """Return the instructions of each of `CALLS`, once the first ones have been made."""
    jobs = [(name, times) for times in (FIRST, TIMES) for name in CALLS]
    lines = [f"{name}\t0.jpg\t{times}\n" for name, times in jobs]
    command = [sys.executable, str(WORKER), str(site), str(folder)]
    parts = instructions.of_parts(command, "".join(lines))
    counts = zip(jobs, parts, strict=True)
    return {name: count / times for (name, times), count in counts if times == TIMES}


def shown_counts(counts: Sequence[Count]) -> str:
    """Return a table of counts."""
    heads = ["operation", "file", "new / old", "old", "new"]
    lines = [
        [each.operation, each.file, f"{each.ratio:.4f}", f"{each.old:,.1f}", f"{each.new:,.1f}"]
        for each in counts
    ]
    return pages.table(heads, lines)


def verdict(counts: Sequence[Count]) -> str:
    """Return a sentence on the operation that grew most."""
    most = max(counts, key=lambda each: each.ratio)
    grown = [each for each in counts if each.ratio > MOST]
    limit = f"{100 * (MOST - 1):.0f} %"
    if not grown:
        return (
            f"No operation takes over {limit} more instructions than before. The most: "
            f"{most.operation} ({most.file}), {most.ratio:.4f} times as many."
        )
    named = "\n".join(f"- {each.operation} ({each.file}): {each.ratio:.4f}" for each in grown)
    return f"OVER {limit} MORE INSTRUCTIONS, in {len(grown)} of {len(counts)} cases:\n{named}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", nargs="?")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case")
    parser.add_argument("--quick", action="store_true", help="small files of one kind")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else USUAL
    commits = chosen(arguments.old, arguments.new)
    files = Files(arguments.photos)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        sites = [build(commit, place(scratch, n)) for n, commit in enumerate(commits)]
        print(f"old is {commits[0][:12]}, new is {commits[1][:12]}\n", flush=True)
        libraries = all((site / "pyfd" / "native" / "lib").is_dir() for site in sites)
        counts: list[Count] = []
        if libraries and instructions.available():
            counts = counted(sites, files, scale)
            print(f"Instructions per 8×8 block\n\n{shown_counts(counts)}\n", flush=True)
            calls = called(sites, files)
            print(f"Instructions of a call\n\n{shown_counts(calls)}\n", flush=True)
            counts += calls
        print(f"CPU seconds\n\n{timed(sites, files, scale, arguments.seconds)}")
    if not counts:
        raise SystemExit("No instructions were counted: valgrind or pyfd's C libraries are missing")
    print(f"\n{verdict(counts)}")
    sys.exit(any(each.ratio > MOST for each in counts))


def place(scratch: str, number: int) -> Path:
    """Return a new folder for a build; both may be of the same commit."""
    folder = Path(scratch, str(number))
    folder.mkdir()
    return folder


if __name__ == "__main__":
    commands.run(main)
