"""The journal of an output directory, from which a repeated run knows what it can skip."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pyfd._core.log import Log, OtherRunError

#: A regular file's size and time of change: another file has another stamp.
Stamp: TypeAlias = tuple[int, int]


class Job(NamedTuple):
    """One file to read and one file to write.

    Attributes:
        source: The file to read.
        target: The file to write.
        in_directory: Whether the user has named the target's directory, and not the target:
            then it must not be a device.
    """

    source: str
    target: str
    in_directory: bool = False


def stamp(path: str) -> Stamp | None:
    """Return a regular file's stamp, or None for anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 (Path cannot hold "")
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


class Journal:
    """A log of the files that were written into a directory.

    A job counts as done if its source and its target still have the stamps that
    they had when the target was written.
    """

    def __init__(self, directory: str, log: Log) -> None:
        self.path = str(log.path)
        self._directory = directory
        self._log = log
        self._done = dict(_stamps(log.entries))

    def left(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that are still to do."""
        return [job for job in jobs if not self._is_done(job)]

    def add(self, job: Job, before: Stamp | None) -> None:
        """Note that a job is done; `before` is the source's stamp before it was read."""
        after = stamp(job.target)
        if before is not None and after is not None:
            self._log.append([*self._name(job), *before, *after])

    def _is_done(self, job: Job) -> bool:
        before, after = stamp(job.source), stamp(job.target)
        if before is None or after is None:
            return False
        return self._done.get(self._name(job)) == [*before, *after]

    def _name(self, job: Job) -> tuple[str, str]:
        return os.path.abspath(job.source), os.path.relpath(job.target, self._directory)  # noqa: PTH100


def _stamps(entries: Sequence[Any]) -> Iterator[tuple[tuple[str, str], list[int]]]:
    """Yield the names and the stamps of each entry; skip everything else."""
    for entry in entries:
        match entry:
            case [str(source), str(target), int(), int(), int(), int()]:
                yield (source, target), entry[2:]


def path_in(directory: str, command: str) -> Path:
    """Return the path of a command's journal in a directory."""
    return Path(directory, f".pyfd-{command}.jsonl")


@contextmanager
def opened(directory: str, command: str, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """Open a command's journal in a directory; begin it anew if the settings differ.

    Raises:
        ValueError: Another file, or a newer version's journal, is in its place.
        OSError: The journal cannot be read or written.
    """
    header = {"format": "pyfd-journal", "version": 1, "settings": settings}
    path = path_in(directory, command).absolute()
    try:
        log = Log(path, header, restart=True)
    except OtherRunError as error:
        reason = f"{path} is not a journal of this pyfd: {error.reason}. Move it away or delete it"
        raise ValueError(reason) from error
    with log:
        yield Journal(directory, log)
