"""Time one build of pyfd on demand: benchmarks/compare.py starts two of these.

    compare_worker.py SITE FILES

Imports pyfd from the folder SITE, and works on the files of the folder FILES. Each line
of the input holds an operation, a file's name and the number of repetitions, separated by
tabs; each line of the output is the seconds for which they computed.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import pyfd

assert Path(pyfd.__file__).is_relative_to(sys.argv[1]), pyfd.__file__
TABLES = pyfd.QTables.preset("fd-cvpr2019")
DATA = {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}
PIXELS = {name: pyfd.decode(data) for name, data in DATA.items()}
encode = partial(pyfd.encode, qtables=TABLES, subsampling="4:2:0")
OPERATIONS: dict[str, Callable[[str], object]] = {
    "plain": lambda name: pyfd.decode(DATA[name]),
    "defended": lambda name: pyfd.decode(DATA[name], TABLES),
    "encode": lambda name: encode(PIXELS[name]),
    "encode-optimized": lambda name: encode(PIXELS[name], optimize=True),
    "encode-progressive": lambda name: encode(PIXELS[name], progressive=True),
    "requantize": lambda name: pyfd.requantize(DATA[name], TABLES),
    "calibrate": lambda name: pyfd.calibrate([DATA[name]], workers=1),
    "decode_many": lambda name: pyfd.decode_many([DATA[name]] * 16, TABLES, workers=1),
}

gc.disable()
for line in sys.stdin:
    operation, name, times = line.rstrip("\n").split("\t")
    call = OPERATIONS[operation]
    os.getppid()  # between this and getpgrp, benchmarks/instructions.py counts
    start = time.thread_time()
    for _ in range(int(times)):
        call(name)
    seconds = time.thread_time() - start
    os.getpgrp()
    print(seconds, flush=True)
