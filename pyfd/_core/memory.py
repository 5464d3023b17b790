"""What calls may hold in memory: `Limits.max_memory`, and the sharing of it by threads."""

from __future__ import annotations

import threading

from pyfd.errors import LimitExceededError
from pyfd.limits import Limits


def check_memory(limits: Limits, needed: int, what: str = "the file") -> None:
    """Refuse what needs more than `max_memory`, before numpy allocates.

    C checks it again for files that it reads, before it allocates.
    """
    allowed = limits.max_memory
    if needed > allowed:
        raise LimitExceededError(
            f"max_memory is {allowed}, but {what} needs {needed}",
            limit="max_memory",
            allowed=allowed,
            needed=needed,
        )


class Budget:
    """Memory that threads share: a thread that asks for more than is left waits for others."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0  # threads, which are seldom any: to notify none takes long

    def lend(self, size: int) -> Loan:
        """Lend so many bytes, once they are left; `check_memory` says whether they ever are."""
        return Loan(self, size)

    def take(self, size: int) -> None:
        """Wait for so many bytes."""
        with self._lock:
            if self._left < size:
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: self._left >= size)
                finally:
                    self._waiting -= 1
            self._left -= size

    def give(self, size: int) -> None:
        """Give so many bytes back."""
        with self._lock:
            self._left += size
            if self._waiting:
                self._changed.notify_all()


class Loan:
    """A part of a budget, for a block of code."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self._size = size

    def __enter__(self) -> None:
        self._budget.take(self._size)

    def __exit__(self, *_: object) -> None:
        self._budget.give(self._size)
