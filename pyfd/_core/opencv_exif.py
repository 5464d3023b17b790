"""EXIF's orientation as OpenCV reads it.

OpenCV (modules/imgcodecs/src/exif.cpp) takes the first two bytes of the value field,
whatever type and count the entry has, and looks into every EXIF block until one has the
tag. A field before it whose value reaches past the end of the block ends that block.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pyfd._core.metadata.exif import MARKER, PREFIX
from pyfd._core.metadata.segments import Payload

_ORIENTATION = 0x0112
# The bytes that OpenCV reads at the offset in a value field: as many as the count says,
# or a number of rational numbers
_STRINGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x8298)
_RATIONALS = {0x011A: 8, 0x011B: 8, 0x013E: 16, 0x013F: 48, 0x0211: 24, 0x0214: 48}


def orientation(found: Iterable[Payload]) -> int:
    """Return the orientation, 1 to 8, that a file's segments give; 1 if there is none."""
    for marker, payload in found:
        if marker == MARKER and payload.startswith(PREFIX):
            value = _value(payload[len(PREFIX) :])
            if value is not None:
                return value if 1 <= value <= 8 else 1
    return 1


def _value(tiff: bytes) -> int | None:
    """Return a block's orientation, of any value, or None if OpenCV does not reach it."""
    order = "<" if tiff.startswith(b"II") else ">"
    if len(tiff) < 8 or _number(tiff, 2, order + "u2") != 42:
        return None
    start = _number(tiff, 4, order + "u4")
    if start + 2 > len(tiff):
        return None
    start, count = start + 2, _number(tiff, start, order + "u2")
    fields = np.dtype(
        [("tag", order + "u2"), ("type", "u2"), ("count", order + "u4"), ("value", order + "u4")]
    )
    # The last entry may lack the end of its value: two bytes of it are enough
    padded = tiff[start : start + 12 * count] + b"\0\0"
    entries = np.frombuffer(padded, fields, len(padded) // 12)
    (found,) = np.nonzero(entries["tag"] == _ORIENTATION)
    if not len(found) or _past_the_end(entries[: found[0]], len(tiff)):
        return None
    return _number(tiff, start + 12 * int(found[0]) + 8, order + "u2")


def _past_the_end(entries: npt.NDArray[np.void], size: int) -> bool:
    """Return whether OpenCV would read a value of these entries past the end of the block."""
    tags = entries["tag"]
    counts, offsets = entries["count"].astype(np.int64), entries["value"].astype(np.int64)
    # Strings of up to four bytes are read at offset 8, whatever the field holds
    ends = np.where(counts > 4, offsets, 8) + counts
    if (np.isin(tags, _STRINGS) & (ends > size)).any():
        return True
    return any(((tags == tag) & (offsets + read > size)).any() for tag, read in _RATIONALS.items())


def _number(data: bytes, offset: int, form: str) -> int:
    return int(np.frombuffer(data, form, 1, offset)[0])
