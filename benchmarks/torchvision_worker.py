"""Time torchvision's codec on demand: `benchmarks.peers.torchvision` starts it.

It runs in the Python that has torchvision, which may lack pyfd. Each line of the input holds
an operation, a file's path and the number of repetitions, separated by tabs; each line of the
output is the seconds that they took. "decode" takes a JPEG file, and "encode-QUALITY" takes an
array H×W×3 in numpy's format.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

torch.set_num_threads(1)


@lru_cache(8)  # the files of a case
def loaded(path: str) -> Any:
    """Return a file's bytes, or the pixels of an array C×H×W, whose channels lie last."""
    if path.endswith(".npy"):
        return torch.from_numpy(np.load(path)).permute(2, 0, 1)
    return bytearray(Path(path).read_bytes())


def call(operation: str, item: Any) -> object:
    if operation == "decode":
        return decode_jpeg(torch.frombuffer(item, dtype=torch.uint8), ImageReadMode.RGB)
    return encode_jpeg(item, int(operation.removeprefix("encode-")))


gc.disable()
for line in sys.stdin:
    operation, path, times = line.rstrip("\n").split("\t")
    item = loaded(path)
    start = time.perf_counter()
    for _ in range(int(times)):
        call(operation, item)
    print(time.perf_counter() - start, flush=True)
