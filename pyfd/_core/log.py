"""A log of JSON lines, from which an interrupted run can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pyfd._core.files import write_atomically


class OtherRunError(ValueError):
    """A log that belongs to another run, or a file that is not a log."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not a log of this run: {reason}")
        self.reason = reason


class Log:
    """A file with a header line that identifies the run, and a line for each entry.

    `append` hands each entry to the operating system as one write of a whole line,
    so that a killed process loses at most the entry it was writing, and several
    processes can append to one log. Lines that were cut off are skipped on reading.

    Args:
        path: The file. It and its folder are created if they do not exist.
        header: A JSON object with a "format", and everything that determines the
            entries.
        restart: Replace a file with another header instead of refusing it.

    Raises:
        OtherRunError: The file has another header or none, and `restart` is False.
        OSError: The file cannot be read or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: Mapping[str, Any], *, restart: bool = False
    ) -> None:
        self.path = Path(path)
        self.entries: list[Any] = []
        """The entries of earlier runs, in the order of the file."""
        line = _line(header)
        try:
            self.entries = _entries(self.path, json.loads(line))
        except (FileNotFoundError, OtherRunError) as error:
            if isinstance(error, OtherRunError) and not restart:
                raise
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, line)
        self._file = self.path.open("a+b", buffering=0)

    def append(self, entry: Any) -> None:
        """Append an entry: a JSON array or object."""
        data = _line(entry)
        if not self._ends_with_newline():  # the last line was cut off
            data = b"\n" + data
        while data:  # one write, unless the disk is full
            data = data[self._file.write(data) :]

    def _ends_with_newline(self) -> bool:
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), 1, max(size - 1, 0)) == b"\n"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _line(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _entries(path: Path, header: dict[str, Any]) -> list[Any]:
    """Return the entries under this header; skip lines that were cut off."""
    first, *lines = path.read_bytes().split(b"\n")
    found = _parsed(first)
    kinds = ("format", "version")
    if not isinstance(found, dict) or any(found.get(key) != header.get(key) for key in kinds):
        raise OtherRunError(path, "its first line is not the header of one")
    if differing := [key for key in {**header, **found} if found.get(key) != header.get(key)]:
        raise OtherRunError(path, f"other {', '.join(sorted(differing))}")
    entries = map(_parsed, lines)
    return [entry for entry in entries if isinstance(entry, dict | list)]


def _parsed(line: bytes) -> Any:
    """Return the value of a line, or None if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
