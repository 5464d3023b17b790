"""`snap`, against the three calls that it does at once."""

import io
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import QTables
from tests.jpegs import as_ycck, encode_with_pillow, gray, picture, real_jpegs, tables

ROOT = Path(__file__).parents[2]
FD = QTables.preset("fd-cvpr2019")


def three_calls(data: bytes, qtables: QTables | str, strict: bool = True) -> np.ndarray:
    pixels = pyfd.decode(data, strict=strict)
    return pyfd.decode(pyfd.encode(pixels, qtables, baseline=False), qtables)


@given(real_jpegs(), tables(8191))
def test_files_of_all_kinds(data, qtables):
    found = pyfd.snap(data, qtables)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, three_calls(data, qtables))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["black", "white", "checkerboard", "stripes", "noise", "saturated"]),
    st.sampled_from([1, 3]),
    tables(255),
    st.sampled_from([1, 2, 100]),
)
def test_extreme_pixels_of_all_small_sizes(width, height, kind, channels, qtables, quality):
    """At coarse steps, and from sources of the coarsest quality, the DCT's sums are largest."""
    y, x = np.mgrid[:height, :width]
    shape = (height, width, channels)
    rng = np.random.default_rng(width * height)
    pixels = {
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "checkerboard": np.broadcast_to(((x + y) % 2 * 255)[..., np.newaxis], shape),
        "stripes": np.broadcast_to((x % 2 * 255)[..., np.newaxis], shape),
        "noise": rng.integers(0, 2, shape) * 255,
        "saturated": np.broadcast_to(np.array([255, 0, 255])[:channels], shape),
    }[kind].astype(np.uint8)
    pixels = pixels[..., 0] if channels == 1 else pixels
    data = encode_with_pillow(np.ascontiguousarray(pixels), quality=quality, subsampling=0)
    for table in (qtables, QTables.uniform(1), QTables.uniform(8191)):
        assert np.array_equal(pyfd.snap(data, table), three_calls(data, table))


@pytest.mark.parametrize("step", [1, 2, 255, 256, 1023, 2048, 4095, 8191])
def test_blocks_at_the_ends_of_the_dct(step):
    """Every basis function at its full strength, with one step everywhere."""
    place = np.arange(8)
    waves = np.cos(np.outer(place, 2 * place + 1) * np.pi / 16)
    signs = np.einsum("ux,vy->uxvy", waves, waves).reshape(64, 64) > 0
    for image in (signs, ~signs):
        pixels = np.repeat(image.astype(np.uint8)[..., np.newaxis] * 255, 3, 2)
        pixels[..., 2] = 255 - pixels[..., 2]
        data = encode_with_pillow(pixels, quality=100, subsampling=0)
        table = QTables.uniform(step)
        assert np.array_equal(pyfd.snap(data, table), three_calls(data, table))


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_without_simd(variable):
    code = """
        from tests.codec.test_snap import *
        for seed, step in enumerate((1, 16, 400)):
            data, table = encode_with_pillow(picture(37, 21, seed)), QTables.uniform(step)
            assert np.array_equal(pyfd.snap(data, table), three_calls(data, table))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(command, env={**os.environ, variable: "1"}, cwd=ROOT, check=True)


def test_cmyk_comes_out_as_rgb():
    cmyk = encode_with_pillow(picture(33, 17, channels=4))
    for data in (cmyk, as_ycck(cmyk)):
        assert np.array_equal(pyfd.snap(data, FD), three_calls(data, FD))


def test_gray_comes_out_as_rgb():
    """The chroma of gray pixels is nothing, so that its tables do not matter."""
    data = encode_with_pillow(picture(33, 17, channels=1))
    found = pyfd.snap(data, [np.full((8, 8), 20), np.full((8, 8), 77)])
    assert found.shape == (17, 33, 3)
    assert np.array_equal(found, three_calls(data, QTables.uniform(20)))
    assert np.array_equal(found, found[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2, "progressive": True}])
def test_the_theorem_for_pixels_covers_files_of_every_kind(options):
    """Blocks return if the file's pixels are less than the radius away."""
    table = QTables.uniform(40)
    image = pyfd.decode(pyfd.encode(picture(64, 48) // 2 + 64, table), table)
    file = encode_with_pillow(image, quality=100, **options)
    distances = abs(pyfd.decode(file).astype(int) - image).reshape(6, 8, 8, 8, 3)
    covered = distances.max(axis=(1, 3, 4)) < pyfd.certify(image, table).blocks
    same = (pyfd.snap(file, table) == image).reshape(6, 8, 8, 8, 3).all(axis=(1, 3, 4))
    assert covered.any()
    assert same[covered].all()
    assert np.array_equal(pyfd.snap(pyfd.encode(image, QTables.uniform(1)), table), image)


# ---- damage, limits, arguments ---------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
def test_damaged_files(progressive):
    data = encode_with_pillow(picture(90, 70), progressive=progressive)[:-700]
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.snap(data, FD)
    with pytest.warns(pyfd.JPEGWarning) as caught:
        found = pyfd.snap(data, FD, strict=False)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(found, three_calls(data, FD, strict=False))


def test_sources(tmp_path):
    data = encode_with_pillow(picture(20, 10))
    (tmp_path / "x.jpg").write_bytes(data)
    expected = pyfd.snap(data, FD)
    for source in (tmp_path / "x.jpg", io.BytesIO(data), bytearray(data), memoryview(data)):
        assert np.array_equal(pyfd.snap(source, "fd-cvpr2019"), expected)


def test_refused_arguments():
    data = gray()
    assert pyfd.snap(data, QTables.uniform(8191)).shape == (8, 8, 3)
    with pytest.raises(ValueError, match=r"steps must be in 1\.\.\.8191"):
        pyfd.snap(data, QTables.uniform(8192))
    with pytest.raises(TypeError, match="limits"):
        pyfd.snap(data, FD, limits=3)
    with pytest.raises(ValueError, match="pass an array of pixels to encode"):
        pyfd.snap(np.asarray(Image.new("RGB", (8, 8))), FD)


def test_no_memory_but_a_strip_and_the_result():
    """Sixteen megapixels, and twice their bytes for everything that a call allocates."""
    code = """
        import numpy as np, pyfd
        from benchmarks.memory import growth
        data = pyfd.encode(np.full((4096, 4096, 3), 99, np.uint8), "fd-cvpr2019")
        pyfd.snap(pyfd.encode(np.zeros((16, 16, 3), np.uint8), "fd-2018"), "fd-2018")
        grown, _ = growth(lambda: pyfd.snap(data, "fd-cvpr2019"))
        assert grown < 48 * 1.2, grown
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True)
