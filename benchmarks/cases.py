"""What `make bench` is made of: cases, each a ratio with a target, and rows of cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.timing import Bounds, Effort, Measurement


@dataclass(frozen=True)
class Case:
    """A ratio to measure, and its target; `measure` may raise `UnmeasuredError`."""

    label: str
    bounds: Bounds
    measure: Callable[[Effort], Measurement]


@dataclass(frozen=True)
class Row:
    """A line of the table: cases of one comparison."""

    key: str
    what: str
    cases: list[Case]
    unit: str = ""


class UnmeasuredError(Exception):
    """This machine lacks something that a case needs."""


def thinned(cases: list[Case]) -> list[Case]:
    """Return the first, the middle and the last case, and one with each target."""
    kept = {0, len(cases) // 2, len(cases) - 1}
    kept |= {[c.bounds for c in cases].index(bounds) for bounds in {c.bounds for c in cases}}
    return [cases[i] for i in sorted(kept)]
