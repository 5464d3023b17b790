"""EXIF, ICC, XMP, IPTC and comments: taking them out of a file and putting them into one.

All of it is an attacker's, so each reader checks offsets before it follows them
and gives up rather than guess.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyfd._binding import Buffer, Segment

_APP1, _APP2, _APP13, _COM = 0xE1, 0xE2, 0xED, 0xFE
_MAX_PAYLOAD = 65533

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_ICC_CHUNK = _MAX_PAYLOAD - len(_ICC) - 2
_XMP = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")
_PHOTOSHOP = b"Photoshop 3.0\0"
_PHOTOSHOP_THUMBNAILS = (0x0409, 0x040C)


class Metadata(NamedTuple):
    """What a file says about itself besides the image."""

    exif: bytes | None
    """The APP1 payload, with its leading ``Exif\\0\\0``."""
    icc_profile: bytes | None
    comment: bytes | None
    """The last comment."""


def payloads(data: Buffer, segments: Sequence[Segment]) -> list[tuple[int, bytes]]:
    """The segments' markers and bytes."""
    view = memoryview(data)
    return [(s.marker, bytes(view[s.offset : s.offset + s.size])) for s in segments]


def read(found: Sequence[tuple[int, bytes]]) -> Metadata:
    """Pick out what `pyfd.Header` shows."""
    exif = next((p for m, p in found if m == _APP1 and p.startswith(_EXIF)), None)
    comments = [payload for marker, payload in found if marker == _COM]
    return Metadata(exif, _join_icc(found), comments[-1] if comments else None)


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

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_ORIENTATION = 0x0112
_STRIP_OFFSETS, _STRIP_SIZES = 0x0111, 0x0117
_JPEG_OFFSET, _JPEG_SIZE = 0x0201, 0x0202


class _Entry(NamedTuple):
    tag: int
    values: tuple[int, ...]


class _Tiff:
    """Just enough of TIFF 6.0 to follow an EXIF block's directories."""

    def __init__(self, exif: bytes):
        self.data = exif[len(_EXIF) :]
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(self.data[:4])
        if order is None:
            raise ValueError("no TIFF header")
        self.order = order

    def unpack(self, fmt: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + fmt, self.data, offset)
        except struct.error as error:
            raise ValueError("an offset past the end") from error

    def directory(self, offset: int) -> tuple[list[_Entry], int]:
        """The integer entries of a directory, and where its next-directory offset stands."""
        (count,) = self.unpack("H", offset)
        end = offset + 2 + 12 * count
        self.unpack("I", end)  # all of it is there
        return list(self._entries(offset + 2, count)), end

    def _entries(self, offset: int, count: int) -> Iterator[_Entry]:
        for position in range(offset, offset + 12 * count, 12):
            tag, kind, number = self.unpack("HHI", position)
            if kind not in (3, 4) or number > len(self.data):
                continue
            letter, size = ("H", 2) if kind == 3 else ("I", 4)
            place = position + 8
            if number * size > 4:
                (place,) = self.unpack("I", place)
            yield _Entry(tag, self.unpack(f"{number}{letter}", place))


def orientation(exif: bytes | None) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it makes no sense."""
    if exif is None:
        return 1
    try:
        tiff = _Tiff(exif)
        entries, _ = tiff.directory(tiff.unpack("I", 4)[0])
    except ValueError:
        return 1
    value = next((e.values[0] for e in entries if e.tag == _ORIENTATION and e.values), 1)
    return value if 1 <= value <= 8 else 1


def without_thumbnail(exif: bytes) -> bytes | None:
    """EXIF with its thumbnail's bytes zeroed and its directory unlinked.

    The thumbnail holds pixels that no defence has seen. None if the block
    cannot be followed: then nobody knows what is in it.
    """
    try:
        tiff = _Tiff(exif)
        _, link = tiff.directory(tiff.unpack("I", 4)[0])
        (second,) = tiff.unpack("I", link)
        if second == 0:
            return exif
        entries, _ = tiff.directory(second)
    except ValueError:
        return None
    values = {entry.tag: entry.values for entry in entries}
    blank = bytearray(exif)
    for offsets, sizes in ((_JPEG_OFFSET, _JPEG_SIZE), (_STRIP_OFFSETS, _STRIP_SIZES)):
        for start, size in zip(values.get(offsets, ()), values.get(sizes, ()), strict=False):
            begin = len(_EXIF) + start
            end = min(begin + size, len(blank))
            if begin < end:
                blank[begin:end] = bytes(end - begin)
    link += len(_EXIF)
    blank[link : link + 4] = bytes(4)
    return bytes(blank)


def _without_photoshop_thumbnails(payload: bytes) -> bytes | None:
    """An APP13 segment's image resources (IPTC among them) but for the thumbnails."""
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
        if number not in _PHOTOSHOP_THUMBNAILS:
            kept.append(payload[position:end])
        position = end
    return b"".join(kept) if len(kept) > 1 else None


# ---- writing --------------------------------------------------------------


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _icc_segments(profile: bytes) -> Iterator[bytes]:
    count = -(-len(profile) // _ICC_CHUNK)
    for number in range(count):
        chunk = profile[number * _ICC_CHUNK : (number + 1) * _ICC_CHUNK]
        yield _segment(_APP2, _ICC + bytes([number + 1, count]) + chunk)


def build(exif: bytes | None, icc_profile: bytes | None, comment: bytes | str | None) -> bytes:
    """The marker segments for what a caller gives; `ValueError` for what does not fit."""
    parts: list[bytes] = []
    if exif:
        parts.append(_segment(_APP1, _checked_exif(exif)))
    if icc_profile:
        if len(icc_profile) > 255 * _ICC_CHUNK:
            raise ValueError(f"icc_profile is longer than {255 * _ICC_CHUNK} bytes")
        parts += _icc_segments(bytes(icc_profile))
    if comment:
        text = comment.encode() if isinstance(comment, str) else bytes(comment)
        if len(text) > _MAX_PAYLOAD:
            raise ValueError(f"comment is longer than {_MAX_PAYLOAD} bytes")
        parts.append(_segment(_COM, text))
    return b"".join(parts)


def _checked_exif(exif: bytes) -> bytes:
    payload = bytes(exif)
    if payload[:4] in (b"II*\0", b"MM\0*"):
        payload = _EXIF + payload
    if not payload.startswith(_EXIF):
        raise ValueError(r"exif must start with b'Exif\0\0' or with a TIFF header")
    if len(payload) > _MAX_PAYLOAD:
        raise ValueError(f"exif is longer than {_MAX_PAYLOAD} bytes")
    return payload


def kept(found: Sequence[tuple[int, bytes]]) -> bytes:
    """The marker segments that a re-quantized file keeps.

    EXIF without its thumbnail, ICC, XMP, IPTC and comments. What else there is
    (multi-picture indices, JFIF thumbnails, makers' own segments) may hold or
    point to pixels that no defence has seen.
    """
    parts: list[bytes] = []
    for marker, payload in found:
        if marker == _COM or (marker == _APP1 and payload.startswith(_XMP)):
            parts.append(_segment(marker, payload))
        elif marker == _APP1 and payload.startswith(_EXIF):
            blank = without_thumbnail(payload)
            if blank is not None:
                parts.append(_segment(marker, blank))
        elif marker == _APP13 and payload.startswith(_PHOTOSHOP):
            resources = _without_photoshop_thumbnails(payload)
            if resources is not None:
                parts.append(_segment(marker, resources))
    profile = _join_icc(found)
    if profile is not None:
        parts += _icc_segments(profile)
    return b"".join(parts)
