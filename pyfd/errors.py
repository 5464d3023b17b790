"""The errors and warnings about a file.

A caller's own mistakes are plain ``TypeError`` and ``ValueError``.
"""

from __future__ import annotations


class JPEGError(ValueError):
    """The file cannot be read; every error about a file derives from this."""


class CorruptJPEGError(JPEGError):
    """The file breaks the JPEG standard: truncated, damaged, or nothing that is known."""


class UnsupportedJPEGError(JPEGError):
    """The file is of a kind that pyfd refuses.

    It is a JPEG, such as an arithmetic-coded one, or something else: "not a JPEG: a PNG
    file". A file without any bytes is one of these, too.
    """


class LimitExceededError(JPEGError):
    """The file exceeds one of the `pyfd.Limits`.

    The message names the limit, its value and the file's, and the attributes
    hold the same. They have their defaults if the error was made from a message
    alone, as torch's `DataLoader` does with the error of a worker.
    """

    limit: str
    """The name of the limit: a field of `pyfd.Limits`, or for `pyfd.pillow`'s own bounds
    "max_loose_bytes", "max_table_bytes", "max_exif_bytes", "max_directory_bytes" or
    "max_photoshop_resources"."""
    allowed: int
    """The limit's value."""
    needed: int | None
    """A lower bound of what the file needs, because limits are checked before the
    rest of the file is read."""

    def __init__(
        self, message: str = "", *, limit: str = "", allowed: int = 0, needed: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowed = allowed
        self.needed = needed


class CertificateError(ValueError):
    """No file with the given radius was found, or it costs too much."""


class JPEGWarning(UserWarning):
    """The file is damaged, and ``strict=False`` decoded what it could."""
