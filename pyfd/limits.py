"""The limits on a file."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

_MEBIBYTE = 1 << 20
_NO_LIMIT = (1 << 64) - 1


@dataclass(frozen=True)
class Limits:
    """Bounds on a file, checked before the memory or the time that they protect is spent.

    A file that exceeds one raises `pyfd.LimitExceededError`. The defaults suit
    files from strangers. For a camera of 100 megapixels use, for example,
    ``Limits(max_pixels=110_000_000)``; progressive files of that size may need a
    larger `max_memory` and `max_work` too.

    Raises:
        TypeError: A limit is not an int.
        ValueError: A limit is not in 0...2**64-1.
    """

    max_bytes: int = 64 * _MEBIBYTE
    """The size of the input in bytes."""

    max_pixels: int = 67_108_864
    """The width times the height, at full scale."""

    max_memory: int = 768 * _MEBIBYTE
    """The bytes of input, output and coefficients together, wherever all coefficients
    must be in memory: for progressive and multi-scan files, as input or output, for
    `pyfd.read_coefficients`, and for ``requantize(optimize=True)``. If
    `pyfd.requantize` writes a single-scan file block by block, only input and output
    count. With a radius, the pixels count too."""

    max_scans: int = 100
    """The number of scans (SOS markers)."""

    max_segments: int = 4096
    """The number of marker segments, including those between scans. Restart markers do
    not count."""

    max_metadata: int = 16 * _MEBIBYTE
    """The bytes in APPn and COM segments."""

    max_work: int = 100_000_000
    """The time that the scans take to read, in a unit that does not depend on the
    machine, about 20 to 30 ns on a common one: a block of 8×8 coefficients counts 1 in
    every scan that visits it, and so does a byte of compressed data. If a progressive
    file leaves out bits of the lowest coefficients, which a decoder makes up by
    smoothing, each of its blocks counts 12 more.

    The same limit holds once more for the file that `pyfd.requantize` writes if it is
    progressive or optimized: a block counts 2 and a nonzero coefficient 1/16 in every
    scan of its component."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{field.name} must be an int, not {type(value).__name__}")
            if not 0 <= value <= _NO_LIMIT:
                raise ValueError(f"{field.name} must be in 0...2**64-1, not {value}")

    @classmethod
    def unlimited(cls) -> Limits:
        """Return limits that allow everything, for trusted input only."""
        return cls(*[_NO_LIMIT] * len(fields(cls)))

    def astuple(self) -> tuple[int, ...]:
        """Return the values in the order of the fields."""
        return astuple(self)
