"""Feature distillation, this package's defence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences.base import Defence
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
