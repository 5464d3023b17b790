"""Filters after decoding: what they move, and the numbers of the page."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import pyfd
from benchmarks import deblocking, pages
from benchmarks.deblocking import FILTERS, Answers
from pyfd import QTables
from tests.benchmarks.toys import Brightest
from tests.jpegs import picture

TABLES = QTables.uniform(32)
OF_EDGES = [name for name in FILTERS if name.startswith("H.26")]


def columns(*levels: int, height: int = 8) -> np.ndarray:
    """A picture whose columns have one level each."""
    return np.tile(np.array(levels, np.uint8)[None, :, None], (height, 1, 3))


def test_ramp_by_hand():
    """d = (100 - 4·100 + 4·104 - 104)/8 = 1.5; the outer samples move by 0.75."""
    before = columns(*[100] * 8, *[104] * 8)
    after = deblocking.ramp(before, TABLES, share=1)
    assert (after == columns(*[100] * 6, 101, 102, 102, 103, *[104] * 6)).all()


@pytest.mark.parametrize(("step", "moved"), [(9, 3), (12, 1), (17, 0), (40, 0)])
def test_ramp_leaves_edges_of_the_picture(step, moved):
    """With the strength 4: d is 3/8 of the step; 3.375 moves all, 4.5 less, 6.4 hardly any."""
    before = columns(*[100] * 8, *[100 + step] * 8)
    after = deblocking.ramp(before, TABLES, share=1)
    size = 3 * step / 8
    expected = max(0, size - max(0, 2 * (size - 4)))
    assert after[0, 7, 0] - 100.0 == pytest.approx(expected, abs=0.5)
    assert (after[0, 7, 0] - 100.0 >= moved) or not moved


def test_normal_by_hand():
    """(4·8 + 100 - 108)/8 = 3 of the 8 levels, on both sides; not if the edge is sharper."""
    before = columns(*[100] * 8, *[108] * 8)
    after = deblocking.normal(before, TABLES, share=1)
    assert (after == columns(*[100] * 7, 103, 105, *[108] * 7)).all()
    sharp = columns(*[100] * 8, *[132] * 8)
    assert (deblocking.normal(sharp, TABLES, share=1) == sharp).all()
    textured = columns(*[100] * 7, 109, *[108] * 8)
    assert (deblocking.normal(textured, TABLES, share=1) == textured).all()


@pytest.mark.parametrize("name", OF_EDGES)
def test_filters_of_edges_move_only_edges(name):
    image = pyfd.decode(pyfd.encode(picture(44, 29), TABLES))
    after = FILTERS[name](image, TABLES)
    inner = np.zeros(image.shape[:2], bool)
    for start in range(0, 24, 8):
        for left in range(0, 40, 8):
            inner[start + 2 : start + 6, left + 2 : left + 6] = True
    inner[:2, 2:6] = inner[2:6, :2] = inner[24:, 40:] = True  # no edge of a whole block is near
    assert (after[inner] == image[inner]).all()
    assert (after != image).any()


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(7, 13), (8, 8), (1, 1), (33, 16)])
def test_filters_take_any_size_and_leave_flat_pictures(name, size):
    flat = np.full((*size, 3), 77, np.uint8)
    assert (FILTERS[name](flat, TABLES) == flat).all()


@pytest.mark.parametrize("name", OF_EDGES)
def test_filters_make_coarse_pictures_better(name):
    y, x = np.mgrid[:64, :64]
    smooth = np.stack([(60 + 1.9 * x + 0.5 * y).astype(np.uint8)] * 3, axis=2)
    coarse = QTables.uniform(200)
    decoded = pyfd.decode(pyfd.encode(smooth, coarse))
    errors = [
        np.abs(image - 1.0 * smooth).mean() for image in (decoded, FILTERS[name](decoded, coarse))
    ]
    assert errors[1] < errors[0]


def test_everything_is_measured_and_published(photographs_folder, monkeypatch):
    folder, labels = photographs_folder
    monkeypatch.setattr("benchmarks.studies.models.load", lambda _: Brightest().eval())
    monkeypatch.setattr(deblocking, "EPSILONS", (1, 4))
    monkeypatch.setattr(deblocking, "PLACES", (("toy", "model"), ("toy", "photo")))
    page = folder / "page.md"
    page.write_text(f"before\n\n<!-- made by {deblocking.MAKER} -->\nold{pages.END}\n\nafter\n")
    arguments = [folder / "photos", folder / "labels.csv", "--output", folder / "made" / "here"]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments), "--write", str(page)])
    deblocking.main()
    text = page.read_text()
    assert text.startswith("before\n\n")
    assert text.endswith(f"{pages.END}\n\nafter\n")
    assert text.count("| 4 |") == text.count("| 1 |") == 2 * (1 + len(FILTERS))
    assert text.count("### toy, at ") == 2
    kept = json.loads((folder / "made" / "here" / "deblocking.json").read_text())["answers"]
    kept = kept[f"toy, at its input size, {len(labels)} photographs"]
    right, certainty = kept["4"]["none"]
    assert len(right) == len(labels)
    assert f"| 4 | none | {100 * np.mean(right):.1f} % |" in text
    seen = [np.exp(20 * image.mean((0, 1)) / 255) for image in certified(folder, labels)]
    expected = [s[label] / s.sum() for s, label in zip(seen, labels, strict=True)]
    assert certainty == pytest.approx(expected, abs=1e-5)


def certified(folder, labels) -> list[np.ndarray]:
    """The pixels of the certified files at ε = 4."""
    photos = [pyfd.evaluation.dataset.load(folder / "photos", folder / "labels.csv").pixels][0]
    small = [pyfd.evaluation.dataset.at_input_size(x, 24) for x in photos]
    assert len(small) == len(labels)
    tables = QTables.certified(4)
    return [pyfd.decode(pyfd.encode(x, tables, radius=4)) for x in small]


def test_gains_are_against_no_filter():
    before = Answers(np.array([True, False, False, True]), np.array([0.6, 0.2, 0.3, 0.5]))
    after = Answers(np.array([True, True, True, False]), np.array([0.7, 0.5, 0.6, 0.4]))
    lines = deblocking.table({2: {"none": before, "x": after}}).splitlines()
    assert lines[2] == "| 2 | none | 50.0 % |  |  |"
    assert lines[3].startswith("| 2 | x | 75.0 % | +25.0 (")
    assert "| +15.0 (" in lines[3]
