"""The certificate in C, compared with its reference in numpy, and that with the codec."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from pyfd._core.encoding import SUBSAMPLING
from tests import intervals
from tests.jpegs import picture

ROOT = Path(__file__).parents[2]


@given(
    subsampling=st.sampled_from(sorted(SUBSAMPLING)),
    gray=st.booleans(),
    width=st.integers(1, 50),
    height=st.integers(1, 50),
    levels=st.sampled_from([2, 5, 256]),
    step=st.sampled_from([1, 2, 7, 25, 255, 8191]),
    seed=st.integers(0, 2**32 - 1),
)
def test_strength_0_gives_the_codecs_coefficients(
    subsampling, gray, width, height, levels, step, seed
):
    shape = (height, width) if gray else (height, width, 3)
    noise = np.random.default_rng(seed).integers(0, levels, shape)
    image = (noise * (255 / (levels - 1))).astype(np.uint8)
    tables = QTables.uniform(step)
    data = pyfd.encode(image, tables, subsampling=subsampling, baseline=False)
    theirs = pyfd.read_coefficients(data).components
    found = intervals.components(
        image.ndim, [tables[i] for i in range(3)], SUBSAMPLING[subsampling]
    )
    assert len(found) == len(theirs)
    for component, expected in zip(found, theirs, strict=True):
        blocks, shape = intervals.pixel_blocks(image, component)
        still = np.zeros(len(blocks), np.int64)
        low, high = intervals.coefficient_bounds(blocks, still, component)
        assert np.array_equal(low, high)
        assert np.array_equal(low.reshape(*shape, 8, 8), expected)


def drawn(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """Return an image of a kind that stresses clipping, rounding or both."""
    rng = np.random.default_rng(seed)
    if kind == "photo":
        return picture(width, height, seed % 1000)
    if kind == "calm":
        return (picture(width, height, seed % 1000) / 3 + 80).astype(np.uint8)
    if kind == "flat":
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    levels = {"noise": 256, "saturated": 2, "posterized": 4}[kind]
    return (rng.integers(0, levels, (height, width, 3)) * (255 // (levels - 1))).astype(np.uint8)


@given(
    kind=st.sampled_from(["photo", "calm", "flat", "noise", "saturated", "posterized"]),
    subsampling=st.sampled_from(sorted(SUBSAMPLING)),
    gray=st.booleans(),
    on_grid=st.booleans(),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    step=st.sampled_from([1, 2, 16, 25, 40, 72, 255, 2031, 8191]),
    epsilon=st.sampled_from([0, 1, 2, 4, 9, 127, 128, 255]),
    seed=st.integers(0, 2**32 - 1),
)
def test_c_equals_the_reference(
    kind, subsampling, gray, on_grid, width, height, step, epsilon, seed
):
    image = drawn(kind, height, width, seed)
    if gray:
        image = image[:, :, 0]
    spread = np.random.default_rng(seed).integers(0, 1 + step // 4, (3, 8, 8))
    tables = QTables((step + spread).clip(max=8191))
    if on_grid:
        data = pyfd.encode(image, tables, subsampling=subsampling, baseline=False)
        image = pyfd.decode(data, mode=None)
    expected = intervals.radii(image, tables, subsampling)
    found = pyfd.certify(image, tables, subsampling=subsampling)
    assert len(found.radii) == len(expected)
    for radii, reference in zip(found.radii, expected, strict=True):
        assert np.array_equal(radii, reference)
    held = pyfd.holds(image, tables, epsilon, subsampling=subsampling)
    assert np.array_equal(held, found.blocks > epsilon)


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_c_equals_the_reference_without_simd(variable):
    """The variable is read once, so this takes another process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "test_c_equals_the_reference and not simd"]
    environment = {**os.environ, variable: "1"}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout.decode()
    assert b"1 passed" in result.stdout
