"""The estimate of the time that an evaluation takes, and what is shown of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest

from pyfd.evaluation import progress
from pyfd.evaluation.attacks import Attack, Benign
from pyfd.evaluation.defences import parse
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.progress import Display, Estimate, in_words


class Named(Attack):
    def __init__(self, name: str) -> None:
        self.name = name


NONE = parse("none")
TRIALS = [
    Trial(attack, epsilon, NONE, (NONE,))
    for attack, epsilon in (
        (Benign(), None),
        (Named("cheap"), 1),
        (Named("cheap"), 2),
        (Named("dear"), 1),
        (Named("dear"), 2),
    )
]
SIZES = {(place, chunk): (10, 2)[chunk] for place in range(5) for chunk in range(2)}


def estimate(workers: int = 1, **seconds: float) -> Estimate:
    """Return an estimate after the first chunks of some trials, named by their places."""
    found = Estimate(TRIALS, SIZES, workers)
    for place, value in seconds.items():
        found.add((int(place[1:]), 0), value)
    return found


def test_an_attack_that_was_not_measured_is_unknown():
    assert estimate().unknown == ["benign", "cheap", "dear"]
    found = estimate(p0=1.0, p1=10.0)
    assert found.unknown == ["dear"]
    assert found.seconds_left is None
    # 2 benign images at 0.1 s, 2 at 1 s, and 12 at as much of the other ε
    assert found.least_left == pytest.approx(0.2 + 2 + 12)


def test_each_trial_counts_with_its_own_seconds_per_image():
    found = estimate(p0=1.0, p1=10.0, p3=1000.0)
    assert found.unknown == []
    assert found.seconds_left == pytest.approx(0.2 + 2 + 12 + 200 + 1200)
    found.add((4, 0), 100.0)  # the other ε takes a tenth
    assert found.seconds_left == pytest.approx(0.2 + 2 + 12 + 200 + 20)
    assert found.as_json() == {"done": 4, "total": 10, "seconds_left": 234.2}


def test_several_processes_share_the_work_but_not_a_part():
    seconds = {"p0": 1.0, "p1": 10.0, "p2": 10.0, "p3": 100.0, "p4": 100.0}
    assert estimate(2, **seconds).seconds_left == pytest.approx((0.2 + 2 + 2 + 20 + 20) / 2)
    assert estimate(9, **seconds).seconds_left == pytest.approx(20)  # the longest part


def test_nothing_is_left_at_the_end():
    found = Estimate(TRIALS, SIZES, 2)
    for task in SIZES:
        found.add(task, 1.0)
    assert found.as_json() == {"done": 10, "total": 10, "seconds_left": 0.0}
    assert Display(found, 2, shown=True)._state.words() == "nothing is left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "5 s"),
        (43, "45 s"),
        (70, "1 min"),
        (1700, "28 min"),
        (3599, "1 h"),
        (10000, "2 h 45 min"),
        (98765, "27 h"),
    ],
)
def test_durations_have_the_precision_of_an_estimate(seconds, words):
    assert in_words(seconds) == words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, stream: io.StringIO, seconds: float, enough: Callable[[str], bool]) -> str:
    """Return what a display writes until it is enough, while two attacks are measured.

    Lines come every so many seconds.
    """
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_SECONDS_PER_REFRESH", 0.01)
    monkeypatch.setattr(progress, "_SECONDS_PER_LINE", seconds)
    found = estimate(2, p0=1.0, p1=10.0)
    with Display(found, 2, shown=True) as display:
        found.add((3, 0), 72_000.0)
        display.update()
        deadline = time.monotonic() + 60
        while not enough(stream.getvalue()) and time.monotonic() < deadline:
            time.sleep(0.01)
    return stream.getvalue()


def test_lines_say_what_is_known_and_at_once_how_long_it_takes(monkeypatch):
    written = shown(monkeypatch, io.StringIO(), 1e9, lambda text: text.count("\n") == 2)
    first, second = written.splitlines()[:2]
    assert first == (
        "pyfd: 2 of 10 parts done; no time measured yet of dear; the others: about 10 s, "
        "on 2 processes"
    )
    assert second == "pyfd: 3 of 10 parts done; about 20 h left, on 2 processes"


def test_lines_come_now_and_then_whatever_the_attacks_do(monkeypatch):
    written = shown(monkeypatch, io.StringIO(), 0.0, lambda text: text.count("\n") > 4)
    assert written.count("\n") > 4


def test_a_terminal_has_a_bar(monkeypatch):
    written = shown(monkeypatch, Terminal(), 1e9, lambda text: "about 20 h left" in text)
    assert "3/10" in written
    assert "about 20 h left" in written
    assert "pyfd:" not in written


def test_nothing_is_shown_unless_asked_for_or_when_all_is_done(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with Display(estimate(), 1, shown=False) as display:
        display.update()
    done = Estimate(TRIALS, {}, 1)
    with Display(done, 1, shown=True) as display:
        display.update()
    assert stream.getvalue() == ""
