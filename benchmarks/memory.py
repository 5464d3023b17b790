"""Measure the peak memory of a call beyond its output: pixels, or a file.

    python -m benchmarks.memory decode FILE [--qtables T]
    python -m benchmarks.memory requantize FILE --qtables T
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
from benchmarks import commands

MIB = 1 << 20
FREE = pyfd.Limits.unlimited()

Result = TypeVar("Result", bytes, np.ndarray)


def kibibytes(name: str, process: int | str = "self") -> int:
    """Return a number from the kernel's status of a process.

    Raises:
        OSError: There is no such process.
        ValueError: It has ended, so that its status has no such number.
    """
    status = Path(f"/proc/{process}/status").read_text()
    (value,) = re.findall(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(value)


def beyond(what: str, data: bytes, qtables: str | None, radius: int | None = None) -> float:
    """Return the mebibytes that a call takes beyond its output, in a fresh process.

    Args:
        what: "decode", "requantize" or "encode".
        data: The file; of an encode, that of its pixels.
        qtables: A preset's name, or None for a plain decode.
        radius: The radius of an encode.
    """
    options = {"--qtables": qtables, "--radius": radius}
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
    parser.add_argument("what", choices=("decode", "requantize", "encode"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--qtables")
    parser.add_argument("--radius", type=int)
    arguments = parser.parse_args()
    data = arguments.file.read_bytes()
    small = np.zeros((16, 16, 3), np.uint8)
    if arguments.what == "encode":
        call = partial(pyfd.encode, qtables=arguments.qtables, radius=arguments.radius)
        call(small)  # loads what is loaded only once
        grown, file = growth(partial(call, pyfd.decode(data, limits=FREE)))
        print(grown - len(file) / MIB)
    else:
        call = partial(getattr(pyfd, arguments.what), qtables=arguments.qtables, limits=FREE)
        call(pyfd.encode(small, "fd-cvpr2019"))
        grown, made = growth(partial(call, data))
        print(grown - (len(made) if isinstance(made, bytes) else made.nbytes) / MIB)


if __name__ == "__main__":
    commands.run(main)
