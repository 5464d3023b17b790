"""SHA-256 digests of the codec's results for the tests' inputs.

After a change that is meant to change bytes, record the list again with
``python -m tests.digests``. To compare two commits, give a folder of photographs: their
digests are printed instead.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pyfd
from fuzz import seeds
from pyfd.header import SUBSAMPLING
from tests import attacks, jpegs

RECORDED = Path(__file__).with_name("digests.json")

_TABLES = ("fd-cvpr2019", pyfd.QTables.uniform(16))


def _operations(data: bytes) -> Iterator[tuple[str, Callable[[], Any]]]:
    for strict in (True, False):
        how = "strict" if strict else "lenient"
        for scale in (1, 2, 4, 8):
            yield (
                f"{how} decode 1/{scale}",
                lambda scale=scale, strict=strict: pyfd.decode(data, scale=scale, strict=strict),
            )
        yield f"{how} read_coefficients", lambda strict=strict: _parts(data, strict)
    yield "probe", lambda: _header(data)
    yield "decode own mode", lambda: pyfd.decode(data, mode=None)
    yield "decode gray", lambda: pyfd.decode(data, _TABLES[0], mode="L")
    for number, tables in enumerate(_TABLES):
        yield f"decode onto {number}", lambda tables=tables: pyfd.decode(data, tables)
        for options in ({}, {"progressive": True}, {"optimize": True}, {"metadata": False}):
            yield (
                f"requantize onto {number} {options}",
                lambda tables=tables, options=options: pyfd.requantize(data, tables, **options),
            )


def _parts(data: bytes, strict: bool) -> bytes:
    found = pyfd.read_coefficients(data, strict=strict)
    arrays = [*found.components, found.qtables.array]
    return b"".join(array.tobytes() for array in arrays) + repr(found.sampling).encode()


def _header(data: bytes) -> bytes:
    header = pyfd.probe(data)
    return repr((header, header.qtables.array.tolist())).encode()


def of(data: bytes) -> str:
    """Return one digest of every operation's result or error class on a file."""
    digest = hashlib.sha256()
    for name, operation in _operations(data):
        digest.update(f"{name}: {_outcome(operation)}\n".encode())
    return digest.hexdigest()


def _outcome(operation: Callable[[], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyfd.JPEGWarning)
        try:
            result = operation()
        except ValueError as error:
            return type(error).__name__
    return hashlib.sha256(result).hexdigest()


def _encoded(pixels: np.ndarray) -> str:
    digest = hashlib.sha256()
    for tables in _TABLES:
        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:4:0"):
            for options in ({}, {"progressive": True}, {"optimize": True}):
                digest.update(pyfd.encode(pixels, tables, subsampling=subsampling, **options))
    return digest.hexdigest()


def _encoded_planes(width: int, height: int) -> str:
    digest = hashlib.sha256()
    drawn = jpegs.picture(width, height, seed=height)
    for subsampling, (across, down) in SUBSAMPLING.items():
        y, cb, cr = drawn[:, :, 0], drawn[::down, ::across, 1], drawn[::down, ::across, 2]
        for planes in ((y, cb, cr), (y.copy(), np.stack([cb, cr], axis=-1))):
            for options in ({}, {"progressive": True}):
                digest.update(
                    pyfd.encode(
                        planes, _TABLES[0], mode="YCbCr", subsampling=subsampling, **options
                    )
                )
    return digest.hexdigest()


def recorded() -> dict[str, str]:
    """Return the digests of the fuzzers' seeds, the hostile files and drawn pictures."""
    found = {f"seed {name}": of(data) for name, data in seeds.files().items()}
    for attack in attacks.ATTACKS:
        found[f"attack {attack.name}"] = _outcome(lambda make=attack.make: _attacked(make()))
    for width, height in ((1, 1), (8, 8), (37, 23), (224, 224), (500, 333)):
        for channels in (1, 3):
            pixels = jpegs.picture(width, height, seed=width, channels=channels)
            found[f"encode {width}x{height}x{channels}"] = _encoded(pixels)
        found[f"encode planes {width}x{height}"] = _encoded_planes(width, height)
    return found


def _attacked(data: bytes) -> bytes:
    """Return the digests of a decode, plain and defended, and of a re-quantization."""
    calls = (
        lambda: pyfd.decode(data, scale=8, strict=False),
        lambda: pyfd.decode(data, _TABLES[0], scale=8),
        lambda: pyfd.requantize(data, _TABLES[0]),
        lambda: _header(data),
    )
    return "\n".join(map(_outcome, calls)).encode()


def main() -> None:
    if folders := sys.argv[1:]:
        for path in sorted(path for folder in folders for path in Path(folder).iterdir()):
            print(of(path.read_bytes()), path.name)
        return
    RECORDED.write_text(json.dumps(recorded(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
