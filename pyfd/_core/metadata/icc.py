"""ICC profiles: numbered chunks in APP2 segments (ICC.1, B.4)."""

from __future__ import annotations

from collections.abc import Sequence

from pyfd._core.metadata import profiles
from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload, as_bytes, segment

MARKER = 0xE2
PREFIX = b"ICC_PROFILE\0"

_HEAD = len(PREFIX) + 2  # the prefix, the chunk's number, and the number of chunks
_CHUNK = MAX_PAYLOAD - _HEAD


def read(found: Sequence[Payload]) -> bytes | None:
    """Return the joined profile, or None if there is none or a chunk is missing or damaged."""
    chunks = [
        payload
        for marker, payload in found
        if marker == MARKER and payload.startswith(PREFIX) and len(payload) > _HEAD
    ]
    numbered = {chunk[_HEAD - 2]: chunk for chunk in chunks}
    count = len(chunks)
    if not chunks or sorted(numbered) != list(range(1, count + 1)):
        return None
    if any(chunk[_HEAD - 1] != count for chunk in chunks):
        return None
    return b"".join(numbered[number][_HEAD:] for number in range(1, count + 1))


def build(icc_profile: object) -> bytes:
    """Return the segments for a profile; none for an empty profile.

    Raises:
        TypeError: The profile is not bytes-like.
        ValueError: The profile is too long for 255 chunks.
    """
    profile = as_bytes("icc_profile", icc_profile)
    count = -(-len(profile) // _CHUNK)
    if count > 255:
        raise ValueError(f"icc_profile is longer than {255 * _CHUNK} bytes")
    chunks = (profile[place : place + _CHUNK] for place in range(0, len(profile), _CHUNK))
    return b"".join(
        segment(MARKER, PREFIX + bytes([number, count]) + chunk)
        for number, chunk in enumerate(chunks, 1)
    )


def clean(profile: bytes | None, left_out: dict[str, None]) -> bytes | None:
    """Return a profile with nothing but what a profile may hold, or None if it is not one.

    Args:
        profile: A joined profile, or None for no profile.
        left_out: Gets a line if there is a profile and it is left out.
    """
    kept = profiles.clean(profile) if profile else None
    if profile and kept is None:
        left_out["the ICC profile"] = None
    return kept
