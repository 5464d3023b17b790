"""Two calls timed in turn, and what a target says of their ratio.

A machine's mood lasts longer than one call, so a ratio is taken pair by pair and the
median of the pairs is what counts; the spread is their quartiles.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

Item = TypeVar("Item")
Call = Callable[[Item], object]


class Effort(NamedTuple):
    """How long one case is measured."""

    seconds: float
    rounds: int  # at least

    def times(self, factor: float) -> Effort:
        return Effort(self.seconds * factor, self.rounds)


class Measurement(NamedTuple):
    """The median of the pairs' ratios, their quartiles, and the median seconds."""

    value: float
    low: float
    high: float
    pairs: int
    ours: float
    theirs: float


@dataclass(frozen=True)
class Bounds:
    """What a target allows, at the precision that it is stated with."""

    at_most: float = float("inf")
    at_least: float = 0.0
    digits: int = 2

    def excess(self, value: float) -> float:
        """How far the value is beyond: over 1 is not met, whatever the rounding hides."""
        value = max(round(value, self.digits), 1e-9)
        return max(value / self.at_most, self.at_least / value)

    def met(self, value: float) -> bool:
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
    """One call, the freeing of its result included."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection in the middle of a call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def interleaved(
    ours: Call[Item], theirs: Call[Item], items: Sequence[Item], effort: Effort
) -> Measurement:
    """Time both on each item in turn, until the effort is spent.

    Each comes first as often as second, so that each follows itself as often as the other.
    """
    for item in items[:2]:
        ours(item)
        theirs(item)
    first, second = [], []
    end, done = time.perf_counter() + effort.seconds, 0
    with undisturbed():
        while done < effort.rounds or time.perf_counter() < end:
            for index, item in enumerate(items):
                if (done + index) % 2:
                    second.append(seconds(theirs, item))
                    first.append(seconds(ours, item))
                else:
                    first.append(seconds(ours, item))
                    second.append(seconds(theirs, item))
            done += 1
    return summary(first, second)


def summary(ours: Sequence[float], theirs: Sequence[float]) -> Measurement:
    """What pairs of times say."""
    low, middle, high = quartiles(np.array(ours) / np.array(theirs))
    return Measurement(
        middle, low, high, len(ours), float(np.median(ours)), float(np.median(theirs))
    )


def inverse(found: Measurement) -> Measurement:
    """Theirs over ours."""
    return Measurement(
        1 / found.value, 1 / found.high, 1 / found.low, found.pairs, found.ours, found.theirs
    )


def quartiles(values: Any) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def medians(calls: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, float]:
    """Median seconds of several calls, in a new random order each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names, order = list(calls), np.random.default_rng(0)
    for call in calls.values():
        call()
    end, done = time.perf_counter() + effort.seconds, 0
    with undisturbed():
        while done < effort.rounds or time.perf_counter() < end:
            for index in order.permutation(len(names)):
                times[names[index]].append(seconds(calls[names[index]]))
            done += 1
    return {name: float(np.median(found)) for name, found in times.items()}
