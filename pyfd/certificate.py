"""How strong a perturbation must be to change a coefficient: exactly, block by block.

From the samples of an image to a quantized coefficient the encoder only adds,
with fixed weights, and rounds: color conversion, chroma averaging, the two passes
of the integer DCT, the division by the step. So with every sample a coefficient
rises or falls, never both: which of the two, the signs of the weights say. And
each sample enters a coefficient on one path. Interval arithmetic is therefore
exact here: with the samples within ±ε (and 0...255), the least and the greatest
sum of each stage, rounded as the codec rounds it, are the next stage's interval,
and what comes out are two values that some perturbation does reach. A block is
safe at ε if they are the same for all of its 64 coefficients.

The rounding is part of the computation, so that no allowance has to be made for
it, and all numbers are integers far below 2⁵³, so that they are exact. Only where
the encoder pads an image to whole blocks does a sample have several paths; there
the interval is an outer one, and the radius a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import (
    BASIS,
    COLOR_BITS,
    CONSTANT_BITS,
    PASS1_BITS,
    TO_YCC,
    TO_YCC_OFFSETS,
)
from pyfd._core.pixels import pixels_of
from pyfd.codec import Subsampling
from pyfd.header import SUBSAMPLING
from pyfd.qtables import ENCODER_STEP, QTables, QTablesLike, as_qtables, steps_within

if TYPE_CHECKING:
    from PIL.Image import Image

_Floats: TypeAlias = npt.NDArray[np.float64]
_Bounds: TypeAlias = tuple[_Floats, _Floats]
"""The least and the greatest values, of one shape."""

_WHITE = 255

# The weights of R, G and B, and what is added before the shift; gray passes unchanged
_YCC = tuple(zip(TO_YCC, TO_YCC_OFFSETS, strict=True))
_GRAY = (((1 << COLOR_BITS,), 0),)

# What libjpeg adds to the sum of the samples that it averages, by the column's parity
_BIASES = {(1, 1): (0, 0), (2, 1): (0, 1), (2, 2): (1, 2), (1, 2): (1, 1)}

_BASIS = BASIS.T.astype(np.float64)
_AT_ONCE = 256  # blocks: few enough for the processor's cache


@dataclass(frozen=True, eq=False)
class Certificate:
    """What strength it takes to change an image's coefficients: the result of `certify`.

    A radius is a whole number of 8-bit levels: the strength ε from which on a
    perturbation can change a coefficient of the block. No perturbation with ε < radius
    does, whatever the attacker knows; one with ε = radius does, except in blocks that
    the encoder pads, where the radius is a lower bound. It is 1 or more, and infinite
    if no image at all has another coefficient there.
    """

    radii: tuple[npt.NDArray[np.float64], ...]
    """Per component (Y, Cb, Cr, or Y alone) the radii of its blocks: (blocks_high,
    blocks_wide), ``float64``, read-only."""
    qtables: QTables
    """The tables that it holds for."""
    subsampling: Subsampling
    """The subsampling that it holds for; of no meaning for grayscale."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    @property
    def blocks(self) -> npt.NDArray[np.float64]:
        """The radius of every 8×8 pixels: the least of the blocks of all components there.

        Of the size of the luma's ``radii``. A block of subsampled chroma lies
        over two or four of them, and the perturbation counts in all of these.
        """
        least, *chroma = self.radii
        high, wide = least.shape
        across, down = SUBSAMPLING[self.subsampling]
        for radii in chroma:
            least = np.minimum(least, radii.repeat(down, 0).repeat(across, 1)[:high, :wide])
        return least

    @property
    def radius(self) -> float:
        """The image's: the least of all blocks."""
        return float(min(radii.min() for radii in self.radii))

    def share(self, epsilon: float) -> float:
        """The share of `blocks`, 0 to 1, whose radius is greater than `epsilon`.

        That is the share in which no perturbation of strength `epsilon` (8-bit
        levels) changes a coefficient.

        Raises:
            ValueError: `epsilon` is not a number from 0 to 255.
        """
        if not 0 <= epsilon <= _WHITE:
            raise ValueError(f"epsilon is in 8-bit levels, 0...255, not {epsilon}")
        return float((self.blocks > epsilon).mean())


def certify(
    image: npt.ArrayLike | Image, qtables: QTablesLike, *, subsampling: Subsampling = "4:4:4"
) -> Certificate:
    """Find how much an image can be perturbed before its coefficients change.

    The certificate is about the pixels that are handed to `pyfd.encode`, with these
    tables and this subsampling, at the same place: for all integers e with |e| ≤ ε
    < radius and image + e in 0...255, ``encode(image + e, qtables)`` holds the same
    coefficients as ``encode(image, qtables)``. It says nothing about a .jpg file that
    an attacker hands to `pyfd.decode`, nor about what a classifier makes of the image.

    An image on the tables' grid, ``decode(encode(photo, T), T)``, has the largest
    radii: about Q/16 for a step Q, where its samples were not clipped to 0...255.

    Args:
        image: What `pyfd.encode` takes: ``uint8``, H×W×3 (RGB) or H×W (grayscale).
        qtables: Tables with steps of 1...8191.
        subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".

    Raises:
        ValueError: Shape, dtype, steps or subsampling that do not fit.
    """
    tables = as_qtables(qtables)
    steps_within(tables, ENCODER_STEP)
    if subsampling not in SUBSAMPLING:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLING)}")
    pixels = pixels_of(image)
    height, width = pixels.shape[:2]
    components = _components(pixels.ndim, tables, SUBSAMPLING[subsampling])
    return Certificate(
        radii=tuple(_radii(pixels, component) for component in components),
        qtables=tables,
        subsampling=subsampling,
        width=width,
        height=height,
    )


# ---- one component of the encoder -----------------------------------------


class _Component(NamedTuple):
    """What the encoder does to make a component's coefficients."""

    weights: _Floats
    """Of the image's channels, times 2¹⁶."""
    offset: int
    """Added to their sum before the shift."""
    across: int
    """Pixels per sample, horizontally."""
    down: int
    """Pixels per sample, vertically."""
    steps: _Floats
    """The table, 8×8."""


def _components(dimensions: int, tables: QTables, factors: tuple[int, int]) -> list[_Component]:
    return [
        _Component(
            np.array(weights, np.float64),
            offset,
            *(factors if index else (1, 1)),
            tables[index].astype(np.float64),
        )
        for index, (weights, offset) in enumerate(_GRAY if dimensions == 2 else _YCC)
    ]


def _pixel_blocks(
    pixels: npt.NDArray[np.uint8], component: _Component
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The pixels below each block, blocks × rows × columns × channels, and (high, wide).

    Padded as libjpeg pads: to the right it repeats pixels, downwards rows of
    samples that are averaged already.
    """
    height, width = pixels.shape[:2]
    across, down = component.across, component.down
    high, wide = -(-height // (8 * down)), -(-width // (8 * across))
    row_of_samples = np.minimum(np.arange(8 * high), -(-height // down) - 1)
    rows = np.add.outer(row_of_samples * down, np.arange(down)).clip(max=height - 1)
    columns = np.arange(8 * wide * across).clip(max=width - 1)
    padded = pixels[rows.reshape(-1, 1), columns]
    blocks = padded.reshape(high, 8 * down, wide, 8 * across, -1).swapaxes(1, 2)
    return blocks.reshape(high * wide, *blocks.shape[2:]), (high, wide)


def _coefficient_bounds(
    blocks: npt.NDArray[np.uint8], strengths: npt.NDArray[np.int64], component: _Component
) -> _Bounds:
    """The least and the greatest quantized coefficients, blocks × 8 × 8.

    Args:
        blocks: As `_pixel_blocks` gives them.
        strengths: How far each block's samples may move.
        component: What the encoder does.
    """
    pixels = blocks.astype(np.float64)
    reach = strengths.reshape(-1, 1, 1, 1)
    low, high = np.maximum(pixels - reach, 0), np.minimum(pixels + reach, _WHITE)
    low, high = (
        _average(np.floor((total + component.offset) / 2**COLOR_BITS), component) - 128
        for total in _sums(low, high, component.weights)
    )
    for bits in (CONSTANT_BITS - PASS1_BITS, CONSTANT_BITS + PASS1_BITS):
        low, high = (
            np.floor(total / 2**bits + 0.5).swapaxes(1, 2) for total in _sums(low, high, _BASIS)
        )
    return _quantized(low, component.steps), _quantized(high, component.steps)


def _sums(low: _Floats, high: _Floats, weights: _Floats) -> _Bounds:
    """The bounds of ``values @ weights``."""
    rising, falling = np.maximum(weights, 0), np.minimum(weights, 0)
    return low @ rising + high @ falling, high @ rising + low @ falling


def _average(plane: _Floats, component: _Component) -> _Floats:
    """Chroma samples from as many pixels as go into one: blocks × 8 × 8."""
    across, down = component.across, component.down
    totals = plane.reshape(-1, 8, down, 8, across).sum(axis=(2, 4))
    averages: _Floats = (totals + np.tile(_BIASES[across, down], 4)) / (across * down)
    return np.floor(averages)


def _quantized(coefficients: _Floats, steps: _Floats) -> _Floats:
    """Rounded half away from zero; the DCT's results are 8 times the coefficients."""
    sizes: _Floats = np.floor((np.abs(coefficients) + 4 * steps) / (8 * steps))
    return np.copysign(sizes, coefficients)


# ---- the search -----------------------------------------------------------


def _radii(pixels: npt.NDArray[np.uint8], component: _Component) -> _Floats:
    blocks, shape = _pixel_blocks(pixels, component)
    radii = np.empty(len(blocks))
    for start in range(0, len(blocks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        radii[part] = _search(blocks[part], component)
    radii = radii.reshape(shape)
    radii.flags.writeable = False
    return radii


def _search(blocks: npt.NDArray[np.uint8], component: _Component) -> _Floats:
    """The least strength that changes each block: doubled until one does, then bisected."""
    safe = np.zeros(len(blocks), np.int64)
    changed = np.full(len(blocks), _WHITE + 1)  # nothing is stronger
    while (left := np.flatnonzero(changed - safe > 1)).size:
        trial = np.minimum(np.maximum(2 * safe, 1), (safe + changed) // 2)[left]
        low, high = _coefficient_bounds(blocks[left], trial, component)
        same = (low == high).all(axis=(1, 2))
        safe[left[same]] = trial[same]
        changed[left[~same]] = trial[~same]
    return np.where(changed > _WHITE, np.inf, changed)
