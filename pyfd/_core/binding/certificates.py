"""The calls of C about what an image or a file is certified for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyfd._core._libpyfd import ffi, lib
from pyfd._core.binding.options import (
    STATUS,
    STEPS,
    Buffer,
    check,
    held,
    limits_for,
    pixels_for,
    tables_for,
)
from pyfd.limits import Limits

if TYPE_CHECKING:
    from pyfd._core.pixels import Pixels

_COVERED = ffi.typeof("pyfd_covered *")


def why_uncovered(data: Buffer, limits: Limits) -> str:
    """Return why the theorem for files does not cover a file, or "" if it does."""
    covered = ffi.new(_COVERED)
    source = held(data)
    if lib.pyfd_why_uncovered(
        source, len(source), limits_for(limits), covered.why, len(covered.why), covered.status
    ):
        check(covered.status[0], 2)
    return str(ffi.string(covered.why).decode())


def certify(
    pixels: Pixels,
    sampling: tuple[int, int],
    tables: npt.NDArray[np.uint16],
    blocks: list[tuple[int, int]],
    epsilon: int = lib.PYFD_RADII,
) -> list[npt.NDArray[np.uint16]]:
    """Return one array (high, wide) for each component: its blocks' radii, 256 for infinity.

    With an epsilon, 1 for the blocks that hold at it and 0 for the others.
    """
    height, width, channels, buffer = pixels_for(pixels)
    sizes = [high * wide for high, wide in blocks]
    found = np.empty(sum(sizes), np.uint16)
    status = ffi.new(STATUS)
    if lib.pyfd_certify(
        buffer, width, height, channels, *sampling, *tables_for(tables), epsilon,
        ffi.from_buffer(STEPS, found, require_writable=True), len(found), status,
    ):  # fmt: skip
        check(status, 2)
    parts = np.split(found, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, blocks, strict=True)]


def find_file_radii(
    pixels: Pixels, tables: npt.NDArray[np.uint16], blocks: tuple[int, int]
) -> npt.NDArray[np.uint16]:
    """Return the radii for files of an image's 8×8 pixels, (high, wide)."""
    height, width, channels, buffer = pixels_for(pixels)
    found = np.empty(blocks, np.uint16)
    status = ffi.new(STATUS)
    if lib.pyfd_find_file_radii(
        buffer, width, height, channels, *tables_for(tables),
        ffi.from_buffer(STEPS, found, require_writable=True), found.size, status,
    ):  # fmt: skip
        check(status, 2)
    return found
