"""benchmarks/tracking.py: a line for each run of the bench, and the page that draws them."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks import pages, speed_plots, tracking
from benchmarks.instructions import KINDS


def case(bound: str, value: float, excess: float) -> dict:
    return {"label": "x", "bound": bound, "value": value, "excess": excess}


def content(commit: str, worst: float) -> dict:
    return {
        "machine": {name: 1.0 if name == "load" else name for name in tracking.NOTED}
        | {"commit": commit, "packages": {"numpy": "2"}, "bundled": {"pillow": "3.2"}},
        "rows": [
            {
                "key": "plain",
                "cases": [
                    case("≤ 1.02", 0.9, 0.88),
                    case("≤ 1.02", worst, 1.1),
                    case("≤ 1.02", 0.98765, 0.97),
                    case("≤ 2.00", 1.5, 0.75),
                ],
            },
            {"key": "tvm", "cases": [case("≥ 400", 390.0, 1.03), case("≥ 400", 500.0, 0.8)]},
            {"key": "twin", "cases": [{"label": "x", "bound": "–", "unmeasured": "no compiler"}]},
        ],
        "instructions": [
            {"operation": "plain", "kind": "q75 4:2:0 baseline", "per_block": 999.0},
            {"operation": "defended", "kind": "q75 4:2:0 baseline", "per_block": 1000.04},
            {"operation": "defended", "kind": "q90 4:2:0 baseline", "per_block": 1200.0},
        ],
    }


def test_a_line_has_the_typical_and_the_worst_ratio_of_each_bound():
    found = tracking.line(content("abc", 1.12345))
    assert found["ratios"] == {
        "plain": {"≤ 1.02": [0.9877, 1.123], "≤ 2.00": [1.5, 1.5]},
        "tvm": {"≥ 400": [500, 390]},
    }
    assert found["instructions"]["defended, q75 4:2:0 baseline"] == 1000
    assert (found["commit"], found["packages"], found["bundled"]) == (
        "abc",
        {"numpy": "2"},
        {"pillow": "3.2"},
    )
    assert len(json.dumps(found)) < 1000


def test_runs_are_added_and_drawn(tmp_path, monkeypatch, capsys):
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["tracking", "--results", str(results), "--write", str(page)])
    with pytest.raises(SystemExit, match="has no runs: `make bench` adds them"):
        tracking.main()
    for number in range(tracking.RUNS + 1):
        tracking.append(content(f"commit{number}", 1 + number / 100), results)
    without = content("partial", 1.0)
    del without["rows"][0], without["instructions"]
    tracking.append(without, results)
    assert len(results.read_text().splitlines()) == tracking.RUNS + 2
    tracking.main()
    text = page.read_text()
    assert text.startswith(f"<!-- made by {tracking.MAKER} -->")
    assert text.endswith(f"{pages.END}")
    assert "| when | commit12 | processor | 1.120 | – | – | – | – | 1,100 |" in text
    assert "| when | partial | processor | – | – | – | – | – | – |" in text
    assert "commit1 " not in text  # only the last ones are in the table
    for name in tracking.PICTURES:
        assert f"(images/{name})" in text
        with Image.open(tmp_path / "images" / name) as picture:
            assert min(picture.size) > 200
    assert "commit12" in capsys.readouterr().out


def test_the_curves_are_ratios_and_instructions(tmp_path, monkeypatch):
    drawn = []
    real = speed_plots.lines
    monkeypatch.setattr(speed_plots, "lines", lambda *given: drawn.append(given[1]) or real(*given))
    runs = [tracking.line(content(name, worst)) for name, worst in (("a", 1.1), ("b", 1.2))]
    tracking.draw(runs, tmp_path)
    ratios, counts = drawn
    assert ratios[tracking.SHOWN["plain"]] == [1.1, 1.2]
    assert counts["q75 4:2:0 baseline"] == [1000, 1000]
    assert set(counts) == {str(kind) for kind in tracking.DRAWN} < set(map(str, KINDS))


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "{}", "[]"])
def test_a_line_that_is_no_run_is_named(tmp_path, text):
    results = tmp_path / "results.jsonl"
    tracking.append(content("a", 1.0), results)
    with results.open("a") as file:
        file.write(f"{text}\n")
    with pytest.raises(SystemExit, match=r"results\.jsonl, line 2: this is no run"):
        tracking.results(results)
