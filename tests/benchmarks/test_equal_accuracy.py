"""The comparison at equal accuracy, with a model that takes milliseconds."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

import pyfd
from benchmarks import equal_accuracy, pages
from pyfd import QTables
from tests.benchmarks.toys import CLASSES, Brightest, photographs

# ---- choosing the tables ------------------------------------------------------


def test_certainty_is_the_mean_probability_of_the_right_class():
    images, labels = photographs(7)
    model, tables = Brightest(), QTables.uniform(20)
    probabilities = []
    for image, label in zip(images, labels, strict=True):
        seen = pyfd.decode(pyfd.encode(image, tables), tables)
        logits = 20 * seen.reshape(-1, 3).mean(0) / 255
        probabilities.append((np.exp(logits) / np.exp(logits).sum())[label])
    found = equal_accuracy.certainty(model, images, labels, tables)
    assert found == pytest.approx(np.mean(probabilities), abs=1e-6)
    assert min(probabilities) > 1 / CLASSES  # the labels matter
    assert equal_accuracy.certainty(model, images, (labels + 1) % CLASSES, tables) < found


@pytest.mark.parametrize("last", range(9))
def test_the_strongest_member_that_fits_is_found(last):
    members = [QTables.uniform(step) for step in range(1, 10)]
    asked = []

    def fits(tables: QTables) -> bool:
        asked.append(tables)
        return bool(tables[0][0, 0] <= last + 1)

    assert equal_accuracy.strongest(members, fits) == members[last]
    assert len(asked) <= 4


def test_each_family_stays_within_the_budget(tmp_path):
    """The score falls with the mean step, so every family goes exactly as far as it may."""

    def score(tables: QTables) -> float:
        return 1 - float(np.clip(tables.array - 1.0, 0, None).mean()) / 1000

    found = equal_accuracy.chosen_tables(score, photographs(4)[0], tmp_path / "trials.jsonl")
    least = 1 - equal_accuracy.BUDGET
    assert list(found) == [
        "refined",
        "for_threat, 6 protected",
        "for_threat",
        "uniform step",
        "IJG quality",
    ]
    assert all(score(tables) >= least - 1e-9 for tables in found.values())
    assert found["uniform step"] == QTables.uniform(11)
    assert score(QTables.annex_k(int(found["IJG quality"].name.rpartition("-")[2]) - 1)) < least


def test_the_log_of_another_score_is_refused(tmp_path):
    """Even if both are equal with steps of 1."""

    def score(tables: QTables) -> float:
        return float(tables.array.max() == 1)

    def other(tables: QTables) -> float:
        return float(tables.array.min() == 1)

    log = tmp_path / "trials.jsonl"
    equal_accuracy.chosen_tables(score, photographs(4)[0], log)
    before = log.read_bytes()
    assert equal_accuracy.chosen_tables(score, photographs(4)[0], log)
    with pytest.raises(ValueError, match=r"trials\.jsonl is not a log of this search: other key"):
        equal_accuracy.chosen_tables(other, photographs(4)[0], log)
    assert log.read_bytes() == before


# ---- the page -----------------------------------------------------------------


def test_cells_are_percentages_with_intervals():
    assert equal_accuracy.percent({"accuracy": 0.5, "interval": [0.401, 0.599]}) == "50.0 (40–60)"


def test_tables_are_described_by_their_steps():
    assert equal_accuracy.describe(QTables.uniform(12)) == "uniform-12: steps 12"
    assert equal_accuracy.describe(QTables.annex_k(77)) == "annex-k-77: steps 5–56, 8–46"


@pytest.mark.usefixtures("undrawn")
def test_the_table_is_measured_and_published(tmp_path, monkeypatch, capsys):
    pixels, labels = photographs(12)
    folder, page, output = tmp_path / "photos", tmp_path / "page.md", tmp_path / "made" / "here"
    folder.mkdir()
    lines = ["file,label"]
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image).save(folder / f"{number}.png")
        wrong = number >= 9  # the model does not get these right
        lines.append(f"{number}.png,{(label + wrong) % CLASSES}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    page.write_text(f"before\n<!-- made by {equal_accuracy.MAKER} -->\n{pages.END}\nafter\n")

    def choose(score, images, log) -> dict[str, QTables]:
        assert (len(images), log) == (5, output / "trials.jsonl")
        assert 0 < score(QTables.uniform(1)) < 1
        return {"some": QTables.uniform(12), "same": QTables.uniform(12), "IJG": QTables.annex_k(5)}

    monkeypatch.setattr(equal_accuracy, "chosen_tables", choose)
    monkeypatch.setattr(equal_accuracy.models, "load", lambda _: Brightest().eval())
    monkeypatch.setattr(equal_accuracy, "CORES", 1)
    arguments = [str(folder), str(tmp_path / "labels.csv"), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["equal_accuracy", *arguments, "--write", str(page)])
    equal_accuracy.main()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert (
        "9 of 12 photographs that the model gets right: 5 for the search, 4 held out." in lines[3]
    )
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in lines if line.startswith("| ")}
    assert rows["| tables"] == ["benign", "PGD ε = 1", "PGD ε = 2", "PGD ε = 4", "which |"]
    assert list(rows)[1:] == ["| some", "| same", "| IJG", "| none"]
    assert rows["| some"] == rows["| same"]
    assert rows["| some"][-1] == "uniform-12: steps 12 |"
    assert rows["| none"][0] == "100.0 (51–100)"
    cells = json.loads((output / "report.json").read_text())["cells"]
    assert len(cells) == 3 * 4  # three defences, benign and three strengths
    by_place = {(c["defence"], c["attack"], c["epsilon"]): c["accuracy"] for c in cells}
    assert rows["| IJG"][3].startswith(f"{100 * by_place['two-pass:annex-k-5', 'pgd', 4]:.1f} (")
    assert "| some |" in capsys.readouterr().out
