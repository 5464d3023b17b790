"""The warnings of one thread, collected while other threads collect theirs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_depth = 0  # how many blocks collect, in all threads
_catching: warnings.catch_warnings[Any] = warnings.catch_warnings()
_show_others = warnings.showwarning
_own = threading.local()


@contextmanager
def collected() -> Iterator[list[Warning]]:
    """Yield a list of the `UserWarning`s that this thread gives in the block; drop all others.

    `warnings.catch_warnings` changes what holds for all threads, and changes it back in the
    middle of their blocks. Here, the first block changes it, and the last one changes it back.
    """
    caught: list[Warning] = []
    outer = getattr(_own, "caught", None)
    _enter()
    _own.caught = caught
    try:
        yield caught
    finally:
        _own.caught = outer
        _leave()


def _enter() -> None:
    global _depth, _catching, _show_others
    with _lock:
        if _depth == 0:
            _catching, _show_others = warnings.catch_warnings(), warnings.showwarning
            _catching.__enter__()
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show
        _depth += 1


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0:
            _catching.__exit__(None, None, None)


def _show(message: Warning | str, *args: Any, **options: Any) -> None:
    """Keep a warning, or show that of a thread which collects none."""
    caught: list[Warning] | None = getattr(_own, "caught", None)
    if caught is None:
        _show_others(message, *args, **options)
    elif isinstance(message, Warning):
        caught.append(message)
