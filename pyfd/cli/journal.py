"""The journal of an output directory, from which a repeated run knows what it can skip."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pyfd._core.files import open_regular
from pyfd._core.log import Log, OtherRunError

_CHUNK = 1 << 20

#: A regular file's size, its times of change (of the content, and of anything) in nanoseconds,
#: and its inode. Whoever replaces a file can choose size and the first time, but not the others.
Stamp: TypeAlias = tuple[int, int, int, int]


class Job(NamedTuple):
    """One file to read and one file to write."""

    source: str
    target: str
    regular: bool = True
    """Whether the source must be a regular file when it is read."""
    in_directory: bool = False
    """Whether the user has named the target's directory, and not the target: then it must be a
    regular file, or none yet."""


class Content(NamedTuple):
    """What a file was when it was read or written."""

    stamp: Stamp
    digest: str


class Done(NamedTuple):
    """A finished job: what was read and what was written."""

    source: Content
    target: Content


def stamp_of(path: str) -> Stamp | None:
    """Return a regular file's stamp, or None for anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 (Path cannot hold "")
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def digest_of(content: bytes) -> str:
    """Return the digest of a file: SHA-256, for which common processors have instructions."""
    return hashlib.sha256(content).hexdigest()


class Journal:
    """A log of the files that were written into a directory.

    A job counts as done if its source and its target still have the stamps that they had
    when the target was written, or else the same size and digest. That says nothing if
    somebody else has written the journal: its lines need no key.

    Args:
        directory: The output directory.
        log: Its log.
        jobs: The jobs to look for; entries of others are passed over.
    """

    def __init__(self, directory: str, log: Log, jobs: Iterable[Job]) -> None:
        self.path = str(log.path)
        self._directory = directory
        self._log = log
        names = {self._name(job) for job in jobs}
        self._done = {name: done for name, done in _records(log.entries()) if name in names}

    def add(self, job: Job, done: Done | None) -> None:
        """Note that a job is done; None if it has no files to record."""
        if done is not None:
            self._log.append([*self._name(job), *done.source, *done.target])

    def has(self, job: Job, *, verify: bool = False) -> bool:
        """Return whether a job is done, by an entry for it and by the files as they are now.

        Args:
            job: The job.
            verify: Compare digests even if the stamps are the same.
        """
        done = self._done.get(self._name(job))
        if done is None:
            return False
        source = _unchanged(job.source, done.source, verify)
        target = source and _unchanged(job.target, done.target, verify)
        if not source or not target:
            return False
        if (found := Done(source, target)) != done:
            self.add(job, found)  # so that the next run need not read the files again
        return True

    def _name(self, job: Job) -> tuple[str, str]:
        return os.path.abspath(job.source), os.path.relpath(job.target, self._directory)  # noqa: PTH100


def _records(entries: Iterable[Any]) -> Iterator[tuple[tuple[str, str], Done]]:
    """Yield the names and the record of each entry; skip everything else."""
    for entry in entries:
        match entry:
            case [
                str(source),
                str(target),
                [int(), int(), int(), int()] as before,
                str(read),
                [int(), int(), int(), int()] as after,
                str(written),
            ]:
                done = Done(_content(before, read), _content(after, written))
                yield (source, target), done


def _content(stamp: Sequence[int], digest: str) -> Content:
    size, modified, changed, inode = stamp
    return Content((size, modified, changed, inode), digest)


def _unchanged(path: str, known: Content, verify: bool) -> Content | None:
    """Return the content of a file if it is the known one, with the stamp that it has now."""
    stamp = stamp_of(path)
    if stamp is None or stamp[0] != known.stamp[0]:
        return None
    if (verify or stamp != known.stamp) and _digest_of_file(path, stamp[0]) != known.digest:
        return None
    return Content(stamp, known.digest)


def _digest_of_file(path: str, size: int) -> str | None:
    """Return the digest of a file of this size, or of another if it has grown.

    Return None if it cannot be read.
    """
    digest, left = hashlib.sha256(), size + 1
    try:
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def path_in(directory: str, command: str) -> Path:
    """Return the path of a command's journal in a directory."""
    return Path(directory, f".pyfd-{command}.jsonl")


@contextmanager
def opened(
    directory: str, command: str, settings: Mapping[str, Any], jobs: Iterable[Job]
) -> Iterator[Journal]:
    """Open a command's journal in a directory; begin it anew if the settings differ.

    Raises:
        ValueError: Another file, or a newer version's journal, is in its place.
        OSError: The journal cannot be read or written.
    """
    header = {"format": "pyfd-journal", "version": 2, "settings": settings}
    path = path_in(directory, command).absolute()
    try:
        log = Log(path, header, restart=True)
    except OtherRunError as error:
        reason = f"{path} is not a journal of this pyfd: {error.reason}. Move it away or delete it"
        raise ValueError(reason) from error
    with log:
        yield Journal(directory, log, jobs)
