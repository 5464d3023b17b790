"""The perturbation that reaches the nearest rounding boundary of each block.

A coefficient rises the most if every sample moves by ε with the sign of its weight, and falls
the most with the opposite signs. So in each block there is one frequency, and one direction,
that such a perturbation carries farthest on its way to the next rounding boundary. An attacker
who knows the tables can compute it, and needs no model for it. One who has a model as well picks
the coefficient that misleads it most, among those that reach a boundary.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import COLOR_BITS, DCT, TO_YCC, TO_YCC_OFFSETS
from pyfd._core.pixels import WHITE, Pixels
from pyfd.qtables import QTables

Signs: TypeAlias = "npt.NDArray[np.int16]"
Reals: TypeAlias = "npt.NDArray[np.float64]"
Maps: TypeAlias = "npt.NDArray[np.floating[Any]]"
_T = TypeVar("_T", bound=np.generic)

_WEIGHTS = np.einsum("ux,vy->xyuv", DCT, DCT).reshape(64, 64)  # of samples, by frequency
_RISING, _FALLING = np.maximum(_WEIGHTS, 0), np.minimum(_WEIGHTS, 0)
_PUSHES = np.sign(TO_YCC)  # the directions of R, G and B that raise Y, Cb and Cr
_SMALLEST = 1e-6
_TO_RGB = np.array(((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0)))  # JFIF


def aim(pixels: Pixels, tables: QTables, epsilon: int, gains: Maps | None = None) -> Signs:
    """Return the signs of the perturbation that reaches the nearest boundary of each block.

    Args:
        pixels: H×W×3, the pixels that are perturbed.
        tables: The tables onto which they are encoded, without subsampling.
        epsilon: The strength, in 8-bit levels.
        gains: What the attacker gains with each level that a sample rises, H×W×3. In blocks
            where he can gain, the coefficient is taken that gains most by a whole step.

    Returns:
        H×W×3, -1 or 1.
    """
    height, width = pixels.shape[:2]
    blocks = _blocks(pixels).astype(np.int16)
    reached = np.stack([_reached(blocks, i, tables[i], epsilon) for i in range(3)], axis=1)
    # (blocks, components, directions, frequencies); the farthest is the nearest to its boundary
    flat = reached.reshape(len(blocks), -1)
    chosen = flat.argmax(axis=1)
    if gains is not None:
        gained = np.where(flat >= 1, _gained(gains, tables).reshape(len(blocks), -1), 0)
        chosen = np.where(gained.max(axis=1) > 0, gained.argmax(axis=1), chosen)
    component, direction, frequency = np.unravel_index(chosen, (3, 2, 64))
    signs = np.sign(_WEIGHTS.T[frequency]) * (1 - 2 * direction[:, np.newaxis])
    moves = signs[:, :, np.newaxis] * _PUSHES[component][:, np.newaxis]
    high, wide = -(-height // 8), -(-width // 8)
    whole = moves.reshape(high, wide, 8, 8, 3).swapaxes(1, 2).reshape(high * 8, wide * 8, 3)
    return np.asarray(whole[:height, :width], np.int16)


def _gained(gains: Maps, tables: QTables) -> Reals:
    """Return what a step of each coefficient gains, (blocks, components, directions, 64)."""
    by_samples = _blocks(gains @ _TO_RGB)
    by_steps = [by_samples[..., i] @ _WEIGHTS * tables[i].reshape(64) for i in range(3)]
    up = np.stack(by_steps, axis=1)
    return np.stack([up, -up], axis=2)


def _blocks(samples: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """Return the samples of each block, (blocks, 64, 3), with the edges replicated."""
    height, width = samples.shape[:2]
    padded = np.pad(samples, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    high, wide = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.reshape(high, 8, wide, 8, 3).swapaxes(1, 2)
    return blocks.reshape(-1, 64, 3)


def _reached(blocks: Signs, component: int, steps: npt.NDArray[np.uint16], epsilon: int) -> Reals:
    """Return how far perturbations carry a component's coefficients on their way.

    Returns:
        (blocks, 2, 64): upwards and downwards, 1 at the boundary.
    """
    low, samples, high = (
        _samples(blocks + move * _PUSHES[component], component) for move in (-epsilon, 0, epsilon)
    )
    step = steps.reshape(64)
    found = samples @ _WEIGHTS
    off = found - np.rint(found / step) * step
    up = high @ _RISING + low @ _FALLING - found
    down = found - low @ _RISING - high @ _FALLING
    ways = np.maximum(step / 2 - off, _SMALLEST), np.maximum(step / 2 + off, _SMALLEST)
    return np.asarray(np.stack([up / ways[0], down / ways[1]], axis=1))


def _samples(blocks: npt.NDArray[np.integer], component: int) -> Reals:
    """Return the encoder's samples of Y, Cb or Cr, less 128, of pixels that are cut."""
    cut = blocks.clip(0, WHITE).astype(np.int64)
    samples = (cut @ np.array(TO_YCC[component]) + TO_YCC_OFFSETS[component]) >> COLOR_BITS
    return np.asarray(samples - 128, np.float64)
