"""How many calls of a function run at the same time, for tests of threads that share memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class AtOnce:
    """A function in another's place; `most` is the largest number of its calls at a time."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._active = 0
        self.most = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            self._active += 1
            self.most = max(self.most, self._active)
        try:
            return self._call(*args, **kwargs)
        finally:
            with self._lock:
                self._active -= 1
