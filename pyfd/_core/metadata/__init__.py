"""EXIF, ICC, XMP, IPTC and comments: read from a file, and written into one.

Each kind has a module, with `read` (a value from a file's segments),
`build` (segments from a caller's value) and `clean` (a payload as a re-quantized file
may keep it) as far as that kind needs them. JFIF's density is copied by the C code.

All of it may come from an attacker, so each reader checks offsets before it follows
them, and gives up instead of guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyfd._core.binding import Buffer, Segment
from pyfd._core.metadata import comments, exif, icc, iptc, xmp
from pyfd._core.metadata.exif import orientation
from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, segment

__all__ = ["Metadata", "build", "kept", "orientation", "payloads", "read"]

_READ = frozenset({comments.MARKER, exif.MARKER, icc.MARKER, iptc.MARKER, xmp.MARKER})


class Metadata(NamedTuple):
    """The metadata that `pyfd.Header` shows."""

    exif: bytes | None
    """The APP1 payload, with its leading ``Exif\\0\\0``."""
    icc_profile: bytes | None
    comment: bytes | None
    """The last comment."""


def payloads(data: Buffer, segments: Sequence[Segment]) -> list[Payload]:
    """Return those of a file's segments that may hold metadata of any kind."""
    view = memoryview(data)
    return [
        (marker, bytes(view[offset : offset + size]))
        for offset, size, marker in segments
        if marker in _READ
    ]


def read(found: Sequence[Payload]) -> Metadata:
    """Return the metadata that `pyfd.Header` shows."""
    return Metadata(exif.read(found), icc.read(found), comments.read(found))


def build(block: object, icc_profile: object, comment: object) -> bytes:
    r"""Return the marker segments for a caller's metadata; None gives no segment.

    Args:
        block: EXIF: bytes-like, with or without its leading ``Exif\0\0``, or a
            `PIL.Image.Exif`.
        icc_profile: An ICC profile, bytes-like.
        comment: Text or bytes-like.

    Raises:
        TypeError: A value is not bytes-like.
        ValueError: A value does not fit into segments.
    """
    parts = (
        b"" if block is None else exif.build(block),
        b"" if icc_profile is None else icc.build(icc_profile),
        b"" if comment is None else comments.build(comment),
    )
    return b"".join(parts)


def kept(found: Sequence[Payload]) -> bytes:
    """Return the marker segments that a re-quantized file keeps.

    It keeps comments, ICC, and EXIF, XMP and IPTC without the parts that may hold pixels.
    Everything else (multi-picture indices, JFIF thumbnails, extended XMP, makers' own
    segments) may hold or point to undefended pixels, and is left out.
    """
    if not found:
        return b""
    parts: list[bytes] = []
    first = exif.read(found)  # readers ignore all other EXIF blocks
    for marker, payload in found:
        clean: bytes | None = None
        if marker == comments.MARKER:
            clean = payload
        elif marker == xmp.MARKER and payload.startswith(xmp.PREFIX):
            clean = xmp.clean(payload)
        elif marker == exif.MARKER and payload is first:
            clean = exif.clean(payload)
        elif marker == iptc.MARKER and payload.startswith(iptc.PREFIX):
            clean = iptc.clean(payload)
        if clean is not None and len(clean) <= MAX_PAYLOAD:
            parts.append(segment(marker, clean))
    profile = icc.read(found)
    if profile is not None:
        parts.append(icc.build(profile))
    return b"".join(parts)
