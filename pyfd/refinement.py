"""Tables chosen by accuracy: the largest steps that a model bears on benign images."""

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

#: Scores tables, 0 to 1: the share of benign images that a model gets right once
#: they have been through ``decode(encode(image, tables), tables)``, or the mean
#: probability that it gives to the right class, which few images measure better.
Accuracy: TypeAlias = Callable[[QTables], float]

#: Steps that are tried: about an eighth apart.
LADDER = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 25, 28, 32, 36, 40),
    *(45, 51, 57, 64, 72, 81, 91, 102, 115, 128, 144, 162, 182, 204, 228, 255),
)

#: Rungs by which a band is raised first; then it climbs one by one.
STRIDE = 3

#: Bands of frequencies, by i + j of their row and column: (first, last).
BANDS = ((0, 0), (1, 1), (2, 2), (3, 4), (5, 7), (8, 14))

_COMPONENTS = ("luma", "chroma")
_FORMAT = "pyfd-refinement"

_Rungs: TypeAlias = tuple[int, ...]
"""For luma's bands and then for chroma's, an index into `LADDER`."""


@dataclass(frozen=True)
class Refinement:
    """What `refine` found."""

    qtables: QTables
    """The best tables within the budget: one for luma, one for chroma."""
    accuracy: float
    """Their benign accuracy."""
    baseline: float
    """The benign accuracy with steps of 1, which the budget counts from."""
    sensitivity: Mapping[str, float]
    """Per band the accuracy lost when that band alone gets a step of 64."""
    trials: int
    """Tables that were scored, those in the log included."""
    complete: bool
    """False if the search was interrupted: the tables are the best so far."""


def refine(
    model_accuracy: Accuracy,
    *,
    budget: float = 0.01,
    log: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Refinement:
    """Find the tables with the largest steps within a budget of benign accuracy.

    An attacker needs only the frequencies with the smallest steps
    (`pyfd.analysis.step_for`), so the search raises the smallest first. It takes
    the largest step that all frequencies can have, measures what each band of
    luma and chroma costs alone, and then raises, again and again, the band with
    the smallest step, the least sensitive one among equals, until none can be
    raised. The tables are nowhere finer than that one step. It draws no random
    numbers: the same accuracies lead to the same tables.

    Args:
        model_accuracy: Called with tables, returns the benign accuracy in 0...1.
        budget: How much of the accuracy at step 1 may be lost, 0...1: 0.01 is
            one point.
        log: A JSON file of all trials, written after each. If it is there, its
            trials are not run again: an interrupted search goes on.
        progress: Show a progress bar on stderr (needs tqdm).

    Returns:
        The tables and how they came about. On Ctrl-C, the best so far.

    Raises:
        ValueError: A budget outside 0...1, an accuracy outside 0...1, or a log
            of another search.
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
        while self.fill(order):  # what could not be raised may fit once others are elsewhere
            pass

    def raise_together(self) -> None:
        """The largest uniform step within the budget, by bisection."""
        low, high = 0, len(LADDER)
        while high - low > 1:
            middle = (low + high) // 2
            if self.raise_to((middle,) * len(self.lowest)):
                low = middle
            else:
                high = middle

    def measure_sensitivity(self) -> list[int]:
        """What each band costs alone; the bands, the least sensitive first."""
        rung = LADDER.index(64)
        costs = []
        for place in range(len(self.lowest)):
            cost = self.accuracy(self.lowest) - self.accuracy(_replace(self.lowest, place, rung))
            self.sensitivity[_band_name(place)] = cost
            costs.append(cost / _coefficients(place))
        return sorted(range(len(costs)), key=lambda place: (costs[place], place))

    def fill(self, order: Sequence[int]) -> bool:
        """Raise the band with the smallest step, the first of them in order, while one can be."""
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
        """Score larger steps; they become the best if they are within the budget."""
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
    """How many coefficients of a block a band holds; chroma's are in two components."""
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
