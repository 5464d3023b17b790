"""Check that photographs are those of the studies: the public set in benchmarks/photographs.csv.

    python -m benchmarks.photographs FOLDER

The list has the photographs' names, classes (ImageNet's 0 to 999) and SHA-256 sums, and is the
LABELS of the studies. The photographs are 400 of the 1,000 in EliSchwartz/imagenet-sample-images
on GitHub, one of each class; they are ImageNet's, for research, and not in this repository.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_suffix(".csv")


class Photograph(NamedTuple):
    """A photograph of the list."""

    file: str
    label: int
    sha256: str


def listed(path: Path = LIST) -> list[Photograph]:
    """Return the photographs of the list."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [Photograph(row["file"], int(row["label"]), row["sha256"]) for row in rows]


def differences(folder: Path, photographs: list[Photograph]) -> Iterator[str]:
    """Yield a line for each photograph that a folder lacks, or has with other content."""
    for photograph in photographs:
        path = folder / photograph.file
        if not path.is_file():
            yield f"{path}: missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != photograph.sha256:
            yield f"{path}: another file than in the list"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    photographs = listed()
    found = list(differences(folder, photographs))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(photographs) - len(found)} of {len(photographs)} photographs are the list's")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
