"""Comments: COM segments (ITU-T T.81, B.2.4.5)."""

from __future__ import annotations

from collections.abc import Sequence

from pyfd._core.metadata import text
from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, as_bytes, segment

MARKER = 0xFE

_MOST = 256  # comments that are looked at


def read(found: Sequence[Payload]) -> bytes | None:
    """Return the last comment, or None if there is none."""
    return next((payload for marker, payload in reversed(found) if marker == MARKER), None)


def build(comment: object) -> bytes:
    """Return the segment for a comment, with text as UTF-8; an empty comment gives none.

    Raises:
        TypeError: The comment is neither text nor bytes-like.
        ValueError: The comment is too long for a segment.
    """
    value = comment.encode() if isinstance(comment, str) else as_bytes("comment", comment)
    if len(value) > MAX_PAYLOAD:
        raise ValueError(f"comment is longer than {MAX_PAYLOAD} bytes")
    return segment(MARKER, value) if value else b""


def clean(found: Sequence[Payload], left_out: dict[str, None]) -> list[bytes]:
    """Return the comments that are text, up to their first NUL, and fit into the bound.

    There are none if together they are something encoded.

    Args:
        found: The payloads of a file.
        left_out: Gets a line if a comment is left out.
    """
    kept: list[bytes] = []
    left = text.MOST
    payloads = [payload for marker, payload in found if marker == MARKER]
    if len(payloads) > _MOST:
        left_out["a comment"] = None
    for payload in payloads[:_MOST]:
        value = text.kept(payload)
        if value is None or len(value) > left:
            left_out["a comment"] = None
        elif value:
            kept.append(value)
            left -= len(value)
    if text.is_encoded(" ".join(value.decode("latin-1") for value in kept)):
        left_out["a comment"] = None
        return []
    return kept
