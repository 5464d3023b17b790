"""Defences that ART (the Adversarial Robustness Toolbox) implements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences.base import Defence, whole_number
from pyfd.evaluation.libraries import ART, require

if TYPE_CHECKING:
    from torch import nn


class BitDepth(Defence):
    """Fewer bits per channel, 1...8: ART's FeatureSqueezing (Xu et al., NDSS 2018).

    Raises:
        ValueError: The number of bits is out of range.
        ImportError: ART is missing.
    """

    description = "bit-depth reduction to N bits"
    libraries = ART
    patterns = ("bits:N",)
    kind = "transformation"

    def __init__(self, bits: int) -> None:
        if not 1 <= bits <= 8:
            raise ValueError(f"bits must be in 1...8, not {bits}")
        self.bits = bits
        self.name = f"bits:{bits}"
        self._squeeze = _preprocessors().FeatureSqueezing(clip_values=(0, 255), bit_depth=bits)

    @classmethod
    def parsed(cls, name: str, argument: str) -> BitDepth:  # noqa: ARG003
        """Make the defence from the number of bits."""
        return cls(whole_number(argument))

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return one image with each sample at the nearest of 2^bits levels."""
        squeezed, _ = self._squeeze(image[np.newaxis].astype(np.float32))
        return _to_levels(squeezed[0])

    def module(self) -> nn.Module:
        """Return the same rounding; its backward pass is the identity."""
        from pyfd.evaluation.standins import Rounding

        return Rounding(self.bits)


class TotalVariation(Defence):
    """ART's TotalVarMin with its default parameters (Guo et al., ICLR 2018).

    At most 10 iterations of L-BFGS-B smooth each channel, in 0...1; a random 30 % of
    the samples (prob 0.3, norm 2, lamb 0.5) hold the result near the image. There is
    no stand-in: an attack would have to solve this problem at every step.

    Raises:
        ImportError: ART is missing.
    """

    description = "total-variation minimization"
    libraries = ART
    patterns = ("tvm",)
    name = "tvm"
    kind = "transformation"
    random = True

    def __init__(self) -> None:
        self._minimize = _preprocessors().TotalVarMin(clip_values=(0, 1))

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return one image smoothed."""
        with _numpys_seed(int(rng.integers(2**32))):
            smooth, _ = self._minimize(image[np.newaxis].astype(np.float32) / 255)
        return _to_levels(smooth[0] * 255)


def _preprocessors() -> Any:
    require(ART)
    from art.defences import preprocessor  # type: ignore[import-untyped]

    return preprocessor


def _to_levels(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    levels: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return levels


@contextmanager
def _numpys_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, from which ART draws, and restore its state afterwards."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
