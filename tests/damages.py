"""Damaged files, and what strict and lenient readers do with each kind of damage.

`table` makes the table of docs/security.md from these rows, and tests/codec/test_lenient.py
checks them on every entry point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np

import pyfd
from pyfd import CorruptJPEGError, UnsupportedJPEGError
from tests.jpegs import encode_with_pillow, picture, segment, sof

Error = type[pyfd.JPEGError]
Files = Iterator[tuple[str, bytes]]

CORRUPT, UNSUPPORTED = CorruptJPEGError, UnsupportedJPEGError
WIDTH, HEIGHT = 40, 24


class Damage(NamedTuple):
    """A kind of damage."""

    what: str
    make: Callable[[File], Files]
    """Make damaged files of an undamaged one; each with the name of what was done."""
    strict: Error | None
    """The error of a strict reader; None if it takes the file."""
    lenient: Error | Literal["whole", "part", "same"]
    """The error of a lenient one; "whole" or "part" for the pixels, with a warning, and "same"
    for the pixels without one. Whole pixels are those of the undamaged file."""


class File:
    """An undamaged file and its parts."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data
        #: The start, the end of the header, the end and the marker of each segment
        self.segments: list[tuple[int, int, int, int]] = []
        place = 2
        while data[place + 1] != 0xD9:
            header = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            end = header
            if data[place + 1] == 0xDA:
                found = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, header)
                assert found
                end = found.start()
            self.segments.append((place, header, end, data[place + 1]))
            place = end
        self.eoi = place
        self.scans = [part for part in self.segments if part[3] == 0xDA]
        self.first_scan = self.scans[0][0]
        #: Where segments can be inserted
        self.header_gaps = [start for start, *_ in self.segments if start <= self.first_scan]
        starts = [start for start, *_ in self.segments if start > self.first_scan]
        self.later_gaps = [*starts, self.eoi]

    def insert(self, places: list[int], *inserted: bytes) -> Files:
        for place in places:
            for new in inserted:
                name = f"{new[:6].hex()} at {place}"
                yield name, self.data[:place] + new + self.data[place:]

    def replace(self, place: int, new: bytes) -> tuple[str, bytes]:
        data = self.data[:place] + new + self.data[place + len(new) :]
        return f"{new.hex()} over {place}", data

    def middles(self, shares: tuple[float, ...] = (0.1, 0.5, 0.8)) -> list[int]:
        """Return places in the scans' data, none of them at an 0xFF byte or after one."""
        found = []
        for _, header, end, _ in self.scans:
            for share in shares:
                place = header + int(share * (end - header))
                while 0xFF in self.data[place - 1 : place + 3] and place > header:
                    place -= 1
                if place > header:
                    found.append(place)
        return found

    def lengths(self, markers: set[int], later: bool, *lengths: int) -> Files:
        for start, _, _, marker in self.segments:
            if marker in markers and (start > self.first_scan) == later:
                for length in lengths:
                    yield self.replace(start + 2, length.to_bytes(2, "big"))

    def without(self, *chosen: int) -> Files:
        for start, _, end, marker in self.segments:
            if marker in chosen:
                yield f"without {marker:x} at {start}", self.data[:start] + self.data[end:]


def files() -> list[File]:
    """Return undamaged files of all kinds."""
    pixels = picture(WIDTH, HEIGHT)
    rng = np.random.default_rng(0)
    shapes = [(6, 12), (6, 6), (3, 3)]  # more than 10 blocks in an MCU: three scans
    blocks = [rng.integers(-3, 4, (*shape, 8, 8)).astype(np.int16) for shape in shapes]
    several = pyfd.Coefficients(
        tuple(blocks), pyfd.QTables.uniform(9), ((4, 2), (2, 2), (1, 1)), 96, 48, "YCbCr"
    )
    made = {
        "gray": encode_with_pillow(picture(WIDTH, HEIGHT, channels=1)),
        "color": encode_with_pillow(pixels, subsampling=2, quality=90),
        "restarts": encode_with_pillow(pixels, subsampling=0, restart_marker_blocks=2),
        "progressive": encode_with_pillow(pixels, progressive=True),
        "several scans": pyfd.write_coefficients(several),
    }
    return [File(name, data) for name, data in made.items()]


# ---- the kinds --------------------------------------------------------------

METADATA = (0xE0, 0xE5, 0xEE, 0xFE)
STRUCTURE = (0xC0, 0xC4, 0xDA, 0xDB, 0xDD)
OTHER_KINDS = (0xC3, 0xC8, 0xC9, 0xCC, 0xDE, 0xDF, 0xF0, 0xF7)
BAD_TABLE = segment(0xC4, b"\x00\x03" + bytes(15) + b"abc")
STEPS_OF_ZERO = segment(0xDB, b"\x03" + bytes(64))


def bogus(markers: tuple[int, ...]) -> list[bytes]:
    """Return segments with lengths of 0 and 1, of which half have a content anyway."""
    pairs = [bytes([0xFF, marker, 0]) for marker in markers]
    return [pair + rest for pair in pairs for rest in (b"\0", b"\1content")]


def headers(markers: tuple[int, ...]) -> list[bytes]:
    return [segment(marker, b"ab") for marker in markers]


def dnl(height: int) -> bytes:
    return segment(0xDC, height.to_bytes(2, "big"))


def height(file: File) -> int:
    return pyfd.probe(file.data).height


def cuts(file: File, start: int, end: int, step: int) -> Files:
    for size in range(start, end, step):
        yield f"cut at {size}", file.data[:size]


def restart_markers(file: File, *changes: int) -> Files:
    for found in re.finditer(rb"\xff([\xd0-\xd7])", file.data[file.first_scan :]):
        place = file.first_scan + found.start()
        for change in changes:
            yield file.replace(place + 1, bytes([0xD0 + (found[1][0] + change & 7)]))


def extraneous(file: File) -> Files:
    """Insert bytes at the ends of scans and before restart markers."""
    ends = [end for _, _, end, _ in file.scans]
    found = re.finditer(rb"\xff[\xd0-\xd7]", file.data[file.first_scan :])
    ends += [file.first_scan + marker.start() for marker in found]
    few = (b"\0", b"\x12\x34", b"\xff\0") if file.name != "progressive" else ()
    yield from file.insert(ends, bytes(20), *few)


def scan_headers(file: File, later: bool) -> Files:
    """Name components that do not exist, or a parameter that is out of order."""
    for start, *_ in file.scans[1:] if later else file.scans[:1]:
        yield file.replace(start + 5, b"\x09")


def disorder(file: File) -> Files:
    """Repeat scans, and leave out those that others refine."""
    for start, _, end, _ in file.scans:
        yield f"twice at {start}", file.data[:end] + file.data[start:end] + file.data[end:]
    if file.name == "progressive":
        yield from list(file.without(0xDA))[1:5]


def without_a_component(file: File) -> Files:
    if file.name == "several scans":
        yield from list(file.without(0xDA))[1:]


def bad_codes(file: File) -> Files:
    """Overwrite data with ones, which are no code."""
    if file.name in ("gray", "color", "restarts"):
        for place in file.middles((0.2, 0.6)):
            yield file.replace(place, b"\xff\0\xff\0\xff\0\xff\0")


DAMAGES = [
    Damage(
        "fill bytes before a marker; bytes after EOI, such as a second one",
        lambda file: (
            *file.insert([*file.header_gaps, *file.later_gaps], b"\xff", b"\xff" * 9),
            *file.insert([len(file.data)], b"\xff\xd9", b"bytes\xff\xd8"),
        ),
        None,
        "same",
    ),
    Damage(
        "DNL after any scan with the frame's own height",
        lambda file: file.insert(file.later_gaps, dnl(height(file)), dnl(height(file)) * 3),
        None,
        "same",
    ),
    Damage(
        "DNL before the first scan, or with another height",
        lambda file: (
            *file.insert(file.later_gaps, dnl(height(file) + 1), dnl(0)),
            *file.insert(file.header_gaps, dnl(height(file))),
        ),
        UNSUPPORTED,
        UNSUPPORTED,
    ),
    Damage(
        "DNL of a wrong length, after the first scan",
        lambda file: file.insert(
            file.later_gaps, b"\xff\xdc\0\0", b"\xff\xdc\0\1", segment(0xDC, b"abc")
        ),
        CORRUPT,
        "whole",
    ),
    Damage(
        "EOI is missing",
        lambda file: iter([("", file.data[: file.eoi]), ("0xFF stays", file.data[:-1])]),
        CORRUPT,
        "whole",
    ),
    Damage(
        "cut off before the data of the first scan",
        lambda file: cuts(file, 1, file.scans[0][1] - 1, 3),
        CORRUPT,
        CORRUPT,
    ),
    Damage(
        "cut off in the scans",
        lambda file: cuts(file, file.scans[0][1] + 1, file.eoi - 8, 13),
        CORRUPT,
        "part",
    ),
    Damage(
        "bytes between segments",
        lambda file: file.insert(
            [*file.header_gaps[1:], *file.later_gaps], b"garbage" * 3, b"\xff\0" * 9, bytes(300)
        ),
        CORRUPT,
        "whole",
    ),
    Damage(
        "bytes between the last code of a scan, or of a restart interval, and the next marker "
        "(in progressive files, more than seven)",
        extraneous,
        CORRUPT,
        "whole",
    ),
    Damage(
        "fill bytes before a stuffed zero (FF FF 00) in a scan",
        lambda file: file.insert(
            [
                found.start()
                for found in re.finditer(rb"\xff\x00", file.data)
                if found.start() > file.scans[0][1]
            ],
            b"\xff",
            b"\xff\xff\xff",
        ),
        CORRUPT,
        "whole",
    ),
    Damage(
        "a length of 0 or 1 of APPn or COM",
        lambda file: file.insert([*file.header_gaps, *file.later_gaps], *bogus(METADATA)),
        CORRUPT,
        "whole",
    ),
    Damage(
        "before the first scan: a wrong length of any other segment, or one that reaches past "
        "the end",
        lambda file: (
            *file.insert(file.header_gaps, *bogus(STRUCTURE), b"\xff\xe5\xff\xff"),
            *file.lengths({0xC0, 0xC2, 0xDB}, False, 0, 1, 2, 7),
            *file.lengths({0xDA}, False, 0, 1, 2, 7, 255),
        ),
        CORRUPT,
        CORRUPT,
    ),
    Damage(
        "after the first scan: a wrong length of such a segment",
        lambda file: (
            *file.insert(file.later_gaps, *bogus(STRUCTURE), b"\xff\xe5\xff\xff"),
            *file.lengths({0xC4, 0xDA}, True, 0, 1, 7, 65535),
        ),
        CORRUPT,
        "part",
    ),
    Damage(
        "before the first scan: an unknown marker (02 to BF), a second SOI or SOF, a Huffman "
        "table that cannot be used, a step of 0, a missing table or frame header, a scan of a "
        "component that does not exist",
        lambda file: (
            *file.insert(file.header_gaps, b"\xff\x02", segment(0xBF, b""), b"\xff\xd8"),
            *file.insert(file.header_gaps[-1:], sof(8, 8), BAD_TABLE, STEPS_OF_ZERO),
            *file.without(0xC0, 0xC2),
            *([] if file.name == "several scans" else list(file.without(0xDB))[:1]),
            *scan_headers(file, False),
        ),
        CORRUPT,
        CORRUPT,
    ),
    Damage(
        "after the first scan: any of these but the unknown markers, a component's scan twice, "
        "scans out of the order of progression",
        lambda file: (
            *file.insert(file.later_gaps, b"\xff\xd8", sof(8, 8), STEPS_OF_ZERO),
            *scan_headers(file, True),
            *disorder(file),
        ),
        CORRUPT,
        "part",
    ),
    Damage(
        "after the first scan: unknown markers",
        lambda file: (*file.insert(file.later_gaps, b"\xff\x02", segment(0xBF, b"")),),
        CORRUPT,
        "whole",
    ),
    Damage(
        "markers in the data of a scan",
        lambda file: (
            file.replace(place, bytes([0xFF, code]))
            for place in file.middles()
            for code in (0x02, 0xBF, 0x01, 0xC0, 0xC9, 0xD8, 0xD9, 0xDA, 0xDB, 0xE3, 0xF7)
        ),
        CORRUPT,
        "part",
    ),
    Damage(
        "before the first scan: a marker of another kind of JPEG (lossless, hierarchical, "
        "arithmetic-coded, JPEG-LS, extensions)",
        lambda file: file.insert(file.header_gaps, *headers(OTHER_KINDS)),
        UNSUPPORTED,
        UNSUPPORTED,
    ),
    Damage(
        "after the first scan: such a marker",
        lambda file: file.insert(file.later_gaps, *headers(OTHER_KINDS)),
        CORRUPT,
        "part",
    ),
    Damage(
        "restart markers that are missing or have wrong numbers",
        lambda file: (
            *restart_markers(file, 1, 2, 3, 4, 5, 6, 7),
            *(file.insert([file.middles()[1]], b"\xff\xd0") if file.name != "restarts" else ()),
        ),
        CORRUPT,
        "part",
    ),
    Damage("a component without a scan", without_a_component, CORRUPT, "part"),
    Damage(
        "codes that do not exist, and runs past the end of a block",
        bad_codes,
        CORRUPT,
        "part",
    ),
    Damage(
        "bytes before SOI",
        lambda file: iter([("", b"\0" + file.data), ("", b"\xff" + file.data)]),
        CORRUPT,
        CORRUPT,
    ),
]


# ---- the table of the documentation -----------------------------------------

_TAKEN = {
    "whole": "the whole image, `JPEGWarning`",
    "part": "the part that could be decoded, `JPEGWarning`",
    "same": "taken",
}


def table() -> str:
    """Return the rows as a table in Markdown."""
    rows = ["| damage | `strict=True` | `strict=False` |", "|---|---|---|"]
    for damage in DAMAGES:
        strict = f"`{damage.strict.__name__}`" if damage.strict else "taken"
        lenient = damage.lenient
        after = _TAKEN[lenient] if isinstance(lenient, str) else f"`{lenient.__name__}`"
        rows.append(f"| {damage.what} | {strict} | {after} |")
    return "\n".join(rows) + "\n"
