"""EXIF in APP1 segments: the block, its orientation, and a copy without pixels.

The code is our own because no library does this job safely. `PIL.Image.Exif` and similar
classes write back tags that they do not know, such as makers' notes and private tags,
but the defence needs the opposite: only what `tags` lists is copied. Libraries in
C and C++ would parse an attacker's bytes without the bounds that hold everywhere else
here. `pyfd.probe` reads the orientation of every file, so it parses only the first
directory.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence

from pyfd._core.metadata import tags, tiff
from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, as_bytes, segment
from pyfd._core.turns import TRANSPOSED, UPRIGHT

MARKER = 0xE1
PREFIX = b"Exif\0\0"

_IMAGE = {**tags.IMAGE, **tags.EXIF}  # some writers need no Exif directory
_INTEROP = tiff.Listed("the interoperability directory", tags.INTEROP, {})
_EXIF = tiff.Listed("the Exif directory", tags.EXIF, {tags.INTEROP_POINTER: _INTEROP})
_GPS = tiff.Listed("the GPS directory", tags.GPS, {})


def read(found: Sequence[Payload]) -> bytes | None:
    """Return the first EXIF block, with its prefix, or None if there is none."""
    return next((p for marker, p in found if marker == MARKER and p.startswith(PREFIX)), None)


def orientation(block: bytes | None) -> int:
    """Return EXIF's orientation, 1 to 8; 1 if it is absent or invalid."""
    if block is None:
        return 1
    try:
        return _orientation(_opened(block)) or 1
    except ValueError:
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


def clean(
    block: bytes, names: Collection[str], left_out: dict[str, None], turned: int | None = None
) -> bytes | None:
    """Return a new block, with its prefix, that holds only tags of the allow-list.

    So it has no thumbnail, no makers' notes, no private tags, and no bytes without a tag
    that refers to them. Damage costs only the values that it concerns.

    Args:
        block: A block with its prefix.
        names: What to keep of it: "exif" (which includes the orientation), "gps" and
            "orientation".
        left_out: Gets the names of what is listed, but damaged or not what it should be.
        turned: The orientation that has been applied to the pixels, 1...8, or None. The
            block's becomes 1, and what else depends on it follows or is left out.

    Returns:
        The new block, or None if there is nothing to keep.
    """
    try:
        old = _opened(block)
    except ValueError as error:
        left_out[f"EXIF ({error})"] = None
        return None
    below = {tags.EXIF_POINTER: _EXIF} if "exif" in names else {}
    below |= {tags.GPS_POINTER: _GPS} if "gps" in names else {}
    listed = tiff.Listed("EXIF's first directory", _IMAGE if "exif" in names else {}, below)
    new = old.read(old.first, listed, left_out)
    new.values.pop(tags.ORIENTATION, None)
    if turned is not None and turned > UPRIGHT:
        new = _turned(new, turned in TRANSPOSED)
    found = _orientation(old) if {"exif", "orientation"} & set(names) else None
    if found:
        number = struct.pack(old.order + "H", found if turned is None else UPRIGHT)
        new.values[tags.ORIENTATION] = tiff.Value(tags.SHORT_INT, number)
    return PREFIX + tiff.write(old.order, new) if new else None


def _turned(directory: tiff.Directory, transposed: bool) -> tiff.Directory:
    """Return what is true of an image once it is turned."""
    places = tags.TRANSPOSED if transposed else {}
    return tiff.Directory(
        {places.get(t, t): v for t, v in directory.values.items() if t not in tags.STORED},
        {tag: _turned(below, transposed) for tag, below in directory.below.items()},
    )


def _opened(block: bytes) -> tiff.Block:
    return tiff.Block(block[len(PREFIX) :])


def _orientation(block: tiff.Block) -> int | None:
    """Return the orientation, 1 to 8, by the first entry that holds a number, or None."""
    try:
        for entry in block.entries(block.first):
            if entry.tag == tags.ORIENTATION and entry.kind in tags.INTEGERS and entry.number:
                size = tags.SIZES[entry.kind]
                if entry.size <= 4:
                    (value,) = block.unpack({1: "B", 2: "H", 4: "I"}[size], entry.place)
                    return value if 1 <= value <= 8 else None
    except struct.error:
        pass
    return None
