"""The exact strength that a perturbation needs to change a coefficient, block by block.

From the pixels to a quantized coefficient the encoder only adds, with fixed weights, and
rounds: color conversion, chroma averaging, the two passes of the integer DCT, the division
by the step. So a coefficient only rises or only falls with each sample, and the sign of the
sample's weight decides which. Also, each sample enters a coefficient on only one path.
Interval arithmetic is therefore exact here: with the samples within ±ε (and 0...255), the
smallest and the largest sum of each stage, rounded as the codec rounds it, are the interval
of the next stage, and some perturbation does reach both ends of the last interval.

csrc/certificate.c computes this. Only where the encoder pads an image to whole blocks does
a sample have several paths; there the interval is an outer bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from pyfd._core import binding
from pyfd._core.encoding import SUBSAMPLING, Subsampling, check_subsampling
from pyfd._core.pixels import WHITE, Pixels, pixels_of, whole_levels
from pyfd.qtables import ENCODER_STEP, QTables, QTablesLike, as_qtables, steps_within

if TYPE_CHECKING:
    from PIL.Image import Image

_Number = TypeVar("_Number", bound=np.generic)


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
    file_radii: npt.NDArray[np.uint16]
    """The radius for files of every 8×8 pixels, in whole levels: ``uint16``
    (blocks_high, blocks_wide), read-only. No file that `pyfd.why_uncovered` has nothing
    against, and whose pixels, decoded without tables, are less than the radius away from
    the image's there, has coefficients that the tables quantize to others than the
    image's. 0 promises nothing: it is the radius of blocks with a pixel at 0 or 255, of
    padded blocks, of blocks that are not what their coefficients decode to, and with
    subsampled chroma of all."""

    @property
    def blocks(self) -> npt.NDArray[np.float64]:
        """The radius of every 8×8 pixels: the smallest of all components' blocks there.

        The array has the shape of the luma's ``radii``. A block of subsampled chroma
        covers two or four luma blocks, and counts in each of them.
        """
        return _of_all_components(self.radii, self.subsampling)

    @property
    def radius(self) -> float:
        """The image's radius: the smallest of all blocks."""
        return float(min(radii.min() for radii in self.radii))

    @property
    def file_radius(self) -> int:
        """The image's radius for files: the smallest of all blocks.

        If the image is a decoded file, and the pixels of another file that
        `pyfd.why_uncovered` has nothing against are less than the radius away everywhere,
        then ``decode(other, qtables)`` returns the image.
        """
        return int(self.file_radii.min())

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
    ``encode(image, qtables)``. For .jpg files that an attacker passes to `pyfd.decode`,
    there are other radii, `Certificate.file_radii`. Neither says anything about a
    classifier's answer for the image.

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
    tables, pixels, blocks = _checked(image, qtables, subsampling)
    found = binding.certify(pixels, SUBSAMPLING[subsampling], tables.array, blocks)
    return Certificate(
        radii=tuple(map(_as_radii, found)),
        file_radii=_file_radii(pixels, tables, subsampling, blocks[0]),
        qtables=tables,
        subsampling=subsampling,
        width=pixels.shape[1],
        height=pixels.shape[0],
    )


def holds(
    image: npt.ArrayLike | Image,
    qtables: QTablesLike,
    epsilon: int,
    *,
    subsampling: Subsampling = "4:4:4",
) -> npt.NDArray[np.bool_]:
    """Return which of an image's blocks no perturbation of one strength can change.

    The result is ``certify(image, qtables).blocks > epsilon``, in less time.

    Args:
        image: As in `certify`.
        qtables: As in `certify`.
        epsilon: The strength in whole 8-bit levels, 0...255.
        subsampling: As in `certify`.

    Returns:
        ``bool`` (blocks_high, blocks_wide), one for every 8×8 pixels.

    Raises:
        TypeError: `epsilon` is not a whole number.
        ValueError: As in `certify`, or `epsilon` is out of range.
    """
    epsilon = whole_levels(epsilon)
    tables, pixels, blocks = _checked(image, qtables, subsampling)
    found = binding.certify(pixels, SUBSAMPLING[subsampling], tables.array, blocks, epsilon)
    return _of_all_components(found, subsampling) > 0


def _checked(
    image: npt.ArrayLike | Image, qtables: QTablesLike, subsampling: Subsampling
) -> tuple[QTables, Pixels, list[tuple[int, int]]]:
    """Return the tables, the pixels and each component's numbers of blocks (high, wide)."""
    tables = as_qtables(qtables)
    steps_within(tables, ENCODER_STEP)
    check_subsampling(subsampling)
    pixels = pixels_of(image)
    height, width = pixels.shape[:2]
    across, down = SUBSAMPLING[subsampling]
    luma = -(-height // 8), -(-width // 8)
    chroma = -(-height // (8 * down)), -(-width // (8 * across))
    return tables, pixels, [luma] if pixels.ndim == 2 else [luma, chroma, chroma]


def _file_radii(
    pixels: Pixels, tables: QTables, subsampling: Subsampling, blocks: tuple[int, int]
) -> npt.NDArray[np.uint16]:
    if pixels.ndim == 3 and subsampling != "4:4:4":
        radii = np.zeros(blocks, np.uint16)
    else:
        radii = binding.find_file_radii(pixels, tables.array, blocks)
    radii.flags.writeable = False
    return radii


def _as_radii(found: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    radii = np.where(found > WHITE, np.inf, found)
    radii.flags.writeable = False
    return radii


def _of_all_components(
    values: Sequence[npt.NDArray[_Number]], subsampling: Subsampling
) -> npt.NDArray[_Number]:
    """Return the smallest value of all components at every 8×8 pixels."""
    least, *chroma = values
    high, wide = least.shape
    across, down = SUBSAMPLING[subsampling]
    for other in chroma:
        least = np.minimum(least, other.repeat(down, 0).repeat(across, 1)[:high, :wide])
    return least
