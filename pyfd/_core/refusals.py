"""The log of refused files, for the entry points that hide an error or replace it."""

from __future__ import annotations

import logging
import os

_LONGEST = 200  # characters of a name or of a message, as an attacker could choose

_logger = logging.getLogger("pyfd")


def log_refusal(source: str, error: Exception, file: object = None) -> None:
    """Write one record about a file that is refused, with attributes for handlers to count.

    The text is one line of printable ASCII characters, whatever the file and its name say.

    Args:
        source: The entry point, such as "pillow".
        error: The reason.
        file: The file's name, if it has one; anything that is no name is left out.
    """
    name = os.fsdecode(file) if isinstance(file, str | bytes) and file else ""
    _logger.warning(
        "%s refused %s: %s: %s",
        source,
        ascii(name[-_LONGEST:]) if name else "a file",
        type(error).__name__,
        ascii(str(error)[:_LONGEST])[1:-1],
        extra={
            "source": source,
            "error": type(error).__name__,
            # Those of a LimitExceededError
            **{key: getattr(error, key, None) for key in ("limit", "allowed", "needed")},
        },
    )
