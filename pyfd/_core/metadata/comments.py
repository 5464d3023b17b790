"""Comments: COM segments (ITU-T T.81, B.2.4.5)."""

from __future__ import annotations

from collections.abc import Sequence

from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, as_bytes, segment

MARKER = 0xFE


def read(found: Sequence[Payload]) -> bytes | None:
    """Return the last comment, or None if there is none."""
    return next((payload for marker, payload in reversed(found) if marker == MARKER), None)


def build(comment: object) -> bytes:
    """Return the segment for a comment, with text as UTF-8; an empty comment gives none.

    Raises:
        TypeError: The comment is neither text nor bytes-like.
        ValueError: The comment is too long for a segment.
    """
    text = comment.encode() if isinstance(comment, str) else as_bytes("comment", comment)
    if len(text) > MAX_PAYLOAD:
        raise ValueError(f"comment is longer than {MAX_PAYLOAD} bytes")
    return segment(MARKER, text) if text else b""
