"""The reference for `pyfd.Certificate.file_radii`, in numpy.

docs/files-theorem.md has the theorem and the names. The only number that is not a power of
two, the inverse of the inverse DCT's integer constants, is computed here in fractions.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

import pyfd
from pyfd import QTables
from pyfd._core.arithmetic import BASIS

BITS = 20  # fraction bits of A
UNIT = 1 << (2 * BITS + 1)  # of a coefficient: A S Aᵀ / 2 in these is an integer


def inverse(matrix: np.ndarray) -> list[list[Fraction]]:
    """Return a matrix's inverse, by Gauss and Jordan."""
    size = len(matrix)
    rows = [
        [Fraction(int(x)) for x in row] + [Fraction(int(i == j)) for j in range(size)]
        for i, row in enumerate(matrix)
    ]
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]


#: 2¹⁵ times the inverse of the transposed basis: rows are frequencies, columns samples.
A = [[2**15 * x for x in row] for row in inverse(BASIS.T)]
#: The same, rounded, in units of 2⁻²⁰; and the rows' sums of sizes, rounded up.
ROUNDED = np.array([[round(x * 2**BITS) for x in row] for row in A], np.int64)
LENGTHS = np.array([-int(-sum(map(abs, row)) * 2**BITS // 1) for row in A], np.int64)


def strength(quantized: np.ndarray, steps: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the largest e of each block, or −1: (…, 8, 8) → (…)."""
    k, q, s = (np.asarray(a).astype(np.int64) for a in (quantized, steps, samples))
    distance = np.abs(ROUNDED @ (s - 128) @ ROUNDED.T - k * q * UNIT)
    both = np.add.outer(LENGTHS, LENGTHS)
    room = (q + 1) // 2 * UNIT - distance - UNIT // 8 - 128 * (4 * both + 16)
    gain = np.multiply.outer(LENGTHS, LENGTHS)
    most = ((2 * room - 1) // gain - 1) // 2  # the largest e with gain·(2e + 1) < 2·room
    return np.maximum(most.min(axis=(-2, -1)), -1)


def blocks_of(plane: np.ndarray) -> np.ndarray:
    """Return the whole blocks of a plane, (high, wide, 8, 8)."""
    high, wide = plane.shape[0] // 8, plane.shape[1] // 8
    return plane[: 8 * high, : 8 * wide].reshape(high, 8, wide, 8).swapaxes(1, 2)


def file_radii(image: np.ndarray, qtables: QTables) -> np.ndarray:
    """Return the radii for files, (high, wide), of an image in 4:4:4."""
    file = pyfd.encode(image, qtables, baseline=False)
    coefficients = pyfd.read_coefficients(file)
    decoded = pyfd.decode(file, mode=None)
    planes = pyfd.decode(file, mode="YCbCr" if image.ndim == 3 else "L")
    shape = coefficients.components[0].shape[:2]
    radii = np.zeros(shape, np.int64)
    high, wide = image.shape[0] // 8, image.shape[1] // 8
    if not high or not wide:
        return radii
    found = np.full((high, wide), 255)
    for i, component in enumerate(coefficients.components):
        samples = blocks_of(planes[..., i] if image.ndim == 3 else planes)
        found = np.minimum(found, strength(component[:high, :wide], qtables[i], samples))
    for channel in np.atleast_3d(image).transpose(2, 0, 1):
        pixels = blocks_of(channel.astype(np.int64))
        found = np.minimum(found, (np.minimum(pixels, 255 - pixels) - 1).min(axis=(2, 3)))
    differs = np.atleast_3d(decoded != image).any(axis=2)
    found[blocks_of(differs).any(axis=(2, 3))] = -1
    radii[:high, :wide] = np.maximum(found, -1) + 1
    return radii
