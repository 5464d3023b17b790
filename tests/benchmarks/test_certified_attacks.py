"""The tables of attacks on certified files: each number must be the one that was measured."""

from __future__ import annotations

import re

import pytest

from benchmarks import certified_attacks, pages, studies
from benchmarks.certified_attacks import ATTACKS, EPSILONS, attacked, many
from benchmarks.studies import MODELS, SIZES
from pyfd.evaluation.attacks import find
from tests.benchmarks.reports import content, shown

ATTACK = find("grid")


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    return {part.folder: content(part) for part in certified_attacks.parts()}


def test_costs_are_what_was_measured():
    part = many(MODELS[0], "model")
    rows = certified_attacks.cost_table(content(part)).splitlines()[2:]
    assert rows[:4] == [
        f"| none | {shown(1)} | – | – |",
        f"| certified:fd-cvpr2019@1 | {shown(2)} | {shown(100)} at ε = 1 | 1.01 |",
        f"| two-pass:certified:1 | {shown(3)} | – | 1.02 |",
        f"| certified:1 | {shown(4)} | {shown(101)} at ε = 1 | 1.03 |",
    ]
    assert rows[-1] == f"| two-pass:pixel-4 | {shown(11)} | {shown(106)} at ε = 4 | 1.10 |"


def test_attacks_stand_beside_the_certified_share():
    contents = {e: content(attacked(MODELS[0], "model", e)) for e in EPSILONS}
    rows = certified_attacks.attack_table(contents).splitlines()[2:]
    assert len(rows) == 2 * len(EPSILONS)
    pgd, bpda, grid = (shown(n) for n in (3, 5, 7))
    assert rows[0] == f"| 1 | none | {shown(1)} | – | {pgd} | {bpda} | {grid} |"
    pgd, bpda, grid = (shown(n) for n in (4, 6, 8))
    assert rows[-1] == f"| 4 | certified:4 | {shown(2)} | {shown(100)} | {pgd} | {bpda} | {grid} |"


def test_what_was_not_measured_is_a_dash():
    """Adaptive attacks have nothing to aim at without a defence."""
    found = content(attacked(MODELS[0], "photo", 2))
    cells = [c for c in found["cells"] if (c["defence"], c["attack"]) != ("none", "bpda")]
    table = certified_attacks.attack_table({2: found | {"cells": cells}})
    (row,) = [line for line in table.splitlines() if line.startswith("| 2 | none ")]
    assert row.split(" | ")[-len(ATTACKS) + 1] == "–"


def test_more_of_each_parameter_is_its_own_attack():
    part = certified_attacks.stronger()
    usual, *others = part.attacks
    assert usual.parameters == ATTACK.parameters
    changed = [set(usual.parameters.items()) - set(a.parameters.items()) for a in others]
    assert [len(difference) for difference in changed] == [1] * len(others)
    rows = certified_attacks.more_table(content(part)).splitlines()[2:]
    assert rows[0] == f"| grid | {shown(2)} | 0 |"
    assert rows[2] == f"| 150 trials | {shown(4)} | 1 |"
    assert rows[-1] == f"| all together | {shown(150)} |  |"


def test_sections_go_between_the_marks_of_their_maker(tmp_path, monkeypatch, contents):
    """The page has another benchmark's part too, which stays."""
    other = "<!-- made by another.py -->\n\ntheirs\n\n<!-- end -->"
    page = tmp_path / "page.md"
    page.write_text(f"{other}\n<!-- made by {certified_attacks.MAKER} -->\nstale{pages.END}\n")
    asked = []

    def run(part, *_):
        asked.append(part)
        return contents[part.folder]

    monkeypatch.setattr(certified_attacks, "Photos", lambda *_: None)
    monkeypatch.setattr(studies, "run", run)
    monkeypatch.setattr(certified_attacks.bracket, "measure", lambda *_: [])
    arguments = ["certified_attacks", "photos", "labels.csv", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--write", str(page)])
    certified_attacks.main()
    text = page.read_text()
    assert text.startswith(other)
    assert "stale" not in text
    assert [part.folder for part in asked] == [p.folder for p in certified_attacks.parts()]
    headings = [f"{model}, at {size}" for size in SIZES.values() for model in MODELS]
    assert re.findall("### Certified defences: (.*)", text) == headings
    assert "### A stronger attack on the grid: " in text
