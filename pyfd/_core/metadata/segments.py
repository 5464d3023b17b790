"""Marker segments: the type of a payload that was read, and the writing of a segment."""

from __future__ import annotations

import struct
from typing import TypeAlias

#: A segment's marker (the byte after 0xFF) and its payload.
Payload: TypeAlias = tuple[int, bytes]

#: The most bytes that a segment's 16-bit length leaves for its payload (ITU-T T.81, B.1.1.4).
MAX_PAYLOAD = 65533


def segment(marker: int, payload: bytes) -> bytes:
    """Return a whole marker segment; the payload has at most `MAX_PAYLOAD` bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def as_bytes(name: str, value: object) -> bytes:
    """Return a caller's bytes-like value as bytes.

    Raises:
        TypeError: The value is not bytes-like; the message names the argument.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    return bytes(value)
