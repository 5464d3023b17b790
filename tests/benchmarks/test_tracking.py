"""benchmarks/tracking.py: a line for each run of the bench, and the page that draws them."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks import pages, tracking


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
            {"operation": "plain", "kind": "q75", "per_block": 999.0},
            {"operation": "defended", "kind": "q75", "per_block": 1000.04},
            {"operation": "defended", "kind": "q90", "per_block": 1200.0},
        ],
    }


def test_a_line_has_the_typical_and_the_worst_ratio_of_each_bound():
    found = tracking.line(content("abc", 1.12345))
    assert found["ratios"] == {
        "plain": {"≤ 1.02": [0.9877, 1.123], "≤ 2.00": [1.5, 1.5]},
        "tvm": {"≥ 400": [500, 390]},
    }
    assert found["instructions"]["defended, q75"] == 1000
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
    assert "images/tracking.png" in text
    with Image.open(tmp_path / "images" / "tracking.png") as picture:
        assert min(picture.size) > 200
    assert "commit12" in capsys.readouterr().out
