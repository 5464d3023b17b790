"""Measure the peak memory of a decode beyond its output.

    python -m benchmarks.memory FILE [QTABLES]

Prints mebibytes. The peak is compared with the memory of the process before the decode,
which already holds the input, so each decode needs a fresh process.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import pyfd

MIB = 1 << 20


def kibibytes(name: str) -> int:
    """Return a number from the kernel's status of this process."""
    (value,) = re.findall(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(value)


def beyond_output(data: bytes, qtables: str | None) -> float:
    """Return the mebibytes that a decode takes beyond its output, in a fresh process."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.memory", file.name]
        command += [qtables] if qtables else []
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def main() -> None:
    data = Path(sys.argv[1]).read_bytes()
    qtables = sys.argv[2] if len(sys.argv) > 2 else None
    small = pyfd.encode(np.zeros((16, 16, 3), np.uint8), "fd-cvpr2019")
    pyfd.decode(small, qtables)  # loads the code and tables that are loaded only once
    ctypes.CDLL(None).malloc_trim(0)  # otherwise, the decode could use idle memory unnoticed
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kibibytes("VmRSS")
    pixels = pyfd.decode(data, qtables)
    print((kibibytes("VmHWM") - before) / 1024 - pixels.nbytes / MIB)


if __name__ == "__main__":
    main()
