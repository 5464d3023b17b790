"""The exact strength that a perturbation needs to change a coefficient, block by block.

A block is safe at a strength ε if all perturbations of that strength give the same 64
coefficients. `pyfd._core.intervals` computes the coefficients that they can reach; a
search over ε finds the radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyfd._core.intervals import (
    WHITE,
    Component,
    Floats,
    coefficient_bounds,
    components,
    pixel_blocks,
)
from pyfd._core.pixels import Pixels, pixels_of
from pyfd.codec import Subsampling
from pyfd.header import SUBSAMPLING
from pyfd.qtables import ENCODER_STEP, QTables, QTablesLike, as_qtables, steps_within

if TYPE_CHECKING:
    from PIL.Image import Image

_AT_ONCE = 256  # blocks: few enough for the processor's cache


@dataclass(frozen=True, eq=False)
class Certificate:
    """The strengths that change an image's coefficients: the result of `certify`.

    A block's radius is the smallest strength ε, in whole 8-bit levels, at which a
    perturbation can change one of its coefficients. No perturbation with ε < radius
    does, whatever the attacker knows; one with ε = radius does, except in blocks that
    the encoder pads, where the radius is a lower bound. It is 1 or more, and infinite if
    no image has other coefficients there.
    """

    radii: tuple[npt.NDArray[np.float64], ...]
    """The radii of each component's blocks (Y, Cb and Cr, or Y alone): ``float64``
    (blocks_high, blocks_wide), read-only."""
    qtables: QTables
    """The tables that the certificate is valid for."""
    subsampling: Subsampling
    """The subsampling that the certificate is valid for; meaningless for grayscale."""
    width: int
    """The image's width in pixels."""
    height: int
    """The image's height in pixels."""

    @property
    def blocks(self) -> npt.NDArray[np.float64]:
        """The radius of every 8×8 pixels: the smallest of all components' blocks there.

        The array has the shape of the luma's ``radii``. A block of subsampled chroma
        covers two or four luma blocks, and counts in each of them.
        """
        least, *chroma = self.radii
        high, wide = least.shape
        across, down = SUBSAMPLING[self.subsampling]
        for radii in chroma:
            least = np.minimum(least, radii.repeat(down, 0).repeat(across, 1)[:high, :wide])
        return least

    @property
    def radius(self) -> float:
        """The image's radius: the smallest of all blocks."""
        return float(min(radii.min() for radii in self.radii))

    def share(self, epsilon: float) -> float:
        """Return the share of `blocks`, 0 to 1, whose radius is greater than `epsilon`.

        In these blocks no perturbation of strength `epsilon` changes a coefficient.

        Args:
            epsilon: The strength in 8-bit levels, 0...255.

        Raises:
            ValueError: `epsilon` is out of range.
        """
        if not 0 <= epsilon <= WHITE:
            raise ValueError(f"epsilon is in 8-bit levels, 0...255, not {epsilon}")
        return float((self.blocks > epsilon).mean())


def certify(
    image: npt.ArrayLike | Image, qtables: QTablesLike, *, subsampling: Subsampling = "4:4:4"
) -> Certificate:
    """Find how much an image can be perturbed before its coefficients change.

    The certificate is about the pixels that are passed to `pyfd.encode` with the same
    tables, subsampling and position: for all integers e with |e| ≤ ε < radius and
    image + e in 0...255, ``encode(image + e, qtables)`` holds the same coefficients as
    ``encode(image, qtables)``. It says nothing about a .jpg file that an attacker passes
    to `pyfd.decode`, nor about a classifier's answer for the image.

    An image on the tables' grid, ``decode(encode(photo, T), T)``, has the largest radii:
    about Q/16 for a step Q, where its samples were not clipped to 0...255.

    Args:
        image: An image as `pyfd.encode` takes it: ``uint8``, H×W×3 (RGB) or H×W
            (grayscale).
        qtables: Tables with steps of 1...8191.
        subsampling: "4:4:4", "4:2:2", "4:2:0" or "4:4:0".

    Returns:
        The radii of the image's blocks.

    Raises:
        ValueError: The shape, the dtype, a step or the subsampling is not supported.
    """
    tables = as_qtables(qtables)
    steps_within(tables, ENCODER_STEP)
    if subsampling not in SUBSAMPLING:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLING)}")
    pixels = pixels_of(image)
    height, width = pixels.shape[:2]
    steps = [tables[i] for i in range(3)]
    found = components(pixels.ndim, steps, SUBSAMPLING[subsampling])
    return Certificate(
        radii=tuple(_radii(pixels, component) for component in found),
        qtables=tables,
        subsampling=subsampling,
        width=width,
        height=height,
    )


def _radii(pixels: Pixels, component: Component) -> Floats:
    """Return the radii of a component's blocks, (high, wide), read-only."""
    blocks, shape = pixel_blocks(pixels, component)
    radii = np.empty(len(blocks))
    for start in range(0, len(blocks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        radii[part] = _search(blocks[part], component)
    radii = radii.reshape(shape)
    radii.flags.writeable = False
    return radii


def _search(blocks: Pixels, component: Component) -> Floats:
    """Return the smallest strength that changes each block, by doubling and then bisection."""
    safe = np.zeros(len(blocks), np.int64)
    changed = np.full(len(blocks), WHITE + 1)  # beyond the strongest perturbation
    while (left := np.flatnonzero(changed - safe > 1)).size:
        trial = np.minimum(np.maximum(2 * safe, 1), (safe + changed) // 2)[left]
        low, high = coefficient_bounds(blocks[left], trial, component)
        same = (low == high).all(axis=(1, 2))
        safe[left[same]] = trial[same]
        changed[left[~same]] = trial[~same]
    return np.where(changed > WHITE, np.inf, changed)
