"""Which files the theorem for files covers."""

from __future__ import annotations

from pyfd._core import binding
from pyfd._core.files import Source, read_source
from pyfd._core.reading import DEFAULT_LIMITS
from pyfd.limits import Limits


def why_uncovered(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """Return the reason why the theorem for files does not cover a file.

    The theorem compares a stranger's file with one of yours, which `pyfd.certify` gives
    a radius for files. If this function returns None for the stranger's file, and its
    pixels, decoded without tables, are less than the radius away from yours, then
    ``decode(source, qtables)`` returns your pixels, bit for bit. Otherwise pass the file
    to `pyfd.snap`, for which the radius for pixels counts.

    It covers gray and YCbCr files without subsampling, whose sides are multiples of 8,
    whose coefficients have all their bits (a progressive file may leave some out), and
    are not so large that the inverse DCT differs between machines. All but the first
    two are true of practically every file that an encoder makes of an image.

    Args:
        source: Bytes-like, a path, or a binary file object.
        limits: The limits on the file.

    Returns:
        The reason as a part of a sentence that starts with a pronoun, such as "its
        chroma is subsampled", or None if the theorem covers the file.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit. As in a strict
            `pyfd.decode`, a decoder's warnings are errors.
        OSError: The file cannot be opened.
    """
    return binding.why_uncovered(read_source(source, limits), limits) or None
