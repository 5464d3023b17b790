"""What a decode adds to a process: its peak, less its result.

    python -m benchmarks.memory FILE [QTABLES]

The process must be a fresh one: a peak is told from what came before. The input is in
memory by then.
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
    """A line of the kernel's account of this process."""
    (value,) = re.findall(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(value)


def beyond_output(data: bytes, qtables: str | None) -> float:
    """Mebibytes beyond the result, in a process of its own."""
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
    pyfd.decode(small, qtables)  # what is loaded once, is loaded
    ctypes.CDLL(None).malloc_trim(0)  # no idle memory to be taken unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = kibibytes("VmRSS")
    pixels = pyfd.decode(data, qtables)
    print((kibibytes("VmHWM") - before) / 1024 - pixels.nbytes / MIB)


if __name__ == "__main__":
    main()
