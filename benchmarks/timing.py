"""Two calls that are timed in turn, and the target for their ratio.

A machine stays slow or fast for longer than one call takes. So a ratio is taken for each
pair of calls; the median of the ratios counts, and the quartiles give the spread.
"""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

Item = TypeVar("Item")
Call = Callable[[Item], object]
SHORTEST = 0.004  # the fewest seconds worth measuring of a process: shorter work is repeated


class Effort(NamedTuple):
    """The effort for one case: the minimum of seconds, and of rounds."""

    seconds: float
    rounds: int

    def times(self, factor: float) -> Effort:
        """Return an effort of more seconds, but the same number of rounds."""
        return Effort(self.seconds * factor, self.rounds)


class Measurement(NamedTuple):
    """The median of the pairs' ratios, its quartiles, and each side's median seconds."""

    value: float
    low: float
    high: float
    pairs: int
    ours: float
    theirs: float


@dataclass(frozen=True)
class Bounds:
    """The range that a target allows, and the number of decimals in which it is stated."""

    at_most: float = float("inf")
    at_least: float = 0.0
    digits: int = 2

    def excess(self, value: float) -> float:
        """Return how far the rounded value is out of bounds; up to 1, the target is met."""
        value = max(round(value, self.digits), 1e-9)
        return max(value / self.at_most, self.at_least / value)

    def met(self, value: float) -> bool:
        """Return whether the rounded value is within the bounds."""
        return self.excess(value) <= 1

    def __str__(self) -> str:
        if self == Bounds(digits=self.digits):
            return "–"
        if not self.at_least:
            return f"≤ {self.at_most:.{self.digits}f}"
        if self.at_most == float("inf"):
            return f"≥ {self.at_least:,.{self.digits}f}"
        return f"{self.at_least:.{self.digits}f} to {self.at_most:.{self.digits}f}"


def seconds(call: Callable[..., object], *arguments: Any) -> float:
    """Return the seconds that a call takes, including the time to free its result."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def cpu_seconds(call: Callable[..., object], *arguments: Any) -> float:
    """Return the seconds that this thread computes during a call.

    Another program that wants the core interrupts long calls, but seldom short ones.
    So this is the clock for a ratio of calls that differ much in length.
    """
    start = time.thread_time()
    call(*arguments)
    return time.thread_time() - start


class Worker:
    """A process that times calls on demand.

    Args:
        command: A program that reads lines of an operation, a name and a number of
            repetitions, separated by tabs, and answers each with the seconds of all of them.
    """

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, operation: str, name: str, times: int = 1) -> float:
        """Return the seconds that an operation on a file takes, averaged over `times`.

        Raises:
            CalledProcessError: The process has ended, and has said why.
        """
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{operation}\t{name}\t{times}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise subprocess.CalledProcessError(self.process.wait(), self.process.args)
        return float(answer) / times

    def close(self) -> None:
        self.process.communicate()


def repeated(call: Call[Item], times: int) -> Call[Item]:
    """Return a call that makes another one several times."""

    def calls(item: Item) -> None:
        for _ in range(times):
            call(item)

    return calls


def repetitions(clock: Callable[[], float]) -> int:
    """Return how often a call must be repeated to be worth measuring.

    Args:
        clock: A function that makes the call and returns its seconds. Its second answer
            counts: the first call loads what is loaded only once.
    """
    clock()
    return max(1, round(SHORTEST / clock()))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector from running in the middle of a call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rounds(effort: Effort) -> Iterator[int]:
    """Yield 0, 1, 2, … until the effort is spent."""
    end, done = time.perf_counter() + effort.seconds, 0
    while done < effort.rounds or time.perf_counter() < end:
        yield done
        done += 1


def interleaved(
    ours: Call[Item],
    theirs: Call[Item],
    items: Sequence[Item],
    effort: Effort,
    clock: Callable[[Call[Item], Item], float] = seconds,
) -> Measurement:
    """Time two calls on each item in turn, until the effort is spent.

    Each call comes first as often as second, so it follows itself as often as the other.

    Args:
        ours: The call in the numerator.
        theirs: The call in the denominator.
        items: The arguments that both are called with, one after another.
        effort: The effort to spend.
        clock: A function that returns the seconds of a call with an item.
    """
    for item in items[:2]:
        ours(item)
        theirs(item)
    first, second = [], []
    with undisturbed():
        for done in rounds(effort):
            for index, item in enumerate(items):
                if (done + index) % 2:
                    second.append(clock(theirs, item))
                    first.append(clock(ours, item))
                else:
                    first.append(clock(ours, item))
                    second.append(clock(theirs, item))
    return summary(first, second)


def summary(ours: Sequence[float], theirs: Sequence[float]) -> Measurement:
    """Return the measurement that follows from pairs of seconds."""
    low, middle, high = quartiles(np.array(ours) / np.array(theirs))
    return Measurement(
        middle, low, high, len(ours), float(np.median(ours)), float(np.median(theirs))
    )


def inverse(found: Measurement) -> Measurement:
    """Return the measurement with theirs in the numerator."""
    return Measurement(
        1 / found.value, 1 / found.high, 1 / found.low, found.pairs, found.ours, found.theirs
    )


def quartiles(values: Any) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile."""
    low, middle, high = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def medians(
    calls: Mapping[str, Callable[[], object]],
    effort: Effort,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> dict[str, float]:
    """Return the median seconds of several calls, made in a new random order each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names, order = list(calls), np.random.default_rng(0)
    for call in calls.values():
        call()
    with undisturbed():
        for _ in rounds(effort):
            for index in order.permutation(len(names)):
                times[names[index]].append(clock(calls[names[index]]))
    return {name: float(np.median(found)) for name, found in times.items()}
