"""How much of an evaluation is done, and how long the rest will take."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from pyfd._core.progress import bar
from pyfd.evaluation.plan import Task, Trial

_SECONDS_PER_LINE = 30.0
_SECONDS_PER_REFRESH = 1.0
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Estimate:
    """The seconds that an evaluation still takes, from those that its tasks have taken.

    Attacks differ by a factor of a hundred and more. So seconds per image are measured for
    each trial; a trial of which no task is done yet counts like the other trials of the same
    attack, whose ε or defence differs.

    Args:
        trials: The trials.
        sizes: The number of images of each task.
        workers: The number of processes.
    """

    def __init__(self, trials: Sequence[Trial], sizes: Mapping[Task, int], workers: int) -> None:
        self.total = len(sizes)
        self.done = 0
        self._attacks = [trial.attack.name for trial in trials]
        self._left = dict(sizes)
        self._workers = workers
        self._measured: dict[int, tuple[float, int]] = {}  # seconds and images, by trial

    def add(self, task: Task, seconds: float) -> None:
        """Count a task that is done, and took so many seconds."""
        place, images = task[0], self._left.pop(task)
        before = self._measured.get(place, (0.0, 0))
        self._measured[place] = before[0] + seconds, before[1] + images
        self.done += 1

    @property
    def unknown(self) -> list[str]:
        """The attacks that are left, and of which nothing is measured yet."""
        known = {self._attacks[place] for place in self._measured}
        left = (self._attacks[place] for place, _ in self._left)
        return [name for name in dict.fromkeys(left) if name not in known]

    @property
    def seconds_left(self) -> float | None:
        """The seconds that everything takes that is left; None if an attack is unknown."""
        return None if self.unknown else self.least_left

    @property
    def least_left(self) -> float:
        """The same, without the attacks that are unknown."""
        rates = {place: self._rate(place) for place, _ in self._left}
        seconds = [(rates[place] or 0.0) * images for (place, _), images in self._left.items()]
        return max([sum(seconds) / self._workers, *seconds])

    def _rate(self, place: int) -> float | None:
        """Return a trial's seconds per image, measured or like those of the same attack."""
        same = [p for p, name in enumerate(self._attacks) if name == self._attacks[place]]
        measured = [self._measured[p] for p in same if p in self._measured]
        if place in self._measured:
            measured = [self._measured[place]]
        images = sum(images for _, images in measured)
        return sum(seconds for seconds, _ in measured) / images if images else None

    def as_json(self) -> dict[str, Any]:
        """Return the report's entry."""
        left = self.seconds_left
        rounded = None if left is None else round(left, 1)
        return {"done": self.done, "total": self.total, "seconds_left": rounded}


def in_words(seconds: float) -> str:
    """Return a duration with the precision of an estimate."""
    if seconds < 60:
        return f"{5 * max(1, round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h {minutes} min" if hours < 10 and minutes else f"{hours} h"


class Display:
    """What is left, on stderr: a progress bar in a terminal, and else a line now and then.

    Args:
        estimate: The estimate to show.
        workers: The number of processes.
        shown: Whether anything is shown at all.
    """

    def __init__(self, estimate: Estimate, workers: int, *, shown: bool) -> None:
        self._estimate = estimate
        self._workers = workers
        self._shown = shown and estimate.total > estimate.done
        self._bar: Any = None
        self._complete = not estimate.unknown
        self._state = self._taken()
        self._written = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> Display:
        if self._shown:
            if sys.stderr.isatty():
                options = {"unit": "part", "desc": "evaluate", "bar_format": _FORMAT}
                done = self._estimate.done
                self._bar = bar(total=self._estimate.total, initial=done, **options)
            self._show()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._shown:
            self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def update(self) -> None:
        """Take the estimate over; the first time that it is complete, say so at once."""
        self._state = self._taken()
        if self._shown and not self._complete and not self._state.unknown:
            self._complete = True
            self._show()

    def _taken(self) -> _State:
        estimate = self._estimate
        unknown = tuple(estimate.unknown)
        return _State(estimate.done, estimate.least_left, unknown, time.monotonic())

    def _refresh(self) -> None:
        """Show the state now and then, whatever the attacks do meanwhile."""
        while not self._end.wait(_SECONDS_PER_REFRESH):
            if self._bar is not None or time.monotonic() - self._written > _SECONDS_PER_LINE:
                self._show()

    def _show(self) -> None:
        done, words = self._state.done, self._state.words()
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(words)  # which draws it
            return
        self._written = time.monotonic()
        processes = f"{self._workers} process{'es' if self._workers > 1 else ''}"
        line = f"pyfd: {done} of {self._estimate.total} parts done; {words}, on {processes}"
        print(line, file=sys.stderr, flush=True)


class _State(NamedTuple):
    """What is shown: taken from the estimate by one thread, and read by another."""

    done: int
    least_left: float
    unknown: tuple[str, ...]
    taken: float

    def words(self) -> str:
        """Return what is left, in words."""
        if not self.unknown and not self.least_left:
            return "nothing is left"
        left = in_words(max(0.0, self.least_left - (time.monotonic() - self.taken)))
        if not self.unknown:
            return f"about {left} left"
        names = f"no time measured yet of {', '.join(self.unknown)}"
        return f"{names}; the others: about {left}" if self.least_left else names
