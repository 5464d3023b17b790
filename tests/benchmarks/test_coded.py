"""Cameras that only compress: their files, and what arrives."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.coded import NearLossless, PlainJPEG, jpeg_xl_bits
from tests.jpegs import picture


@pytest.mark.parametrize("near", [1, 4, 16])
def test_near_lossless_samples_differ_by_no_more_than_near(near):
    image = picture(40, 56)
    camera = NearLossless(near)
    (seen,) = camera.camera([image])
    difference = np.abs(seen.astype(int) - image)
    assert 0 < difference.max() <= near
    assert len(camera.file(image)) < len(NearLossless(0).file(image))
    assert np.array_equal(camera.service_call(image)(), seen)
    assert camera.epsilon is None  # nothing is promised


def test_plain_jpeg_is_pillows():
    image = picture(40, 56)
    camera = PlainJPEG(75)
    with Image.open(io.BytesIO(camera.file(image))) as opened:
        assert (opened.format, opened.size) == ("JPEG", (40, 56))
        assert np.array_equal(camera.camera([image])[0], np.asarray(opened))
    assert np.array_equal(camera([image])[0], image)  # the classifier's side does nothing


def test_jpeg_xl_is_smaller_where_there_is_less_to_code():
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    assert jpeg_xl_bits([noise // 32 * 32]) < 14 < 24 <= jpeg_xl_bits([noise])
