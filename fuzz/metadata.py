"""Fuzz the readers of metadata with atheris, libFuzzer for Python.

    python fuzz/metadata.py [libFuzzer's options] FOLDER…

An input is marker segments. What is kept of them must be listed, bounded, readable and kept
again unchanged (`tests.metadata.check`); and no input may take more than `CALLS` calls.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["pyfd._core.metadata"]):
    from pyfd._core import metadata

from tests.metadata import check, parsed, steps

CALLS = 500_000  # of an input of 64 KiB, the most that `make fuzz` makes; see tests/core/metadata


def one_input(data: bytes) -> None:
    found = parsed(data)
    check(found)
    assert steps(lambda: metadata.kept(found)) < CALLS


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
