"""Defences by ordinary JPEG compression."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences.base import Defence, whole_number
from pyfd.evaluation.libraries import PILLOW
from pyfd.qtables import QTables

try:
    from PIL import Image
except ModuleNotFoundError as error:
    raise missing("pillow", "evaluate", module=error.name) from error

if TYPE_CHECKING:
    from torch import nn

#: The qualities that SHIELD mixes, and the side of the blocks that it mixes, in pixels.
SHIELD_QUALITIES, SHIELD_BLOCK = (20, 40, 60, 80), 8


class JPEG(Defence):
    """Pillow's encoder at an IJG quality of 1...100, with its default 4:2:0.

    This is the JPEG compression of Dziugaite et al. (2016) and Guo et al. (ICLR 2018).

    Raises:
        ValueError: The quality is out of range.
    """

    description = "JPEG compression by Pillow, 4:2:0"
    libraries = PILLOW
    patterns = ("jpeg:QUALITY",)
    kind = "transformation"
    subsampling = "4:2:0"

    def __init__(self, quality: int) -> None:
        self.qtables: QTables = QTables.annex_k(quality)
        self.quality = quality
        self.name = f"jpeg:{quality}"

    @classmethod
    def parsed(cls, name: str, argument: str) -> JPEG:  # noqa: ARG003
        """Make the defence from the quality."""
        return cls(whole_number(argument))

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return one image after Pillow's encoder and decoder."""
        return _compressed(image, self.quality)

    def module(self) -> nn.Module:
        """Return the codec's twin at 4:2:0, whose pixels are Pillow's or nearly so."""
        return _twin(self.qtables)


class Shield(Defence):
    """SHIELD's local quality mixing (Das et al., KDD 2018), without its retrained models.

    The image is compressed at four qualities, 4:2:0, and each 8×8 block is taken
    from one of the four results at random.
    """

    description = "SHIELD: blocks of four JPEG qualities, mixed at random"
    libraries = PILLOW
    patterns = ("shield",)
    name = "shield"
    kind = "transformation"
    random = True

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return one image with its blocks mixed."""
        height, width = image.shape[:2]
        compressed = np.stack([_compressed(image, quality) for quality in SHIELD_QUALITIES])
        blocks = (-(-height // SHIELD_BLOCK), -(-width // SHIELD_BLOCK))
        chosen = rng.integers(len(SHIELD_QUALITIES), size=blocks)
        for axis in (0, 1):
            chosen = chosen.repeat(SHIELD_BLOCK, axis)
        chosen = chosen[np.newaxis, :height, :width, np.newaxis]
        mixed: Pixels = np.take_along_axis(compressed, chosen, 0)[0]
        return mixed

    def module(self) -> nn.Module:
        """Return the codec's twins, whose blocks each forward pass mixes with torch's generator."""
        from pyfd.evaluation.standins import Mixing

        return Mixing([_twin(QTables.annex_k(q)) for q in SHIELD_QUALITIES], SHIELD_BLOCK)


def as_jpeg(image: Pixels, quality: int) -> bytes:
    """Return a file made by Pillow's encoder, with its default 4:2:0."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _compressed(image: Pixels, quality: int) -> Pixels:
    with Image.open(io.BytesIO(as_jpeg(image, quality))) as opened:
        return np.array(opened)


def _twin(qtables: QTables) -> nn.Module:
    from pyfd.torch import FeatureDistillation

    return FeatureDistillation(qtables, subsampling="4:2:0")
