"""What every source of labelled pictures gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyfd._core.pixels import Pixels


@dataclass(frozen=True)
class Found:
    """Labelled pictures of a source, in its order."""

    names: list[str]
    labels: list[int]
    """The place of each picture's class in `classes`."""
    classes: list[str]
    """The data set's classes: names or decimal numbers."""
    order: str
    """What the order of `classes` is, in words."""
    pixels: Callable[[int | None], Iterable[Pixels]]
    """The pixels of the first pictures, H×W×3 ``uint8``."""


def places(labels: Iterable[int], names: list[str] | None) -> tuple[list[int], list[str]]:
    """Return the places of numeric labels in a list of classes, and that list.

    Args:
        labels: Numbers from 0.
        names: The names of the classes, by number; None if they have none.

    Raises:
        ValueError: There are fewer names.
    """
    numbers = list(labels)
    if names is None:
        classes = sorted(set(numbers))
        at = {number: place for place, number in enumerate(classes)}
        return [at[number] for number in numbers], list(map(str, classes))
    if numbers and max(numbers) >= len(names):
        raise ValueError(f"there is a label {max(numbers)}, but {len(names)} names of classes")
    return numbers, names
