"""The measurements of planes: both sides of a ratio make the same file, and shares are shares."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pyfd
from benchmarks import pages, planes, yuv_rows
from benchmarks.files import Files
from tests.jpegs import picture


@pytest.fixture
def frame(monkeypatch) -> yuv_rows.Frame:
    monkeypatch.setattr(yuv_rows, "SIZES", {"small": (96, 64)})
    return yuv_rows.frame(Files(), "small")


def test_simplejpeg_writes_our_file(frame):
    assert yuv_rows.encode_planes(frame) == yuv_rows.with_simplejpeg(frame)


def test_a_frame_is_the_same_in_both_forms(frame):
    options = {"mode": "YCbCr", "subsampling": "4:2:0"}
    made = pyfd.encode(frame.planes, yuv_rows.PRESET, **options)
    assert yuv_rows.encode_nv12(frame) == made
    assert pyfd.probe(yuv_rows.through_rgb(frame)).subsampling == "4:2:0"


def test_planes_of_a_file_are_its_decoded_samples():
    given = planes.averaged(picture(64, 48, seed=1))
    data = planes.encode(given, "fd-cvpr2019")
    y, cb, cr = planes.planes_of(data)
    assert np.array_equal(y, pyfd.decode(data, mode="L"))
    for found, drawn in ((y, given[0]), (cb, given[1]), (cr, given[2])):
        assert found.shape == drawn.shape
        assert np.abs(found.astype(int) - drawn).mean() < 12


def test_the_table(tmp_path):
    photo = Image.fromarray(picture(65, 49))
    table = planes.measure([photo])
    lines = table.splitlines()
    assert len(lines) == 2 + len(planes.PRESETS) * len(planes.WAYS)
    cells = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert [way for _, way, *_ in cells[:3]] == list(planes.WAYS)
    assert all(0 <= float(share.rstrip("%")) <= 100 for _, _, *shares in cells for share in shares)
    page = tmp_path / "page.md"
    pages.publish(page, planes.MAKER, table)
    assert table in page.read_text()


def test_what_returns_is_not_counted():
    gray = np.full((16, 16), 128, np.uint8)
    half = gray[:8, :8]
    data = planes.encode((gray, half, half), "fd-cvpr2019")
    other = planes.encode((gray, half + 40, half), "fd-cvpr2019")
    assert planes.changed(data, data).tolist() == [[0, 0], [256, 128]]
    assert planes.changed(data, other).tolist() == [[0, 1], [256, 128]]
