"""Which pixels of a file are decoded, and where they lie in the result.

A file's pixels are first scaled, then turned by EXIF's orientation, then cut to a region. C
cuts before it turns, so the region is translated to the stored image here.
"""

from __future__ import annotations

from typing import NamedTuple

from pyfd._core.reading import SCALES, Reading, Region, Size
from pyfd._core.turns import LEFT_RIGHT, TOP_BOTTOM, TRANSPOSED

WHOLE = (0, 0, 0, 0)


class Geometry(NamedTuple):
    """The arguments of a decode, and the size of its result."""

    scale: int
    part: Region
    """The part to decode, in pixels of the stored image, scaled; of no size for all of it."""
    width: int
    height: int


def geometry(stored: Size, orientation: int, reading: Reading) -> Geometry:
    """Return which pixels to decode.

    Args:
        stored: The size of the file's image.
        orientation: EXIF's, 1...8.
        reading: The options.

    Raises:
        ValueError: The region does not lie inside the image.
    """
    scale = reading.scale if reading.fit is None else _scale(stored, orientation, reading.fit)
    size = _scaled(stored, scale)
    width, height = turned(size, orientation)
    if reading.region is None:
        return Geometry(scale, WHOLE, width, height)
    left, top, across, down = reading.region
    if left + across > width or top + down > height:
        raise ValueError(
            f"region {reading.region} must lie inside the image, which is {width} pixels wide "
            f"and {height} high"
        )
    part = _in_stored(reading.region, (width, height), orientation)
    if part == (0, 0, *size):
        part = WHOLE
    return Geometry(scale, part, across, down)


def turned(size: Size, orientation: int) -> Size:
    """Return the size of an image of this size once it is turned."""
    width, height = size
    return (height, width) if orientation in TRANSPOSED else size


def _scaled(size: Size, scale: int) -> Size:
    width, height = size
    return -(-width // scale), -(-height // scale)


def _scale(stored: Size, orientation: int, fit: Size) -> int:
    """Return the largest scale whose result is at least as large as `fit`, or 1."""
    for scale in reversed(SCALES):
        width, height = turned(_scaled(stored, scale), orientation)
        if width >= fit[0] and height >= fit[1]:
            return scale
    return 1


def _in_stored(region: Region, size: Size, orientation: int) -> Region:
    """Translate a region of a turned image of this size to the image as it is stored."""
    left, top, across, down = region
    if orientation in LEFT_RIGHT:
        left = size[0] - left - across
    if orientation in TOP_BOTTOM:
        top = size[1] - top - down
    return (top, left, down, across) if orientation in TRANSPOSED else (left, top, across, down)
