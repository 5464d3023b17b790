"""Use pyfd where it is installed, as tests/install.sh does: the codec, the command, the drop-in.

It takes no more than pyfd[cli] and netpbm. It prints one line, or ends with a traceback.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import pyfd
from pyfd._core import _libpyfd

TABLES = "fd-cvpr2019"


def main() -> None:
    y, x = np.mgrid[0:97, 0:131]
    picture = np.stack([2 * x % 256, 3 * y % 256, x * y % 256], axis=2).astype(np.uint8)
    photo = pyfd.encode(picture, pyfd.QTables.annex_k(90))
    pixels = pyfd.decode(photo, TABLES)
    requantized = pyfd.requantize(photo, TABLES)
    assert np.array_equal(pyfd.decode(requantized), pixels)
    assert not np.array_equal(pyfd.decode(photo), pixels)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photo.jpg")
        file.write_bytes(photo)
        command = [
            sys.executable,
            "-m",
            "pyfd",
            "exec",
            "-q",
            TABLES,
            "--require",
            "--",
            "jpegtopnm",
        ]
        shown = subprocess.run([*command, file], capture_output=True, check=True).stdout
        assert shown == b"P6\n131 97\n255\n" + pixels.tobytes()
        command = [sys.executable, "-m", "pyfd", "requantize", "-q", TABLES, "-o"]
        subprocess.run([*command, f"{file}.new", file], check=True)
        assert Path(f"{file}.new").read_bytes() == requantized
    extension = Path(_libpyfd.__file__)
    assert "site-packages" in extension.parts
    libc = " ".join(platform.libc_ver())
    print(f"Python {platform.python_version()}, {libc}: pyfd {pyfd.__version__} works")


if __name__ == "__main__":
    main()
