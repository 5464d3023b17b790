"""What calls may hold in memory: `Limits.max_memory`, and the sharing of it by threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, size: int) -> Iterator[None]:
        """Lend so many bytes, once they are left; `check_memory` says whether they ever are."""
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
