"""The threads that help calls with one image: a pool for the whole process.

However many calls ask at once, there are no more of them than usable cores: a call never
waits for a helper, and does itself what no helper has begun (csrc/work.c).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pyfd._core.cores import usable_cores

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def ask(help_: Callable[[], None], count: int) -> None:
    """Let threads of the pool call a function, so many times in all: soon, or late."""
    left = deque([help_] * count)  # so that each call is made once, even if a thread cannot start

    def once() -> None:
        try:
            call = left.popleft()
        except IndexError:
            return
        call()

    try:
        for _ in range(count):
            try:
                _threads().submit(once)
            except RuntimeError:  # no thread can start, or the interpreter ends
                once()
    except BaseException:  # such as Ctrl-C; each call that is left out would leak memory
        while left:
            once()
        raise


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, usable_cores() - 1), "pyfd")
        return _pool


def _forget() -> None:
    """Forget the threads, which a forked process does not have."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
