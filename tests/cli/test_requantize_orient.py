"""`pyfd requantize --orient`."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import pyfd
from tests.cli.samples import DEFAULT, exif, jpeg


@pytest.fixture
def camera(tmp_path):
    """A folder with a photograph on its side, and one whose last 4 rows cannot be turned."""
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "whole.jpg").write_bytes(jpeg(exif=exif(6)))  # 56 by 40 pixels in 4:4:4
    (folder / "odd.jpg").write_bytes(jpeg(exif=exif(6), subsampling="4:2:0"))
    return folder


def size(path):
    header = pyfd.probe(path)
    return header.width, header.height


def test_it_writes_what_the_library_writes(run_binary, camera):
    path = camera / "whole.jpg"
    for name, orient in (("exact", True), ("trim", "trim")):
        outcome = run_binary("requantize", path, "-o", "-", "--orient", name)
        assert outcome == (0, pyfd.requantize(path, DEFAULT, orient=orient), "")
    image = Image.open(io.BytesIO(outcome.out))
    assert image.size == (40, 56)
    assert image.getexif()[0x0112] == 1
    assert ImageOps.exif_transpose(image).size == (40, 56)
    difference = np.asarray(image).astype(int) - pyfd.decode(path, DEFAULT, orient=True)
    assert np.abs(difference).mean() < 4  # of the steps, of which most were transposed


def test_exact_refuses_what_trim_drops(run_binary, camera, tmp_path):
    outcome = run_binary("requantize", camera, "-o", tmp_path / "exact", "--orient", "exact")
    assert outcome.code == 1
    assert "odd.jpg" in outcome.err
    assert "the last 8 rows of 40 cannot move without loss" in outcome.err
    assert [path.name for path in (tmp_path / "exact").glob("*.jpg")] == ["whole.jpg"]
    outcome = run_binary("requantize", camera, "-o", tmp_path / "trim", "--orient", "trim")
    assert outcome.code == 0
    sizes = {path.name: size(path) for path in (tmp_path / "trim").glob("*.jpg")}
    assert sizes == {"whole.jpg": (40, 56), "odd.jpg": (32, 56)}


def test_a_resumed_run_tells_them_apart(run_binary, camera, tmp_path):
    target = tmp_path / "out"
    sizes = []
    for options in ([], ["--orient", "trim"], ["--orient", "trim"]):
        outcome = run_binary("requantize", camera, "-o", target, *options)
        assert outcome.code == 0
        sizes.append(size(target / "whole.jpg"))
    assert sizes == [(56, 40), (40, 56), (40, 56)]
    assert "2 of 2 are done already" in outcome.err


def test_it_needs_a_form(run_binary, camera):
    outcome = run_binary("requantize", camera / "whole.jpg", "-o", "-", "--orient", "yes")
    assert outcome.code == 2
    assert "'exact', 'trim'" in outcome.err
