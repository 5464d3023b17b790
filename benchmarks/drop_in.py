"""Compare the CPU time of Debian's programs with the drop-in and with other libraries.

    python -m benchmarks.drop_in [--photos DIR] [--seconds S] [--write PAGE]

The drop-in is built from the core series alone. It is compared with the system's own
libjpeg.so.62, and with the library that both series would give. The programs are djpeg, cjpeg
and jpegtran, from the package libjpeg-turbo-progs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import pages
from benchmarks.files import PHOTOS_HELP, Files, Kind
from benchmarks.machine import ROOT
from benchmarks.timing import Effort, Measurement, interleaved
from pyfd import QTables
from pyfd._core import native

SIZE = "4 MP"
KINDS = [Kind(75, "4:2:0"), Kind(95, "4:4:4"), Kind(90, "4:2:0", progressive=True)]
DECODE = ["djpeg", "-outfile", os.devnull]
TRANSCODE = ["jpegtran", "-optimize", "-outfile", os.devnull]
ENCODINGS = {
    "baseline": ["cjpeg", "-quality", "90"],
    "progressive": ["cjpeg", "-quality", "90", "-progressive"],
}
ROUNDS = 11


def with_speed() -> Path:
    """Build the drop-in from both series, and return the library."""
    from tests.packaging.sources import load_build

    fork = load_build(ROOT).fork
    options, flags = fork.SHARED_OPTIONS, fork.SHARED_CFLAGS
    tree = fork.build_tree(ROOT / "build", fork.CORE_AND_SPEED, "jpeg", options, flags)
    return Path(tree) / "build" / "libjpeg.so.62"


def cpu_seconds(variables: dict[str, str], command: list[str]) -> float:
    """Run a program, and return the seconds for which it computed."""
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_utime + usage.ru_stime


def commands(files: Files, folder: Path) -> Iterator[tuple[str, str, list[str], bool]]:
    """Yield the name of each operation, its file, its command, and whether it takes tables."""
    for kind in KINDS:
        path = folder / f"{kind}.jpg"
        path.write_bytes(files.of(SIZE, kind)[0])
        yield "djpeg", str(kind), [*DECODE, str(path)], False
        yield "djpeg with tables", str(kind), [*DECODE, str(path)], True
        yield "jpegtran -optimize", str(kind), [*TRANSCODE, str(path)], False
    picture = folder / "picture.ppm"
    files.photos(SIZE)[0].image.save(picture)
    for name, command in ENCODINGS.items():
        yield "cjpeg", name, [*command, "-outfile", os.devnull, str(picture)], False


def measure(files: Files, effort: Effort) -> str:
    """Return a table of the ratios of CPU time."""
    ours, lines = {"LD_PRELOAD": str(native.DROP_IN)}, []
    both = {"LD_PRELOAD": str(with_speed())}
    with tempfile.TemporaryDirectory() as scratch:
        tables = Path(scratch, "tables.txt")
        tables.write_text(QTables.preset("fd-cvpr2019").to_text())
        for operation, file, command, tabled in commands(files, Path(scratch)):
            extra = {"PYFD_DECODE_QTABLES": str(tables)} if tabled else {}
            call = {
                name: partial(cpu_seconds, {**variables, **extra})
                for name, variables in (("ours", ours), ("both", both), ("system", {}))
            }
            found = [
                interleaved(
                    call["ours"], call[other], [command], effort, lambda call, item: call(item)
                )
                for other in ("system", "both")
            ]
            lines.append([operation, file, *map(shown, found)])
    return pages.table(["program", "file", "core / system", "core / (core + speed)"], lines)


def shown(found: Measurement) -> str:
    """Return a ratio and its quartiles."""
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each ratio")
    parser.add_argument("--write", type=Path, help="a page, in which to replace the table")
    arguments = parser.parse_args()
    if not shutil.which("djpeg"):
        raise SystemExit("Debian's djpeg is missing: apt-get install libjpeg-turbo-progs")
    table = measure(Files(arguments.photos), Effort(arguments.seconds, ROUNDS))
    if arguments.write:
        pages.publish(arguments.write, "benchmarks/drop_in.py", table)
    print(table)


if __name__ == "__main__":
    main()
