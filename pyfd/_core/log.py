"""A log of JSON lines, from which an interrupted run can be resumed."""

from __future__ import annotations

import io
import json
import os
import reprlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pyfd._core.files import NotRegularError, open_regular
from pyfd._core.writing import make_parents

_MOST_BYTES = 1 << 32  # of a log: as many as ten million files have in a journal
_LONGEST_LINE = 1 << 22  # in bytes: an entry with four pictures has a quarter of it
_LONGEST_REASON = 200


class OtherRunError(ValueError):
    """A log that belongs to another run, or a file that is not a log.

    Args:
        path: The file.
        reason: What is wrong with it, as a part of a sentence.
        replaceable: Whether a restart may replace it, because it holds nothing but the
            entries of an earlier run.
    """

    def __init__(self, path: Path, reason: str, *, replaceable: bool = False) -> None:
        super().__init__(f"{path} is not a log of this run: {reason}")
        self.reason = reason
        self.replaceable = replaceable


class Log:
    """A file with a header line that identifies the run, and a line for each entry.

    `append` hands each entry to the operating system as one write of a whole line,
    so that a killed process loses at most the entry it was writing, and several
    processes can append to one log. Lines that were cut off are skipped on reading.
    Whether an entry fits the run, its user must check; whoever can write the file can
    write entries. A file of any kind and content is read or refused in bounded memory.

    Args:
        path: The file. It and its folder are created if they do not exist.
        header: A JSON object with a "format", an integer "version", and everything that
            determines the entries.
        restart: Replace an empty file, and the log of another run if it has the same
            format and no newer version, instead of refusing them.

    Raises:
        OtherRunError: The file is not a log of this run, and must not be replaced.
        OSError: The file cannot be read or written; the message names it.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: Mapping[str, Any], *, restart: bool = False
    ) -> None:
        self.path = Path(path)
        line = _line(header)
        with self._naming_the_path():
            file = self._existing() or self._created(line) or _opened(self.path)
            try:
                _check_header(self.path, file, json.loads(line))
            except OtherRunError as error:
                file.close()
                if not (restart and error.replaceable):
                    raise
                file = self._replaced(line)
        self._file = file

    def entries(self) -> Iterator[Any]:
        """Yield the file's entries, the oldest first, and keep none of them.

        Lines that were cut off, that are too long, or that hold no entry are skipped. Do
        not append before the last one is read.
        """
        lines = _lines(self._file)
        with self._naming_the_path():
            next(lines, b"")  # the header
            for line in lines:
                entry = _parsed(line)
                if isinstance(entry, dict | list):
                    yield entry

    def append(self, entry: Any) -> None:
        """Append an entry: a JSON array or object."""
        data = _line(entry)
        with self._naming_the_path():
            if not self._ends_with_newline():  # the last line was cut off
                data = b"\n" + data
            while data:  # one write, unless the disk is full
                data = data[self._file.write(data) :]

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

    def _ends_with_newline(self) -> bool:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(size - 1, 0))
        return self._file.read(1) == b"\n"

    @contextmanager
    def _naming_the_path(self) -> Iterator[None]:
        """Name the log in the message of an `OSError`: callers name their own inputs."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, f"{self.path}: {error.strerror or error}") from error

    # ---- opening ----

    def _existing(self) -> io.FileIO | None:
        try:
            return _opened(self.path)
        except FileNotFoundError:
            return None

    def _created(self, line: bytes) -> io.FileIO | None:
        """Create the file with its header, or return None if another process was faster."""
        make_parents(self.path)
        with suppress(FileExistsError), self._temporary(line) as (temporary, file):
            try:
                os.link(temporary, self.path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                file.close()
                file = _opened(self.path, os.O_CREAT | os.O_EXCL)
                file.write(line)
            return file
        return None

    def _replaced(self, line: bytes) -> io.FileIO:
        """Put a new file in the place of the old one, which other processes may still have open."""
        with self._temporary(line) as (temporary, file):
            temporary.replace(self.path)
            return file

    @contextmanager
    def _temporary(self, line: bytes) -> Iterator[tuple[Path, io.FileIO]]:
        """Write a header to a file beside the log, and remove the file's name afterwards."""
        temporary = self.path.with_name(f".pyfd-{secrets.token_hex(8)}.tmp")
        file = _opened(temporary, os.O_CREAT | os.O_EXCL)
        try:
            file.write(line)
            yield temporary, file
        except BaseException:
            file.close()
            raise
        finally:
            temporary.unlink(missing_ok=True)


def _opened(path: Path, flags: int = 0) -> io.FileIO:
    """Open a regular file to read and append."""
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_APPEND | flags)
    except NotRegularError as error:
        raise OtherRunError(path, f"it is {error.strerror}") from error
    return io.FileIO(descriptor, "a+")


def _line(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _check_header(path: Path, file: io.FileIO, header: dict[str, Any]) -> None:
    """Refuse a file that does not begin with this header, and one that is too large to read."""
    lines = _lines(file)
    first = next(lines, b"")
    size = os.fstat(file.fileno()).st_size
    if size > _MOST_BYTES:
        raise OtherRunError(path, f"it has {size} bytes, more than the {_MOST_BYTES} of any log")
    if not first and not any(lines):
        raise OtherRunError(path, "it is empty", replaceable=True)
    found = _parsed(first)
    if not isinstance(found, dict) or "format" not in found:
        raise OtherRunError(path, "its first line is not the header of a log")
    if found["format"] != header["format"]:
        kind = reprlib.repr(found["format"])
        raise OtherRunError(path, f"it has the format {kind}, not {header['format']!r}")
    version = found.get("version")
    older = type(version) is int and version < header["version"]
    if version != header["version"]:
        ours = header["version"]
        reason = f"another version of pyfd wrote it (format {reprlib.repr(version)}, not {ours})"
        raise OtherRunError(path, reason, replaceable=older)
    if differing := [key for key in {**header, **found} if found.get(key) != header.get(key)]:
        reason = f"other {', '.join(sorted(differing))}"
        raise OtherRunError(path, reason[:_LONGEST_REASON], replaceable=True)


def _lines(file: io.FileIO) -> Iterator[bytes]:
    """Yield the lines that a file has now, without the newline; "?" for one that is too long."""
    left = file.seek(0, os.SEEK_END)  # whatever is appended meanwhile
    with open(os.dup(file.fileno()), "rb") as reader:  # noqa: PTH123
        reader.seek(0)
        begins = True
        while left > 0 and (part := reader.readline(min(left, _LONGEST_LINE))):
            left -= len(part)
            ends = part.endswith(b"\n")
            if begins:
                yield part.rstrip(b"\n") if ends or len(part) < _LONGEST_LINE else b"?"
            begins = ends


def _parsed(line: bytes) -> Any:
    """Return the value of a line, or None if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
