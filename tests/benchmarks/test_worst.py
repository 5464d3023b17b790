"""The search for the worst files: what it makes stays within the limits, and it finds the worst."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

import pyfd
from benchmarks import hostile, pages, worst
from benchmarks.worst import CHOICES, SEEDS, Shape
from pyfd import Limits

# Python 3.12 and later warn of a fork while libraries of other tests have threads
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

#: The defaults, a thousandth of them.
SMALL = Limits(max_bytes=64 << 10, max_pixels=65_536, max_work=100_000)


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch):
    monkeypatch.setattr(worst, "PERIOD", 64)


@pytest.mark.parametrize(
    "shape",
    [
        *SEEDS,
        Shape(components=3, subsampled=True, density=0.1, band=9, refinements=1),
        Shape(components=3, subsampled=True, progressive=False, density=0.25),
        Shape(density=0.25, band=63, refinements=2, restarts=True),
        Shape(progressive=False, density=0.5, size=8, restarts=True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::pyfd.JPEGWarning")
def test_files_have_the_work_that_is_counted(shape):
    """Decoders take the files, with no less work than a count of its own says."""
    data = worst.make(shape, SMALL)
    work = worst.work(data)
    assert SMALL.max_work / 50 < work <= SMALL.max_work
    assert len(data) <= SMALL.max_bytes
    pyfd.decode(data, strict=not shape.missing, limits=replace(SMALL, max_work=work))
    with pytest.raises(pyfd.LimitExceededError, match=f"max_work is {work - 1}") as caught:
        pyfd.decode(data, strict=not shape.missing, limits=replace(SMALL, max_work=work - 1))
    assert caught.value.needed == work


@pytest.mark.parametrize("seed", [Shape(refinements=13), Shape(components=4, density=0.5)], ids=str)
def test_progressive_files_fill_the_limits(seed):
    data = worst.make(seed, SMALL)
    assert max(worst.work(data) / SMALL.max_work, data.count(b"\xff\xda") / SMALL.max_scans) > 0.9


@pytest.mark.parametrize("name", worst.ENTRY_POINTS)
def test_entry_points_take_good_files(name):
    """Each runs in its child process; a refused file takes no time."""
    call = worst.ENTRY_POINTS[name]
    data = worst.make(Shape(components=3), SMALL)
    assert worst.measure(call, data) > 0
    assert worst.measure(call, data[:2]) == 0


def test_search_goes_on_from_the_slowest():
    def cost(_: object, data: bytes) -> float:
        return len(data)

    shape, found = worst.search(print, SMALL, 25, SEEDS[:2], cost)
    seeds = [len(worst.make(seed, SMALL)) for seed in SEEDS[:2]]
    assert found > max(seeds)
    assert found == len(worst.make(shape, SMALL))
    assert worst.search(print, SMALL, 0, SEEDS[:2], cost)[1] == max(seeds)


def test_choices_are_the_properties():
    assert list(CHOICES) == list(Shape.__dataclass_fields__)
    assert "gray, baseline, no data" in str(Shape(progressive=False, missing=True))
    assert str(Shape(share=0.5)).endswith("50% of the pixels")


def test_table(tmp_path, monkeypatch, capsys):
    calls = {name: worst.ENTRY_POINTS[name] for name in list(worst.ENTRY_POINTS)[:2]}
    monkeypatch.setattr(worst, "ENTRY_POINTS", calls)
    monkeypatch.setattr(worst, "Limits", lambda: SMALL)
    monkeypatch.setattr(worst, "SEEDS", SEEDS[:2])
    monkeypatch.setattr(hostile, "CPU_SECONDS", 5)
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- made by {worst.MAKER} -->\nold\n{pages.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["worst", "--steps", "1", "--write", str(page)])
    worst.main()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    printed = capsys.readouterr().out
    for name in calls:
        assert name in printed
        (row,) = (line.split(" | ") for line in lines if line.startswith(f"| {name} |"))
        assert row[1].endswith(" s")
        assert 0 < int(row[2].replace(",", "")) <= SMALL.max_work
