"""How much of the machine a process may use."""

from __future__ import annotations

import operator
import os

_MOST = 1 << 16  # threads, which C counts in 32 bits; no machine has more cores


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux, a container or taskset may allow fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(workers: int | None) -> int:
    """Return a number of threads, at most 65,536; None is the number of usable cores.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is less than 1.
    """
    if workers is None:
        return usable_cores()
    try:
        count = operator.index(workers)
    except TypeError:
        kind = type(workers).__name__
        raise TypeError(f"workers must be an integer or None, not {kind}") from None
    if count < 1:
        raise ValueError(f"workers must be at least 1, not {count}")
    return min(count, _MOST)
