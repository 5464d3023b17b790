"""IPTC records (IIM 4.2) in Photoshop's image resources, in APP13 segments."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyfd._core.metadata import text
from pyfd._core.metadata.segments import Payload

MARKER = 0xED
PREFIX = b"Photoshop 3.0\0"

_IPTC = 0x0404  # the resource that holds the records
_MOST_STEPS = 1024  # of resources, and of datasets
_MOST_BLOCKS = 16  # resources of records
_UTF8 = (1, 90), b"\x1b%G"  # the dataset that says that the records are in UTF-8
_VERSION = (2, 0)  # of the record: two bytes


class Dataset(NamedTuple):
    """What a dataset of record 2 may hold."""

    name: str
    most: int = text.SHORT
    place: bool = False
    """Whether it says where the picture was taken, and is kept only with "gps"."""


#: The datasets of record 2 that are kept. docs/metadata.md has the same list.
DATASETS: dict[int, Dataset] = {
    3: Dataset("Object Type Reference"),
    4: Dataset("Object Attribute Reference"),
    5: Dataset("Object Name"),
    7: Dataset("Edit Status"),
    8: Dataset("Editorial Update"),
    10: Dataset("Urgency"),
    12: Dataset("Subject Reference"),
    15: Dataset("Category"),
    20: Dataset("Supplemental Category"),
    22: Dataset("Fixture Identifier"),
    25: Dataset("Keywords"),
    26: Dataset("Content Location Code", place=True),
    27: Dataset("Content Location Name", place=True),
    30: Dataset("Release Date"),
    35: Dataset("Release Time"),
    37: Dataset("Expiration Date"),
    38: Dataset("Expiration Time"),
    40: Dataset("Special Instructions", text.LONG),
    42: Dataset("Action Advised"),
    55: Dataset("Date Created"),
    60: Dataset("Time Created"),
    62: Dataset("Digital Creation Date"),
    63: Dataset("Digital Creation Time"),
    65: Dataset("Originating Program"),
    70: Dataset("Program Version"),
    75: Dataset("Object Cycle"),
    80: Dataset("By-line"),
    85: Dataset("By-line Title"),
    90: Dataset("City", place=True),
    92: Dataset("Sub-location", place=True),
    95: Dataset("Province/State", place=True),
    100: Dataset("Country Code", place=True),
    101: Dataset("Country Name", place=True),
    103: Dataset("Original Transmission Reference"),
    105: Dataset("Headline"),
    110: Dataset("Credit"),
    115: Dataset("Source"),
    116: Dataset("Copyright Notice", text.LONG),
    118: Dataset("Contact"),
    120: Dataset("Caption/Abstract", text.LONG),
    121: Dataset("Local Caption", text.LONG),
    122: Dataset("Writer/Editor"),
    130: Dataset("Image Type"),
    131: Dataset("Image Orientation"),
    135: Dataset("Language Identifier"),
}


def clean(found: Sequence[Payload], places: bool, left_out: dict[str, None]) -> bytes | None:
    """Return a payload with the text records alone, or None if there are none.

    Photoshop splits its resources into several segments where they are long, so these are
    joined first. All other resources are left out: they hold thumbnails, whole EXIF blocks,
    and Photoshop's own data. So is the digest of the records, which would no longer be right.

    Args:
        found: The payloads of a file.
        places: Keep the datasets that say where the picture was taken.
        left_out: Gets the names of what is listed, but damaged or not text.
    """
    joined = b"".join(
        payload[len(PREFIX) :]
        for marker, payload in found
        if marker == MARKER and payload.startswith(PREFIX)
    )
    blocks = _blocks(joined, left_out)
    values = list(_kept(blocks, places, left_out))
    if text.is_encoded(" ".join(value.decode("latin-1") for _, value in values)):
        left_out["IPTC (encoded)"] = None
        return None
    kept = b"".join(_dataset(numbers, value) for numbers, value in values)
    if len(kept) <= 7:  # nothing but the version
        return None
    if any(_UTF8 in _datasets(block, {}) for block in blocks):
        kept = _dataset(*_UTF8) + kept
    return (
        PREFIX + struct.pack(">4sHHI", b"8BIM", _IPTC, 0, len(kept)) + kept + bytes(len(kept) % 2)
    )


def _blocks(resources: bytes, left_out: dict[str, None]) -> list[bytes]:
    """Return the data of the resources that begin with an IPTC record, each once.

    Some writers add a resource where they should add a record.
    """
    blocks: dict[bytes, None] = {}
    place = 0
    for _ in range(_MOST_STEPS):
        padding = blocks and resources.startswith(bytes(4), place)
        if place + 12 > len(resources) or padding or len(blocks) == _MOST_BLOCKS:
            break
        signature, number, name_size = struct.unpack_from(">4sHB", resources, place)
        data = place + 6 + (name_size + 2) // 2 * 2
        if not signature.isalnum() or data + 4 > len(resources):
            left_out["IPTC (damaged Photoshop resources)"] = None
            break
        (size,) = struct.unpack_from(">I", resources, data)
        is_iptc = signature == b"8BIM" and number == _IPTC
        if is_iptc and resources.startswith(b"\x1c", data + 4):
            blocks[resources[data + 4 : data + 4 + size]] = None
        place = data + 4 + (size + 1) // 2 * 2
    return list(blocks)


def _datasets(records: bytes, left_out: dict[str, None]) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the record's and the dataset's number and the value of each dataset."""
    place = 0
    for _ in range(_MOST_STEPS):
        if not records[place : place + 5].strip(b"\0"):
            return  # the end, or padding
        if place + 5 > len(records) or records[place] != 0x1C:
            break
        record, number, size = struct.unpack_from(">BBH", records, place + 1)
        place += 5
        if size & 0x8000:  # the size of the size of a value of 32 KiB or more
            width = size & 0x7FFF
            size = int.from_bytes(records[place : place + min(width, 8)], "big")
            place += width
        if place + size > len(records):
            break
        yield (record, number), records[place : place + size]
        place += size
    left_out["IPTC (damaged records)"] = None


def _kept(
    blocks: Sequence[bytes], places: bool, left_out: dict[str, None]
) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the numbers and the value of each dataset that is kept."""
    left = text.MOST
    has_version = False
    for numbers, value in (found for block in blocks for found in _datasets(block, left_out)):
        if numbers == _VERSION and len(value) == 2 and not has_version:
            has_version = True
            yield numbers, value
        listed = DATASETS.get(numbers[1]) if numbers[0] == 2 else None
        if listed is None or (listed.place and not places):
            continue
        kept = text.kept(value, listed.most)
        if kept is None or len(kept) + 5 > left:
            left_out[f"IPTC {listed.name}"] = None
        else:
            left -= len(kept) + 5
            yield numbers, kept


def _dataset(numbers: tuple[int, int], value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, *numbers, len(value)) + value
