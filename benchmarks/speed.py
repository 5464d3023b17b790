"""Measure every speed that pyfd promises, and the libraries that a user would choose instead.

    python -m benchmarks.speed [--photos DIR] [--output DIR] [--write docs/performance.md]
                               [--results FILE] [--only ROW] [--quick]

Both sides of a ratio are timed in turn, in one process and one thread; the median of
the pairs counts, and their quartiles give the spread. The output folder gets speed.json
with everything, report.md with every case, and pictures. A run of all rows is added to
benchmarks/results.jsonl, and takes about a quarter of an hour on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    commands,
    floor,
    instructions,
    machine,
    pages,
    peers,
    speed_page,
    speed_plots,
    tracking,
)
from benchmarks.cases import Case, Row, UnmeasuredError
from benchmarks.files import PHOTOS_HELP, Files
from benchmarks.rows import rows, selected
from benchmarks.timing import Effort
from pyfd._core import native
from pyfd._core.writing import write_file

MAKER = "benchmarks/speed.py"
USUAL, QUICK = Effort(seconds=1.0, rounds=5), Effort(seconds=0.05, rounds=1)


def described_with_peers() -> dict[str, Any]:
    """Return the record of the machine with the versions inside of the other libraries' wheels."""
    described: dict[str, Any] = machine.describe()
    beside = peers.bundled_beside().get("torchvision")
    if beside:
        described["packages"]["torchvision"] = beside["version"]
    return described | {"bundled": peers.libraries()}


def measure(case: Case, effort: Effort) -> dict[str, Any]:
    """Measure a case, and return its record for the JSON file."""
    content: dict[str, Any] = {"label": case.label, "bound": str(case.bounds)}
    try:
        found = case.measure(effort)
    except UnmeasuredError as error:
        return content | {"unmeasured": str(error)}
    except ModuleNotFoundError as error:
        return content | {"unmeasured": f"needs {error.name}"}
    numbers = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in found._asdict().items()
    }
    verdict = {"met": case.bounds.met(found.value), "excess": case.bounds.excess(found.value)}
    return content | numbers | verdict


def run(row: Row, effort: Effort) -> dict[str, Any]:
    """Measure a row's cases, print them, and return the row's record."""
    print(f"## {row.what}\n", flush=True)
    cases = [measure(case, effort) for case in row.cases]
    content = {"key": row.key, "what": row.what, "unit": row.unit, "cases": cases}
    print(speed_page.cases(content), end="\n\n", flush=True)
    return content


def around(files: Files, effort: Effort) -> dict[str, Any]:
    """Measure the page's other parts: the floor, the curves and the instructions."""
    print("## The floor, curves, instructions\n", flush=True)
    content: dict[str, Any] = {
        "floor": floor.floor(files, effort),
        "curves": {
            "by_size": floor.by_size(files, effort),
            "by_workers": floor.by_workers(files, effort),
            "by_pixels": floor.by_pixels(files, effort),
        },
    }
    if effort == USUAL:
        content["floor"] += floor.floor(files, effort, "24 MP")
    if instructions.available():
        kinds = instructions.KINDS if effort == USUAL else instructions.KINDS[:1]
        content["instructions"] = instructions.count(native.FOLDER, files, kinds)
    return content


def keep(content: dict[str, Any], output: Path) -> None:
    """Write speed.json, report.md and the pictures."""
    output.mkdir(parents=True, exist_ok=True)
    write_file(output / "speed.json", (json.dumps(content, indent=1) + "\n").encode())
    every = [f"## {row['what']}\n\n{speed_page.cases(row)}" for row in content["rows"]]
    text = "\n\n".join([speed_page.page(content), *every]) + "\n"
    write_file(output / "report.md", text.encode())
    if "curves" in content:
        speed_plots.draw(content["curves"], output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--write", type=Path, help="the page to put the numbers in")
    parser.add_argument(
        "--results", type=Path, default=tracking.RESULTS, help="the file that a run is added to"
    )
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="a row's key")
    parser.add_argument("--quick", action="store_true", help="a smoke test: few and short cases")
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else USUAL
    described, files = described_with_peers(), Files(arguments.photos)
    content: dict[str, Any] = {"machine": described, "quick": arguments.quick}
    chosen = list(selected(rows(files, arguments.quick), arguments.only))
    if not arguments.only:
        content |= around(files, effort)
    content["rows"] = []
    try:
        for row in chosen:
            content["rows"].append(run(row, effort))
    finally:  # an error must not lose results that took minutes
        keep(content, arguments.output)
    text = speed_page.page(content)
    print(text)
    if not (arguments.quick or arguments.only):
        tracking.append(content, arguments.results)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)
        if "curves" in content:
            speed_plots.draw(content["curves"], arguments.write.parent / "images")


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:  # numpy and torch read it when they are loaded
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:]])
    commands.run(main)
