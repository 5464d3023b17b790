"""The error message for an optional library that is missing."""

from __future__ import annotations


def remedy(extra: str) -> str:
    """Return the commands that install an extra of this package."""
    return f"pip install 'pyfd-jpeg[{extra}]', or in a checkout pip install '.[{extra}]'"


def missing(name: str, extra: str, *, module: str | None = None) -> ImportError:
    """Return the error to raise when an optional library cannot be imported.

    Args:
        name: The library's name, as people install it.
        extra: The extra of this package that brings it.
        module: The missing module's name, where it differs.
    """
    return ImportError(f"{name} is missing: {remedy(extra)}", name=module or name)
