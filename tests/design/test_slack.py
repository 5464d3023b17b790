"""Why `QTables.certified` has a slack of 8: what takes blocks off the grid."""

from __future__ import annotations

import numpy as np
import pytest

import pyfd
from pyfd import Coefficients, QTables
from pyfd._core.arithmetic import COLOR_BITS, TO_YCC, TO_YCC_OFFSETS

ONE = 1 << COLOR_BITS


def fixed(factor: float) -> int:
    """Return a factor of the color conversion in libjpeg's decoder, as an integer."""
    return int(factor * ONE + 0.5)


def test_every_color_comes_back_from_rgb():
    """Rounding and cutting aside, color conversion leaves YCbCr as it was."""
    cb, cr = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")
    red = (fixed(1.40200) * cr + ONE // 2) >> COLOR_BITS
    blue = (fixed(1.77200) * cb + ONE // 2) >> COLOR_BITS
    green = (-fixed(0.34414) * cb - fixed(0.71414) * cr + ONE // 2) >> COLOR_BITS
    colors = 0
    for y in range(256):
        rgb = y + np.stack([red, green, blue])
        held = ((rgb >= 0) & (rgb <= 255)).all(0)
        colors += int(held.sum())
        samples = y, cb + 128, cr + 128
        for weights, offset, sample in zip(TO_YCC, TO_YCC_OFFSETS, samples, strict=True):
            back = (np.tensordot(weights, rgb, 1) + offset) >> COLOR_BITS
            assert (back == sample)[held].all()
    assert colors == 3964150


def blocks(tables: QTables, count: int = 400) -> np.ndarray:
    """Return decoded blocks on a grid, side by side, that have neither 0 nor 255."""
    rng = np.random.default_rng(5)
    shape = (1, count, 8, 8)
    flat = [rng.integers(-4, 5, shape) * (np.indices((8, 8)).sum(0) < 1) for _ in range(3)]
    detail = [(rng.random(shape) < 0.1) * rng.integers(-1, 2, shape) for _ in range(3)]
    for some in detail:
        some[:, ::2] = 0  # every other block is flat
    components = [(a + b).astype(np.int16) for a, b in zip(flat, detail, strict=True)]
    chosen = QTables([tables[i] for i in range(3)])
    file = pyfd.write_coefficients(
        Coefficients(components, chosen, ((1, 1),) * 3, 8 * count, 8, "YCbCr")
    )
    pixels = pyfd.decode(file).reshape(8, count, 8, 3)
    kept = ((pixels > 0) & (pixels < 255)).all((0, 2, 3))
    assert kept.mean() > 0.3
    return np.ascontiguousarray(pixels[:, kept].reshape(8, -1, 3))


@pytest.mark.parametrize("epsilon", [1, 2, 4])
def test_unclipped_blocks_hold_with_the_default_slack(epsilon):
    tables = QTables.certified(epsilon)
    assert pyfd.holds(blocks(tables), tables, epsilon).all()


@pytest.mark.parametrize("epsilon", [1, 2, 4])
def test_many_blocks_do_not_hold_with_half_of_it(epsilon):
    tables = QTables.certified(epsilon, slack=4)
    assert pyfd.holds(blocks(tables), tables, epsilon).mean() < 0.8
