"""Files, processes and their outcomes, for tests of the command line."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import pyfd
from tests.metadata import SRGB

DEFAULT = pyfd.QTables.preset("fd-cvpr2019")
ICC = SRGB

#: Characters that control a terminal, and others that only look odd.
EVIL = "\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\x7f\n\x00"


class Outcome(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Run = Callable[..., Outcome]


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Return a smooth picture that has some content at every frequency."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    ramp = np.linspace(40, 160, width)[:, np.newaxis]
    return (ramp + noise).astype(np.uint8)


def jpeg(**options) -> bytes:
    return pyfd.encode(picture(), pyfd.QTables.annex_k(90), **options)


def cmyk_jpeg(path: Path) -> None:
    Image.fromarray(picture()).convert("CMYK").save(path, "JPEG")


def exif(orientation: int = 6, thumbnail: bytes = b"") -> bytes:
    """Return EXIF with an orientation and, if given, a thumbnail in its second directory."""
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    second = struct.pack("<HHHIIHHII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail))
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    return head + first + (second + bytes(4) + thumbnail if thumbnail else b"")


def files(top: Path) -> list[str]:
    found = (path for path in top.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return sorted(str(path.relative_to(top)) for path in found)


def opened(data: bytes):
    return Image.open(io.BytesIO(data))


def damage(top: Path) -> Path:
    """Add a damaged file to the photographs."""
    path = top / "bad.jpg"
    path.write_bytes((top / "deep" / "0.jpg").read_bytes()[:900])
    return path


def start(*args: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "pyfd", *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **options
    )
