"""IPTC records: Photoshop's image resources in APP13 segments."""

from __future__ import annotations

import struct

MARKER = 0xED
PREFIX = b"Photoshop 3.0\0"

_KEPT = (0x0404, 0x0425)  # the IPTC record and its digest


def clean(payload: bytes) -> bytes | None:
    """Return a segment's payload with only its IPTC resources, or None if there are none.

    Other resources hold thumbnails or whole EXIF blocks. For a damaged payload, return None.
    """
    kept = [PREFIX]
    position = len(PREFIX)
    while position + 12 <= len(payload):
        signature, number, name_size = struct.unpack_from(">4sHB", payload, position)
        data = position + 6 + (name_size + 2) // 2 * 2
        if signature != b"8BIM" or data + 4 > len(payload):
            return None
        (size,) = struct.unpack_from(">I", payload, data)
        end = data + 4 + (size + 1) // 2 * 2
        if data + 4 + size > len(payload):
            return None
        if number in _KEPT:
            kept.append(payload[position:end])
        position = end
    return b"".join(kept) if len(kept) > 1 else None
