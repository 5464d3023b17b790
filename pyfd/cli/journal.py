"""What of an output directory is done: a run started again goes on where it was."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pyfd._core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A regular file's size and time of change: another file has another stamp.
Stamp: TypeAlias = tuple[int, int]

_FORMAT = "pyfd-journal"


class Job(NamedTuple):
    """One file in, one file out."""

    source: str
    target: str


def stamp(path: str) -> Stamp | None:
    """A regular file's stamp; None for all else."""
    try:
        status = os.stat(path)  # noqa: PTH116 (takes what Path does not: "")
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


class Journal:
    """A file in the output directory: its first line says how, then a line per file done.

    What was done with other settings does not count, nor what was made of
    another file, nor what was changed since.
    """

    def __init__(self, directory: str, file: IO[str], done: Mapping[Any, Any]) -> None:
        self.path = file.name
        self._directory = directory
        self._file = file
        self._done = done

    def left(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that are still to do."""
        return [job for job in jobs if not self._is_done(job)]

    def add(self, job: Job, before: Stamp | None) -> None:
        """Note that a job is done; `before` is the source's stamp before it was read."""
        after = stamp(job.target)
        if before is not None and after is not None:
            print(json.dumps([*self._name(job), *before, *after]), file=self._file, flush=True)

    def _is_done(self, job: Job) -> bool:
        before, after = stamp(job.source), stamp(job.target)
        if before is None or after is None:
            return False
        return self._done.get(self._name(job)) == [*before, *after]

    def _name(self, job: Job) -> tuple[str, str]:
        return os.path.abspath(job.source), os.path.relpath(job.target, self._directory)  # noqa: PTH100


def path_in(directory: str, command: str) -> Path:
    """Where a command's journal of a directory is."""
    return Path(directory, f".pyfd-{command}.jsonl")


@contextmanager
def opened(directory: str, command: str, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a command in a directory, begun anew if the settings are others.

    Raises:
        OSError: It cannot be written.
    """
    path = path_in(directory, command).absolute()
    header = json.dumps({"format": _FORMAT, "version": 1, "settings": settings}, sort_keys=True)
    done = _read(path, header)
    if done is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{header}\n".encode())
    with path.open("a", encoding="ascii") as file:
        file.write("\n")  # the line before may have been cut off
        yield Journal(directory, file, done or {})


def _read(path: Path, header: str) -> dict[tuple[str, str], list[int]] | None:
    """Stamps by source and target; None if there is no journal with this header."""
    try:
        first, *lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except OSError:
        return None
    if first != header:
        return None
    done = {}
    for line in lines:
        try:
            source, target, *stamps = json.loads(line)
        except (ValueError, TypeError, RecursionError):  # a line that was not written whole
            continue
        done[str(source), str(target)] = stamps
    return done
