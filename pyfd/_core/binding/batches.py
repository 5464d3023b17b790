"""The calls of C that take many files or images at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core._libpyfd import ffi, lib
from pyfd._core.binding.options import BYTES, error_of, limits_for, pixels_for, tables_for
from pyfd._core.binding.reading import Frame
from pyfd.limits import Limits

if TYPE_CHECKING:
    from pyfd._core.pixels import Pixels

_ITEMS, _PICTURES = ffi.typeof("pyfd_item[]"), ffi.typeof("pyfd_picture[]")


class Batch:
    """Files that are decoded in one call each for their headers and their pixels.

    Args:
        files: The files' bytes.
        limits: The limits on each of them.
    """

    def __init__(self, files: Sequence[bytes], limits: Limits) -> None:
        given = [(ffi.from_buffer(BYTES, data), len(data)) for data in files]
        self._held: list[Any] = [given]  # what C has pointers to
        self._limits = limits_for(limits)
        self._items = ffi.new(_ITEMS, given)
        self._count = len(given)
        self._failed = lib.pyfd_open_many(self._items, self._count, self._limits)

    def error(self, index: int) -> Exception | None:
        """Return the error of a file that has failed so far."""
        if not self._failed:
            return None
        status = self._items[index].found[0].status[0]
        return error_of(status) if status.code else None

    def frame(self, index: int) -> Frame:
        """Return a file's frame."""
        return Frame(self._items[index].found[0])

    def put(self, index: int, out: Pixels, how: Any) -> None:
        """Let a file be decoded into `out`; `how` is what `reading_how` returns."""
        item = self._items[index]
        pixels = ffi.from_buffer(BYTES, out, True)
        self._held += (pixels, how)
        item.out, item.out_size, item.reading = pixels, len(pixels), how

    def decode(self, tables: npt.NDArray[np.uint16] | None) -> None:
        """Decode all files that have a place."""
        steps, count = tables_for(tables)
        self._failed += lib.pyfd_decode_many(self._items, self._count, self._limits, steps, count)


def picture(pixels: Pixels, how: Any) -> Any:
    """Return an image as `encode_many` takes it; `how` is what `writing_how` returns."""
    height, width, channels, buffer = pixels_for(pixels)
    return buffer, width, height, channels, how


def encode_many(
    pictures: Sequence[Any],
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    segments: bytes,
) -> list[bytes | Exception]:
    """Encode images in one call. Return each one's file, or its error."""
    items = ffi.new(_PICTURES, pictures)
    across, down = sampling
    steps, count = tables_for(tables)
    try:
        failed = lib.pyfd_encode_many(
            items, len(pictures), across, down, steps, count, segments, len(segments)
        )
        return [_outcome(item.made[0], failed) for item in items]
    finally:
        for item in items:
            lib.pyfd_free(item.made[0].data[0])


def _outcome(made: Any, failed: int) -> bytes | Exception:
    if failed and made.status[0].code:
        return error_of(made.status[0])
    data: bytes = ffi.buffer(made.data[0], made.size[0])[:]
    return data
