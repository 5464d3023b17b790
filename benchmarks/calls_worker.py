"""Do the calls that benchmarks/calls.py counts, in a Python under valgrind.

calls_worker.py LIBRARY FILE...

For each file, each call runs `TIMES` times between ``start`` and ``stop`` of the library, after
so many calls that Python has adapted its bytecode.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import simplejpeg

import pyfd
from pyfd._core.pixels import Pixels

TIMES, WARM = 5, 10
MANY = 24
TABLES, STANDARD = pyfd.QTables.preset("fd-cvpr2019"), pyfd.QTables.annex_k(75)

#: The calls of a name that ends with it take `MANY` files.
PER_FILE = ", each file"


def operations(data: bytes, pixels: Pixels) -> dict[str, Callable[[], object]]:
    """Return the calls by name, for a file and its pixels. The first one does nothing."""
    files, images = [data] * MANY, [pixels] * MANY
    return {
        "nothing": lambda: None,
        "decode": lambda: pyfd.decode(data, TABLES),
        "decode, simplejpeg": lambda: simplejpeg.decode_jpeg(data),
        "encode": lambda: pyfd.encode(pixels, STANDARD, subsampling="4:2:0"),
        "encode, simplejpeg": lambda: simplejpeg.encode_jpeg(pixels, 75, colorsubsampling="420"),
        "requantize": lambda: pyfd.requantize(data, TABLES),
        "decode_many" + PER_FILE: lambda: pyfd.decode_many(files, TABLES, workers=1),
        "encode_many" + PER_FILE: lambda: pyfd.encode_many(
            images, STANDARD, workers=1, subsampling="4:2:0"
        ),
    }


def main(library: str, files: list[str]) -> None:
    counter = ctypes.PyDLL(library)
    gc.disable()
    for path in files:
        data = Path(path).read_bytes()
        for call in operations(data, pyfd.decode(data)).values():
            for _ in range(WARM):
                call()
            counter.start()
            for _ in range(TIMES):
                call()
            counter.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
