"""Decoding many files at once, in threads."""

from __future__ import annotations

import itertools
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pyfd._core import decoding
from pyfd._core.cores import usable_cores
from pyfd._core.files import Source
from pyfd._core.memory import Budget
from pyfd._core.pixels import Pixels
from pyfd._core.reading import ReadingOptions, reading_of
from pyfd.qtables import QTablesLike, decoder_steps

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["decode_many"]


def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    **decode_options: Unpack[ReadingOptions],
) -> list[Any]:
    """Decode many files in threads, with the GIL released.

    Args:
        sources: Files as `pyfd.decode` takes them.
        qtables: As in `pyfd.decode`.
        workers: The number of threads; by default the number of usable cores.
            They share one `Limits.max_memory`.
        errors: "raise" raises the first failing file's exception; "return" puts
            the exception in that file's place.
        **decode_options: The other options of `pyfd.decode`, except `out`.

    Returns:
        The arrays, in the order of the sources.

    Raises:
        JPEGError: A file is corrupt, unsupported or beyond a limit.
        TypeError: `pyfd.decode` has no such option, or it has a wrong type.
        ValueError: An option has a wrong value.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", not {errors!r}')
    if workers is None:
        workers = usable_cores()
    if operator.index(workers) < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if isinstance(sources, str | bytes | bytearray | os.PathLike):
        raise TypeError("sources must be an iterable of files, not one file")
    reading = reading_of("decode_many", decode_options)
    tables = decoder_steps(qtables)
    budget = Budget(reading.limits.max_memory)

    def one(source: Source) -> Pixels:
        return decoding.decode(source, tables, reading, budget=budget)

    iterator = iter(sources)
    first = list(itertools.islice(iterator, workers))  # no more threads than files
    return _Work(one, itertools.chain(first, iterator), errors).run(max(1, len(first)))


# concurrent.futures would need as much code: `Executor.map` takes all files before the first
# is done, although a generator may make them one by one. With `submit` and a bounded number
# of futures, a slow file would hold up the files behind it, and a future for each file takes
# a noticeable part of a thumbnail's time.
class _Work:
    """Files for threads: each thread takes the next file when it is done with one."""

    def __init__(self, call: Callable[[Source], object], sources: Iterator[Source], errors: str):
        self._call = call
        self._sources = sources
        self._return_errors = errors == "return"
        self._lock = threading.Lock()
        self._taken = 0
        self._done: dict[int, object] = {}
        self._failed: dict[int, BaseException] = {}

    def run(self, workers: int) -> list[object]:
        """Process the files in this thread and ``workers - 1`` others.

        Return the results, or raise the first file's error.
        """
        threads = [threading.Thread(target=self._work) for _ in range(workers - 1)]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            self._work()
            for thread in started:
                thread.join()
        except BaseException as error:  # Ctrl-C, or a thread that cannot start
            self._failed[-1] = error  # the others stop after their current file
            for thread in started:
                thread.join()
        if self._failed:
            raise self._failed[min(self._failed)]
        return [self._done[index] for index in range(self._taken)]

    def _work(self) -> None:
        while not self._failed and self._one():
            pass

    def _one(self) -> bool:
        """Process the next file; return False if there is none."""
        with self._lock:  # sources may be a generator
            index = self._taken
            try:
                source = next(self._sources)
            except StopIteration:
                return False
            except BaseException as error:
                self._failed[index] = error
                return False
            self._taken += 1
        try:
            self._done[index] = self._call(source)
        except BaseException as error:
            # KeyboardInterrupt and SystemExit do not come from the file
            returned = self._return_errors and isinstance(error, Exception)
            (self._done if returned else self._failed)[index] = error
        return True
