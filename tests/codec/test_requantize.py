"""Re-quantization, by `requantize` and `decode`, against its definition in numpy."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

import pyfd
from pyfd import QTables
from tests.jpegs import (
    decode_with_pillow,
    encode_with_pillow,
    picture,
    read_with_jpeglib,
    real_jpegs,
    requantized,
    tables,
)

PRESET = "fd-cvpr2019"


@given(real_jpegs("L YCbCr RGB"), tables(32767))
def test_requantized_coefficients_are_the_definitions(tmp_path_factory, data, qtables):
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    planes, steps = read_with_jpeglib(path, data)
    out = pyfd.requantize(data, qtables, baseline=False)
    new_planes, new_steps = read_with_jpeglib(path, out)
    for i, (plane, step) in enumerate(zip(planes, steps, strict=True)):
        assert np.array_equal(new_steps[i], qtables[i])
        assert np.array_equal(new_planes[i], requantized(plane, step, qtables[i]))


@given(real_jpegs(), tables(32767), st.sampled_from([1, 2, 4, 8]), st.booleans(), st.booleans())
def test_three_consequences_of_the_definition(data, qtables, scale, progressive, optimize):
    """The fourth is `test_the_encoders_grid_is_the_decoders`."""
    once = pyfd.requantize(
        data, qtables, baseline=False, progressive=progressive, optimize=optimize
    )
    defended = pyfd.decode(data, qtables, mode=None, scale=scale)
    assert np.array_equal(pyfd.decode(once, mode=None, scale=scale), defended)
    assert np.array_equal(pyfd.decode(once, qtables, mode=None, scale=scale), defended)
    if scale == 1:  # Pillow is the stock decoder that reads the file as it is
        assert np.array_equal(decode_with_pillow(once), defended)
    again = pyfd.requantize(
        once, qtables, baseline=False, progressive=progressive, optimize=optimize
    )
    assert again == once


@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.booleans(),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]),
    tables(8191),
    st.booleans(),
    st.booleans(),
)
def test_the_encoders_grid_is_the_decoders(
    width, height, color, subsampling, qtables, progressive, optimize
):
    image = picture(width, height, seed=width, channels=3 if color else 1)
    data = pyfd.encode(
        image,
        qtables,
        subsampling=subsampling,
        progressive=progressive,
        optimize=optimize,
        baseline=False,
    )
    header = pyfd.probe(data)
    assert (header.width, header.height, header.progressive) == (width, height, progressive)
    assert header.subsampling == (subsampling if color else None)
    mode = None
    assert np.array_equal(pyfd.decode(data, qtables, mode=mode), pyfd.decode(data, mode=mode))
    assert np.array_equal(decode_with_pillow(data), pyfd.decode(data, mode=mode))


def test_photos_on_the_tables(photos):
    for data in photos[::20]:
        for qtables in (PRESET, "fd-2018", QTables.annex_k(50)):
            out = pyfd.requantize(data, qtables)
            expected = np.asarray(Image.open(io.BytesIO(out)).convert("RGB"))
            assert np.array_equal(pyfd.decode(data, qtables), expected)


@given(
    npst.arrays(np.int16, (2, 3, 64), elements=st.integers(-1023, 1023)),
    st.lists(st.integers(1, 65535), min_size=64, max_size=64),
    tables(32767),
)
def test_all_coefficients_steps_and_saturation(tmp_path_factory, blocks, steps, qtables):
    """Coefficients far beyond those of images: 16-bit steps, and results that saturate."""
    step = np.array(steps).reshape(8, 8)
    blocks = blocks.reshape(2, 3, 8, 8)
    coefficients = pyfd.Coefficients([blocks], QTables(step), ((1, 1),), 24, 16, "L")
    data = pyfd.write_coefficients(coefficients)
    out = pyfd.requantize(data, qtables, baseline=False)
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    (plane,), (new_step,) = read_with_jpeglib(path, out)
    assert np.array_equal(new_step, qtables[0])
    assert np.array_equal(plane, requantized(blocks, step, qtables[0]))
    assert np.array_equal(pyfd.decode(data, qtables), pyfd.decode(out))


def test_ties_round_away_from_zero():
    blocks = np.zeros((1, 1, 8, 8), np.int16)
    blocks[0, 0, 0, 1:7] = [1, -1, 3, -3, 5, -5]
    coefficients = pyfd.Coefficients([blocks], QTables.uniform(5), ((1, 1),), 8, 8, "L")
    out = pyfd.requantize(pyfd.write_coefficients(coefficients), QTables.uniform(10))
    (plane,) = pyfd.read_coefficients(out).components
    assert plane[0, 0, 0, 1:7].tolist() == [1, -1, 2, -2, 3, -3]


@pytest.mark.parametrize("step", [1, 8, 40, 255])
@pytest.mark.parametrize("progressive", [False, True])
def test_nearly_empty_blocks_are_those_of_an_inverse_dct(step, progressive):
    blocks = np.zeros((32, 64, 8, 8), np.int16)
    blocks[..., 0, 0] = np.arange(-1024, 1024).reshape(32, 64).clip(-1023, 1023)
    blocks[::2, ..., 0, 1] = blocks[::2, ::-1, 0, 0]  # rows below the first stay empty
    coefficients = pyfd.Coefficients(
        (blocks,), pyfd.QTables.uniform(step), ((1, 1),), 512, 256, "L"
    )
    data = pyfd.write_coefficients(coefficients, progressive=progressive)
    for d in (1, 25, 255):
        tables = pyfd.QTables.uniform(d)
        requantized = pyfd.requantize(data, tables, progressive=progressive)
        assert np.array_equal(pyfd.decode(data, tables, mode="L"), decode_with_pillow(requantized))


def test_unfinished_progressive_files_are_not_smoothed_onto_tables():
    """Smoothing would guess coefficients that the defence has not seen."""
    data = encode_with_pillow(picture(64, 64), progressive=True, quality=30)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    dc_only = data[:second_scan] + b"\xff\xd9"
    expected = pyfd.decode(pyfd.requantize(dc_only, PRESET))
    assert np.array_equal(pyfd.decode(dc_only, PRESET), expected)
    blocks = pyfd.decode(dc_only, PRESET, mode="L").reshape(8, 8, 8, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_large_progressive_files_have_memory_of_their_own():
    """The allocator takes 33 MB of coefficients from elsewhere than those of small files."""
    pixels = np.tile(picture(400, 420, channels=1), (10, 10))
    baseline, progressive = (
        encode_with_pillow(pixels, progressive=progressive) for progressive in (False, True)
    )
    expected = pyfd.decode(baseline, "fd-2018")
    assert np.array_equal(pyfd.decode(progressive, "fd-2018"), expected)
    with pytest.warns(pyfd.JPEGWarning):  # the first scan is cut off, so the rest is 0
        cut = pyfd.decode(progressive[:2000], strict=False)
    assert (cut[2000:] == 128).all()


@pytest.mark.parametrize("metadata", [True, False])
def test_requantize_keeps_size_and_sampling(metadata):
    data = encode_with_pillow(picture(99, 55), subsampling=2, dpi=(300, 72))
    out = pyfd.requantize(data, PRESET, metadata=metadata)
    header = pyfd.probe(out)
    assert (header.width, header.height, header.subsampling) == (99, 55, "4:2:0")
    assert Image.open(io.BytesIO(out)).info.get("dpi") == ((300, 72) if metadata else None)


def test_cmyk_keeps_its_adobe_marker_or_its_absence():
    """Readers take CMYK as inverted if the marker is there."""
    with_marker = encode_with_pillow(picture(20, 20, channels=4))
    start = with_marker.index(b"\xff\xee")
    without = with_marker[:start] + with_marker[start + 16 :]
    assert b"Adobe" in pyfd.requantize(with_marker, PRESET)
    assert b"Adobe" not in pyfd.requantize(without, PRESET)
