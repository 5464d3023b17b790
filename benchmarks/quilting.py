"""Image quilting, a baseline defence of Guo et al. (ICLR 2018).

Source: "Countering adversarial images using input transformations". The defence rebuilds
an image from overlapping patches of clean images. For each place, it draws one of the
patches that are nearest, in L2, to the image's own patch there. Where patches overlap,
they are cut along the minimum-error boundary cut of Efros and Freeman (SIGGRAPH 2001):
first the patches of each row, then the rows. (Guo et al. use a graph cut, and their bank
has a million patches.)

    bank = patch_bank(others)  # clean images, none of those evaluated on
    Quilting(bank)(images, seed=0)

Needs scikit-learn, which adversarial-robustness-toolbox installs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.neighbors import NearestNeighbors

from pyfd.evaluation.defences import Defence

PATCH, OVERLAP = 5, 2
PATCHES, NEIGHBORS = 20_000, 10


def patch_bank(
    images: Sequence[np.ndarray], count: int = PATCHES, *, size: int = PATCH, seed: int = 0
) -> np.ndarray:
    """Return patches from random places of images, equally many from each image.

    Args:
        images: H×W×3 ``uint8`` arrays.
        count: The number of patches, N.
        size: The side of a patch in pixels.
        seed: The seed of the random places.

    Returns:
        N×size×size×3 ``uint8``.
    """
    rng = np.random.default_rng(seed)
    patches = []
    for share, image in zip(np.array_split(np.arange(count), len(images)), images, strict=True):
        windows = sliding_window_view(image, (size, size), (0, 1))
        rows, columns = (rng.integers(n, size=len(share)) for n in windows.shape[:2])
        patches.append(windows[rows, columns].transpose(0, 2, 3, 1))
    return np.concatenate(patches)


class Quilting(Defence):
    """A defence that quilts images from a bank of patches.

    Args:
        bank: N×P×P×3 ``uint8`` patches, such as `patch_bank` returns.
        neighbors: The number of nearest patches that one is drawn from.
        overlap: The pixels that neighboring patches share: at most half a patch.

    Raises:
        ValueError: A number is out of range.
    """

    name = "quilting"
    kind = "transformation"
    random = True

    def __init__(
        self, bank: np.ndarray, neighbors: int = NEIGHBORS, *, overlap: int = OVERLAP
    ) -> None:
        if not 1 <= neighbors <= len(bank):
            raise ValueError(f"neighbors must be in 1...{len(bank)}, the bank's size")
        if not 1 <= overlap <= bank.shape[1] // 2:
            raise ValueError(f"overlap must be in 1...{bank.shape[1] // 2}, half a patch")
        self.bank, self.overlap = bank, overlap
        # In double precision, the distances are exact
        vectors = bank.reshape(len(bank), -1).astype(np.float64)
        self.index = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(vectors)

    def defend(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = self.bank.shape[1]
        stride = size - self.overlap
        height, width = image.shape[:2]
        margins = [(0, max(size - n, 0) + -max(n - size, 0) % stride) for n in (height, width)]
        padded = np.pad(image, (*margins, (0, 0)), mode="edge")
        windows = sliding_window_view(padded, (size, size), (0, 1))[::stride, ::stride]
        rows, columns = windows.shape[:2]
        queries = windows.transpose(0, 1, 3, 4, 2).reshape(rows * columns, -1)
        nearest = self.index.kneighbors(queries.astype(np.float64), return_distance=False)
        drawn = rng.integers(nearest.shape[1], size=len(nearest))
        chosen = nearest[np.arange(len(nearest)), drawn]
        patches = self.bank[chosen].reshape(rows, columns, size, size, 3)
        return stitch(patches, self.overlap)[:height, :width].copy()


def stitch(patches: np.ndarray, overlap: int) -> np.ndarray:
    """Return the image that rows × columns × P × P × 3 overlapping patches make."""
    strips = join(patches, overlap)  # rows × P × width × 3
    return join(strips.swapaxes(1, 2)[np.newaxis], overlap)[0].swapaxes(0, 1)


def join(pieces: np.ndarray, overlap: int) -> np.ndarray:
    """Join pieces that overlap along their fourth axis.

    At most half of a piece overlaps, so that the cuts do not depend on each other.

    Args:
        pieces: B × n × length × P × 3.
        overlap: The pixels that neighboring pieces share.

    Returns:
        B × length × width × 3.
    """
    stride = pieces.shape[3] - overlap
    before, after = pieces[:, :-1, :, stride:], pieces[:, 1:, :, :overlap]
    error = ((before.astype(np.float64) - after) ** 2).sum(-1)
    pieces = pieces.copy()
    pieces[:, 1:, :, :overlap] = np.where(cut(error)[..., np.newaxis], after, before)
    batch, count, length = pieces.shape[:3]
    most = pieces[:, :, :, :stride].swapaxes(1, 2).reshape(batch, length, count * stride, 3)
    return np.concatenate([most, pieces[:, -1, :, stride:]], axis=2)


def cut(error: np.ndarray) -> np.ndarray:
    """Return on which side of the minimum-error boundary cut each place of an overlap is.

    Args:
        error: ... × length × overlap squared differences of the two sides. The cut
            takes one place in each row, and moves by at most one between rows.

    Returns:
        A mask of the same shape, True from the cut on, where the later side is taken.
    """
    *batch, length, places = error.shape
    total = np.full((*batch, length, places + 2), np.inf)  # error of the best cut to each place
    total[..., 1:-1] = error
    for row in range(1, length):
        above = total[..., row - 1, :]
        total[..., row, 1:-1] += np.minimum(
            above[..., 1:-1], np.minimum(above[..., :-2], above[..., 2:])
        )
    path = np.empty((*batch, length, 1), int)
    path[..., -1, :] = total[..., -1, :].argmin(-1, keepdims=True)
    for row in range(length - 2, -1, -1):
        near = path[..., row + 1, :] + (-1, 0, 1)
        best = np.take_along_axis(total[..., row, :], near, -1).argmin(-1, keepdims=True)
        path[..., row, :] = np.take_along_axis(near, best, -1)
    return np.arange(1, places + 1) >= path
