"""Intervals of the encoder, compared at strength 0 with the codec's coefficients.

tests/design/test_certificate.py tests the other strengths.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from pyfd._core import intervals
from pyfd.header import SUBSAMPLING


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
