"""Defences, which stand between an image and the classifier.

Each defence is one class. For a defence of your own, subclass `Defence` and pass an
object of the subclass to `pyfd.evaluation.evaluate`. A built-in defence is a module here
and an entry of `DEFENCES`, which `parse` and the command's help read. The modules import
torch and other slow libraries inside functions, so that the help does not wait for them.
"""

from __future__ import annotations

import re

from pyfd.evaluation.defences.art import BitDepth, TotalVariation
from pyfd.evaluation.defences.base import Defence, Kind
from pyfd.evaluation.defences.distillation import Certified, Distillation
from pyfd.evaluation.defences.jpeg import JPEG, SHIELD_BLOCK, SHIELD_QUALITIES, Shield, as_jpeg
from pyfd.evaluation.defences.pixels import PixelGrid

__all__ = [
    "DEFENCES",
    "JPEG",
    "KNOWN",
    "SHIELD_BLOCK",
    "SHIELD_QUALITIES",
    "BitDepth",
    "Certified",
    "Defence",
    "Distillation",
    "Kind",
    "PixelGrid",
    "Shield",
    "TotalVariation",
    "as_jpeg",
    "known",
    "parse",
]

#: The classes that `parse` makes defences of.
DEFENCES: list[type[Defence]] = [
    Defence,
    Distillation,
    Certified,
    PixelGrid,
    JPEG,
    BitDepth,
    TotalVariation,
    Shield,
]


def known() -> str:
    """Return the names that `parse` takes, as one text."""
    return ", ".join(
        ", ".join(defence.patterns)
        + (f" ({': '.join(defence.argument)})" if defence.argument else "")
        for defence in DEFENCES
    )


#: The names that `parse` takes.
KNOWN = known()


def parse(text: str) -> Defence:
    """Return the defence with a given name: "two-pass:fd-cvpr2019", "jpeg:75", "tvm", ...

    Raises:
        ValueError: There is no such defence, or its number or table is invalid.
        OSError: A table file cannot be read.
        ImportError: The defence's library is missing.
    """
    kind = _kind(text)
    if kind is None:
        raise ValueError(f"no defence {text!r}; there are {known()}")
    name, _, argument = text.partition(":")
    try:
        defence = kind.parsed(name, argument)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r}: {error}") from error
    defence.name = text
    return defence


def _kind(text: str) -> type[Defence] | None:
    """Return the class with the pattern that fits a name: of several, the most specific."""
    fitting = {}
    for kind in DEFENCES:
        for pattern in kind.patterns:
            name, colon, argument = pattern.partition(":")
            start = name + colon + re.split("[A-Z]", argument, maxsplit=1)[0]
            if text == pattern or (start != pattern and text.startswith(start)):
                fitting[start] = kind
    return fitting[max(fitting, key=len)] if fitting else None
