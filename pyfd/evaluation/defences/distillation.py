"""Feature distillation, this package's defence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences.base import Defence, checked, whole_number
from pyfd.qtables import QTables, parse_tables

if TYPE_CHECKING:
    from torch import nn


class Distillation(Defence):
    """Feature distillation with `qtables`: ``decode(encode(image, T), T)``, 4:4:4.

    Args:
        qtables: Tables with steps of 1...8191.
        two_pass: Whether the camera wrote the image with the same tables, so that
            the attacker had to start on their grid.

    Raises:
        ValueError: A step is larger than 8191.
    """

    description = (
        "feature distillation with the tables T; with two passes, the camera wrote the image "
        "with the same tables"
    )
    patterns = ("one-pass:T", "two-pass:T")
    argument = (
        "T",
        f"{', '.join(pyfd.PRESETS)}, a step, annex-k:QUALITY, certified:E, certified-files:E or a "
        "table file",
    )
    subsampling = "4:4:4"

    def __init__(self, qtables: QTables, *, two_pass: bool = False) -> None:
        pyfd.encode(np.zeros((8, 8, 3), np.uint8), qtables, baseline=False)  # checks the steps
        self.qtables: QTables = qtables
        self.kind = "two-pass" if two_pass else "one-pass"
        self.name = f"{self.kind}:{qtables.name or 'tables'}"

    @classmethod
    def parsed(cls, name: str, argument: str) -> Distillation:
        """Make the defence from "one-pass" or "two-pass" and the tables' name."""
        if not argument:
            raise ValueError(f"it needs tables: {cls.argument[1]}")
        return cls(parse_tables(argument), two_pass=name == "two-pass")

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Return images on the tables' grid with two passes, or unchanged with one pass."""
        return super().camera(images) if self.kind == "one-pass" else self(images)

    def file(self, image: Pixels) -> bytes | None:
        """Return the file with the tables, with Huffman tables made for it; None with one pass."""
        if self.kind == "one-pass":
            return None
        return pyfd.encode(image, self.qtables, baseline=False, optimize=True)

    def receive(self, files: Sequence[bytes], seed: int = 0) -> list[Pixels]:  # noqa: ARG002
        """Return JPEG files decoded with the tables."""
        return [pyfd.decode(file, self.qtables) for file in files]

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return one image after the encoder and the decoder."""
        return pyfd.decode(pyfd.encode(image, self.qtables, baseline=False), self.qtables)

    def service_call(self, image: Pixels) -> Callable[[], object]:
        """Return the decoding of a file that the camera wrote."""
        file = pyfd.encode(image, self.qtables, baseline=False)
        return functools.partial(pyfd.decode, file, self.qtables)

    def module(self) -> nn.Module:
        """Return the codec's twin, equal pixel for pixel; its backward pass is the identity."""
        from pyfd.torch import FeatureDistillation

        return FeatureDistillation(self.qtables)


class Certified(Distillation):
    """Two passes whose camera writes only files that no perturbation within ε can move.

    The camera encodes with ``radius=epsilon``. The classifier's side encodes and decodes the
    pixels that it is given, since the proof is about pixels that are handed to the encoder.

    Args:
        epsilon: The strength ε, in 8-bit levels.
        qtables: Tables that can hold ε; by default those of `pyfd.QTables.certified`.

    Raises:
        ValueError: A step is too small for ε, or larger than 8191.
    """

    description = (
        "feature distillation whose camera writes files certified at E, with the tables T, "
        "or with the finest that hold E"
    )
    patterns = ("certified:E", "certified:T@E")
    argument = ("E", "a strength in 8-bit levels, at which every image is certified")

    def __init__(self, epsilon: int, qtables: QTables | None = None) -> None:
        found = QTables.certified(epsilon, baseline=False) if qtables is None else qtables
        super().__init__(found, two_pass=True)
        self.epsilon: int = epsilon
        self.file(np.zeros((8, 8, 3), np.uint8))  # refuses steps that cannot hold ε
        tables = "" if qtables is None else f"{qtables.name or 'tables'}@"
        self.name = f"certified:{tables}{epsilon}"

    @classmethod
    def parsed(cls, name: str, argument: str) -> Certified:  # noqa: ARG003
        """Make the defence from ε, after the tables' name and an "@" if they are given."""
        tables, at, epsilon = argument.rpartition("@")
        if at and not tables:
            raise ValueError(f"{argument!r} names no tables before the @")
        return cls(whole_number(epsilon), parse_tables(tables) if at else None)

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Return images as they are decoded from certified files."""
        return [pyfd.decode(self.file(image)) for image in checked(images)]

    def file(self, image: Pixels) -> bytes:
        """Return the certified file, with Huffman tables made for it."""
        return pyfd.encode(image, self.qtables, baseline=False, optimize=True, radius=self.epsilon)

    def certifies(self, image: Pixels) -> bool:
        """Return whether all blocks hold at ε, by the exact check."""
        return bool(pyfd.holds(image, self.qtables, self.epsilon).all())

    def receive(self, files: Sequence[bytes], seed: int = 0) -> list[Pixels]:  # noqa: ARG002
        """Return JPEG files of any kind decoded, encoded and decoded again."""
        return [pyfd.snap(file, self.qtables) for file in files]

    def service_call(self, image: Pixels) -> Callable[[], object]:
        """Return the decoding, encoding and decoding of a file that the camera wrote."""
        return functools.partial(pyfd.snap, self.file(image), self.qtables)
