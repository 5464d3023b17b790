"""Tables chosen by a model's accuracy: the largest steps that benign images tolerate."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyfd._core.log import Log, OtherRunError
from pyfd._core.progress import bar
from pyfd.qtables import QTables, QTablesLike, as_qtables

#: A function that scores tables, from 0 to 1: the share of benign images that a model
#: gets right after ``decode(encode(image, tables), tables)``, or the mean probability
#: of the right class, which is less noisy on few images.
Accuracy: TypeAlias = Callable[[QTables], float]

#: Steps that are tried: each is about an eighth larger than the one before.
LADDER = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 25, 28, 32, 36, 40),
    *(45, 51, 57, 64, 72, 81, 91, 102, 115, 128, 144, 162, 182, 204, 228, 255),
)

#: Rungs of the ladder by which a band is raised at first; later it is raised one by one.
STRIDE = 3

#: Bands of frequencies: the first and the last value of row + column.
BANDS = ((0, 0), (1, 1), (2, 2), (3, 4), (5, 7), (8, 14))

_COMPONENTS = ("luma", "chroma")

_PLACES = len(BANDS) * len(_COMPONENTS)
_RUNGS = range(len(LADDER))
_SAME = 1e-6  # below the share of one image, and above the noise of a sum of float32

_Rungs: TypeAlias = tuple[int, ...]
"""An index into `LADDER` for each band, luma's first and then chroma's."""


@dataclass(frozen=True)
class Refinement:
    """The result of `refine`."""

    qtables: QTables
    """The best tables within the budget: one for luma and one for chroma, or as many as
    the smallest tables that were allowed."""
    accuracy: float
    """The benign accuracy with these tables."""
    baseline: float
    """The benign accuracy that the budget is counted against: with steps of 1, or with the
    smallest tables that were allowed."""
    sensitivity: Mapping[str, float]
    """The loss of accuracy when a band alone has a step of 64, or the smallest step that
    was allowed there if that is larger, by the band's name."""
    trials: int
    """The number of tables that were scored, including those in the log."""
    complete: bool
    """False if the search was interrupted: the tables are then the best so far."""


def refine(
    model_accuracy: Accuracy,
    *,
    budget: float = 0.01,
    smallest: QTablesLike | None = None,
    log: str | os.PathLike[str] | None = None,
    key: str = "",
    progress: bool = False,
) -> Refinement:
    """Find the tables with the largest steps within a budget of benign accuracy.

    An attacker needs only the frequencies with the smallest steps
    (`pyfd.analysis.step_for`), so the search raises the smallest steps first. It
    finds the largest step that all frequencies can have, and no step of the result
    is smaller. It then measures how much accuracy each band of luma and chroma
    costs alone, and raises the band with the smallest step (of several, the least
    sensitive one) until no band can be raised. It draws no random numbers: the same
    accuracies lead to the same tables.

    Args:
        model_accuracy: A function of tables that returns the benign accuracy, 0...1.
        budget: The accuracy that may be lost compared to steps of 1, or to `smallest`,
            0...1: 0.01 is one percentage point.
        smallest: Tables whose steps are the smallest ones allowed, frequency by
            frequency: of these and of the steps that the search tries, the larger ones
            are scored. With ``QTables.certified(2)``, for example, all tables that are
            tried hold ε = 2. The loss that `smallest` brings by itself is not part of
            the budget.
        log: A file of JSON lines to which each trial is appended. Trials that it
            holds are not run again, so an interrupted search can be resumed.
        key: A text that identifies `model_accuracy`: the model, its code, the images and
            the labels. A log with another key is refused. Without one, only the accuracy
            with steps of 1 (or with `smallest`) tells two functions apart: it is measured
            again whenever a search is resumed, and must be the log's, to within 1e-6.
        progress: Show a progress bar on stderr (needs tqdm).

    Returns:
        The tables and how they were found; after Ctrl-C, the best tables so far.

    Raises:
        ValueError: The budget or an accuracy is outside 0...1, `smallest` is not
            tables, or `log` is the file of another search, of another model or of
            other images, or is not a log.
        OSError: The log cannot be read or written.
    """
    if not 0 <= budget <= 1:
        raise ValueError(f"budget must be in 0...1, not {budget}")
    finest = QTables.uniform(1) if smallest is None else as_qtables(smallest)
    with nullcontext() if log is None else _opened(log, key, finest) as opened:
        search = _Search(model_accuracy, budget, finest, opened, progress)
        try:
            search.run()
            complete = True
        except KeyboardInterrupt:
            complete = False
        finally:
            search.close()
    return search.result(complete)


class _Search:
    def __init__(
        self,
        score: Accuracy,
        budget: float,
        smallest: QTables,
        log: Log | None,
        progress: bool,
    ):
        self.score = score
        self.budget = budget
        self.smallest = smallest
        self.log = log
        # By tables, because rungs below the smallest steps give the same ones
        self.trials: dict[QTables, float] = {}
        for rungs, accuracy in () if log is None else _trials(log):
            self.trials[self.tables(rungs)] = accuracy
        self.lowest: _Rungs = (0,) * _PLACES
        self.best = self.lowest
        self.sensitivity: dict[str, float] = {}
        self.bar = bar(unit="table", desc="refine") if progress else None

    # ---- the search ----

    def run(self) -> None:
        self.check_the_log()
        self.accuracy(self.lowest)
        self.raise_together()
        order = self.measure_sensitivity()
        while self.fill(order):  # a band that did not fit may fit once others have moved
            pass

    def check_the_log(self) -> None:
        """Refuse a log whose first accuracy is not that of the function that is given now."""
        lowest = self.tables(self.lowest)
        if self.log is None or lowest not in self.trials:
            return
        then, now = self.trials[lowest], self.measured(lowest)
        if not math.isclose(then, now, rel_tol=0, abs_tol=_SAME):
            which = "steps of 1" if self.smallest.largest == 1 else "the smallest steps"
            raise ValueError(
                f"{self.log.path} is of another model or of other images: with {which}, the "
                f"accuracy was {then:.6f} and is {now:.6f}. Choose another log"
            )

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
        """Raise the band with the smallest step (of several, the first in order) while one fits.

        Return whether any band was raised.
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
        """Score larger steps, and take them as the best ones if they are within the budget."""
        within = self.accuracy(rungs) >= self.accuracy(self.lowest) - self.budget - 1e-12
        if within:
            self.best = rungs
        return within

    def tables(self, rungs: _Rungs) -> QTables:
        """Return the tables of the rungs, with no step below the smallest one allowed."""
        tables = _tables(rungs)
        count = max(len(tables), len(self.smallest))
        return QTables([np.maximum(tables[i], self.smallest[i]) for i in range(count)])

    def accuracy(self, rungs: _Rungs) -> float:
        tables = self.tables(rungs)
        if tables not in self.trials:
            value = self.measured(tables)
            self.trials[tables] = value
            if self.log is not None:
                self.log.append({"rungs": rungs, "accuracy": value})
        if self.bar is not None:
            self.bar.update()
        return self.trials[tables]

    def measured(self, tables: QTables) -> float:
        value = float(self.score(tables))
        if not 0 <= value <= 1:
            raise ValueError(f"model_accuracy must return a number in 0...1, not {value}")
        return value

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def result(self, complete: bool) -> Refinement:
        best, lowest = self.tables(self.best), self.tables(self.lowest)
        origin: dict[str, Any] = {
            "method": "refine",
            "budget": self.budget,
            "trials": len(self.trials),
        }
        if self.smallest.largest > 1:
            origin["smallest"] = self.smallest.origin or self.smallest.array.tolist()
        return Refinement(
            qtables=QTables(best.array, name="refined", origin=origin),
            accuracy=self.trials.get(best, math.nan),
            baseline=self.trials.get(lowest, math.nan),
            sensitivity=dict(self.sensitivity),
            trials=len(self.trials),
            complete=complete,
        )


def _replace(rungs: _Rungs, place: int, rung: int) -> _Rungs:
    return (*rungs[:place], rung, *rungs[place + 1 :])


def _coefficients(place: int) -> int:
    """Return the number of coefficients of a band; chroma's count twice, for two components."""
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


def _opened(path: str | os.PathLike[str], key: str, smallest: QTables) -> Log:
    header: dict[str, Any] = {
        "format": "pyfd-refinement",
        "version": 2,
        "key": key,
        "ladder": LADDER,
        "bands": BANDS,
    }
    if smallest.largest > 1:
        header["smallest"] = smallest.array.tolist()
    try:
        return Log(path, header)
    except OtherRunError as error:
        raise ValueError(f"{path} is not a log of this search: {error.reason}") from error


def _trials(log: Log) -> Iterator[tuple[_Rungs, float]]:
    """Yield the accuracies that a log holds; skip everything else."""
    for entry in log.entries():
        match entry:
            case {"rungs": [*rungs], "accuracy": int() | float() as accuracy}:
                known = len(rungs) == _PLACES and all(rung in _RUNGS for rung in rungs)
                if known and 0 <= accuracy <= 1:
                    yield tuple(map(int, rungs)), float(accuracy)
