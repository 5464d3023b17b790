"""The cost of certified files: each number must be the one that was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from benchmarks import certified, certified_slack, pages
from benchmarks.certified import Case
from benchmarks.certified_files import Cost, pair, psnr, summary
from pyfd import QTables
from tests.benchmarks.toys import Brightest, photographs
from tests.jpegs import picture

TABLES = QTables.uniform(24)


# ---- one photograph ------------------------------------------------------------


def contrasted(photo: np.ndarray, factor: int = 2) -> np.ndarray:
    """Return a picture with pixels at 0 and 255, where blocks seldom hold."""
    return (128 + factor * (photo.astype(int) - 128)).clip(0, 255).astype(np.uint8)


def sunlit(width: int = 40, height: int = 24) -> np.ndarray:
    return contrasted(picture(width, height, seed=1))


def test_cost_is_that_of_the_two_files():
    photo = sunlit()
    plain, file = (pyfd.encode(photo, TABLES, radius=radius) for radius in (None, 1))
    found = pair(photo, TABLES, 1)
    assert (found.plain == pyfd.decode(plain)).all()
    assert (found.certified == pyfd.decode(file)).all()
    cost = found.cost
    held = pyfd.certify(found.plain, TABLES).blocks > 1
    # Blocks of 4:4:4 files are decoded alone, so other coefficients give other pixels here
    pixels = (found.plain != found.certified).reshape(3, 8, 5, 8, 3).any((1, 3, 4))
    assert (cost.blocks, cost.held, cost.changed) == (15, held.sum(), pixels.sum())
    assert 0 < cost.changed == (~held).sum() < 15
    clipped = np.isin(found.plain, (0, 255)).reshape(3, 8, 5, 8, 3).any((1, 3, 4))
    assert cost.whole == (pixels & ~clipped).sum()
    assert (cost.bytes, cost.plain_bytes, cost.pixels) == (len(file), len(plain), 40 * 24)
    error = np.mean((found.certified.astype(float) - photo) ** 2)
    assert cost.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert cost.plain_psnr == psnr(photo, found.plain) > cost.psnr
    assert cost.certified


def test_padded_and_clipped_blocks_are_not_whole():
    """With a step that leaves no room for rounding, gray blocks change too."""
    photo = np.full((20, 17, 3), 100, np.uint8) + np.arange(17, dtype=np.uint8)[:, np.newaxis]
    photo[:8, :8] = 255
    cost = pair(photo, QTables.uniform(17), 1).cost
    held = pyfd.holds(pyfd.decode(pyfd.encode(photo, QTables.uniform(17))), QTables.uniform(17), 1)
    assert cost.changed == (~held).sum()
    assert cost.whole == (~held[:2, :2]).sum() - (not held[0, 0]) > 0


def test_huffman_tables_may_be_made_for_each_file():
    photo = sunlit()
    cost = pair(photo, TABLES, 1, optimize=True).cost
    assert cost.bytes == len(pyfd.encode(photo, TABLES, radius=1, optimize=True))
    assert cost.plain_bytes == len(pyfd.encode(photo, TABLES, optimize=True))
    assert cost.certified


def test_a_file_that_does_not_hold_is_not_certified(monkeypatch):
    real = pyfd.encode
    monkeypatch.setattr(pyfd, "encode", lambda image, tables, **_: real(image, tables))
    cost = pair(sunlit(), TABLES, 1).cost
    assert not cost.certified
    assert cost.changed == 0


def test_a_file_that_does_not_come_back_is_not_certified(monkeypatch):
    """Even if every block holds: another encoding must not pass for the file."""
    real = pyfd.encode
    files = iter([real(sunlit(), TABLES), real(sunlit(), TABLES, radius=1), b"another"])
    monkeypatch.setattr(pyfd, "encode", lambda *_, **__: next(files))
    assert not pair(sunlit(), TABLES, 1).cost.certified


def test_equal_pictures_have_no_error():
    assert psnr(sunlit(), sunlit()) == float("inf")


# ---- many photographs ----------------------------------------------------------

COSTS = [
    Cost(True, 10, 10, 0, 0, 33.0, 33.0, 100, 100, 640),
    Cost(True, 30, 20, 12, 1, 30.0, 32.5, 150, 200, 1920),
    Cost(False, 60, 54, 3, 1, 28.5, 29.0, 340, 300, 3840),
]


def test_summary_weighs_blocks_and_photographs():
    found = summary(COSTS)
    assert (found.photos, found.certified, found.before) == (3, 2, 1)
    assert (found.held, found.changed, found.whole) == (0.84, 0.15, 0.02)
    assert (found.psnr, found.plain_psnr) == (30.5, 31.5)
    assert (found.loss, found.loser) == (2.5, 1)
    assert found.bytes == pytest.approx(590 / 600)
    assert found.bits == pytest.approx((800 / 640 + 1200 / 1920 + 2720 / 3840) / 3)


def test_tables_name_the_worst_photographs():
    names = ["a.png", "n01_barn_owl.JPEG", "c.png"]
    case = Case("24 everywhere", TABLES, 1)
    (row,) = certified.cost_table({case: COSTS}, names).splitlines()[2:]
    assert row == (
        "| 24 everywhere, ε = 1 | 84.0 % | 1 → 2 of 3 | 15.0 % | 2.0 % | 31.50 → 30.50 "
        "| 2.5 dB (barn owl) | 0.983 |"
    )
    (row,) = certified.time_table({case: [1.0, 2.0, 9.0]}, names).splitlines()[2:]
    assert row == "| 24 everywhere, ε = 1 | 2.0 | 7.6 | 9.0 (c) |"


@pytest.mark.parametrize(("width", "height", "size"), [(45, 31, (24, 40)), (40, 7, (7, 40))])
def test_photographs_are_cropped_to_whole_blocks(width, height, size):
    """A side that has no whole block stays as it is."""
    photo = picture(width, height)
    found = certified.cropped(photo)
    assert found.shape[:2] == size
    assert (found == photo[: size[0], : size[1]]).all()


def test_times_are_of_each_photograph_alone(monkeypatch):
    photos = [sunlit(), sunlit(16, 16)]
    factors = iter([2.0, 3.0, 9.0, 7.0, 5.0, 6.0])

    def cpu_seconds(call, photo, tables):
        file = call(photo, tables)
        if file == pyfd.encode(photo, TABLES):
            return 0.25
        assert file == pyfd.encode(photo, TABLES, radius=1)
        return 0.25 * next(factors)

    monkeypatch.setattr(certified, "cpu_seconds", cpu_seconds)
    assert certified.ratios(photos, Case("x", TABLES, 1)) == [3, 6]


# ---- the slack -----------------------------------------------------------------


def test_answers_are_those_on_the_certified_photographs(monkeypatch):
    photos, labels = photographs(5)
    photos = [contrasted(photo[:24, :24], 3) for photo in photos]
    labels = labels.copy()
    labels[0] = 1 - labels[0]  # one answer is wrong
    monkeypatch.setattr(certified_slack, "BATCH", 2)
    costs, answers = certified_slack.tried(Brightest(), photos, labels, TABLES, 1)
    assert costs == [pair(photo, TABLES, 1, optimize=True).cost for photo in photos]
    certainties = []
    for photo, label in zip(photos, labels, strict=True):
        seen = pyfd.decode(pyfd.encode(photo, TABLES, radius=1))
        logits = 20 * seen.reshape(-1, 3).mean(0) / 255
        certainties.append((np.exp(logits) / np.exp(logits).sum())[label])
    assert answers.right == answers.plain_right == 0.8
    assert answers.certainty == pytest.approx(np.mean(certainties), abs=1e-6)
    assert answers.plain_certainty != pytest.approx(answers.certainty, abs=1e-4)


# ---- the page ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of photographs of two sizes, and a page with the part of the benchmark."""
    pixels, labels = photographs(6)
    (tmp_path / "photos").mkdir()
    (tmp_path / "images").mkdir()
    lines = ["file,label"]
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image[:, :21]).save(tmp_path / "photos" / f"n{number}_toy_{number}.png")
        lines.append(f"n{number}_toy_{number}.png,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    page = f"before\n\n<!-- made by {certified.MAKER} -->\nstale{pages.END}\n\nafter\n"
    (tmp_path / "page.md").write_text(page)
    return tmp_path


def test_everything_is_measured_and_published(folder, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.studies.models.load", lambda _: Brightest().eval())
    monkeypatch.setattr(certified, "cases", lambda: [Case("24 everywhere", TABLES, 1)])
    monkeypatch.setattr(certified_slack, "EPSILONS", (1, 2))
    monkeypatch.setattr(certified_slack, "SLACKS", (8, 12))
    arguments = [folder / "photos", folder / "labels.csv", "--output", folder / "made" / "here"]
    arguments += ["--write", folder / "page.md"]
    monkeypatch.setattr(sys, "argv", ["certified", *map(str, arguments)])
    certified.main()
    text = (folder / "page.md").read_text()
    assert text.startswith(f"before\n\n<!-- made by {certified.MAKER} -->\n")
    assert text.endswith(f"{pages.END}\n\nafter\n")
    assert "stale" not in text
    assert text.count("| 24 everywhere, ε = 1 |") == 3
    assert "→ 6 of 6" in text
    kept = json.loads((folder / "made" / "here" / "certified.json").read_text())
    own = kept["costs"][certified.OWN]["24 everywhere, ε = 1"]
    assert [cost["blocks"] for cost in own] == [9, 9, 9, 9, 9, 9]
    whole = kept["costs"][certified.CROPPED]["24 everywhere, ε = 1"]
    assert [cost["blocks"] for cost in whole] == [6, 6, 6, 6, 6, 6]
    assert [(p["epsilon"], p["slack"]) for p in kept["slack"]] == [(1, 8), (1, 12), (2, 8), (2, 12)]
    for point in kept["slack"]:
        steps = QTables.certified(point["epsilon"], slack=point["slack"]).array
        start = f"| {point['epsilon']} | {point['slack']} | {steps.min()}–{steps.max()} |"
        (row,) = [line for line in text.splitlines() if line.startswith(start)]
        assert f"→ {100 * point['right']:.1f} % |" in row
    with Image.open(folder / "images" / "slack.png") as drawn:
        assert min(drawn.size) > 200
    assert "| 24 everywhere, ε = 1 |" in capsys.readouterr().out
