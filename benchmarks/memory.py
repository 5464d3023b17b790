"""Measure the peak memory of a decode beyond its output, or of an encode beyond its file.

    python -m benchmarks.memory decode FILE [--qtables T]
    python -m benchmarks.memory encode FILE --qtables T [--radius E]

Prints mebibytes. The peak is compared with the memory of the process before the call,
which already holds the input, so each call needs a fresh process.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

import pyfd

MIB = 1 << 20

Result = TypeVar("Result", bytes, np.ndarray)


def kibibytes(name: str) -> int:
    """Return a number from the kernel's status of this process."""
    (value,) = re.findall(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(value)


def beyond_output(data: bytes, qtables: str | None) -> float:
    """Return the mebibytes that a decode takes beyond its output, in a fresh process."""
    return _fresh("decode", data, **{"--qtables": qtables})


def beyond_file(data: bytes, qtables: str, radius: int | None) -> float:
    """Return the mebibytes that an encode of a file's pixels takes beyond its file.

    It runs in a fresh process.
    """
    return _fresh("encode", data, **{"--qtables": qtables, "--radius": radius})


def _fresh(what: str, data: bytes, **options: str | int | None) -> float:
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.memory", what, file.name, *given]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def growth(call: Callable[[], Result]) -> tuple[float, Result]:
    """Return by how many mebibytes the process grows at most during a call, and its result."""
    ctypes.CDLL(None).malloc_trim(0)  # otherwise, the call could use idle memory unnoticed
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kibibytes("VmRSS")
    result = call()
    return (kibibytes("VmHWM") - before) / 1024, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("decode", "encode"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--qtables")
    parser.add_argument("--radius", type=int)
    arguments = parser.parse_args()
    data = arguments.file.read_bytes()
    small = np.zeros((16, 16, 3), np.uint8)
    if arguments.what == "decode":
        call = partial(pyfd.decode, qtables=arguments.qtables)
        call(pyfd.encode(small, "fd-cvpr2019"))  # loads what is loaded only once
        grown, pixels = growth(partial(call, data))
        print(grown - pixels.nbytes / MIB)
    else:
        encode = partial(pyfd.encode, qtables=arguments.qtables, radius=arguments.radius)
        encode(small)
        grown, file = growth(partial(encode, pyfd.decode(data)))
        print(grown - len(file) / MIB)


if __name__ == "__main__":
    main()
