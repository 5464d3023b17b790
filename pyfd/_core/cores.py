"""How much of the machine a process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux, a container or taskset may allow fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
