"""Defences: what stands between an image and the classifier.

Images are C-contiguous ``uint8`` H×W×3 RGB arrays; their sizes may differ. What
comes out has the same shapes and dtype, in new arrays.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

import pyfd
from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.qtables import QTables, parse_tables

try:
    import torch
    from PIL import Image
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise missing(str(error.name), "evaluate") from error

Kind: TypeAlias = Literal["none", "one-pass", "two-pass", "transformation"]

#: What `parse` takes.
KNOWN = (
    f"none, one-pass:T, two-pass:T (T: {', '.join(pyfd.PRESETS)}, a step, annex-k:QUALITY or a "
    "table file), jpeg:QUALITY, bits:N, tvm, shield"
)

#: The qualities that SHIELD mixes, and the side of what it mixes.
SHIELD_QUALITIES, SHIELD_BLOCK = (20, 40, 60, 80), 8


def parse(text: str) -> Defence:
    """The defence of a name: "two-pass:fd-cvpr2019", "jpeg:75", "tvm", ...

    Raises:
        ValueError: No such defence, or a bad number or table.
        OSError: A table file that cannot be read.
        ImportError: A defence whose library is missing.
    """
    try:
        defence = _made(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r}: {error}") from error
    if defence is None:
        raise ValueError(f"no defence {text!r}; there are {KNOWN}")
    defence.name = text
    return defence


class Defence:
    """The base class of all; by itself it defends nothing."""

    name: str = "none"
    """As `parse` takes it; what reports call the defence."""
    kind: Kind = "none"
    qtables: QTables | None = None
    """The quantization tables, where there is one set of them."""
    random: ClassVar[bool] = False
    """Whether it draws random numbers: then an attacker needs the expectation over them."""

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """What the camera's encoder leaves of images: where an attacker starts."""
        return [image.copy() for image in _checked(images)]

    def __call__(self, images: Sequence[Pixels], seed: int = 0) -> list[Pixels]:
        """What the classifier sees of images.

        The same images and seed give the same result. One image is done after
        another, without threads, so that times can be compared.
        """
        return [
            self.defend(image, np.random.default_rng([seed, index]))
            for index, image in enumerate(_checked(images))
        ]

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """One image, defended; a new array."""
        return image.copy()

    def module(self) -> nn.Module | None:
        """A differentiable stand-in for adaptive attackers (BPDA: Athalye et al., 2018).

        From N×3×H×W floats in [0, 1] to the same: forward is the defence itself,
        backward an estimate. None where there is none, or where it would be too
        slow for every step of an attack.
        """
        return None


class Distillation(Defence):
    """Feature distillation with `qtables`: ``decode(encode(image, T), T)``, 4:4:4.

    Args:
        qtables: Tables with steps of 1...8191.
        two_pass: Whether the camera wrote the image with the same tables, so that
            the attacker had to start on their grid.
    """

    def __init__(self, qtables: QTables, *, two_pass: bool = False) -> None:
        pyfd.encode(np.zeros((8, 8, 3), np.uint8), qtables, baseline=False)  # takes the steps?
        self.qtables: QTables = qtables
        self.kind = "two-pass" if two_pass else "one-pass"
        self.name = f"{self.kind}:{qtables.name or 'tables'}"

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Images on the grid of the tables with two passes, else as they are."""
        return super().camera(images) if self.kind == "one-pass" else self(images)

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """One image through the encoder and the decoder."""
        return pyfd.decode(pyfd.encode(image, self.qtables, baseline=False), self.qtables)

    def module(self) -> nn.Module:
        """The codec's twin, pixel for pixel; backward is the identity."""
        return _codec(self.qtables, "4:4:4")


class JPEG(Defence):
    """Pillow's encoder at an IJG quality of 1...100, with its default 4:2:0.

    The JPEG compression of Dziugaite et al. (2016) and of Guo et al. (ICLR 2018).
    """

    kind = "transformation"

    def __init__(self, quality: int) -> None:
        self.qtables: QTables = QTables.annex_k(quality)
        self.quality = quality
        self.name = f"jpeg:{quality}"

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """One image through Pillow's encoder and decoder."""
        return _compressed(image, self.quality)

    def module(self) -> nn.Module:
        """The codec's twin at 4:2:0, whose pixels are Pillow's or nearly so."""
        return _codec(self.qtables, "4:2:0")


class BitDepth(Defence):
    """Fewer bits per channel, 1...8: ART's FeatureSqueezing (Xu et al., NDSS 2018)."""

    kind = "transformation"

    def __init__(self, bits: int) -> None:
        if not 1 <= bits <= 8:
            raise ValueError(f"bits must be in 1...8, not {bits}")
        self.bits = bits
        self.name = f"bits:{bits}"
        self._squeeze = _art().FeatureSqueezing(clip_values=(0, 255), bit_depth=bits)

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """One image, each sample at the nearest of 2^bits levels."""
        squeezed, _ = self._squeeze(image[np.newaxis].astype(np.float32))
        return _to_levels(squeezed[0])

    def module(self) -> nn.Module:
        """The same rounding; backward is the identity."""
        return _Rounding(self.bits)


class TotalVariation(Defence):
    """ART's TotalVarMin with its defaults (Guo et al., ICLR 2018).

    Each channel, in 0...1, is drawn to a smoother one by at most 10 iterations of
    L-BFGS-B; 30 % of the samples, at random, hold it back (prob 0.3, norm 2,
    lamb 0.5). It has no stand-in: an attack would solve it at every step.
    """

    name = "tvm"
    kind = "transformation"
    random = True

    def __init__(self) -> None:
        self._minimize = _art().TotalVarMin(clip_values=(0, 1))

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """One image, smoothed."""
        with _numpys_seed(int(rng.integers(2**32))):
            smooth, _ = self._minimize(image[np.newaxis].astype(np.float32) / 255)
        return _to_levels(smooth[0] * 255)


class Shield(Defence):
    """SHIELD's local quality mixing (Das et al., KDD 2018).

    The image is compressed at four qualities, 4:2:0, and each 8×8 block is taken
    from one of the four results, at random. Without their retrained models.
    """

    name = "shield"
    kind = "transformation"
    random = True

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """One image, its blocks mixed."""
        height, width = image.shape[:2]
        compressed = np.stack([_compressed(image, quality) for quality in SHIELD_QUALITIES])
        chosen = rng.integers(len(SHIELD_QUALITIES), size=_blocks(height, width))
        for axis in (0, 1):
            chosen = chosen.repeat(SHIELD_BLOCK, axis)
        chosen = chosen[np.newaxis, :height, :width, np.newaxis]
        mixed: Pixels = np.take_along_axis(compressed, chosen, 0)[0]
        return mixed

    def module(self) -> nn.Module:
        """The codec's twins, mixed by draws of torch's own, afresh in each forward pass."""
        return _Mixing([_codec(QTables.annex_k(q), "4:2:0") for q in SHIELD_QUALITIES])


# ---- parsing ------------------------------------------------------------------


def _made(text: str) -> Defence | None:
    match text.partition(":"):
        case "none", "", _:
            return Defence()
        case "one-pass" | "two-pass" as passes, _, tables if tables:
            return Distillation(parse_tables(tables), two_pass=passes == "two-pass")
        case "jpeg", ":", quality:
            return JPEG(_number(quality))
        case "bits", ":", bits:
            return BitDepth(_number(bits))
        case "tvm", "", _:
            return TotalVariation()
        case "shield", "", _:
            return Shield()
    return None


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


# ---- pixels -------------------------------------------------------------------


def _checked(images: Sequence[Pixels]) -> Sequence[Pixels]:
    for image in images:
        if not isinstance(image, np.ndarray):
            raise TypeError(f"images must be arrays, not {type(image).__name__}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            shape = "×".join(map(str, image.shape))
            raise ValueError(f"images must be uint8 H×W×3, not {image.dtype} {shape}")
    return images


def as_jpeg(image: Pixels, quality: int) -> bytes:
    """A file of Pillow's encoder, with its default 4:2:0."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _compressed(image: Pixels, quality: int) -> Pixels:
    with Image.open(io.BytesIO(as_jpeg(image, quality))) as opened:
        return np.array(opened)


def _to_levels(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    levels: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return levels


def _blocks(height: int, width: int) -> tuple[int, int]:
    return -(-height // SHIELD_BLOCK), -(-width // SHIELD_BLOCK)


# ---- the library --------------------------------------------------------------


def _art() -> Any:
    try:
        from art.defences import preprocessor  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        name = "adversarial-robustness-toolbox"
        raise missing(name, "evaluate", module=error.name) from error
    return preprocessor


@contextmanager
def _numpys_seed(seed: int) -> Iterator[None]:
    """ART draws from NumPy's global generator, which is put back as it was."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


# ---- stand-ins ----------------------------------------------------------------


def _codec(qtables: QTables, subsampling: Literal["4:4:4", "4:2:0"]) -> nn.Module:
    from pyfd.torch import FeatureDistillation

    return FeatureDistillation(qtables, subsampling=subsampling)


class _Rounding(nn.Module):
    """Bit-depth reduction; straight-through."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.largest = 2**bits - 1

    def forward(self, images: Tensor) -> Tensor:
        squeezed = torch.round(images * self.largest) / self.largest
        return images + (torch.round(squeezed * 255) / 255 - images).detach()


class _Mixing(nn.Module):
    """Each block of each image from one of several codecs, at random."""

    def __init__(self, codecs: Sequence[nn.Module]) -> None:
        super().__init__()
        self.codecs = nn.ModuleList(codecs)

    def forward(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        size = (count, 1, *_blocks(height, width))
        chosen = torch.randint(len(self.codecs), size, device=images.device)
        for axis in (2, 3):
            chosen = chosen.repeat_interleave(SHIELD_BLOCK, axis)
        chosen = chosen[:, :, :height, :width].expand_as(images)
        compressed = torch.stack([codec(images) for codec in self.codecs])
        return compressed.gather(0, chosen[None])[0]
