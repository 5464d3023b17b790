"""Files that are written: whole or not at all, or written through."""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pyfd._core.attributes import take_over

_MOST_LINKS = 40

#: Open files, which are named by the numbers of their descriptors.
_OPEN_FILE = re.compile(r"(/dev|/proc/[0-9]+(/task/[0-9]+)?)/fd/[0-9]{1,9}")

#: The errors of a directory in which no file can be made, and of a file that cannot be replaced.
_NO_NEW_FILE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV})

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def make_parents(path: str | os.PathLike[str]) -> None:
    """Make the folders above a file, however many are missing.

    `Path.mkdir` and `os.makedirs` call themselves for each missing folder, and fail at a
    thousand.

    Raises:
        OSError: A folder cannot be made.
    """
    above = Path(path).parents
    missing = list(itertools.takewhile(lambda folder: not folder.exists(), above))
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def write_file(
    path: str | os.PathLike[str], data: bytes | memoryview, *, through: bool = True
) -> None:
    """Write a file whole or not at all; write through what is not a regular file.

    A regular file is written under a temporary name beside it and renamed. The file that
    it replaces leaves it what a write in place would have kept: permissions (but no
    set-user-ID), owner, group, ACL and attributes where permitted, and the time of
    access. A symbolic link stays, and its target is written. Where no new file can take
    the old one's place, as in a directory that is read-only or for a file that is a mount
    point, the old one is overwritten after the space for the new content was reserved.

    A FIFO is opened as by ``cat``: that waits for a reader. A device is written to, and a
    name of one of this process's own descriptors, such as /dev/stdout, is the descriptor.

    Args:
        path: The file.
        data: Its content.
        through: Whether to write through what is not a regular file, and through links. If
            not, it is refused, without a wait: that is for files in directories, which
            nobody has named.

    Raises:
        OSError: The file cannot be written; nothing is left behind. A read-only file, a
            directory and a socket are among the reasons.
    """
    content, name = memoryview(data).cast("B"), Path(path)
    try:
        if os.fspath(path).endswith(os.sep):  # which a Path has not
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not through:
            check_regular(name)
            _replace(name, content)  # whatever is in its place by then, a link too
        elif is_stream(name):
            _write_through(_held(name) or name, content)
        else:
            _replace(Path(os.path.realpath(name)) if name.is_symlink() else name, content)
    except OSError as error:  # which may name the temporary file, or nothing
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error


def check_regular(name: Path) -> None:
    """Refuse anything but a regular file and nothing.

    Raises:
        OSError: Something else has the name.
    """
    try:
        mode = name.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise OSError(errno.EINVAL, kind)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to something that exists and that no file can replace.

    Raises:
        OSError: It leads nowhere: the system does not let its links be followed.
    """
    status = _status(Path(path))  # before links are read: the system may forbid to follow them
    return _held(Path(path)) is not None or not (status is None or stat.S_ISREG(status.st_mode))


def _status(name: Path) -> os.stat_result | None:
    """Return a file's status; None if there is none, or a link to none."""
    try:
        return name.stat()
    except FileNotFoundError:
        return None


def _held(name: Path) -> Path | None:
    """Return the name of an open file that a path leads to, such as /proc/42/fd/1.

    Its link says what the file was called when it was opened, which is not where it is.
    """
    for _ in range(_MOST_LINKS):
        folder = Path(os.path.realpath(name.parent))
        name = folder / name.name
        if _OPEN_FILE.fullmatch(str(name)):
            return name
        try:
            name = folder / name.readlink()
        except OSError:  # not a link
            break
    return None


def _write_through(name: Path, data: memoryview) -> None:
    """Write to a FIFO, a device or an open file."""
    if name.parent in (Path("/dev/fd"), *_own_descriptors()):
        descriptor = os.dup(int(name.name))  # keeps its place in the file, and needs no rights
    else:
        if (status := _status(name)) is not None and stat.S_ISSOCK(status.st_mode):
            raise OSError(errno.ENXIO, "a socket cannot be opened")
        descriptor = os.open(name, _flags("O_WRONLY", "O_TRUNC", "O_NOCTTY"))
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _own_descriptors() -> Iterator[Path]:
    """Yield the folders of this process's descriptors, under their final names."""
    for name in ("/proc/self/fd", "/proc/thread-self/fd"):
        yield Path(os.path.realpath(name))


def _replace(target: Path, data: memoryview) -> None:
    """Put a new file in the place of an old one, or of none."""
    old = _status(target)
    if old is not None and not _writable(target):  # a rename would not ask
        os.close(os.open(target, _flags("O_WRONLY", "O_NONBLOCK", "O_NOCTTY")))  # says why
    temporary = target.with_name(f".pyfd-{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, data, target, old)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if old is None or getattr(error, "errno", None) not in _NO_NEW_FILE:
            raise
        _overwrite(target, data)


def _writable(target: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(target, os.W_OK, effective_ids=effective)


def _write_new(temporary: Path, data: memoryview, target: Path, old: os.stat_result | None) -> None:
    """Write a file that is never more readable than the file whose place it will take."""
    flags = _flags("O_WRONLY", "O_CREAT", "O_EXCL")
    descriptor = os.open(temporary, flags, 0o666 if old is None else 0o600)
    try:
        _write_all(descriptor, data)
        if old is not None:
            take_over(descriptor, target, old)
    finally:
        os.close(descriptor)


def _overwrite(target: Path, data: memoryview) -> None:
    """Write over a regular file's content, once there is space for all of the new one."""
    descriptor = os.open(target, _flags("O_WRONLY", "O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW"))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if data and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(descriptor, 0, len(data))
            except OSError as error:
                if error.errno in _NO_SPACE:
                    os.ftruncate(descriptor, status.st_size)
                    raise
        if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            os.fchmod(descriptor, status.st_mode & 0o777)
        _write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:  # one write, unless the data are huge or it is a pipe
        data = data[os.write(descriptor, data) :]


def _flags(*names: str) -> int:
    """Return the flags of `os.open` that this system has."""
    return sum(getattr(os, name, 0) for name in (*names, "O_CLOEXEC", "O_BINARY"))
