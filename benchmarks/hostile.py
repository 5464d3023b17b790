"""What hostile files do to pyfd, to Pillow and to OpenCV: the table in docs/security.md.

    python -m benchmarks.hostile [--write docs/security.md]

Each decoder gets each file of tests/attacks.py in a process of its own, with 20 s
of CPU and 4 GiB of memory.
"""

from __future__ import annotations

import io
import os
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import PIL
from PIL import Image

import pyfd
from tests.attacks import ATTACKS, Attack

CPU_SECONDS, MEMORY = 20, 4 << 30
BEGIN, END = "<!-- made by benchmarks/hostile.py -->\n", "<!-- end -->"


def with_pyfd(data: bytes) -> str:
    pyfd.decode(data, "fd-cvpr2019")
    return "taken"


def with_pillow(data: bytes) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.open(io.BytesIO(data)).load()
    return "taken"


def with_opencv(data: bytes) -> str:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return "None" if pixels is None else "taken"


DECODERS = {"pyfd": with_pyfd, "Pillow": with_pillow, "OpenCV": with_opencv}


class Outcome(NamedTuple):
    what: str
    cpu: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.what}, {self.cpu:.2f} s"


def run(decoder: Callable[[bytes], str], data: bytes) -> Outcome:
    """Decode in a child process; what the file cost is what the kernel says of it."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            try:
                what = decoder(data)
            except cv2.error:
                what = "cv2.error"
            except Exception as error:
                what = type(error).__name__
            os.pwrite(answer.fileno(), what.encode(), 0)
            os._exit(0)
        _, status, usage = os.wait4(child, 0)
        what = answer.read().decode()
    if os.WIFSIGNALED(status):
        what = f"**killed after {CPU_SECONDS} s**"
    return Outcome(what, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(attack: Attack) -> str:
    data = attack.make()
    outcomes = [run(decoder, data) for decoder in DECODERS.values()]
    ours = attack.error.__name__ if attack.error else "taken"
    assert outcomes[0].what == ours, (attack.name, outcomes[0])
    guard = attack.says if attack.says.startswith("max_") else ""
    cells = [attack.name, f"{len(data):,}", guard, *map(str, outcomes)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    cv2.setNumThreads(1)
    heads = ["attack", "bytes", "limit", *DECODERS]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for attack in ATTACKS:
        lines.append(row(attack))
        print(lines[-1], flush=True)
    versions = f"pyfd {pyfd.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}"
    table = f"{BEGIN}\n{versions}; CPU seconds of one run.\n\n" + "\n".join(lines) + "\n\n"
    if len(sys.argv) == 3:
        path = Path(sys.argv[2])
        text = path.read_text()
        path.write_text(text.partition(BEGIN)[0] + table + END + text.partition(END)[2])


if __name__ == "__main__":
    main()
