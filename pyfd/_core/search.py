"""The search of a folder for files, which says what it leaves out."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

#: A file's or folder's device and inode: by other names it is the same.
Identity: TypeAlias = tuple[int, int]


class Omitted(NamedTuple):
    """Something that a search left out."""

    path: str
    reason: str
    error: OSError | None = None
    """Why it could not be searched; None if it was left out for what it is."""
    is_link: bool = False
    """Whether it is a link to a folder, which is not an error."""


class _Folder(NamedTuple):
    """A folder to search, and the way to it."""

    path: str
    is_link: bool
    above: _Searched | None


class _Searched(NamedTuple):
    identity: Identity
    above: _Searched | None


def search(
    top: str,
    wanted: Callable[[str], bool],
    *,
    follow_links: bool = False,
    skip: Identity | None = None,
) -> Iterator[str | Omitted]:
    """Yield the paths of the files in a folder and below it, and what is left out.

    Each folder's files come sorted by name, before the folders in it. A link to a file is
    a file. If links to folders are followed, each folder is searched once, however many
    ways lead to it; its place is the real one if that is below `top`. So neither a loop
    nor a web of links can make the search endless. What is omitted has a line each: links to
    folders, folders that cannot be searched, and pipes, sockets and devices with a wanted
    name. Depth costs no stack; a folder whose path is too long for the system is omitted.

    Args:
        top: The folder, which may itself be a link.
        wanted: Whether to take a file of this name, without the folder.
        follow_links: Search linked folders too.
        skip: A folder below `top` to leave out without a word.
    """
    folders, links = [_Folder(top, True, None)], deque[_Folder]()
    searched: dict[Identity, str] = {}
    while folders or links:  # links come last, so that real folders keep their places
        folder = folders.pop() if folders else links.popleft()
        try:
            here = _Searched(_identity(folder), folder.above)
            if here.identity == skip and here.above is not None:
                continue
            if follow_links and here.identity in searched:
                yield Omitted(folder.path, _again(here, searched[here.identity]), is_link=True)
                continue
            searched[here.identity] = folder.path
            listing = _listing(folder.path, wanted)
        except OSError as error:
            yield Omitted(folder.path, error.strerror or str(error), error)
            continue
        yield from _files(listing.files)
        folders += [_Folder(path, False, here) for path in reversed(listing.folders)]
        if follow_links:
            links += [_Folder(path, True, here) for path in listing.links]
        else:
            yield from _not_followed(listing.links, skip)


class _Listing(NamedTuple):
    files: list[str]
    folders: list[str]
    links: list[str]


def _listing(folder: str, wanted: Callable[[str], bool]) -> _Listing:
    """Return the sorted paths of a folder's wanted files, its folders, and links to folders."""
    found = _Listing([], [], [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_folder(entry, follow_symlinks=False):
                found.folders.append(entry.path)
            elif is_folder(entry, follow_symlinks=True):
                found.links.append(entry.path)
            elif wanted(entry.name):
                found.files.append(entry.path)
    return found


def is_folder(entry: os.DirEntry[str], *, follow_symlinks: bool) -> bool:
    """Return whether an entry is a folder, or a link to one; what cannot be told is none."""
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:  # a link to itself, for example
        return False


def _files(paths: list[str]) -> Iterator[str | Omitted]:
    """Yield the files; broken links are among them, so that reading them is an error."""
    for path in paths:
        status = status_of(path)
        if status is None or stat.S_ISREG(status.st_mode):
            yield path
        else:
            yield Omitted(path, "not a regular file")  # a pipe would never end


def _not_followed(links: list[str], skip: Identity | None) -> Iterator[Omitted]:
    for path in links:
        if skip is None or identity_of(path) != skip:
            yield Omitted(path, "a linked folder, which is skipped", is_link=True)


def _identity(folder: _Folder) -> Identity:
    """Return a folder's identity; refuse a link that has taken a real folder's place since."""
    status = os.stat(folder.path, follow_symlinks=folder.is_link)  # noqa: PTH116
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder.path)
    return status.st_dev, status.st_ino


def _again(here: _Searched, known: str) -> str:
    """Return why a folder is not searched again."""
    above = here.above
    while above is not None:
        if above.identity == here.identity:
            return f"a loop: it leads back to {known}"
        above = above.above
    return f"it leads to {known}, which is searched already"


def status_of(path: str | os.PathLike[str] | int) -> os.stat_result | None:
    """Return the status of a path; None if nothing is there, or access is denied."""
    try:
        return os.stat(path)  # noqa: PTH116 (takes file descriptors, and "")
    except (OSError, ValueError):  # a ValueError for a null character
        return None


def identity_of(path: str | os.PathLike[str] | int) -> Identity | None:
    """Return the identity of a file or folder; None if there is neither."""
    status = status_of(path)
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return status.st_dev, status.st_ino
