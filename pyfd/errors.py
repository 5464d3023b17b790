"""What can be wrong with a file.

A caller's own mistakes are plain ``TypeError`` and ``ValueError``.
"""


class JPEGError(ValueError):
    """The file cannot be read; every error about a file derives from this."""


class CorruptJPEGError(JPEGError):
    """The file breaks the JPEG standard: truncated, damaged or not a JPEG at all."""


class UnsupportedJPEGError(JPEGError):
    """The file is a JPEG of a kind that pyfd refuses, such as an arithmetic-coded one."""


class LimitExceededError(JPEGError):
    """The file asks for more than its `pyfd.Limits` grant.

    The message names the limit, its value and the file's.
    """


class JPEGWarning(UserWarning):
    """The file is damaged, and ``strict=False`` made the best of it."""
