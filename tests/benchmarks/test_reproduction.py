"""The reproduction's page: each number must be the one that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import pages, reproduction, studies
from benchmarks.reproduction import TWO_PASS
from benchmarks.studies import MODELS, SIZES, Part
from tests.benchmarks.reports import content, shown

SLOW = Part("slow", MODELS[0], (TWO_PASS, "tvm"), ("pgd", "cw-l2"), (4,), 25)


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    return {part.folder: content(part) for part in (*reproduction.parts(), SLOW)}


def test_page_shows_what_was_measured(contents, tmp_path):
    text = reproduction.page(contents, tmp_path)
    for model in MODELS:
        for scale, size in SIZES.items():
            own = "" if scale == "model" else "-own-size"
            strong = contents[f"strong-{model}{own}"]
            pgd = studies.find(strong, TWO_PASS, "pgd", 4)
            (row,) = rows(text, f"{model}, at {size}", TWO_PASS)
            assert row.endswith(f"| {shown(pgd['correct'])} | – |")
            (row,) = rows(text, f"{model}, at {size}", "certified:4")
            assert row.endswith(f" | {shown(102)} at ε = 4 |")
    adaptive = contents[f"adaptive-{MODELS[0]}"]
    grid = studies.find(adaptive, TWO_PASS, "grid", 4)
    both = studies.together(adaptive, TWO_PASS, 4)
    (row,) = rows(text, f"{MODELS[0]}, adaptive", TWO_PASS)
    assert row.endswith(f"| {shown(grid['correct'])} | {shown(both['correct'])} |")
    assert "| tvm | 200.00 | 500.0 |" in text
    for name in ("steps.png", "protected.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200


def rows(text: str, title: str, defence: str) -> list[str]:
    """Return a defence's rows below the heading that begins with a title."""
    section = text.partition(f"### {title}")[2].partition("###")[0]
    return [line for line in section.splitlines() if line.startswith(f"| {defence} ")]


def test_what_was_not_measured_is_a_dash(contents):
    """It must not be the number of another cell."""
    table = reproduction.table([contents[f"headline-{MODELS[0]}"]], [("bim", 8), ("benign", None)])
    rows = table.splitlines()[2:]
    assert len(rows) == 12
    assert all(
        row.split(" | ")[1] == "–" and not row.split(" | ")[2].startswith("–") for row in rows
    )


def test_page_goes_between_its_marks(tmp_path, monkeypatch, contents):
    """The rest of the page, which a person wrote, stays."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n<!-- made by {reproduction.MAKER} -->\nold{pages.END}\n\nafter\n")
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(reproduction, "Photos", lambda *_: None)
    monkeypatch.setattr(reproduction, "slow", lambda _: SLOW)
    monkeypatch.setattr(studies, "run", lambda part, *_: contents[part.folder])
    arguments = ["reproduction", "photos", "labels.csv", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--write", str(page)])
    reproduction.main()
    text = page.read_text()
    assert text.startswith(f"before\n\n<!-- made by {reproduction.MAKER} -->\n")
    assert text.endswith(f"{pages.END}\n\nafter\n")
    assert "old" not in text
    assert MODELS[1] in text
    assert Path(tmp_path / "images" / "steps.png").exists()
