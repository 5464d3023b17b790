"""Instructions per 8×8 block, and in which stage: valgrind's callgrind, no clock.

    python -m benchmarks.instructions [--photos DIR]

A small C program decodes, so that Python's own instructions do not count.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyfd
from benchmarks.files import OWN, WAYS, Files, Kind
from pyfd._core import native as _native

DRIVER = Path(__file__).with_suffix(".c")
KINDS = [Kind(q, way) for way in WAYS for q in (75, 90, 95)]
KINDS += [Kind(90, "4:2:0", progressive=True)]
DECODES = ("plain", "defended")
OPERATIONS = (*DECODES, "requantize", "calibrate", "encode")
PHOTOS = 3

#: The first that matches a function's name has its instructions.
STAGES = {
    "re-quantization and inverse DCT": r"requant|idct",
    "upsampling and color": r"upsample|merged|ycc|_convert|fancy",
    "entropy decoding": r"decode_mcu|huff|fill_bit|decode_\w*(DC|AC)_|decode_\w*(first|refine)",
}
REST = "the rest"


def available() -> bool:
    """Is there what it takes?"""
    return bool(shutil.which("valgrind") and shutil.which("cc")) and _native.FOLDER.is_dir()


def build(native: Path, folder: Path) -> Path:
    """The driver, linked to the static library of a built pyfd."""
    program = folder / "instructions"
    library, headers = native / "lib" / "libpyfd.a", native / "include"
    command = ["cc", "-O2", str(DRIVER), f"-I{headers}", str(library), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def profile(program: Path, operation: str, files: Sequence[Path]) -> Counter[str]:
    """Instructions by function."""
    out = program.with_suffix(".callgrind")
    valgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=measured"]
    valgrind += ["--compress-strings=no", "--compress-pos=no", f"--callgrind-out-file={out}"]
    command = [*valgrind, str(program), operation, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}:\n{done.stderr}")
    return named(by_function(out.read_text().splitlines()), program)


def by_function(lines: Iterable[str]) -> Counter[str]:
    """Callgrind's file: what each function costs itself, callees left out."""
    costs: Counter[str] = Counter()
    function, called = "", False
    for line in lines:
        if line.startswith("fn="):
            function = line[3:].partition(".")[0]  # a label or a part of it is it
        elif line.startswith("calls="):
            called = True  # the next line is the callee's
        elif re.match(r"[+*0-9-]", line):
            if not called:
                costs[function] += int(line.split()[1])
            called = False
    return costs


def named(costs: Counter[str], program: Path) -> Counter[str]:
    """Addresses, which is all that valgrind knows of some of nasm's functions, by name."""
    nm = subprocess.run(["nm", program], capture_output=True, text=True, check=True)
    symbols = re.findall(r"^([0-9a-f]+) [tT] (\w+)$", nm.stdout, re.MULTILINE)
    names = {f"0x{address}": name for address, name in symbols}
    found: Counter[str] = Counter()
    for function, cost in costs.items():
        found[names.get(function, function)] += cost
    return found


def by_stage(costs: Counter[str]) -> dict[str, int]:
    """Instructions by stage of a decode, in the order of the work."""
    found = dict.fromkeys([*reversed(STAGES), REST], 0)
    for function, cost in costs.items():
        found[stage_of(function)] += cost
    return found


def stage_of(function: str) -> str:
    for stage, pattern in STAGES.items():
        if re.search(pattern, function):
            return stage
    return REST


def blocks(data: bytes) -> int:
    return sum(
        high * wide for high, wide, *_ in (c.shape for c in pyfd.read_coefficients(data).components)
    )


def count(
    native: Path, files: Files, kinds: Sequence[Kind], operations: Sequence[str] = DECODES
) -> list[dict[str, Any]]:
    """Per kind and operation: instructions per block, by stage and of the largest functions."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        program = build(native, folder)
        for kind in kinds:
            sources = files.of(OWN, kind)[:PHOTOS]
            paths = [folder / f"{i}.jpg" for i in range(len(sources))]
            for path, data in zip(paths, sources, strict=True):
                path.write_bytes(data)
            for operation in operations:
                costs = profile(program, operation, paths)
                found.append(record(kind, operation, costs, sum(map(blocks, sources))))
    return found


def record(kind: Kind, operation: str, costs: Counter[str], number: int) -> dict[str, Any]:
    return {
        "kind": str(kind),
        "operation": operation,
        "blocks": number,
        "per_block": costs.total() / number,
        "stages": {stage: cost / number for stage, cost in by_stage(costs).items()},
        "functions": {name: cost / number for name, cost in costs.most_common(12)},
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown, a line per kind and operation."""
    stages = list(found[0]["stages"])
    lines = [
        f"| file | decode | {' | '.join(stages)} | all |",
        "|" + "---|" * (len(stages) + 3),
    ]
    for entry in found:
        cells = [f"{entry['stages'][stage]:,.0f}" for stage in stages]
        cells.append(f"{entry['per_block']:,.0f}")
        lines.append(f"| {entry['kind']} | {entry['operation']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder of photographs")
    arguments = parser.parse_args()
    if not available():
        raise SystemExit("needs valgrind, a C compiler and pyfd's libraries for C programs")
    found = count(_native.FOLDER, Files(arguments.photos), KINDS)
    print(f"Instructions per block\n\n{table(found)}\n")
    for entry in found:
        largest = ", ".join(f"{name} {cost:,.0f}" for name, cost in entry["functions"].items())
        print(f"{entry['kind']}, {entry['operation']}: {largest}")


if __name__ == "__main__":
    main()
