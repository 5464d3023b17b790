"""The figure and the tables of the trade: each number must be the one that was measured."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from benchmarks import pages, studies, trade
from benchmarks.trade import EPSILONS, attacked, kept, plain, tables
from pyfd.evaluation import evaluate
from pyfd.evaluation.defences import parse
from tests.benchmarks import reports
from tests.benchmarks.reports import content, shown
from tests.benchmarks.toys import Brightest, photographs


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    return {part.folder: content(part) for part in trade.parts()}


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, float]]:
    found = {}
    for n, name in enumerate(d.name for d in reports.defences(kept())[1:]):
        found[name] = {"camera": 1 + n, "reader": 0.5 + n}
        if "pixel-" in name:
            found[name]["jpeg-xl"] = 7.25
    return found


def test_rows_are_what_was_measured(contents, costs):
    report = contents[kept().folder]
    rows = trade.rows(report, costs)
    assert [row.defence for row in rows] == [d.name for d in reports.defences(kept())[1:]]
    first = rows[0]
    assert (first.defence, first.bits) == (tables(1, 1), 1.01)
    assert (first.camera, first.reader, first.benign["correct"]) == (1, 0.5, 2)
    table = trade.cost_table(rows)
    assert f"| 1.01 | 1.00 | 0.50 | {shown(2)} | {shown(100)} at ε = 1 |" in table
    assert table.splitlines()[2].startswith(f"| {rows[0].defence} ")  # the smallest files first


def test_the_equal_grid_certifies_the_strength(contents, costs):
    rows = trade.rows(contents[kept().folder], costs)
    lines = trade.equal_table(rows).splitlines()[2:]
    assert len(lines) == len(EPSILONS)
    for epsilon, line in zip(EPSILONS, lines, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == tables(epsilon, epsilon)
        assert parse(cells[3]).epsilon >= epsilon


def test_the_equal_grid_is_the_smallest_with_as_many_answers(contents, costs):
    """Not the one whose share is nearest: it may take many times the bits for one answer."""
    rows = {row.defence: row for row in trade.rows(contents[kept().folder], costs)}

    def measured(name, bits, correct):
        share = {"accuracy": correct / 100, "interval": [0, 1]}
        promise = share | {"epsilon": parse(name).epsilon}
        return rows[name]._replace(bits=bits, benign=share, certified=promise)

    found = [measured(tables(e, e), 1.5, 93) for e in EPSILONS]
    grids = [("two-pass:pixel-48", 1.0, 86), ("two-pass:pixel-24", 1.9, 94)]
    found += [measured(*grid) for grid in [*grids, ("two-pass:pixel-12", 3.0, 93)]]
    promise = "94.0 (0–100) at ε = 24"
    assert trade.equal_table(found).count(f"| two-pass:pixel-24 | 1.90 | {promise} |\n") == 2
    assert trade.equal_table(found).endswith(f"| two-pass:pixel-24 | 1.90 | {promise} |")
    worse = {"accuracy": 0.9}
    found = [r._replace(benign=worse) if "pixel" in r.defence else r for r in found]
    assert trade.equal_table(found).count("| – | – | – |") == 3


def test_what_attacks_leave(contents):
    some = {e: contents[attacked(e).folder] for e in EPSILONS}
    (line,) = [x for x in trade.attack_table(some).splitlines() if x.startswith(f"| {plain(1)} ")]
    left = trade.left(some[1], 1)[plain(1)]
    assert line == f"| {plain(1)} | {shown(left['correct'])} | – | – |"


@pytest.mark.usefixtures("undrawn")
def test_a_folder_of_evaluations_is_written_to_the_page(tmp_path, monkeypatch):
    """End to end with a toy of a model, resumed."""
    images, labels = photographs(6)
    ran = []

    class Toys:
        def __init__(self, *_):
            pass

        def of(self, *_):
            return images, labels

    def run(part, _, output, name):
        ran.append(part.folder)
        model = Brightest().eval()
        return evaluate(
            model,
            images,
            labels,
            output=output / part.folder,
            defences=part.defences,
            attacks=part.attacks,
            epsilons=part.epsilons,
            setting={"images": name},
        )

    monkeypatch.setattr(trade, "Photos", Toys)
    monkeypatch.setattr(studies, "run", run)
    monkeypatch.setattr(trade, "EPSILONS", (4,))
    monkeypatch.setattr(trade, "TABLES", (4, 8))
    monkeypatch.setattr(trade, "GRIDS", (4, 16))
    monkeypatch.setattr(trade, "NEAR", (2,))
    monkeypatch.setattr(trade, "QUALITIES", (75,))
    monkeypatch.setattr(trade, "ATTACKS", ("fgsm",))
    page = tmp_path / "docs" / "page.md"
    (page.parent / "images").mkdir(parents=True)
    page.write_text(f"before\n<!-- made by {trade.MAKER} -->\nstale\n{pages.END}\nafter")
    arguments = ["trade", "photos", "labels", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--write", str(page)])
    trade.main()
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after")
    assert "stale" not in text
    assert "near-lossless:2" in text
    with Image.open(page.parent / "images" / "trade.png") as picture:
        assert min(picture.size) > 400
    count, costs = len(ran), (tmp_path / "out" / "costs.jsonl").read_text()
    trade.main()
    assert len(ran) == 2 * count
    assert (tmp_path / "out" / "costs.jsonl").read_text() == costs  # read from the log
