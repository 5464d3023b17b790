"""A search for the largest steps that keep a model's accuracy on benign images."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pyfd._core.files import write_atomically
from pyfd._core.progress import bar
from pyfd.qtables import QTables

#: A function that scores tables, 0 to 1: the share of benign images that a model classifies
#: correctly after ``decode(encode(image, tables), tables)``, or the mean probability of the
#: correct class, which is the better measure with few images.
Accuracy: TypeAlias = Callable[[QTables], float]

#: The steps that are tried, about an eighth apart.
LADDER = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 25, 28, 32, 36, 40),
    *(45, 51, 57, 64, 72, 81, 91, 102, 115, 128, 144, 162, 182, 204, 228, 255),
)

#: The rungs of `LADDER` by which a band is raised at first; later it is raised one by one.
STRIDE = 3

#: The bands of frequencies: (first, last) of i + j, the sum of row and column.
BANDS = ((0, 0), (1, 1), (2, 2), (3, 4), (5, 7), (8, 14))

_COMPONENTS = ("luma", "chroma")
_FORMAT = "pyfd-refinement"

_Rungs: TypeAlias = tuple[int, ...]
"""An index into `LADDER` for each band of luma, and then for each of chroma."""


@dataclass(frozen=True)
class Refinement:
    """The result of `refine`."""

    qtables: QTables
    """The best tables within the budget: one for luma, one for chroma."""
    accuracy: float
    """The benign accuracy with these tables."""
    baseline: float
    """The benign accuracy with steps of 1, from which the budget counts."""
    sensitivity: Mapping[str, float]
    """The accuracy that is lost when one band alone gets a step of 64, by the band's name."""
    trials: int
    """The number of scored tables, those in the log included."""
    complete: bool
    """False if the search was interrupted; then the tables are the best so far."""


def refine(
    model_accuracy: Accuracy,
    *,
    budget: float = 0.01,
    log: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Refinement:
    """Find the tables with the largest steps within a budget of benign accuracy.

    An attacker needs only the frequencies with the smallest steps
    (`pyfd.analysis.step_for`), so the search raises the smallest steps first. It finds
    the largest step that all frequencies can have, measures the cost of each band of
    luma and chroma alone, and then repeatedly raises the band with the smallest step,
    the least sensitive one among equals, until none can be raised. No step of the result
    is smaller than that first one. The search draws no random numbers: the same
    accuracies lead to the same tables.

    Args:
        model_accuracy: A function that takes tables and returns the benign accuracy in
            0...1.
        budget: The accuracy that may be lost from that at step 1, 0...1: 0.01 is one
            percentage point.
        log: A JSON file of all trials, written after each. If it is there, its
            trials are not run again: an interrupted search goes on.
        progress: Show a progress bar on stderr (needs tqdm).

    Returns:
        The tables, and the measurements that led to them. On Ctrl-C, the best tables
        so far.

    Raises:
        ValueError: The budget or an accuracy is outside 0...1, or the log is another
            search's.
        ImportError: `progress` is asked for, and tqdm is missing.
    """
    if not 0 <= budget <= 1:
        raise ValueError(f"budget must be in 0...1, not {budget}")
    search = _Search(model_accuracy, budget, None if log is None else Path(log), progress)
    try:
        search.run()
        complete = True
    except KeyboardInterrupt:
        complete = False
    finally:
        search.close()
    return search.result(complete)


class _Search:
    def __init__(self, score: Accuracy, budget: float, log: Path | None, progress: bool):
        self.score = score
        self.budget = budget
        self.log = log
        self.trials: dict[_Rungs, float] = {} if log is None else _read_log(log)
        self.lowest: _Rungs = (0,) * (len(BANDS) * len(_COMPONENTS))
        self.best = self.lowest
        self.sensitivity: dict[str, float] = {}
        self.bar = bar(unit="table", desc="refine") if progress else None

    # ---- the search ----

    def run(self) -> None:
        self.accuracy(self.lowest)
        self.raise_together()
        order = self.measure_sensitivity()
        while self.fill(order):  # a band that did not fit before may fit now
            pass

    def raise_together(self) -> None:
        """Find the largest uniform step within the budget, by bisection."""
        low, high = 0, len(LADDER)
        while high - low > 1:
            middle = (low + high) // 2
            if self.raise_to((middle,) * len(self.lowest)):
                low = middle
            else:
                high = middle

    def measure_sensitivity(self) -> list[int]:
        """Measure the cost of each band alone; return the bands, the least sensitive first."""
        rung = LADDER.index(64)
        costs = []
        for place in range(len(self.lowest)):
            cost = self.accuracy(self.lowest) - self.accuracy(_replace(self.lowest, place, rung))
            self.sensitivity[_band_name(place)] = cost
            costs.append(cost / _coefficients(place))
        return sorted(range(len(costs)), key=lambda place: (costs[place], place))

    def fill(self, order: Sequence[int]) -> bool:
        """Raise the band with the smallest step until none can be raised.

        Among equals, the first in `order` is raised.

        Returns:
            Whether any band was raised.
        """
        before = self.best
        strides = dict.fromkeys(order, STRIDE)
        while strides:
            place = min(strides, key=lambda place: self.best[place])
            rung = min(self.best[place] + strides[place], len(LADDER) - 1)
            if rung > self.best[place] and self.raise_to(_replace(self.best, place, rung)):
                continue
            if strides[place] == 1 or rung == self.best[place]:
                del strides[place]
            else:
                strides[place] = 1
        return self.best != before

    # ---- trials ----

    def raise_to(self, rungs: _Rungs) -> bool:
        """Score larger steps, keep them if they are within the budget, and return that."""
        within = self.accuracy(rungs) >= self.accuracy(self.lowest) - self.budget - 1e-12
        if within:
            self.best = rungs
        return within

    def accuracy(self, rungs: _Rungs) -> float:
        if rungs not in self.trials:
            value = float(self.score(_tables(rungs)))
            if not 0 <= value <= 1:
                raise ValueError(f"model_accuracy must return a number in 0...1, not {value}")
            self.trials[rungs] = value
            self.save()
        if self.bar is not None:
            self.bar.update()
        return self.trials[rungs]

    def save(self) -> None:
        if self.log is None:
            return
        trials = [{"rungs": rungs, "accuracy": value} for rungs, value in self.trials.items()]
        content = {"format": _FORMAT, "version": 1, "ladder": LADDER, "bands": BANDS}
        text = json.dumps({**content, "trials": trials}, indent=1)
        write_atomically(self.log, (text + "\n").encode())

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def result(self, complete: bool) -> Refinement:
        baseline = self.trials.get(self.lowest, math.nan)
        origin = {"method": "refine", "budget": self.budget, "trials": len(self.trials)}
        return Refinement(
            qtables=QTables(_tables(self.best).array, name="refined", origin=origin),
            accuracy=self.trials.get(self.best, math.nan),
            baseline=baseline,
            sensitivity=dict(self.sensitivity),
            trials=len(self.trials),
            complete=complete,
        )


def _replace(rungs: _Rungs, place: int, rung: int) -> _Rungs:
    return (*rungs[:place], rung, *rungs[place + 1 :])


def _coefficients(place: int) -> int:
    """Return the number of a band's coefficients; chroma's are in two components."""
    first, last = BANDS[place % len(BANDS)]
    diagonals = np.add.outer(np.arange(8), np.arange(8))
    count = int(((diagonals >= first) & (diagonals <= last)).sum())
    return count * (1 if place < len(BANDS) else 2)


def _band_name(place: int) -> str:
    first, last = BANDS[place % len(BANDS)]
    return f"{_COMPONENTS[place // len(BANDS)]} {first}-{last}"


def _tables(rungs: _Rungs) -> QTables:
    diagonals = np.add.outer(np.arange(8), np.arange(8))
    tables = np.ones((len(_COMPONENTS), 8, 8), int)
    for place, rung in enumerate(rungs):
        first, last = BANDS[place % len(BANDS)]
        band = (diagonals >= first) & (diagonals <= last)
        tables[place // len(BANDS)][band] = LADDER[rung]
    return QTables(tables)


def _read_log(path: Path) -> dict[_Rungs, float]:
    if not path.exists():
        return {}
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        same = content["format"] == _FORMAT and tuple(content["ladder"]) == LADDER
        if not same or content["version"] != 1 or content["bands"] != [list(b) for b in BANDS]:
            raise ValueError("another search's")
        return {tuple(trial["rungs"]): float(trial["accuracy"]) for trial in content["trials"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a log of this search: {error}") from error
