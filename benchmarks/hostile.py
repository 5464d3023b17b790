"""Decode hostile files with pyfd, Pillow and OpenCV: the table in docs/security.md.

    python -m benchmarks.hostile [--write docs/security.md]

Each decoder gets each file of tests/attacks.py in its own process, with 20 s of CPU
time and 4 GiB of memory.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
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
from benchmarks import pages
from tests.attacks import ATTACKS, Attack

MAKER = "benchmarks/hostile.py"
CPU_SECONDS, MEMORY = 20, 4 << 30


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
    """The outcome of a decode ("taken", "None" or an exception's name), and its CPU seconds."""

    what: str
    cpu: float

    def __str__(self) -> str:
        return f"{self.what}, {self.cpu:.2f} s"


def run(decoder: Callable[[bytes], str], data: bytes) -> Outcome:
    """Decode in a child process, whose CPU time the kernel measures."""
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
    return Outcome(what, usage.ru_utime + usage.ru_stime)


def row(attack: Attack) -> list[str]:
    """Return the table's cells for an attack, and check that pyfd does what the test demands."""
    data = attack.make()
    outcomes = [run(decoder, data) for decoder in DECODERS.values()]
    expected = attack.error.__name__ if attack.error else "taken"
    assert outcomes[0].what == expected, (attack.name, outcomes[0])
    limit = attack.says if attack.says.startswith("max_") else ""
    return [attack.name, f"{len(data):,}", limit, *map(str, outcomes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, help="the page to put the table in")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for attack in ATTACKS:
        rows.append(row(attack))
        print(" | ".join(rows[-1]), flush=True)
    versions = f"pyfd {pyfd.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}"
    table = pages.table(["attack", "bytes", "limit", *DECODERS], rows)
    if arguments.write:
        text = f"{versions}; CPU seconds of one run.\n\n{table}"
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
