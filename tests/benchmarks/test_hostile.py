"""The table of hostile files: the outcome of a decode in a child process."""

from __future__ import annotations

import os
import signal
import sys

import cv2
import pytest

from benchmarks import hostile, pages
from tests.attacks import ATTACKS

# Python 3.12 and later warn of a fork while libraries of other tests have threads
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def refuse(_: bytes) -> str:
    raise KeyError


def refuse_as_opencv(_: bytes) -> str:
    raise cv2.error


def be_killed(_: bytes) -> str:
    os.kill(os.getpid(), signal.SIGXCPU)
    return "never"


def take_too_much(_: bytes) -> str:
    return str(len(bytearray(2 * hostile.MEMORY)))


@pytest.mark.parametrize(
    ("decoder", "what"),
    [
        (lambda data: data.decode(), "taken"),
        (refuse, "KeyError"),
        (refuse_as_opencv, "cv2.error"),
        (be_killed, "**killed after 20 s**"),
        (take_too_much, "MemoryError"),
    ],
)
def test_outcome_of_a_child(decoder, what):
    outcome = hostile.run(decoder, b"taken")
    assert outcome.what == what
    assert 0 <= outcome.cpu < hostile.CPU_SECONDS
    assert str(hostile.Outcome(what, 1.234)) == f"{what}, 1.23 s"


def test_table_of_some_attacks(tmp_path, monkeypatch, capsys):
    names = ("gray 65500² progressive", "1×65500", "height 0")
    chosen = [attack for attack in ATTACKS if attack.name in names]
    monkeypatch.setattr(hostile, "ATTACKS", chosen)
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- made by {hostile.MAKER} -->\nold\n{pages.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["hostile", "--write", str(page)])
    hostile.main()
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "| attack | bytes | limit | pyfd | Pillow | OpenCV |" in lines
    for name, limit, what in zip(
        names,
        ("max_pixels", "", ""),
        ("LimitExceededError", "taken", "UnsupportedJPEGError"),
        strict=True,
    ):
        (row,) = (line.split(" | ") for line in lines if line.startswith(f"| {name} |"))
        assert (row[2], row[3].partition(",")[0]) == (limit, what)
        assert name in capsys.readouterr().out or name in row[0]


def test_pyfd_must_do_what_its_tests_demand():
    attack = next(attack for attack in ATTACKS if attack.error)
    with pytest.raises(AssertionError, match="LimitExceededError"):
        hostile.row(attack._replace(error=None))
