"""What a file may ask for."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

_MEBIBYTE = 1 << 20
_NO_LIMIT = (1 << 64) - 1


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before the memory or the time they protect is spent.

    A file beyond one of them is a `pyfd.LimitExceededError`. The defaults suit
    files from strangers; for a camera of 100 megapixels say, for example,
    ``Limits(max_pixels=110_000_000)``. Progressive files of that size
    may need a larger `max_memory` too.
    """

    max_bytes: int = 64 * _MEBIBYTE
    """Bytes of input."""

    max_pixels: int = 67_108_864
    """Width times height, at full scale."""

    max_memory: int = 768 * _MEBIBYTE
    """Bytes of input, output and coefficients together, where all coefficients
    must be in memory: progressive and multi-scan files, input or output,
    `pyfd.read_coefficients`, and ``requantize(optimize=True)``. A single-scan
    file that `pyfd.requantize` writes block by block is charged for its input
    and output alone."""

    max_scans: int = 100
    """Scans (SOS markers)."""

    max_segments: int = 4096
    """Marker segments, those between scans too; restart markers are none."""

    max_metadata: int = 16 * _MEBIBYTE
    """Bytes in APPn and COM segments."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{field.name} must be an int, not {type(value).__name__}")
            if not 0 <= value <= _NO_LIMIT:
                raise ValueError(f"{field.name} must be in 0...2**64-1, not {value}")

    @classmethod
    def unlimited(cls) -> Limits:
        """No limits at all, for trusted input only."""
        return cls(*[_NO_LIMIT] * len(fields(cls)))

    def astuple(self) -> tuple[int, ...]:
        """The values in the order of the fields."""
        return astuple(self)
