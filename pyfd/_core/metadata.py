"""EXIF, ICC, XMP, IPTC and comments: taking them out of a file and putting them into one.

All of it is an attacker's, so each reader checks offsets before it follows them
and gives up rather than guess.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyfd._core.binding import Buffer, Segment

_APP1, _APP2, _APP13, _COM = 0xE1, 0xE2, 0xED, 0xFE
_READ = frozenset({_APP1, _APP2, _APP13, _COM})
_MAX_PAYLOAD = 65533

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_ICC_CHUNK = _MAX_PAYLOAD - len(_ICC) - 2
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = (0x0404, 0x0425)  # the record and its digest


class Metadata(NamedTuple):
    """What a file says about itself besides the image."""

    exif: bytes | None
    """The APP1 payload, with its leading ``Exif\\0\\0``."""
    icc_profile: bytes | None
    comment: bytes | None
    """The last comment."""


def payloads(data: Buffer, segments: Sequence[Segment]) -> list[tuple[int, bytes]]:
    """The markers and bytes of those segments that this module reads."""
    view = memoryview(data)
    return [
        (marker, bytes(view[offset : offset + size]))
        for offset, size, marker in segments
        if marker in _READ
    ]


def read(found: Sequence[tuple[int, bytes]]) -> Metadata:
    """Pick out what `pyfd.Header` shows."""
    exif = _first_exif(found)
    comments = [payload for marker, payload in found if marker == _COM]
    return Metadata(exif, _join_icc(found), comments[-1] if comments else None)


def _first_exif(found: Sequence[tuple[int, bytes]]) -> bytes | None:
    return next((p for m, p in found if m == _APP1 and p.startswith(_EXIF)), None)


def _join_icc(found: Sequence[tuple[int, bytes]]) -> bytes | None:
    """The ICC profile from its numbered chunks (ICC.1, B.4); None if one is amiss."""
    head = len(_ICC) + 2
    chunks = [p for m, p in found if m == _APP2 and p.startswith(_ICC) and len(p) > head]
    numbered = {chunk[head - 2]: chunk for chunk in chunks}
    count = len(chunks)
    if not chunks or sorted(numbered) != list(range(1, count + 1)):
        return None
    if any(chunk[head - 1] != count for chunk in chunks):
        return None
    return b"".join(numbered[number][head:] for number in range(1, count + 1))


# ---- EXIF -----------------------------------------------------------------

# TIFF 6.0, section 2: sizes of the value types; 13 is an offset of a directory
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
# Directories that are copied, by the tag that points to them: EXIF, GPS, interoperability
_POINTERS = (0x8769, 0x8825, 0xA005)
# What holds pixels, or points to them: strips, tiles, JPEG data, their tables,
# sub-directories, and makers' notes, which often hold a preview
_PIXEL_TAGS = frozenset(
    {0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x015B, 0x0200, 0x0201, 0x0202, 0x0207, 0x0208}
    | {0x0209, 0x927C, 0xC634, 0xC68B}
)


class _Entry(NamedTuple):
    tag: int
    kind: int
    number: int
    value: bytes


class _Directory(NamedTuple):
    entries: list[_Entry]
    children: dict[int, _Directory]
    """By the tag that points to them."""


class _Tiff:
    """Just enough of TIFF 6.0 to copy an EXIF block's directories.

    Its bytes are hostile: a directory's entries may all point to the same long
    value, so values are counted before they are copied.
    """

    def __init__(self, exif: bytes):
        self.data = exif[len(_EXIF) :]
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(self.data[:4])
        if order is None:
            raise ValueError("no TIFF header")
        self.order = order
        self.left = len(self.data)  # bytes of entries and values that a sound block can have

    def unpack(self, fmt: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + fmt, self.data, offset)
        except struct.error as error:
            raise ValueError("an offset past the end") from error

    def places(self, offset: int) -> range:
        """Where a directory's entries stand."""
        (count,) = self.unpack("H", offset)
        return range(offset + 2, offset + 2 + 12 * count, 12)

    def first(self) -> int:
        """Where the first directory stands."""
        return self.unpack("I", 4)[0]

    def directory(self, offset: int, pointers: tuple[int, ...] = _POINTERS) -> _Directory:
        """A directory without what could hold pixels."""
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
        """Entries and values of a sound block do not overlap, so they fit into it."""
        self.left -= size
        if self.left < 0:
            raise ValueError("directories or values that overlap")

    def value(self, place: int, size: int) -> bytes:
        if size > 4:  # else it lies in the entry, which is charged
            (place,) = self.unpack("I", place)
            self.charge(size)
        if place + size > len(self.data):
            raise ValueError("a value past the end")
        return self.data[place : place + size]


def _write_tiff(order: str, first: _Directory) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _write_directory(order, first, 8)


def _write_directory(order: str, directory: _Directory, offset: int) -> bytes:
    """The directory, its values and its children, to stand at `offset`."""
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


def orientation(exif: bytes | None) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it makes no sense."""
    if exif is None:
        return 1
    try:
        tiff = _Tiff(exif)
        for place in tiff.places(tiff.first()):
            tag, kind, count = tiff.unpack("HHI", place)
            if tag == _ORIENTATION and kind in (_SHORT, _LONG) and count == 1:
                (value,) = tiff.unpack("H" if kind == _SHORT else "I", place + 8)
                return value if 1 <= value <= 8 else 1
    except ValueError:
        pass
    return 1


def without_pixels(exif: bytes) -> bytes | None:
    """EXIF written anew: the image's own tags, GPS and interoperability, and nothing else.

    A thumbnail holds pixels that no defence has seen, and can hide in many
    places, so what is not known to hold none is not copied: further directories,
    makers' notes, bytes that no tag refers to. None if the block makes no sense.
    """
    try:
        tiff = _Tiff(exif)
        return _EXIF + _write_tiff(tiff.order, tiff.directory(tiff.first()))
    except ValueError:
        return None


def _iptc_alone(payload: bytes) -> bytes | None:
    """An APP13 segment's IPTC resource: others hold thumbnails, or whole EXIF blocks."""
    kept = [_PHOTOSHOP]
    position = len(_PHOTOSHOP)
    while position + 12 <= len(payload):
        signature, number, name_size = struct.unpack_from(">4sHB", payload, position)
        data = position + 6 + (name_size + 2) // 2 * 2
        if signature != b"8BIM" or data + 4 > len(payload):
            return None
        (size,) = struct.unpack_from(">I", payload, data)
        end = data + 4 + (size + 1) // 2 * 2
        if data + 4 + size > len(payload):
            return None
        if number in _IPTC:
            kept.append(payload[position:end])
        position = end
    return b"".join(kept) if len(kept) > 1 else None


def _xmp_without_pixels(payload: bytes) -> bytes:
    """An XMP packet with its thumbnails (base64 in xmpGImg:image) emptied."""
    payload = re.sub(rb"(<xmpGImg:image>)[^<]*", rb"\1", payload)
    return re.sub(rb"(xmpGImg:image=)(\"[^\"]*\"|'[^']*')", rb'\1""', payload)


# ---- writing --------------------------------------------------------------


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _icc_segments(profile: bytes) -> Iterator[bytes]:
    count = -(-len(profile) // _ICC_CHUNK)
    for number in range(count):
        chunk = profile[number * _ICC_CHUNK : (number + 1) * _ICC_CHUNK]
        yield _segment(_APP2, _ICC + bytes([number + 1, count]) + chunk)


def build(exif: bytes | None, icc_profile: bytes | None, comment: bytes | str | None) -> bytes:
    """The marker segments for what a caller gives.

    `TypeError` for what is no bytes, `ValueError` for what does not fit.
    """
    parts: list[bytes] = []
    if exif is not None and (block := _bytes("exif", exif)):
        parts.append(_segment(_APP1, _checked_exif(block)))
    if icc_profile is not None:
        profile = _bytes("icc_profile", icc_profile)
        if len(profile) > 255 * _ICC_CHUNK:
            raise ValueError(f"icc_profile is longer than {255 * _ICC_CHUNK} bytes")
        parts += _icc_segments(profile)
    if comment is not None:
        text = comment.encode() if isinstance(comment, str) else _bytes("comment", comment)
        if len(text) > _MAX_PAYLOAD:
            raise ValueError(f"comment is longer than {_MAX_PAYLOAD} bytes")
        parts += [_segment(_COM, text)] if text else []
    return b"".join(parts)


def _bytes(name: str, value: object) -> bytes:
    if name == "exif" and hasattr(value, "tobytes") and not isinstance(value, memoryview):
        value = value.tobytes()  # a PIL.Image.Exif
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    return bytes(value)


def _checked_exif(payload: bytes) -> bytes:
    if payload[:4] in (b"II*\0", b"MM\0*"):
        payload = _EXIF + payload
    if not payload.startswith(_EXIF):
        raise ValueError(r"exif must start with b'Exif\0\0' or with a TIFF header")
    if len(payload) > _MAX_PAYLOAD:
        raise ValueError(f"exif is longer than {_MAX_PAYLOAD} bytes")
    return payload


def kept(found: Sequence[tuple[int, bytes]]) -> bytes:
    """The marker segments that a re-quantized file keeps.

    EXIF, XMP and IPTC without what holds pixels, ICC, and comments. What else
    there is (multi-picture indices, JFIF thumbnails, extended XMP, makers' own
    segments) may hold or point to pixels that no defence has seen.
    """
    if not found:
        return b""
    parts: list[bytes] = []
    exif = _first_exif(found)  # readers take it alone
    for marker, payload in found:
        clean: bytes | None = None
        if marker == _COM:
            clean = payload
        elif marker == _APP1 and payload.startswith(_XMP):
            clean = _xmp_without_pixels(payload)
        elif marker == _APP1 and payload is exif:
            clean = without_pixels(payload)
        elif marker == _APP13 and payload.startswith(_PHOTOSHOP):
            clean = _iptc_alone(payload)
        if clean is not None and len(clean) <= _MAX_PAYLOAD:
            parts.append(_segment(marker, clean))
    profile = _join_icc(found)
    if profile is not None:
        parts += _icc_segments(profile)
    return b"".join(parts)
