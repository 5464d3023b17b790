"""The execution of a command's jobs: read a file, process it, and write another one whole."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyfd._core.files import RegularFile, Source, read_source
from pyfd._core.memory import Budget
from pyfd._core.writing import make_parents, write_file
from pyfd.cli.journal import Content, Done, Job, Journal, digest_of, stamp_of
from pyfd.cli.messages import KeptMessages, Messages, Outcome, RefusedError
from pyfd.cli.plan import STDIO
from pyfd.limits import Limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AHEAD = 64  # files that each thread may be ahead of a slow one


def run(
    jobs: Sequence[Job],
    work: Callable[[Any], bytes],
    limits: Limits,
    messages: Messages,
    journal: Journal | None = None,
    *,
    workers: int = 1,
    needs: Callable[[bytes], int] = len,
) -> None:
    """Do the jobs; a job that fails is refused, and the others are still done.

    Files, messages and their order do not depend on the number of threads.

    Args:
        jobs: The files to read and to write.
        work: A function from the content of the file that was read to that of the file to write.
        limits: The limits on the files to read.
        messages: The messages in which inputs are refused.
        journal: The journal in which finished jobs are recorded.
        workers: The number of threads. Pipes are read one after the other, in this one.
        needs: A function from the content of a file to the bytes that work on it takes: threads
            share one `Limits.max_memory`.
    """
    workers, lock = min(workers, len(jobs)), threading.Lock()
    if workers < 2 or not all(job.regular for job in jobs):
        for job in messages.progress(jobs, len(jobs)):
            _do_watched(job, work, limits, messages, journal, lock)
        return
    budget = Budget(limits.max_memory)

    def within_budget(data: bytes) -> bytes:
        needed = min(needs(data), limits.max_memory)  # beyond it, the work refuses the file
        with budget.lend(needed):
            return work(data)

    def one(job: Job) -> Outcome:
        kept = KeptMessages()
        _do_watched(job, within_budget, limits, kept, journal, lock)
        return kept.outcome()

    for outcome in messages.progress(_in_threads(one, jobs, workers), len(jobs)):
        messages.tell(outcome)


def _in_threads(
    call: Callable[[Job], Outcome], jobs: Sequence[Job], workers: int
) -> Iterator[Outcome]:
    """Yield the results of calls in threads, in the order of the jobs.

    If the caller stops, by Ctrl-C for example, the calls that have begun are finished.
    """
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                if len(waiting) >= _AHEAD * workers:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(call, job))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _do_watched(
    job: Job,
    work: Callable[[Any], bytes],
    limits: Limits,
    messages: Messages,
    journal: Journal | None,
    lock: threading.Lock,
) -> None:
    """Do one job and record it, holding the journal's lock; refuse it if it fails."""
    with messages.watching(job.source):
        if journal is None:
            do(job, work, limits)
        else:
            done = do_recorded(job, work, limits)
            with lock:
                journal.add(job, done)


def do(
    job: Job, work: Callable[[Any], bytes], limits: Limits, folder: str = ""
) -> tuple[bytes, bytes]:
    """Do one job, whose names are relative to `folder`; return what was read and written.

    Raises:
        RefusedError: The file cannot be written.
    """
    source = os.path.join(folder, job.source)  # noqa: PTH118 (of "" and "-" it makes "-")
    data = read(source, limits, regular=job.regular)
    result = work(data)
    write(job.target, result, folder, through=not job.in_directory)
    return data, result


def do_recorded(
    job: Job, work: Callable[[Any], bytes], limits: Limits, folder: str = ""
) -> Done | None:
    """Do one job; return its record for the journal, or None if there is no file to record."""
    source, target = (os.path.join(folder, name) for name in job[:2])  # noqa: PTH118
    before = stamp_of(source)  # a later change will be seen
    data, result = do(job, work, limits, folder)
    after = stamp_of(target)
    if before is None or after is None:
        return None
    return Done(Content(before, digest_of(data)), Content(after, digest_of(result)))


def source_of(name: str, *, regular: bool) -> Source:
    """Return an input as `read_source` takes it: standard input for "-".

    Args:
        name: A file, or "-".
        regular: Whether it must be a regular file.
    """
    if name == STDIO:
        return sys.stdin.buffer
    return RegularFile(name) if regular else name


def read(name: str, limits: Limits, *, regular: bool) -> bytes:
    """Return an input's bytes; the arguments are those of `source_of`, and the limits."""
    return bytes(read_source(source_of(name, regular=regular), limits))


def write(target: str, data: bytes, folder: str = "", *, through: bool = True) -> None:
    """Write a file whole or not at all, or write to standard output for "-".

    Args:
        target: The file, or "-".
        data: Its content.
        folder: The folder that the target is relative to.
        through: As for `write_file`: not for files in a directory, where a FIFO would
            stop the jobs that follow.

    Raises:
        RefusedError: The file cannot be written.
    """
    if target == STDIO:
        _write_stdout(data)
        return
    path = os.path.join(folder, target)  # noqa: PTH118 (a Path has no separator at its end)
    with writing(path, target):
        write_file(path, data, through=through)


def _write_stdout(data: bytes) -> None:
    left = memoryview(data)
    while left:  # under PYTHONUNBUFFERED a write may write only a part
        left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.buffer.flush()


@contextmanager
def writing(path: str | Path, name: str | None = None) -> Iterator[None]:
    """Make a file's directory; the block then writes the file.

    Args:
        path: The file.
        name: Its name in an error; by default the path.

    Raises:
        RefusedError: The file cannot be written.
    """
    try:
        make_parents(path)
        yield
    except OSError as error:
        raise RefusedError(f"cannot write {name or path}: {error.strerror}") from error


def draw(figure: Figure, path: str) -> None:
    """Write a plot as the file that its name asks for.

    Raises:
        RefusedError: The file cannot be written.
    """
    from pyfd import plots

    with writing(path):
        plots.save(figure, path)
