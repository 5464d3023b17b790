"""Which files the theorem for files covers, and why it must leave out the others."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from tests.design.test_file_theorem import (
    ONE,
    STEPS,
    file_of,
    on_grid,
    per_block,
    subdued,
)
from tests.jpegs import (
    EOI,
    as_ycck,
    encode_with_pillow,
    gray,
    picture,
    progressive_gray,
)


def broken(file: bytes, image: np.ndarray, qtables: QTables) -> np.ndarray:
    """Return the blocks that a file changes although its pixels are within the radius there."""
    radii = pyfd.certify(image, qtables).file_radii
    distance = per_block(abs(pyfd.decode(file, mode=None).astype(int) - image))
    changed = per_block(pyfd.decode(file, qtables, mode=None) != image)
    return changed & (distance < radii)


# ---- covered files ---------------------------------------------------------


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 100])
def test_files_of_natural_and_unnatural_images(photos, quality):
    y, x = np.mgrid[:64, :64]
    rng = np.random.default_rng(quality)
    images = [(x + y) % 2 * 255, x % 2 * 255, rng.integers(0, 2, (64, 64)) * 255, y * 0 + 255]
    images += [rng.integers(0, 2, (64, 64, 3)) * 255, picture(64, 64, quality)]
    images += [np.asarray(Image.open(io.BytesIO(photo)).convert("RGB")) for photo in photos[:8]]
    for image in images:
        high, wide = image.shape[0] // 8 * 8, image.shape[1] // 8 * 8
        pixels = np.ascontiguousarray(image[:high, :wide].astype(np.uint8))
        for progressive in (False, True):
            data = encode_with_pillow(
                pixels, quality=quality, subsampling=0, progressive=progressive
            )
            assert pyfd.why_uncovered(data) is None


@pytest.mark.parametrize("sampling", [(1, 2), (2, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_factors_are_no_subsampling(sampling, channels):
    """Three components of 2×2 each need a scan of their own, and the whole image in memory."""
    image = on_grid(subdued(40, 24, channels=channels), STEPS)
    found = pyfd.read_coefficients(pyfd.encode(image, STEPS))
    blocks = list(found.components)
    data = file_of(blocks, STEPS, sampling=(sampling,) * channels)
    assert pyfd.read_coefficients(data).sampling == (sampling,) * channels
    assert pyfd.why_uncovered(data) is None
    assert np.array_equal(pyfd.decode(data, STEPS, mode=None), image)


def test_a_gray_file_is_a_color_file_without_chroma():
    """It is covered beside an RGB image too, if that is what was certified."""
    image = np.repeat(on_grid(subdued(32, 32, channels=1), STEPS)[..., np.newaxis], 3, 2)
    assert pyfd.certify(image, STEPS).file_radius == 2
    file = pyfd.encode(image[..., 0], ONE)
    assert abs(pyfd.decode(file).astype(int) - image).max() <= 1
    assert np.array_equal(pyfd.decode(file, STEPS), image)


# ---- files of other kinds: the reason, and the counterexample --------------


def test_products_that_wrap():
    """A step of 16384 and a coefficient of 4: SIMD sees 0, the requantizer 65536."""
    image = on_grid(subdued(32, 32, channels=1), STEPS)
    blocks = pyfd.read_coefficients(pyfd.encode(image, STEPS)).components[0].copy()
    blocks[1, 2, 7, 7] = 4
    steps = STEPS[0].copy()
    steps[7, 7] = 16384
    file = file_of([blocks], [steps])
    plain = pyfd.decode(file, mode=None)
    assert pyfd.why_uncovered(file) == (
        "component 0's coefficients in block (1, 2) are too large for the 16 bits of the "
        "inverse DCT"
    )
    difference = abs(pyfd.decode(file, STEPS, mode=None).astype(int) - image)
    if np.array_equal(plain, image):  # with SIMD
        assert broken(file, image, STEPS).sum() == 1
    assert difference.max() > 170


def test_coefficients_of_a_whole_column_that_wrap():
    """Each product fits 16 bits, but not what the inverse DCT adds up."""
    blocks = np.zeros((1, 1, 8, 8))
    blocks[0, 0, 0, 0], blocks[0, 0, 4, 0] = 1000, 1000
    assert pyfd.why_uncovered(file_of([blocks], QTables.uniform(33))) is not None
    assert pyfd.why_uncovered(file_of([blocks], QTables.uniform(2))) is None


@pytest.mark.parametrize(
    ("dc", "covered"), [(511, True), (512, False), (-511, True), (-513, False)]
)
def test_samples_beyond_ten_bits(dc, covered):
    """A flat block's level is the limit where C wraps around: 8 · dc for DC."""
    blocks = np.zeros((1, 1, 8, 8))
    blocks[..., 0, 0] = dc
    why = pyfd.why_uncovered(file_of([blocks], QTables.uniform(8)))
    assert (why is None) == covered


def first_scan(data: bytes) -> bytes:
    """Return a progressive file's first scan, which has DC alone."""
    start = data.index(b"\xff\xda")
    ends = (data.find(marker, start + 2) for marker in (b"\xff\xc4", b"\xff\xda"))
    return data[: min(end for end in ends if end > 0)] + EOI


def test_dc_alone_is_smoothed():
    """The plain decode makes up a slope that the requantizer does not see."""
    _, x = np.mgrid[:64, :64]
    slope = np.rint(128 + 3 * (x - 31.5)).clip(0, 255).astype(np.uint8)
    file = first_scan(encode_with_pillow(slope, progressive=True, qtables=[[1] * 64]))
    table = QTables.uniform(32)
    image = on_grid(pyfd.decode(file, mode=None), table)
    assert broken(file, image, table).any()
    assert pyfd.why_uncovered(file) == (
        "its scans leave out bits of component 0's coefficients, which decoders make up by "
        "smoothing"
    )


def test_every_scan_counts():
    data = encode_with_pillow(picture(64, 64), progressive=True, subsampling=0)
    assert pyfd.why_uncovered(data) is None
    starts = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    for start in starts[3:]:  # each component is in one of the first scans
        why = pyfd.why_uncovered(data[:start] + EOI)
        assert "leave out bits" in str(why)
    assert pyfd.why_uncovered(progressive_gray(8, 8, 1)).startswith("its scans leave out")


def test_subsampled_chroma():
    """Upsampling nearly hides a coefficient of the chroma that the requantizer doubles."""
    table = QTables.uniform(28)
    image = np.full((32, 32, 3), 128, np.uint8)
    assert pyfd.certify(image, table).file_radius == 2
    luma, chroma = np.zeros((4, 4, 8, 8)), np.zeros((2, 2, 8, 8))
    hidden = chroma.copy()
    hidden[:, :, 7, 7] = 14
    file = file_of([luma, chroma, hidden], ONE, sampling=((2, 2), (1, 1), (1, 1)))
    assert broken(file, image, table).any()
    assert pyfd.why_uncovered(file) == "its chroma is subsampled"


def test_padded_blocks():
    """What lies beyond the edge is invisible, and can hold anything."""
    image = on_grid(subdued(16, 16, channels=1), STEPS)[:, :12]
    padded = image.repeat([1] * 11 + [5], axis=1)
    padded[:, 12:] = 255
    file = pyfd.encode(padded, ONE)
    narrow = pyfd.read_coefficients(file)
    file = file_of(list(narrow.components), ONE, width=12)
    assert abs(pyfd.decode(file, mode=None).astype(int) - image).max() <= 1
    encoded = pyfd.encode(image, STEPS)
    assert not np.array_equal(pyfd.decode(file, STEPS), pyfd.decode(encoded, STEPS))
    assert pyfd.certify(image, STEPS).file_radii[:, 1].max() == 0
    assert pyfd.why_uncovered(file).startswith("its sides, 12 and 16, are not both multiples of 8")


def test_clipped_pixels():
    """White can hide anything beyond it: its radius is 0."""
    image = on_grid(np.full((8, 8), 255, np.uint8), STEPS)
    assert image.min() == 255
    assert pyfd.certify(image, STEPS).file_radius == 0
    blocks = np.zeros((1, 1, 8, 8))
    blocks[..., 0, 0], blocks[..., 3, 5] = 700, 90
    file = file_of([blocks], QTables.uniform(2))
    assert pyfd.why_uncovered(file) is None
    assert np.array_equal(pyfd.decode(file, mode=None), image)
    assert pyfd.read_coefficients(pyfd.requantize(file, STEPS)).components[0][0, 0, 3, 5] != 0


def test_rgb_files():
    image = on_grid(subdued(64, 64), STEPS)
    file = encode_with_pillow(image, keep_rgb=True, quality=100, subsampling=0)
    assert broken(file, image, STEPS).any()
    assert pyfd.why_uncovered(file) == "it is an RGB file, neither gray nor YCbCr"


def test_files_of_four_components():
    cmyk = encode_with_pillow(picture(16, 16, channels=4))
    assert pyfd.why_uncovered(cmyk) == "it is a CMYK file, neither gray nor YCbCr"
    assert pyfd.why_uncovered(as_ycck(cmyk)) == "it is a YCCK file, neither gray nor YCbCr"


def test_snap_needs_no_kind():
    """What the theorem for files leaves out, `snap` covers: see tests/codec/test_snap.py."""
    table = QTables.uniform(40)
    image = on_grid(subdued(64, 64), table)
    file = encode_with_pillow(image, keep_rgb=True, quality=100, subsampling=0)
    assert pyfd.certify(image, table).radius > 1
    assert abs(pyfd.decode(file).astype(int) - image).max() <= 1
    assert np.array_equal(pyfd.snap(file, table), image)


# ---- damage ----------------------------------------------------------------


def test_damage_is_an_error():
    data = encode_with_pillow(picture(64, 64), subsampling=0)
    for damaged in (data[:-500], data[:300], data[:-2], b"\xff", gray(16, 16)[:-6] + EOI):
        with pytest.raises(pyfd.CorruptJPEGError):
            pyfd.why_uncovered(damaged)


def test_sources(tmp_path):
    data = encode_with_pillow(picture(16, 16), subsampling=0)
    (tmp_path / "x.jpg").write_bytes(data)
    for source in (tmp_path / "x.jpg", io.BytesIO(data), bytearray(data)):
        assert pyfd.why_uncovered(source) is None
    with pytest.raises(TypeError, match="source must be"):
        pyfd.why_uncovered(3)
