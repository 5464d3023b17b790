"""The reproduction's page: that each number is the one that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import reproduction
from benchmarks.reproduction import MODELS, TWO_PASS, Part
from pyfd.evaluation.attacks import find
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.plan import plan


def content(part: Part) -> dict:
    """A report with a different accuracy in every cell, known by its place."""
    defences = [d if isinstance(d, Defence) else parse(d) for d in part.defences]
    cells = []
    for trial in plan(defences, [find(name) for name in part.attacks], part.epsilons):
        for defence in trial.judged:
            accuracy = (len(cells) + 1) / 200
            names = {"defence": defence.name, "attack": trial.attack.name, "epsilon": trial.epsilon}
            cells.append({**names, "accuracy": accuracy})
    costs = {d.name: 0.0004 if d.name == TWO_PASS else 0.2 for d in defences}
    return {"setting": {"n": part.count}, "cells": cells, "costs": costs}


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    slow = Part("slow", MODELS[0], (TWO_PASS, "tvm"), ("pgd", "cw-l2"), (4,), 20)
    return {f"{p.name}-{p.model}": content(p) for p in (*reproduction.parts(), slow)}


def test_page_shows_what_was_measured(contents, tmp_path):
    text = reproduction.page(contents, tmp_path)
    strong = contents[f"strong-{MODELS[1]}"]
    benign, pgd = (
        100 * reproduction.cell(strong, TWO_PASS, attack, epsilon)
        for attack, epsilon in (("benign", None), ("pgd", 4))
    )
    assert benign != pgd
    (row,) = [line for line in section(text, MODELS[1]) if line.startswith(f"| {TWO_PASS} ")]
    assert row.endswith(f" {pgd:.1f} |")
    adaptive = contents[f"adaptive-{MODELS[0]}"]
    grid = 100 * reproduction.cell(adaptive, TWO_PASS, "grid", 4)
    (row,) = [line for line in section(text, MODELS[0]) if line.startswith(f"| {TWO_PASS} ")]
    assert row.endswith(f" {grid:.1f} |")
    assert "| tvm | 200.00 | 500.0 |" in text
    for name in ("steps.png", "protected.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200


def section(text: str, title: str) -> list[str]:
    """The lines under the first heading that begins so."""
    return text.partition(f"### {title}")[2].partition("###")[0].splitlines()


def test_what_was_not_measured_is_a_dash(contents):
    """Never a number of another cell's."""
    table = reproduction.table([contents[f"headline-{MODELS[0]}"]], [("bim", 8), ("benign", None)])
    rows = table.splitlines()[2:]
    assert len(rows) == 9
    assert all(row.split(" | ")[1] == "–" and row.split(" | ")[2] != "– |" for row in rows)


def test_page_goes_between_its_marks(tmp_path, monkeypatch, contents):
    """And leaves what a person wrote."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{reproduction.BEGIN}old{reproduction.END}\n\nafter\n")
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(reproduction, "Photos", lambda *_: None)
    monkeypatch.setattr(reproduction, "slow", lambda _: Part("slow", MODELS[0], (), (), ()))
    monkeypatch.setattr(reproduction, "run", lambda part, *_: contents[f"{part.name}-{part.model}"])
    arguments = ["reproduction", "photos", "labels.csv", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--write", str(page)])
    reproduction.main()
    text = page.read_text()
    assert text.startswith("before\n\n" + reproduction.BEGIN)
    assert text.endswith(reproduction.END + "\n\nafter\n")
    assert "old" not in text
    assert MODELS[1] in text
    assert Path(tmp_path / "images" / "steps.png").exists()
