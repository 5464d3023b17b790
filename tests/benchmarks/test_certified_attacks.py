"""The tables of attacks on certified files: each number must be the one that was measured."""

from __future__ import annotations

import re

import pytest

from benchmarks import certified_attacks, pages
from benchmarks.certified_attacks import ATTACKS, CERTIFIED, EPSILONS, PLAIN, SIZES, attacked, many
from benchmarks.reproduction import MODELS, Part


def content(part: Part) -> dict:
    """Return a report with a different number in every place."""
    strengths = dict.fromkeys(part.attacks, part.epsilons) | {"benign": (None,)}
    places = [
        {"defence": defence, "attack": attack, "epsilon": epsilon}
        for attack in ("benign", *part.attacks)
        for epsilon in strengths[attack]
        for defence in part.defences
    ]
    cells = [{**place, "accuracy": (n + 1) / 200} for n, place in enumerate(places)]
    promising = [name for name in part.defences if name.startswith("certified") or "pixel" in name]
    certified = {
        name: {"epsilon": int(name[-1]), "accuracy": 0.5 + n / 200}
        for n, name in enumerate(promising)
    }
    rates = {name: 1 + n / 100 for n, name in enumerate(part.defences) if name != "none"}
    return {
        "setting": {"n": part.count},
        "cells": cells,
        "certified": certified,
        "rates": rates,
    }


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    return {part.folder: content(part) for part in certified_attacks.parts()}


def test_every_part_has_a_folder_of_its_own(contents):
    assert len(contents) == len(certified_attacks.parts()) == 2 * len(MODELS) * (1 + len(EPSILONS))


def test_costs_are_what_was_measured():
    part = many(MODELS[0], "model")
    rows = certified_attacks.cost_table(content(part)).splitlines()[2:]
    assert rows[:4] == [
        "| none | 0.5 | – | – |",
        "| certified:fd-cvpr2019@1 | 1.0 | 50.0 (ε = 1) | 1.01 |",
        "| two-pass:certified:1 | 1.5 | – | 1.02 |",
        "| certified:1 | 2.0 | 50.5 (ε = 1) | 1.03 |",
    ]
    assert rows[-1] == "| two-pass:pixel-4 | 5.5 | 53.0 (ε = 4) | 1.10 |"


def test_attacks_stand_beside_the_certified_share():
    contents = [content(attacked(MODELS[0], "model", epsilon)) for epsilon in EPSILONS]
    rows = certified_attacks.attack_table(contents).splitlines()[2:]
    assert len(rows) == 3 * len(EPSILONS)
    assert rows[:3] == [
        "| 1 | none | 0.5 | – | 2.0 | 3.5 | 5.0 |",
        "| 1 | two-pass:certified:1 | 1.0 | – | 2.5 | 4.0 | 5.5 |",
        "| 1 | certified:1 | 1.5 | 50.0 | 3.0 | 4.5 | 6.0 |",
    ]
    assert [row.split(" | ")[1] for row in rows[-2:]] == [PLAIN.format(4), CERTIFIED.format(4)]


def test_what_was_not_measured_is_a_dash():
    """Adaptive attacks have nothing to aim at without a defence."""
    found = content(attacked(MODELS[0], "photo", 2))
    cells = [c for c in found["cells"] if (c["defence"], c["attack"]) != ("none", "bpda")]
    empty = content(attacked(MODELS[0], "photo", 1)) | {"cells": []}
    table = certified_attacks.attack_table([empty, found | {"cells": cells}, empty])
    (row,) = [line for line in table.splitlines() if line.startswith("| 2 | none ")]
    assert row.split(" | ")[-len(ATTACKS) + 1] == "–"


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
    monkeypatch.setattr(certified_attacks, "run", run)
    monkeypatch.setattr(certified_attacks.bracket, "measure", lambda *_: [])
    arguments = ["certified_attacks", "photos", "labels.csv", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--write", str(page)])
    certified_attacks.main()
    text = page.read_text()
    assert text.startswith(other)
    assert "stale" not in text
    assert asked == certified_attacks.parts()
    headings = [f"{model}, at {size}" for size in SIZES.values() for model in MODELS]
    assert re.findall("### Certified defences: (.*)", text) == headings
