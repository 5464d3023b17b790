"""The table of small pictures: what it counts, by hand."""

from __future__ import annotations

import numpy as np

import pyfd
from benchmarks import small_pictures
from benchmarks.small_pictures import Case, Row
from pyfd import QTables


def test_a_gray_picture():
    """Nothing is lost; every block has as many bits, and the rest of the file is headers."""
    images = [np.full((side, side, 3), 128, np.uint8) for side in (32, 64)]
    case = Case("8", QTables.uniform(8))
    small, large = (small_pictures.measured([image], case) for image in images)
    assert small.quality == large.quality == float("inf")
    assert small.header == large.header
    assert large.size - large.header > small.size - small.header > 0
    file = pyfd.encode(images[0], case.tables, optimize=True)
    assert (small.size, small.case, small.side) == (len(file), "8", 32)
    assert file[int(small.header) - 4 - 12 : int(small.header) - 2 - 12] == b"\xff\xda"


def test_text():
    rows = [Row(32, "8", 30.04, 512, 256), Row(224, "8", 35, 6272, 0)]
    last = small_pictures.text(rows, 5).splitlines()[-1]
    assert last == "| 8 | 30.0 dB | 4.00 | 2.00 | 35.0 dB | 1.00 | 0.00 |"


def test_main(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PYFD_PHOTOS", raising=False)
    monkeypatch.setattr(small_pictures, "SIDES", (32,))
    monkeypatch.setattr(small_pictures, "cases", lambda: [Case("40", QTables.uniform(40))])
    small_pictures.main(["--write", str(tmp_path / "page.md")])
    assert "Means over 4 photographs." in capsys.readouterr().out
    assert "| 40 | " in (tmp_path / "page.md").read_text()
