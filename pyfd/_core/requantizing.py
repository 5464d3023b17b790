"""Re-quantizing behind every entry point: the metadata that are kept, and the warning."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from pyfd._core import binding, metadata
from pyfd._core.reading import Reading


def requantize(
    data: binding.Buffer,
    tables: npt.NDArray[np.uint16],
    reading: Reading,
    *,
    progressive: bool,
    optimize: bool,
    keep: Collection[str] | None,
    tell: bool,
    stacklevel: int,
) -> bytes:
    """Return a defended file.

    Args:
        data: The file.
        tables: The tables to write.
        reading: Its options `strict` and `limits` are used.
        progressive: Write a progressive file.
        optimize: Write Huffman tables made for this image.
        keep: The metadata to keep, as `pyfd._core.metadata.names_of` returns them.
        tell: Warn of metadata that were damaged and are left out.
        stacklevel: That of the warning; 1 is the caller.
    """
    kept = metadata.Kept(b"", "")
    if keep:
        _, places = binding.probe_segments(data, reading.limits)
        kept = metadata.kept(metadata.payloads(data, places), keep)
    how = binding.writing(progressive, optimize, keep_density=keep is not None)
    left_out = kept.left_out if tell else ""
    return binding.requantize(data, reading, tables, how, kept.segments, left_out, stacklevel + 1)
