"""Bounds on what Pillow's parser of JPEG headers is given.

Pillow copies an EXIF block again for every segment of it, makes an object of every step of
every table, every rational number and every Photoshop resource, and reads what is in no
segment byte by byte. A header within the limits of `pyfd.Limits` would keep it busy for
seconds. The bounds are far above what good files have.
"""

from __future__ import annotations

import re
import struct

from pyfd.errors import LimitExceededError

#: What is bounded: the most of it, and its name in messages.
_MOST = {
    "max_loose_bytes": (1 << 16, "bytes of a header in no segment"),
    "max_table_bytes": (1 << 16, "bytes in DQT segments"),
    "max_exif_bytes": (1 << 20, "bytes in EXIF segments"),
    "max_directory_bytes": (1 << 20, "bytes of values, counted as often as EXIF or MPF names them"),
    "max_photoshop_resources": (1 << 14, "Photoshop resources"),
}

#: A marker that is followed by a segment or ends the image, as in csrc/markers.c.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_APP1, _APP2, _APP13, _DQT, _SOS = 0xE1, 0xE2, 0xED, 0xDB, 0xDA
_EXIF, _MPF, _PHOTOSHOP = b"Exif\0\0", b"MPF\0", b"Photoshop 3.0\0"

# Sizes of the value types that Pillow reads (TIFF 6.0, section 2; 16 is BigTIFF's LONG8)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
# The tags that point to a directory: EXIF, GPS, interoperability
_POINTERS = frozenset({0x8769, 0x8825, 0xA005})


def check(data: bytes) -> None:
    """Refuse a header that would keep Pillow's parser busy.

    Args:
        data: A file that `pyfd.probe` takes, at least up to its first scan.

    Raises:
        LimitExceededError: A bound of this module is exceeded.
    """
    found = dict.fromkeys(_MOST, 0)
    exif, mpf, place = [], b"", 2

    def add(name: str, number: int) -> None:
        found[name] += number
        most, what = _MOST[name]
        if found[name] > most:
            raise LimitExceededError(
                f"{name} = {most} for Pillow, but the file has {found[name]} {what}",
                limit=name,
                allowed=most,
                needed=found[name],
            )

    while marker := _MARKER.search(data, place):
        add("max_loose_bytes", marker.start() - place)
        code, start = marker[0][1], marker.end()
        if code == _SOS:
            break
        place = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        payload = data[start + 2 : place]
        if code == _DQT:
            add("max_table_bytes", len(payload))
        elif code == _APP1 and payload.startswith(_EXIF):
            add("max_exif_bytes", len(payload))
            exif.append(payload[len(_EXIF) :])
        elif code == _APP2 and payload.startswith(_MPF):
            mpf = payload[len(_MPF) :]  # Pillow reads the last one
        elif code == _APP13 and payload.startswith(_PHOTOSHOP):
            add("max_photoshop_resources", payload.count(b"8BIM"))
    most = _MOST["max_directory_bytes"][0]
    for block in (b"".join(exif).removeprefix(_EXIF), mpf):
        add("max_directory_bytes", _directory_bytes(block, most))


def _directory_bytes(tiff: bytes, most: int) -> int:
    """Count the bytes of the entries and values in a block's directories, up to about `most`.

    Values may overlap, and then count as often as they are named, because Pillow copies
    each. Values and directories that reach past the end count up to there.
    """
    order = ">" if tiff.startswith(b"MM") else "<"
    total = 0
    places, seen = [4], {0}  # where the offset of a directory stands
    while places and total <= most:
        (start,) = _unpack(f"{order}I", tiff, places.pop()) or (0,)
        if start in seen:
            continue
        seen.add(start)
        total += 6  # its count, and the offset of the next one
        (count,) = _unpack(f"{order}H", tiff, start) or (0,)
        end = start + 2 + 12 * count
        for place in range(start + 2, min(end, len(tiff) - 11), 12):
            tag, kind, number, offset = struct.unpack_from(f"{order}HHII", tiff, place)
            size = number * _SIZES.get(kind, 0)
            total += 12 + (max(0, min(size, len(tiff) - offset)) if size > 4 else 0)
            if tag in _POINTERS:
                places.append(place + 8)
            if total > most:
                break
        places.append(end)  # the next directory
    return total


def _unpack(form: str, data: bytes, place: int) -> tuple[int, ...] | None:
    """Return the numbers at a place, or None if they reach past the end."""
    if place + struct.calcsize(form) > len(data):
        return None
    return struct.unpack_from(form, data, place)
