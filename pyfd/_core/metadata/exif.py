"""EXIF in APP1 segments: the block, its orientation, and a copy without pixels.

The code is our own because no library does this job safely. `PIL.Image.Exif` and similar
classes write back tags that they do not know, such as makers' notes and private tags,
but the defence needs the opposite: nothing that may hold pixels is copied. Libraries in
C and C++ would parse an attacker's bytes without the bounds that hold everywhere else
here. `pyfd.probe` reads the orientation of every file, so it parses only the first
directory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, as_bytes, segment

MARKER = 0xE1
PREFIX = b"Exif\0\0"

# Sizes of the value types (TIFF 6.0, section 2); type 13 is the offset of a directory
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
# Directories that are copied, by the tag that points to them: EXIF, GPS, interoperability
_POINTERS = (0x8769, 0x8825, 0xA005)
# Tags that hold pixels or point to them: strips, tiles, JPEG data, their tables,
# sub-directories, and makers' notes, which often hold a preview
_PIXEL_TAGS = frozenset(
    {0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x015B, 0x0200, 0x0201, 0x0202, 0x0207, 0x0208}
    | {0x0209, 0x927C, 0xC634, 0xC68B}
)


def read(found: Sequence[Payload]) -> bytes | None:
    """Return the first EXIF block, with its prefix, or None if there is none."""
    return next((p for marker, p in found if marker == MARKER and p.startswith(PREFIX)), None)


def orientation(block: bytes | None) -> int:
    """Return EXIF's orientation, 1 to 8; 1 if it is absent or invalid."""
    if block is None:
        return 1
    try:
        tiff = _Tiff(block)
        for place in tiff.places(tiff.first()):
            tag, kind, count = tiff.unpack("HHI", place)
            if tag == _ORIENTATION and kind in (_SHORT, _LONG) and count == 1:
                (value,) = tiff.unpack("H" if kind == _SHORT else "I", place + 8)
                return value if 1 <= value <= 8 else 1
    except ValueError:
        pass
    return 1


def build(exif: object) -> bytes:
    """Return the segment for an EXIF block with or without its prefix; none for an empty block.

    Raises:
        TypeError: The block is neither bytes-like nor a `PIL.Image.Exif`.
        ValueError: The block is not EXIF, or too long for a segment.
    """
    if hasattr(exif, "tobytes") and not isinstance(exif, memoryview):
        exif = exif.tobytes()  # a PIL.Image.Exif
    block = as_bytes("exif", exif)
    if not block:
        return b""
    if block[:4] in (b"II*\0", b"MM\0*"):
        block = PREFIX + block
    if not block.startswith(PREFIX):
        raise ValueError(r"exif must start with b'Exif\0\0' or with a TIFF header")
    if len(block) > MAX_PAYLOAD:
        raise ValueError(f"exif is longer than {MAX_PAYLOAD} bytes")
    return segment(MARKER, block)


def clean(block: bytes) -> bytes | None:
    """Return a new block, with its prefix, without anything that may hold pixels.

    A thumbnail holds undefended pixels, and can hide in many places. So only the image's
    own tags, GPS and interoperability are copied: no further directories, no makers'
    notes, and no bytes without a tag that refers to them.

    Returns:
        The new block, or None if the old one is damaged.
    """
    try:
        tiff = _Tiff(block)
        return PREFIX + _write_tiff(tiff.order, tiff.directory(tiff.first()))
    except ValueError:
        return None


# ---- TIFF -----------------------------------------------------------------


class _Entry(NamedTuple):
    tag: int
    kind: int
    number: int
    value: bytes


class _Directory(NamedTuple):
    entries: list[_Entry]
    children: dict[int, _Directory]
    """The directories below this one, by the tag that points to them."""


class _Tiff:
    """A reader of those parts of TIFF 6.0 that copying an EXIF block's directories needs.

    The bytes may be hostile: all entries of a directory may point to the same long value,
    so values are counted before they are copied. Every method raises `ValueError` for
    a damaged block.
    """

    def __init__(self, block: bytes):
        self.data = block[len(PREFIX) :]
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(self.data[:4])
        if order is None:
            raise ValueError("no TIFF header")
        self.order = order
        self.left = len(self.data)  # bytes of entries and values that an intact block can have

    def unpack(self, fmt: str, offset: int) -> tuple[int, ...]:
        """Return the numbers at an offset."""
        try:
            return struct.unpack_from(self.order + fmt, self.data, offset)
        except struct.error as error:
            raise ValueError("an offset past the end") from error

    def places(self, offset: int) -> range:
        """Return the offsets of a directory's entries."""
        (count,) = self.unpack("H", offset)
        return range(offset + 2, offset + 2 + 12 * count, 12)

    def first(self) -> int:
        """Return the offset of the first directory."""
        return self.unpack("I", 4)[0]

    def directory(self, offset: int, pointers: tuple[int, ...] = _POINTERS) -> _Directory:
        """Return a directory without the tags that may hold pixels."""
        found = _Directory([], {})
        seen: set[int] = set()
        for place in self.places(offset):
            tag, kind, count = self.unpack("HHI", place)
            self.charge(12)
            if tag in seen or tag in _PIXEL_TAGS or kind not in _TYPE_SIZES:
                continue
            seen.add(tag)
            if tag in pointers:
                rest = tuple(pointer for pointer in pointers if pointer > tag)
                found.children[tag] = self.directory(self.unpack("I", place + 8)[0], rest)
            elif tag not in _POINTERS:
                value = self.value(place + 8, count * _TYPE_SIZES[kind])
                found.entries.append(_Entry(tag, kind, count, value))
        return found

    def charge(self, size: int) -> None:
        """Count bytes of an entry or a value: in an intact block they do not overlap."""
        self.left -= size
        if self.left < 0:
            raise ValueError("directories or values that overlap")

    def value(self, place: int, size: int) -> bytes:
        """Return the value of the entry whose value field is at `place`."""
        if size > 4:  # a smaller value lies in the entry, which is counted already
            (place,) = self.unpack("I", place)
            self.charge(size)
        if place + size > len(self.data):
            raise ValueError("a value past the end")
        return self.data[place : place + size]


def _write_tiff(order: str, first: _Directory) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _write_directory(order, first, 8)


def _write_directory(order: str, directory: _Directory, offset: int) -> bytes:
    """Return a directory with its values and children, to be placed at `offset`."""
    count = len(directory.entries) + len(directory.children)
    rows: list[tuple[int, bytes]] = []
    behind = b""
    start = offset + 2 + 12 * count + 4
    for tag, kind, number, value in directory.entries:
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(order + "I", start + len(behind))
            behind += value + b"\0" * (len(value) % 2)
        rows.append((tag, struct.pack(order + "HHI", tag, kind, number) + field))
    for tag, child in directory.children.items():
        place = start + len(behind)
        rows.append((tag, struct.pack(order + "HHII", tag, _LONG, 1, place)))
        behind += _write_directory(order, child, place)
    table = b"".join(row for _, row in sorted(rows))
    return struct.pack(order + "H", count) + table + bytes(4) + behind
