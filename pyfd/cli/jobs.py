"""The execution of a command's jobs: read a file, process it, and write another one whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyfd._core.files import read_source, write_file
from pyfd.cli.journal import Job, Journal, Stamp, stamp
from pyfd.cli.messages import Messages, RefusedError
from pyfd.cli.plan import STDIO
from pyfd.limits import Limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(
    jobs: Sequence[Job],
    work: Callable[[Any], bytes],
    limits: Limits,
    messages: Messages,
    journal: Journal | None = None,
) -> None:
    """Do the jobs one by one; a job that fails is refused, and the others are still done.

    Args:
        jobs: The files to read and to write.
        work: A function from the content of the file that was read to that of the file to write.
        limits: The limits on the files to read.
        messages: The messages in which inputs are refused.
        journal: The journal in which finished jobs are recorded.
    """
    for job in messages.progress(jobs, len(jobs)):
        with messages.watching(job.source):
            before = do(job, work, limits)
            if journal is not None:
                journal.add(job, before)


def do(job: Job, work: Callable[[Any], bytes], limits: Limits, folder: str = "") -> Stamp | None:
    """Do one job, whose names are relative to `folder`.

    Returns:
        The source's stamp from before it was read.
    """
    source = os.path.join(folder, job.source)  # noqa: PTH118 (of "" and "-" it makes "-")
    before = stamp(source)
    write(job.target, work(read(source, limits)), folder, through=not job.in_directory)
    return before


def read(source: str, limits: Limits) -> bytes:
    """Return a file's bytes, or standard input's for "-"."""
    return bytes(read_source(sys.stdin.buffer if source == STDIO else source, limits))


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
    path = Path(folder, target)
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
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RefusedError(f"cannot write {name or path}: {error.strerror}") from error


def draw(figure: Figure, path: str) -> None:
    """Write a plot as the .png or .svg file that its name asks for.

    Raises:
        RefusedError: The file cannot be written.
    """
    from pyfd import plots

    with writing(path):
        plots.save(figure, path)
