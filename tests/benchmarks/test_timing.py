"""Pairs of times, ratios and targets. No test depends on a clock."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from benchmarks import timing
from benchmarks.timing import Bounds, Effort, Measurement


def test_each_side_comes_first_as_often():
    calls = []
    items = ["a", "b", "c", "d"]
    found = timing.interleaved(
        lambda item: calls.append(("ours", item)),
        lambda item: calls.append(("theirs", item)),
        items,
        Effort(seconds=0, rounds=2),
    )
    timed = calls[4:]  # the first two items are the warm-up
    pairs = [tuple(timed[i : i + 2]) for i in range(0, len(timed), 2)]
    assert found.pairs == len(pairs) == 8
    assert all(first[1] == second[1] and first[0] != second[0] for first, second in pairs)
    for item in items:
        firsts = [first[0] for first, _ in pairs if first[1] == item]
        assert sorted(firsts) == ["ours", "theirs"]


def test_seconds_may_come_from_another_clock():
    calls = []
    found = timing.interleaved(
        lambda item: calls.append(item) or 3 * item,
        lambda item: calls.append(item) or 2 * item,
        [1, 2],
        Effort(seconds=0, rounds=3),
        clock=lambda call, item: call(item),
    )
    assert len(calls) == 4 + 12  # the warm-up runs both on both items
    assert found == (1.5, 1.5, 1.5, 6, 4.5, 3)


def test_the_clock_of_a_thread_counts_its_calls(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(timing.time, "thread_time", lambda: next(clock))
    calls = []
    assert timing.cpu_seconds(lambda *items: calls.append(items), "a", "b") == 2.5
    assert calls == [("a", "b")]


def test_rounds_go_on_until_the_effort_is_spent():
    assert list(timing.rounds(Effort(seconds=0, rounds=3))) == [0, 1, 2]
    assert next(timing.rounds(Effort(seconds=60, rounds=0))) == 0
    assert list(timing.rounds(Effort(seconds=0, rounds=0))) == []
    assert Effort(2, 3).times(4) == (8, 3)


def test_no_garbage_is_collected_in_a_call():
    states = []
    timing.interleaved(
        lambda _: states.append(gc.isenabled()), lambda _: None, [0], Effort(seconds=0, rounds=1)
    )
    assert states == [True, False]  # the warm-up, the call
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), timing.undisturbed():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_ratio_is_of_pairs_not_of_medians():
    found = timing.summary([1, 30, 2, 8, 5], [1, 10, 4, 4, 5])
    assert (found.value, found.low, found.high, found.pairs) == (1, 1, 2, 5)
    assert (found.ours, found.theirs) == (5, 4)


def test_inverse_turns_the_spread_around():
    found = timing.inverse(Measurement(0.01, 0.005, 0.02, 7, 1.0, 100.0))
    assert found == pytest.approx((100, 50, 200, 7, 1.0, 100.0))


@pytest.mark.parametrize(("answers", "times"), [((9, 0.001), 4), ((0.001, 9), 1)])
def test_the_first_call_does_not_say_how_often_to_repeat(answers, times):
    assert timing.repetitions(iter(answers).__next__) == times


ECHO = """
import sys
for line in sys.stdin:
    operation, name, times = line.rstrip("\\n").split("\\t")
    if operation == "end":
        sys.exit(3)
    print(len(name) * int(times), flush=True)
"""


def test_a_worker_answers_with_the_seconds_of_one_repetition():
    worker = timing.Worker(sys.executable, "-c", ECHO)
    assert [worker.seconds("x", "name", times) for times in (1, 100)] == [4, 4]
    for _ in range(2):  # it says so each time that it is asked
        with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
            worker.seconds("end", "name")
    worker.close()


def test_medians_of_several_calls():
    calls = {"a": 0, "b": 0}

    def call(name):
        calls[name] += 1

    found = timing.medians({n: lambda n=n: call(n) for n in calls}, Effort(0, 3))
    assert list(found) == ["a", "b"]
    assert calls == {"a": 4, "b": 4}  # one to warm up


@pytest.mark.parametrize(
    ("bounds", "value", "met"),
    [
        (Bounds(1.02), 1.0249, True),  # 1.02, as the target is stated
        (Bounds(1.02), 1.026, False),
        (Bounds(at_least=1000, digits=0), 999.6, True),
        (Bounds(at_least=1000, digits=0), 999.4, False),
        (Bounds(at_least=0.85, at_most=1.15), 0.84, False),
        (Bounds(at_least=0.85, at_most=1.15), 1.16, False),
        (Bounds(at_least=0.85, at_most=1.15), 1.0, True),
    ],
)
def test_bounds(bounds, value, met):
    assert bounds.met(value) is met
    assert (bounds.excess(value) <= 1) is met


def test_bounds_say_what_they_are():
    shown = [Bounds(1.02), Bounds(at_least=1000, digits=0), Bounds(1.15, 0.85), Bounds()]
    assert [str(b) for b in shown] == ["≤ 1.02", "≥ 1,000", "0.85 to 1.15", "–"]
