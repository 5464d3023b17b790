"""EXIF, ICC, XMP, IPTC and comments: read from a file, and written into one.

Each kind has a module, with `read` (a value from a file's segments),
`build` (segments from a caller's value) and `clean` (what a re-quantized file may keep,
written anew from an allow-list) as far as that kind needs them. The lists are `tags`
(EXIF), `properties` (XMP), `profiles` (ICC) and in `iptc`. JFIF's density is copied by the
C code.

All of it may come from an attacker, so each reader checks offsets before it follows
them, bounds what it reads, and keeps what is sound if something else is damaged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pyfd._core import binding
from pyfd._core.binding import Buffer, Segment
from pyfd._core.metadata import comments, exif, icc, iptc, xmp
from pyfd._core.metadata.exif import orientation
from pyfd._core.metadata.segments import Payload, segment
from pyfd._core.turns import TRANSPOSED
from pyfd.limits import Limits

__all__ = [
    "NAMES",
    "Kept",
    "Metadata",
    "build",
    "kept",
    "kept_of",
    "names_of",
    "orientation",
    "payloads",
    "read",
    "told",
]

#: What a re-quantized file can keep. "exif" includes the orientation, but not the position;
#: "gps" is EXIF's, and the places in XMP and IPTC if these are kept.
NAMES = ("icc", "orientation", "exif", "gps", "iptc", "xmp", "comment")
_ALL = frozenset(NAMES)

_TOLD = 8  # the most things that a line about left-out metadata names

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


class Kept(NamedTuple):
    """What a re-quantized file keeps."""

    segments: bytes
    """The marker segments."""
    left_out: str
    """What of the listed metadata was damaged or not what it should be; "" for nothing."""


_NOTHING = Kept(b"", "")


def names_of(metadata: object) -> frozenset[str] | None:
    """Return the names of what to keep: all for True, None (not even the density) for False.

    Raises:
        TypeError: It is neither a bool nor a collection of names.
        ValueError: It has an unknown name.
    """
    if metadata is True:  # as a rule, so be fast
        return _ALL
    if isinstance(metadata, bool | np.bool_):
        return _ALL if metadata else None
    # A mapping such as {"gps": False} would keep the position
    if not isinstance(metadata, Collection) or isinstance(metadata, str | bytes | Mapping):
        kind = type(metadata).__name__
        raise TypeError(f"metadata must be True, False or a set of names, not {kind}")
    for name in metadata:
        if name not in NAMES:
            raise ValueError(f"metadata has no {name!r}, only {', '.join(NAMES)}")
    return frozenset(metadata)


def kept_of(
    data: Buffer, names: Collection[str], limits: Limits, turned: int | None = None
) -> Kept:
    """Return what a re-quantized file keeps of a file's metadata up to its first scan.

    `names` and `turned` are those of `kept`.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
    """
    if not names:
        return _NOTHING
    _, segments = binding.probe_segments(data, limits)
    return kept(payloads(data, segments), names, turned)


def kept(
    found: Sequence[Payload], names: Collection[str] = NAMES, turned: int | None = None
) -> Kept:
    """Return the marker segments that a re-quantized file keeps.

    Each kind of metadata is read, and what its allow-list has is written anew. Everything
    else is left out: it may hold undefended pixels, or point to them.

    Args:
        found: The payloads of a file.
        names: What to keep, some of `NAMES`.
        turned: The orientation that has been applied to the image, 1...8, or None.
    """
    if not found or not names:
        return _NOTHING
    left_out: dict[str, None] = {}
    parts: list[bytes] = []
    block = exif.read(found)  # readers ignore all other EXIF blocks
    if block is not None and {"exif", "gps", "orientation"} & set(names):
        clean = exif.clean(block, names, left_out, turned)
        parts.append(b"" if clean is None else segment(exif.MARKER, clean))
    places = "gps" in names
    transposed = turned in TRANSPOSED
    if "xmp" in names and (packet := xmp.clean(found, places, left_out, transposed)) is not None:
        parts.append(segment(xmp.MARKER, packet))
    if "icc" in names and (profile := icc.clean(_profile(found, left_out), left_out)) is not None:
        parts.append(icc.build(profile))
    if "iptc" in names and (records := iptc.clean(found, places, left_out)) is not None:
        parts.append(segment(iptc.MARKER, records))
    if "comment" in names:
        parts += [segment(comments.MARKER, text) for text in comments.clean(found, left_out)]
    return Kept(b"".join(parts), told(left_out))


def _profile(found: Sequence[Payload], left_out: dict[str, None]) -> bytes | None:
    profile = icc.read(found)
    if profile is None and any(
        marker == icc.MARKER and payload.startswith(icc.PREFIX) for marker, payload in found
    ):
        left_out["the ICC profile"] = None
    return profile


def told(left_out: Collection[str]) -> str:
    """Return a line about what was left out, or "" if nothing was."""
    if not left_out:
        return ""
    first = list(left_out)[:_TOLD]
    more = [f"{len(left_out) - _TOLD} more"] if len(left_out) > _TOLD else []
    return f"metadata left out: {', '.join(first + more)}"
