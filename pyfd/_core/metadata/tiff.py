"""TIFF's directories (TIFF 6.0, section 2), read by an allow-list and written anew.

The bytes may be hostile. Each directory of the list is read at most once, so that its entries
are counted by the block's size. Entries may all point to the same long value, so the bytes of
values are counted, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pyfd._core.metadata.tags import LONG_INT, SIZES, Tag

_IFD = 13
_READINGS = 4  # how often the block's size may be read as values


class Listed(NamedTuple):
    """An allow-list: what a directory may hold."""

    name: str
    tags: Mapping[int, Tag]
    below: Mapping[int, Listed]
    """The directories below this one, by the tag that points to them."""


class Value(NamedTuple):
    """An entry's type and its bytes in the block's order."""

    kind: int
    data: bytes


class Directory(NamedTuple):
    """What was kept of a directory."""

    values: dict[int, Value]
    below: dict[int, Directory]

    def __bool__(self) -> bool:
        return bool(self.values) or any(self.below.values())


class Entry(NamedTuple):
    """An entry of a directory, and the place of its value field."""

    tag: int
    kind: int
    number: int
    place: int

    @property
    def size(self) -> int:
        """The size of its value in bytes."""
        return self.number * SIZES.get(self.kind, 0)


class Block:
    """A TIFF header and what it leads to.

    Raises:
        ValueError: The bytes have no TIFF header.
    """

    def __init__(self, data: bytes) -> None:
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
        if order is None or len(data) < 8:
            raise ValueError("no TIFF header")
        self.order = order
        self.data = data
        (self.first,) = self.unpack("I", 4)
        self._left = _READINGS * len(data)

    def unpack(self, fmt: str, place: int) -> tuple[int, ...]:
        """Return the numbers at a place.

        Raises:
            struct.error: They lie past the end.
        """
        return struct.unpack_from(self.order + fmt, self.data, place)

    def entries(self, start: int) -> Iterator[Entry]:
        """Yield a directory's entries.

        Raises:
            struct.error: It lies past the end, or is cut off there.
        """
        (count,) = self.unpack("H", start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = self.unpack("HHI", place)
            yield Entry(tag, kind, number, place + 8)

    def read(self, start: int, listed: Listed, left_out: dict[str, None]) -> Directory:
        """Return what the allow-list has of a directory; damage costs nothing else.

        Args:
            start: The directory's offset.
            listed: The allow-list.
            left_out: Gets the names of what is listed and damaged.
        """
        found = Directory({}, {})
        try:
            for entry in self.entries(start):
                if entry.tag in found.values or entry.tag in found.below:
                    continue
                if entry.tag in listed.tags:
                    self._read_value(entry, listed.tags[entry.tag], found, left_out)
                elif entry.tag in listed.below:
                    self._read_below(entry, listed.below[entry.tag], found, left_out)
        except struct.error:
            left_out[f"{listed.name} (reaches past the end)"] = None
        return found

    def _read_below(
        self, entry: Entry, listed: Listed, found: Directory, left_out: dict[str, None]
    ) -> None:
        (start,) = self.unpack("I", entry.place)
        if entry.kind not in (LONG_INT, _IFD) or entry.number != 1 or start + 2 > len(self.data):
            left_out[f"{listed.name} (its pointer leads nowhere)"] = None
        else:
            found.below[entry.tag] = self.read(start, listed, left_out)

    def _read_value(
        self, entry: Entry, tag: Tag, found: Directory, left_out: dict[str, None]
    ) -> None:
        value = None
        if entry.kind in tag.kinds and tag.fits(entry.kind, entry.number):
            value = self._bytes_of(entry, tag.longest)
        if value is not None:
            value = tag.clean(value, self.order, tag.most)
        if value is None:
            left_out[tag.name] = None
        else:
            found.values[entry.tag] = Value(entry.kind, value)

    def _bytes_of(self, entry: Entry, most: int) -> bytes | None:
        """Return the first `most` bytes of an entry's value.

        Returns:
            None if it lies past the end, or if too many values overlap.
        """
        place, size = entry.place, entry.size
        if size > 4:  # a smaller value lies in the entry
            (place,) = self.unpack("I", place)
        if place + size > len(self.data):
            return None
        size = min(size, most)
        self._left -= size
        return self.data[place : place + size] if self._left >= 0 else None


def write(order: str, first: Directory) -> bytes:
    """Return a block: a header and the directories, with their values behind them."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _directory(order, first, 8)


def _directory(order: str, directory: Directory, offset: int) -> bytes:
    """Return a directory with all that is below it, to be placed at `offset`."""
    below = {tag: child for tag, child in directory.below.items() if child}
    count = len(directory.values) + len(below)
    start = offset + 2 + 12 * count + 4
    rows: list[tuple[int, bytes]] = []
    behind = b""
    for tag, (kind, data) in sorted(directory.values.items()):
        field = data.ljust(4, b"\0")
        if len(data) > 4:
            field = struct.pack(order + "I", start + len(behind))
            behind += data + b"\0" * (len(data) % 2)
        rows.append((tag, struct.pack(order + "HHI", tag, kind, len(data) // SIZES[kind]) + field))
    for tag, child in sorted(below.items()):
        place = start + len(behind)
        rows.append((tag, struct.pack(order + "HHII", tag, LONG_INT, 1, place)))
        behind += _directory(order, child, place)
    table = b"".join(row for _, row in sorted(rows))
    return struct.pack(order + "H", count) + table + bytes(4) + behind
