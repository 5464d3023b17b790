"""Studies of several parts: run in order, and written to their page after each."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import autoattack, certified_attacks, reproduction, studies, trade
from benchmarks.studies import Part
from pyfd.evaluation.attacks import ATTACKS
from tests.benchmarks.reports import content, defences, share

PARTS = [Part(name, "model", ("none",), (), (), 3) for name in ("first", "second", "third")]


def arguments(folder: Path) -> argparse.Namespace:
    page = folder / "page.md"
    page.write_text("before\n\n<!-- made by maker -->\n\nold\n\n<!-- end -->\n\nafter\n")
    return argparse.Namespace(photos=Path("photos"), output=folder / "out", write=page)


def test_the_page_is_written_after_each_part(tmp_path, monkeypatch, capsys):
    pages = []

    def run(part, photos, output, name):
        pages.append((tmp_path / "page.md").read_text())
        assert (photos, output, name) == (None, tmp_path / "out", "photos")
        return content(part)

    monkeypatch.setattr(studies, "run", run)
    given = arguments(tmp_path)
    found = studies.conduct(PARTS, None, given, "maker", lambda so_far: " + ".join(so_far))
    assert list(found) == ["first-model", "second-model", "third-model"]
    first, second, third = (page.split("\n\n")[2:-2] for page in pages)
    assert first == ["old"]
    assert second[0].endswith("Accuracy in %. Not run yet: second-model, third-model.")
    assert second[1] == "first-model"
    assert third[1] == "first-model + second-model"
    last = given.write.read_text()
    assert last.startswith("before\n")
    assert last.endswith("\nafter\n")
    assert "Not run" not in last
    assert "first-model + second-model + third-model" in last
    assert "first-model + second-model + third-model" in capsys.readouterr().out


def test_without_a_page_the_end_is_printed(tmp_path, monkeypatch, capsys):
    given = arguments(tmp_path)
    before, given.write = given.write.read_text(), None
    monkeypatch.setattr(studies, "run", lambda part, *_: content(part))
    studies.conduct(PARTS[:1], None, given, "maker", lambda _: "sections")
    assert (tmp_path / "page.md").read_text() == before
    assert capsys.readouterr().out.endswith("Accuracy in %.\n\nsections\n")


@pytest.mark.parametrize("study", [autoattack, certified_attacks, reproduction, trade])
def test_every_part_has_a_folder_of_its_own(study):
    parts = study.parts()
    assert len({part.folder for part in parts}) == len(parts)
    assert {a for part in parts for a in part.attacks if isinstance(a, str)} <= set(ATTACKS)


@pytest.mark.parametrize("study", [autoattack, certified_attacks, reproduction, trade])
def test_a_page_of_some_parts_shows_those(study, tmp_path, monkeypatch):
    """Whatever has been run: sections never need a report that there is not."""
    monkeypatch.setattr(autoattack, "draw", lambda *_: None)  # it needs a whole report
    contents = {}
    costs = {
        d.name: {"camera": 1.0, "reader": 1.0, "jpeg-xl": 7.0} for d in defences(trade.kept())[1:]
    }
    pictures = (tmp_path,)
    needed = {autoattack: pictures, reproduction: pictures, trade: (costs, *pictures)}
    options = needed.get(study, ())
    shown = []
    for part in study.parts():
        contents[part.folder] = content(part)
        shown.append(len(study.page(contents, *options)))
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_shares_are_in_percent_with_their_interval():
    found = {"cells": [{"defence": "d", "attack": "pgd", "epsilon": 4, **share(51)}]}
    assert studies.percent(studies.find(found, "d", "pgd", 4)) == "25.5 (25–26)"
    for other in (("e", "pgd", 4), ("d", "bim", 4), ("d", "pgd", 2), ("d", "pgd", None)):
        assert studies.percent(studies.find(found, *other)) == "–"
    promise = {"epsilon": 2, **share(51)}
    assert studies.promised(promise) == "25.5 (25–26) at ε = 2"
    assert studies.promised(None) == "–"
    left = {"together": [{"defence": "d", "epsilon": 4, **share(3)}]}
    assert studies.percent(studies.together(left, "d", 4)) == "1.5 (1–2)"
    assert studies.together(left, "d", 2) is None
