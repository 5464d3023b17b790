"""What an ICC profile may hold (ICC.1:2022 and ICC.1:2001-04).

A profile is tables of numbers and a few texts. The numbers mean what the reader makes of them,
so they can be checked for their sizes alone. Texts are held to the rules for all text.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from pyfd._core.metadata import text

_HEADER = 128
_MOST_TAGS = 100
_MOST_LANGUAGES = 100
_MOST_POINTS = 4096  # of a curve
_MOST_COLORS = 8  # or channels
_ID = slice(84, 100)  # a digest of the profile
_UNUSED = slice(100, 128)

_TABLES, _CURVES, _TEXTS = (
    ("mft1", "mft2", "mAB ", "mBA "),
    ("curv", "para"),
    ("desc", "mluc", "text"),
)

#: The tags that are kept, with the types of their data: those of the two specifications that
#: describe colors or hold text, and four of Apple's. docs/metadata.md has the same list.
TAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("A2B0", "A2B1", "A2B2", "B2A0", "B2A1", "B2A2"), _TABLES),
    **dict.fromkeys(("gamt", "pre0", "pre1", "pre2"), _TABLES),
    **dict.fromkeys(("bTRC", "gTRC", "kTRC", "rTRC"), _CURVES),
    **dict.fromkeys(("cprt", "desc", "dmdd", "dmnd", "dscm", "vued"), _TEXTS),
    **dict.fromkeys(("bXYZ", "bkpt", "gXYZ", "lumi", "rXYZ", "wtpt"), ("XYZ ",)),
    **dict.fromkeys(("rig0", "rig2", "tech"), ("sig ",)),
    "calt": ("dtim",),
    "chad": ("sf32",),
    "chrm": ("chrm",),
    "cicp": ("cicp",),
    "meas": ("meas",),
    "mmod": ("mmod",),
    "ndin": ("ndin",),
    "vcgt": ("vcgt",),
    "view": ("view",),
}


def clean(profile: bytes) -> bytes | None:
    """Return a profile of the size that it states, with zeros instead of all that is not listed.

    A profile that has nothing else stays as it is, byte for byte.

    Returns:
        The profile, or None if it is not one.
    """
    if len(profile) < _HEADER + 4 or profile[36:40] != b"acsp":
        return None
    (size,) = struct.unpack_from(">I", profile)
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    start = _HEADER + 4 + 12 * count
    if count > _MOST_TAGS or not start <= size <= len(profile):
        return None
    profile = profile[:size]
    kept = bytearray(size)
    kept[:_HEADER] = profile[:_HEADER]
    kept[_UNUSED] = bytes(28)
    rows: dict[str, bytes] = {}
    known: dict[tuple[int, int], bool] = {}  # whether a place, which tags may share, is sound
    left = size
    for at in range(_HEADER + 4, start, 12):
        tag, offset, length = struct.unpack_from(">4sII", profile, at)
        place, name = (offset, length), tag.decode("latin-1")
        kind = profile[offset : offset + 4].decode("latin-1")
        listed = kind in TAGS.get(name, ()) and name not in rows
        if not listed or offset < start or offset + length > size:
            continue
        if place not in known:
            left -= length
            spans = _spans(profile[offset : offset + length]) if left >= 0 else []
            known[place] = bool(spans)
            for first, end in spans:
                kept[offset + first : offset + end] = profile[offset + first : offset + end]
        if known[place]:
            rows[name] = profile[at : at + 12]
    table = struct.pack(">I", len(rows)) + b"".join(rows.values())
    kept[_HEADER : _HEADER + len(table)] = table
    if kept != profile:
        kept[_ID] = bytes(16)
    return bytes(kept) if rows else None


#: A part of a tag's data: its first byte, and the byte behind it.
_Span = tuple[int, int]


def _spans(data: bytes) -> list[_Span]:
    """Return the parts of a tag's data that mean something, or [] if its type is another."""
    read = _TYPES.get(data[:4])
    try:
        spans = read(data) if read and data[4:8] == bytes(4) else []
    except (struct.error, IndexError):  # it ends too early
        return []
    return spans if all(0 <= first <= end <= len(data) for first, end in spans) else []


def _up_to(most: int) -> Callable[[bytes], list[_Span]]:
    return lambda data: [(0, len(data))] if len(data) <= most else []


# ---- texts --------------------------------------------------------------------


def _text(data: bytes) -> list[_Span]:
    """Textual: 7-bit text and a NUL."""
    return [(0, len(data))] if _is_plain(data[8:]) else []


def _description(data: bytes) -> list[_Span]:
    """Description of version 2: the same text in ASCII, in UTF-16, and in a Macintosh's code."""
    (size,) = struct.unpack_from(">I", data, 8)
    at = 12 + size
    (wide,) = struct.unpack_from(">I", data, at + 4)
    end = at + 8 + 2 * wide
    if max(size, wide) > text.LONG + 1 or not _is_plain(data[12:at]):
        return []
    sound = _is_wide(data[at + 8 : end]) and _is_plain(data[end + 3 : end + 70])
    return [(0, min(end + 70, len(data)))] if sound else []


def _multilingual(data: bytes) -> list[_Span]:
    """Multi-localized Unicode: rows of a language, a country, and a text's size and place."""
    count, row = struct.unpack_from(">II", data, 8)
    if row != 12 or count > _MOST_LANGUAGES:
        return []
    spans = [(0, 16 + 12 * count)]
    for at in range(16, 16 + 12 * count, 12):
        language, size, first = struct.unpack_from(">4sII", data, at)
        if not (b"a" + language.rstrip(b"\0")).isalpha() or size > 2 * text.LONG:
            return []
        if not _is_wide(data[first : first + size]):
            return []
        spans.append((first, first + size))
    return spans


def _is_plain(value: bytes) -> bool:
    value = value.rstrip(b"\0")
    return text.kept(value) == value


def _is_wide(value: bytes) -> bool:
    try:
        decoded = value.decode("utf-16-be").rstrip("\0")
    except UnicodeDecodeError:
        return False
    packed = value.replace(b"\0", b"").decode("latin-1")  # in which base64 is not Chinese
    return text.is_text(decoded) and not text.is_code(packed)


# ---- numbers ------------------------------------------------------------------


def _curve_end(data: bytes, at: int = 0) -> int:
    """Return where a curve ends that begins at a place."""
    kind = data[at : at + 4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", data, at + 8)
        return at + 12 + 2 * count if count <= _MOST_POINTS else -1
    if kind == b"para":
        (form,) = struct.unpack_from(">H", data, at + 8)
        return at + 12 + 4 * (1, 3, 4, 5, 7)[form]
    raise IndexError


def _curve(data: bytes) -> list[_Span]:
    return [(0, _curve_end(data))]


def _table(data: bytes) -> list[_Span]:
    """Look-up table of 8 or 16 bits: curves, a grid of colors, curves."""
    inputs, outputs, grid = struct.unpack_from(">3B", data, 8)
    if not 0 < inputs <= _MOST_COLORS or not 0 < outputs <= _MOST_COLORS or grid < 1:
        return []
    colors = grid**inputs * outputs
    if data[:4] == b"mft1":
        return [(0, 48 + 256 * (inputs + outputs) + colors)]
    before, behind = struct.unpack_from(">HH", data, 48)
    return [(0, 52 + 2 * (before * inputs + colors + behind * outputs))]


def _pipeline(data: bytes) -> list[_Span]:
    """Look-up table of any kind: curves, a matrix and a grid, each at a place of its own."""
    inputs, outputs = struct.unpack_from(">2B", data, 8)
    b, matrix, m, grid, a = struct.unpack_from(">5I", data, 12)
    if not 0 < inputs <= _MOST_COLORS or not 0 < outputs <= _MOST_COLORS:
        return []
    near, far = (outputs, inputs) if data[:4] == b"mAB " else (inputs, outputs)
    spans = [(0, 32)]
    for place, count in ((b, near), (m, near), (a, far)):
        end = place
        for _ in range(count if place else 0):
            spans.append((end, _curve_end(data, end)))
            end = (spans[-1][1] + 3) // 4 * 4
    if matrix:
        spans.append((matrix, matrix + 48))
    if grid:
        points = math.prod(data[grid : grid + inputs])
        spans.append((grid, grid + 20 + points * outputs * data[grid + 16]))
    return spans


def _gamma_table(data: bytes) -> list[_Span]:
    """Apple's table for a video card: three numbers for each channel, or a table of values."""
    (form,) = struct.unpack_from(">I", data, 8)
    if form == 1:
        return [(0, 48)]
    channels, count, width = struct.unpack_from(">HHH", data, 12)
    small = form == 0 and channels <= 3 and count <= _MOST_POINTS and width <= 2
    return [(0, 18 + channels * count * width)] if small else []


_TYPES: dict[bytes, Callable[[bytes], list[_Span]]] = {
    b"XYZ ": _up_to(44),
    b"chrm": _up_to(44),
    b"cicp": _up_to(12),
    b"curv": _curve,
    b"desc": _description,
    b"dtim": _up_to(20),
    b"mAB ": _pipeline,
    b"mBA ": _pipeline,
    b"meas": _up_to(36),
    b"mft1": _table,
    b"mft2": _table,
    b"mluc": _multilingual,
    b"mmod": _up_to(40),
    b"ndin": _up_to(64),
    b"para": _curve,
    b"sf32": _up_to(44),
    b"sig ": _up_to(12),
    b"text": _text,
    b"vcgt": _gamma_table,
    b"view": _up_to(36),
}
