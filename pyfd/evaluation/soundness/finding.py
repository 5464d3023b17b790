"""What a check of an evaluation's soundness finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, TypedDict

#: An "error" means that numbers cannot be used as robust accuracies; a "warning" that they are
#: easy to misread, or that a check of them is missing.
Level: TypeAlias = Literal["error", "warning"]


class Finding(TypedDict):
    """Something that makes an evaluation unsound, as report.json has it."""

    level: Level
    check: str
    """The short name of the check; docs/soundness.md lists all."""
    text: str
    """A whole sentence."""


def finding(level: Level, check: str, text: str) -> Finding:
    """Return a finding."""
    return {"level": level, "check": check, "text": text}


def listed(things: Iterable[object]) -> str:
    """Return things as words in a sentence: "1", "1 and 2", "1, 2 and 4"."""
    *first, last = map(str, things)
    return f"{', '.join(first)} and {last}" if first else last
