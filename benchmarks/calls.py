"""Count the instructions of a call from Python, by where they are spent, with callgrind.

    python -m benchmarks.calls [--photos DIR] [--write docs/performance.md]

Unlike times, the counts are the same on a busy machine. Those of Python's part are of this
machine's Python.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import commands, pages
from benchmarks.calls_worker import MANY, PER_FILE, TIMES, operations
from benchmarks.files import PHOTOS_HELP, found
from benchmarks.instructions import own_costs

MAKER = "benchmarks/calls.py"
WORKER = Path(__file__).with_name("calls_worker.py")
SIDES = (8, 64, 224)
OPERATIONS = (*operations(b"", np.zeros((1, 1, 3), np.uint8)),)
NOTHING = OPERATIONS[0]

#: Where instructions are spent, by parts of the names of ELF objects
PLACES = {
    "C layer and libjpeg": ("_libpyfd", "_jpeg."),
    "cffi": ("_cffi_backend",),
    "numpy": ("_multiarray_umath",),
    "C library": ("/libc.so", "/libc-", "/ld-linux", "/libpthread", "/libm."),
}
PYTHON = "Python"

COUNTER = """\
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void stop(void) { CALLGRIND_DUMP_STATS; CALLGRIND_STOP_INSTRUMENTATION; }
"""

Costs = dict[str, Counter[str]]


def count(image: Image.Image, folder: Path, sides: Sequence[int] = SIDES) -> dict[int, Costs]:
    """Return the instructions of a call by place, for each operation and size.

    Args:
        image: A photograph, which becomes files of quality 75 in 4:2:0.
        folder: A folder for what this needs.
        sides: The files' widths and heights.
    """
    library, source, out = folder / "counter.so", folder / "counter.c", folder / "out"
    source.write_text(COUNTER)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", source, "-o", library], check=True)
    files = [folder / f"{side}.jpg" for side in sides]
    for side, file in zip(sides, files, strict=True):
        file.write_bytes(written(image, side))
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--compress-strings=no"]
    valgrind += ["--compress-pos=no", f"--callgrind-out-file={out}"]
    command = [*map(str, (*valgrind, sys.executable, WORKER, library, *files))]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    places = len(sides) * len(OPERATIONS)
    dumps = [by_place(Path(f"{out}.{i + 1}").read_text().splitlines()) for i in range(places)]
    return {
        side: per_call(dict(zip(OPERATIONS, dumps[i * len(OPERATIONS) :], strict=False)))
        for i, side in enumerate(sides)
    }


def written(image: Image.Image, side: int) -> bytes:
    """Return a small file as Pillow writes it."""
    buffer = io.BytesIO()
    image.resize((side, side)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def by_place(lines: Iterable[str]) -> Counter[str]:
    """Return the instructions of each place, without those of called functions."""
    return own_costs(lines, "ob=", place_of)


def place_of(path: str) -> str:
    """Return the place that an ELF object belongs to."""
    for place, parts in PLACES.items():
        if any(part in path for part in parts):
            return place
    return PYTHON


def per_call(costs: Mapping[str, Counter[str]]) -> Costs:
    """Return the instructions of one call, or of one of its files, without the loop's."""
    found, nothing = {}, costs[NOTHING]
    for name, cost in costs.items():
        times = TIMES * (MANY if name.endswith(PER_FILE) else 1)
        found[name] = Counter(
            {place: max(0, round((cost[place] - nothing[place]) / times)) for place in cost}
        )
    found.pop(NOTHING)
    return found


def table(counts: Mapping[int, Costs]) -> str:
    """Return a table with a line for each size and operation."""
    places = [PYTHON, *PLACES]
    lines = [
        [f"{side}×{side}", name, *(f"{cost[place]:,}" for place in places), f"{cost.total():,}"]
        for side, costs in counts.items()
        for name, cost in costs.items()
    ]
    return pages.table(["size", "call", *places, "all"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--write", type=Path, help="a page whose table to renew")
    arguments = parser.parse_args()
    if not shutil.which("valgrind") or not shutil.which("cc"):
        raise SystemExit("needs valgrind with its headers, and a C compiler")
    with tempfile.TemporaryDirectory() as folder:
        text = table(count(found(arguments.photos)[0], Path(folder)))
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    commands.run(main)
