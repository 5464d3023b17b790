"""Markdown tables, and the splice of a generated part into a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import (
    adaptation,
    attack_costs,
    autoattack,
    calls,
    certified,
    certified_attacks,
    deblocking,
    equal_accuracy,
    folders,
    growth,
    hostile,
    loaders,
    pages,
    reproduction,
    small_pictures,
    speed,
    tracking,
    trade,
    tuned_tables,
    worst,
)

MAKERS = {
    speed.MAKER: "docs/performance.md",
    folders.MAKER: "docs/performance.md",
    loaders.MAKER: "docs/performance.md",
    growth.MAKER: "docs/performance.md",
    tracking.MAKER: "docs/performance.md",
    calls.MAKER: "docs/performance.md",
    hostile.MAKER: "docs/security.md",
    worst.MAKER: "docs/security.md",
    reproduction.MAKER: "docs/reproduction.md",
    equal_accuracy.MAKER: "docs/tables.md",
    certified.MAKER: "docs/certificate-results.md",
    certified_attacks.MAKER: "docs/reproduction.md",
    attack_costs.MAKER: "docs/attacks.md",
    autoattack.MAKER: "docs/attacks.md",
    small_pictures.MAKER: "docs/evaluation-models.md",
    adaptation.MAKER: "docs/adaptation.md",
    deblocking.MAKER: "docs/adaptation.md",
    tuned_tables.MAKER: "docs/adaptation.md",
    trade.MAKER: "docs/reproduction.md",
}
ROOT = Path(__file__).parents[2]


def test_table():
    text = pages.table(["a", "b"], iter([["1", "2"], ["3", ""]]))
    assert text == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |"
    assert pages.table(["a"], []) == "| a |\n|---|"


@pytest.fixture
def page(tmp_path) -> Path:
    """A page with the parts of two makers."""
    path = tmp_path / "page.md"
    path.write_text(
        "top\n<!-- made by a.py -->\nold a\n<!-- end -->\nmiddle\n"
        "<!-- made by b.py -->\nold b\n<!-- end -->\nbottom\n"
    )
    return path


@pytest.mark.parametrize("maker", ["a.py", "b.py"])
def test_only_the_makers_part_is_replaced(page, maker):
    name = maker[0]
    expected = page.read_text().replace(f"\nold {name}\n", "\n\nnew | ε\n\n")
    for _ in range(2):
        pages.publish(page, maker, "new | ε")
        assert page.read_text() == expected


def test_a_page_without_markers_gets_them_at_its_end(page):
    before = page.read_text()
    pages.publish(page, "c.py", "new")
    assert page.read_text() == f"{before}<!-- made by c.py -->\n\nnew\n\n<!-- end -->"


def test_a_new_page_is_created(tmp_path):
    page = tmp_path / "page.md"
    pages.publish(page, "a.py", "new")
    assert page.read_text() == "<!-- made by a.py -->\n\nnew\n\n<!-- end -->"


def test_a_part_without_an_end_is_refused(tmp_path):
    """Otherwise, the rest of the page would be lost."""
    page = tmp_path / "page.md"
    page.write_text("<!-- end -->\n<!-- made by a.py -->\nold\nprose\n")
    before = page.read_text()
    with pytest.raises(ValueError, match=r'page\.md: "<!-- made by a\.py -->" is not followed by'):
        pages.publish(page, "a.py", "new")
    assert page.read_text() == before


@pytest.mark.parametrize("maker", MAKERS)
def test_the_page_that_a_benchmark_names_has_its_part(maker):
    """Every maker is a file, whose page has its markers once and in order."""
    assert (ROOT / maker).is_file()
    assert MAKERS[maker] in (ROOT / maker).read_text()
    text = (ROOT / MAKERS[maker]).read_text()
    marks = re.findall("<!-- (?:made by .*|end) -->", text)
    makers = [other for other, page in MAKERS.items() if page == MAKERS[maker]]
    assert sorted(marks[::2]) == sorted(f"<!-- made by {other} -->" for other in makers)
    assert marks[1::2] == ["<!-- end -->"] * len(makers)
