"""The picture of the demo in the README: python -m benchmarks.demo_picture.

Its photograph is scikit-image's cup of coffee, by Rachel Michetti (CC0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pyfd
from pyfd.cli.demo import contact_sheet, fooled, measurement

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.jpg"
EPSILON = 4
PHOTOGRAPH = "coffee"


def write(picture: Path) -> None:
    """Write the first row of the demo's contact sheet."""
    witness = fooled.witness()
    (path,) = (path for path in measurement.photographs() if path.stem == PHOTOGRAPH)
    story = fooled.tell(path, witness.network, EPSILON)
    sheet = contact_sheet.draw([contact_sheet.fooled_section([story], witness, EPSILON)])
    tables = pyfd.QTables.annex_k(85)
    picture.write_bytes(pyfd.encode(np.asarray(sheet), tables, optimize=True))


if __name__ == "__main__":
    write(PICTURE)
