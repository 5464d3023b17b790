"""Count instructions per 8×8 block and by stage of a decode, with valgrind's callgrind.

    python -m benchmarks.instructions [--photos DIR]

A small C program decodes, so that Python's own instructions do not count.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyfd
from benchmarks import commands, pages
from benchmarks.files import OWN, PHOTOS_HELP, QUALITIES, WAYS, Files, Kind
from pyfd._core import native

DRIVER = Path(__file__).with_suffix(".c")
KINDS = [Kind(quality, way) for way in WAYS for quality in QUALITIES]
KINDS += [Kind(90, "4:2:0", progressive=True)]
DECODES = ("plain", "defended")
ENCODES = ("encode", "encode-optimized", "encode-progressive")
OPERATIONS = (*DECODES, "requantize", "calibrate", *ENCODES)
PHOTOS = 3  # per kind of file

#: Regular expressions by stage: a function belongs to the first one that its name matches.
STAGES = {
    "re-quantization and inverse DCT": r"requant|idct",
    "upsampling and color": r"upsample|merged|ycc|_convert|fancy",
    "entropy decoding": r"decode_mcu|huff|fill_bit|decode_\w*(DC|AC)_|decode_\w*(first|refine)",
}
REST = "the rest"


def available() -> bool:
    """Return whether valgrind, a C compiler and pyfd's libraries for C programs are available."""
    return bool(shutil.which("valgrind") and shutil.which("cc")) and native.FOLDER.is_dir()


def build(libraries: Path, folder: Path, driver: Path = DRIVER) -> Path:
    """Compile the C program into a folder, with the static library of a built pyfd.

    Args:
        libraries: The build's ``pyfd/native``.
        folder: The folder for the program.
        driver: The program's source, which must fit the build's ``pyfd.h``.
    """
    program = folder / "instructions"
    library, headers = libraries / "lib" / "libpyfd.a", libraries / "include"
    command = ["cc", "-O2", str(driver), f"-I{headers}", str(library), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def profile(program: Path, operation: str, files: Sequence[Path]) -> Counter[str]:
    """Return the instructions of an operation on files, by function."""
    out = program.with_suffix(".callgrind")
    valgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=measured"]
    valgrind += ["--compress-strings=no", "--compress-pos=no", f"--callgrind-out-file={out}"]
    command = [*valgrind, str(program), operation, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}:\n{done.stderr}")
    return named(by_function(out.read_text().splitlines()), program)


def of_parts(command: Sequence[str], given: str) -> list[int]:
    """Return the instructions of parts of a program, each from getppid to the next getpgrp.

    Args:
        command: The program and its arguments, which calls these two functions of the C library.
        given: Its input.
    """
    valgrind = ["valgrind", "--tool=callgrind", "--zero-before=getppid", "--dump-before=getpgrp"]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [*valgrind, f"--callgrind-out-file={scratch}/out", *command],
            input=given,
            env=os.environ | {"PYTHONHASHSEED": "0"},  # else dictionaries differ by run
            capture_output=True,
            text=True,
            check=True,
        )
        dumps = sorted(Path(scratch).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        texts = [path.read_text() for path in dumps]
    return [int(re.findall(r"^totals: (\d+)", text, re.MULTILINE)[0]) for text in texts]


def by_function(lines: Iterable[str]) -> Counter[str]:
    """Return each function's own instructions, without its callees', from a callgrind file."""
    return own_costs(lines, "fn=", lambda name: name.partition(".")[0])  # no label, no part


def own_costs(lines: Iterable[str], key: str, name_of: Callable[[str], str]) -> Counter[str]:
    """Return the instructions of whatever the lines with a key name, without their callees'."""
    costs: Counter[str] = Counter()
    name, called = name_of(""), False
    for line in lines:
        if line.startswith(key):
            name = name_of(line.removeprefix(key))
        elif line.startswith("calls="):
            called = True  # the next line holds the callee's instructions
        elif re.match(r"[+*0-9-]", line):
            if not called:
                costs[name] += int(line.split()[1])
            called = False
    return costs


def named(costs: Counter[str], program: Path) -> Counter[str]:
    """Replace addresses by names: valgrind does not know the names of some nasm functions."""
    nm = subprocess.run(["nm", program], capture_output=True, text=True, check=True)
    symbols = re.findall(r"^([0-9a-f]+) [tT] (\w+)$", nm.stdout, re.MULTILINE)
    names = {f"0x{address}": name for address, name in symbols}
    found: Counter[str] = Counter()
    for function, cost in costs.items():
        found[names.get(function, function)] += cost
    return found


def by_stage(costs: Counter[str]) -> dict[str, int]:
    """Return the instructions by stage of a decode, in the order of the stages."""
    found = dict.fromkeys([*reversed(STAGES), REST], 0)
    for function, cost in costs.items():
        found[stage_of(function)] += cost
    return found


def stage_of(function: str) -> str:
    """Return the stage that a function belongs to."""
    for stage, pattern in STAGES.items():
        if re.search(pattern, function):
            return stage
    return REST


def blocks(data: bytes) -> int:
    """Return the number of blocks of all components of a file."""
    shapes = [component.shape for component in pyfd.read_coefficients(data).components]
    return sum(high * wide for high, wide, *_ in shapes)


def count(
    libraries: Path,
    files: Files,
    kinds: Sequence[Kind],
    operations: Sequence[str] = DECODES,
    driver: Path = DRIVER,
    size: str = OWN,
) -> list[dict[str, Any]]:
    """Count the instructions of operations on kinds of files.

    Args:
        libraries: As for `build`.
        files: The photographs.
        kinds: The kinds of files.
        operations: Some of `OPERATIONS`.
        driver: As for `build`.
        size: One of `SIZES`.

    Returns:
        A record for each kind and operation, as from `record`.
    """
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        program = build(libraries, folder, driver)
        for kind in kinds:
            sources = files.of(size, kind)[:PHOTOS]
            paths = [folder / f"{i}.jpg" for i in range(len(sources))]
            for path, data in zip(paths, sources, strict=True):
                path.write_bytes(data)
            for operation in operations:
                costs = profile(program, operation, paths)
                found.append(record(kind, operation, costs, sum(map(blocks, sources))))
    return found


def record(kind: Kind, operation: str, costs: Counter[str], number: int) -> dict[str, Any]:
    """Return instructions per block: all, by stage, and those of the 12 largest functions."""
    return {
        "kind": str(kind),
        "operation": operation,
        "blocks": number,
        "per_block": costs.total() / number,
        "stages": {stage: cost / number for stage, cost in by_stage(costs).items()},
        "functions": {name: cost / number for name, cost in costs.most_common(12)},
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return a table of records, with a line for each kind and operation."""
    stages = list(found[0]["stages"])
    lines = []
    for entry in found:
        numbers = [*(entry["stages"][stage] for stage in stages), entry["per_block"]]
        lines.append([entry["kind"], entry["operation"], *(f"{n:,.0f}" for n in numbers)])
    return pages.table(["file", "decode", *stages, "all"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help=PHOTOS_HELP)
    arguments = parser.parse_args()
    if not available():
        raise SystemExit("needs valgrind, a C compiler and pyfd's libraries for C programs")
    found = count(native.FOLDER, Files(arguments.photos), KINDS)
    print(f"Instructions per block\n\n{table(found)}\n")
    for entry in found:
        largest = ", ".join(f"{name} {cost:,.0f}" for name, cost in entry["functions"].items())
        print(f"{entry['kind']}, {entry['operation']}: {largest}")


if __name__ == "__main__":
    commands.run(main)
