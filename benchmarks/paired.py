"""Differences between two ways that are measured on the same photographs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Z = 1.959964  # the normal distribution's quantile for 95 %


class Gain(NamedTuple):
    """A difference and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_beyond(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        low, high = (f"{100 * end:+.1f}" for end in (self.low, self.high))
        return f"{100 * self.value:+.1f} ({low} to {high})"


def of_answers(before: npt.ArrayLike, after: npt.ArrayLike) -> Gain:
    """Return the gain in the share of right answers, with the interval of Agresti and Min (2005).

    The interval adds half an answer to each of the four cells of the table of pairs. So it
    is not empty even where all answers stay as they are.

    Args:
        before: Whether each photograph was right, in any order.
        after: Whether it is right now, in the same order.
    """
    old, new = np.asarray(before, bool), np.asarray(after, bool)
    n, won, lost = len(old), int((new & ~old).sum()), int((old & ~new).sum())
    middle = (won - lost) / (n + 2)
    width = _Z * np.sqrt((won + lost + 1) - (won - lost) ** 2 / (n + 2)) / (n + 2)
    return Gain((won - lost) / n, middle - float(width), middle + float(width))


def of_values(before: npt.ArrayLike, after: npt.ArrayLike) -> Gain:
    """Return the gain in a mean, with the normal distribution's interval."""
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    mean = float(differences.mean())
    width = _Z * float(differences.std(ddof=1)) / len(differences) ** 0.5
    return Gain(mean, mean - width, mean + width)
