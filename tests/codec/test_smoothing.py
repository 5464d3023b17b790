"""Progressive files that end early, whose missing coefficients the decoder estimates.

The fork smooths as libjpeg-turbo 3 does, and not as 2.1.5 (patch 0106). Pillow's wheel
contains such a library.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import features

import pyfd
from pyfd import QTables
from tests.jpegs import decode_with_pillow, encode_with_pillow, picture

TABLES = QTables.annex_k(60)
SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0"]


def test_the_oracle_is_new_enough():
    version = features.version("libjpeg_turbo")
    assert version is not None
    assert tuple(map(int, version.split("."))) >= (3, 0, 1)


def unfinished(data: bytes, scans: int, part: float) -> bytes:
    """Return the first scans of a file, and a part of the coded data of the next one."""
    starts = [match.start() for match in re.finditer(b"\xff\xda", data)]
    if scans >= len(starts):
        return data
    place = starts[scans]
    if part > 0:
        begin = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        end = re.compile(b"\xff[^\0]").search(data, begin)
        assert end is not None
        place = begin + int(part * (end.start() - begin))
    return data[:place].rstrip(b"\xff") + b"\xff\xd9"


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from(SUBSAMPLINGS),
    st.integers(1, 5),
    st.sampled_from([0, 0, 0.3, 0.8]),
    st.sampled_from([1, 2, 4, 8]),
)
@example((90, 70), "4:2:0", 1, 0, 1)  # several rows of iMCUs
@example((16, 60), "4:4:4", 1, 0, 1)  # two blocks wide
@example((40, 24), "4:2:0", 1, 0, 1)  # half of the last row of iMCUs
@example((40, 24), "4:4:0", 1, 0, 4)
@pytest.mark.filterwarnings("ignore::pyfd.JPEGWarning")
def test_smoothing_is_that_of_newer_libraries(size, subsampling, scans, part, scale):
    data = pyfd.encode(picture(*size), TABLES, subsampling=subsampling, progressive=True)
    data = unfinished(data, scans, part)
    scale = scale if min(size) >= scale else 1
    expected = decode_with_pillow(data, "RGB", scale)
    assert np.array_equal(pyfd.decode(data, strict=False, scale=scale), expected)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
@example(16, 40, 1)
def test_gray_is_smoothed_likewise(width, height, scans):
    data = encode_with_pillow(picture(width, height, channels=1), progressive=True, quality=60)
    data = unfinished(data, scans, 0)
    assert np.array_equal(pyfd.decode(data, mode="L"), decode_with_pillow(data))


def test_smoothing_changes_pixels():
    """Without it, blocks of a file of DC coefficients are flat."""
    data = encode_with_pillow(picture(64, 64, channels=1), progressive=True, quality=60)
    pixels = pyfd.decode(unfinished(data, 1, 0), mode="L")
    blocks = pixels.reshape(8, 8, 8, 8).transpose(0, 2, 1, 3).reshape(64, 64)
    assert (np.ptp(blocks, axis=1) > 0).any()
