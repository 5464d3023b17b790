"""The rows of the target table: every one can be measured."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn, idctn

import pyfd
from benchmarks import certificate_rows, memory, peers, speed
from benchmarks.files import Files
from benchmarks.rows import ROWS, rows
from benchmarks.timing import Effort
from tests.jpegs import picture

ONCE = Effort(seconds=0, rounds=1)


@pytest.fixture(scope="module")
def files() -> Files:
    return Files()


def test_rows_and_cases_have_names_of_their_own(files):
    made = rows(files)
    assert len({row.key for row in made}) == len(ROWS)
    for row in made:
        labels = [case.label for case in row.cases]
        assert len(set(labels)) == len(labels) > 1


def test_quick_keeps_a_case_of_each_bound(files):
    for whole, quick in zip(rows(files), rows(files, quick=True), strict=True):
        assert {c.bounds for c in quick.cases} == {c.bounds for c in whole.cases}
        assert len(quick.cases) <= 5


@pytest.mark.parametrize("make", ROWS, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore")  # from ART and kornia, when they are imported
def test_first_case_of_a_row_can_be_measured(files, make):
    found = speed.measure(make(files).cases[0], ONCE)
    assert "unmeasured" in found or (found["value"] > 0 and found["low"] <= found["high"])


def test_the_median_photograph_is_repeated(files, monkeypatch):
    monkeypatch.setattr(certificate_rows, "SIZES", {"0.25 MP": (40, 24), "12 MP": (96, 56)})
    small = certificate_rows.photos(files, "0.25 MP", 1)
    assert [photo.shape for photo in small] == [(24, 40, 3)] * len(files.originals)
    shares = [certificate_rows.share(photo, 1) for photo in small]
    assert len(set(shares)) > 2
    (large,) = certificate_rows.photos(files, "12 MP", 1)
    assert large.shape == (56, 96, 3)
    median = small[shares.index(sorted(shares)[len(small) // 2])]
    assert (large[:24, :40] == median).all()
    assert (large[24:48, 40:80] == median).all()


@pytest.mark.parametrize("radius", [None, 1])
def test_memory_beyond_a_file_is_bounded(radius):
    """A hundred rows of blocks take no more than one row, a megabyte being many rows."""
    data = pyfd.encode(np.zeros((8, 4096, 3), np.uint8), "fd-cvpr2019")
    more = pyfd.encode(np.zeros((800, 4096, 3), np.uint8), "fd-cvpr2019")
    few, many = (memory.beyond("encode", each, "fd-cvpr2019", radius) for each in (data, more))
    assert many - few < 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tensors", [False, True])
def test_twin_runs_the_way_that_it_says(files, monkeypatch, tensors):
    import pyfd.torch
    from benchmarks import twin

    calls = []
    real = pyfd.torch.FeatureDistillation._in_tensors

    def spy(self, images):
        calls.append(len(images))
        return real(self, images)

    monkeypatch.setattr(pyfd.torch.FeatureDistillation, "_in_tensors", spy)
    variant = next(v for v in twin.variants() if v.tensors == tensors)
    twin.measure(variant, files.photos("224×224"), ONCE)
    assert bool(calls) is tensors


def test_reference_is_the_papers_arithmetic():
    pixels = picture(24, 16, seed=3)
    steps = np.linspace(7, 31, 64).reshape(8, 8) * np.pi / 3  # no ties in rounding
    blocks = pixels.reshape(2, 8, 3, 8, 3).astype(float)
    coefficients = dctn(blocks, axes=(1, 3), norm="ortho")
    grid = steps[None, :, None, :, None]
    expected = idctn(np.round(coefficients / grid) * grid, axes=(1, 3), norm="ortho")
    expected = expected.round().clip(0, 255).astype(np.uint8).reshape(16, 24, 3)
    assert (peers.reference_arithmetic(pixels, steps) == expected).all()
