"""`decode`, compared with other decoders."""

import io
import warnings

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from tests.jpegs import as_ycck, decode_with_pillow, encode_with_pillow, picture, real_jpegs

PRESET = "fd-cvpr2019"
SMALL = encode_with_pillow(picture(20, 12))


def test_photos_decode_as_in_pillow(photos):
    for data in photos:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(pyfd.decode(data), expected)


@given(real_jpegs())
def test_decodes_as_pillow(data):
    assert np.array_equal(pyfd.decode(data, mode=None), decode_with_pillow(data))
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(pyfd.decode(data), rgb)
    assert np.array_equal(pyfd.decode(data, mode="BGR"), rgb[:, :, ::-1])


@pytest.mark.parametrize("width", [31, 32, 100, 1023, 1024, 1056])
def test_pixels_at_any_address(width):
    """Aligned rows are stored in another way, and wide ones in a third."""
    data = encode_with_pillow(picture(width, 10))
    expected = decode_with_pillow(data)
    memory = np.zeros(expected.size + 192, np.uint8)
    aligned = -memory.ctypes.data % 64
    for start in (aligned, *range(aligned + 1, aligned + 128, 5), aligned + 16, aligned + 32):
        memory[:] = 7
        out = memory[start : start + expected.size].reshape(expected.shape)
        assert np.array_equal(pyfd.decode(data, out=out), expected)
        assert (memory[:start] == 7).all()
        assert (memory[start + expected.size :] == 7).all()
        reverse = pyfd.decode(data, mode="BGR", out=out)[:, :, ::-1]
        assert np.array_equal(reverse, expected)


@given(real_jpegs("L YCbCr"), st.sampled_from([1, 2, 4, 8]))
def test_scales_and_converts_as_pillow(data, scale):
    width, height = Image.open(io.BytesIO(data)).size
    if min(width, height) < scale:
        scale = 1
    color = pyfd.probe(data).color_space
    assert np.array_equal(
        pyfd.decode(data, mode="L", scale=scale), decode_with_pillow(data, "L", scale)
    )
    if color == "YCbCr":
        assert np.array_equal(
            pyfd.decode(data, scale=scale), decode_with_pillow(data, "RGB", scale)
        )
        assert np.array_equal(
            pyfd.decode(data, mode="YCbCr", scale=scale), decode_with_pillow(data, "YCbCr", scale)
        )


def test_matches_opencv_and_simplejpeg():
    data = encode_with_pillow(picture(123, 77))
    ours = pyfd.decode(data, mode="BGR")
    assert np.array_equal(ours, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(ours, simplejpeg.decode_jpeg(data, "BGR"))


@pytest.mark.parametrize(
    ("channels", "ycck", "mode"),
    [
        (1, False, "YCbCr"),
        (1, False, "CMYK"),
        (3, False, "CMYK"),
        (4, False, "L"),
        (4, False, "YCbCr"),
        (4, True, "L"),
    ],
)
def test_conversions_that_libjpeg_lacks_are_refused(channels, ycck, mode):
    data = encode_with_pillow(picture(9, 9, channels=channels))
    with pytest.raises(ValueError, match="decodes to") as caught:
        pyfd.decode(as_ycck(data) if ycck else data, mode=mode)
    assert not isinstance(caught.value, pyfd.JPEGError)


def test_orientation_is_reported_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode_with_pillow(picture(40, 20), exif=exif)
    assert pyfd.decode(data).shape == (20, 40, 3)
    assert pyfd.probe(data).orientation == 6


# ---- options -------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"mode": "RGBA"}, {"scale": 3}, {"scale": 0}, {"mode": "rgb"}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        pyfd.decode(SMALL, **options)


def test_out_receives_the_pixels():
    out = np.empty((12, 20, 3), np.uint8)
    assert pyfd.decode(SMALL, PRESET, out=out) is out
    assert np.array_equal(out, pyfd.decode(SMALL, PRESET))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((12, 20), np.uint8),
        np.empty((20, 12, 3), np.uint8),
        np.empty((12, 20, 3), np.int8),
        np.empty((12, 40, 3), np.uint8)[:, ::2],
        np.broadcast_to(np.empty((12, 20, 3), np.uint8), (12, 20, 3)),
        bytearray(720),
    ],
)
def test_out_must_fit(out):
    with pytest.raises(ValueError, match="out must"):
        pyfd.decode(SMALL, out=out)


def test_out_and_source_must_be_apart():
    memory = bytearray(4096)
    memory[: len(SMALL)] = SMALL
    out = np.frombuffer(memory, np.uint8)[1000 : 1000 + 720].reshape(12, 20, 3)
    with pytest.raises(ValueError, match="share memory"):
        pyfd.decode(memory, out=out)


# ---- strict and lenient --------------------------------------------------------


def test_strict_refuses_and_lenient_warns_once():
    data = encode_with_pillow(picture(64, 64))[:-300]
    with pytest.raises(pyfd.CorruptJPEGError, match="truncated"):
        pyfd.decode(data)
    with pytest.warns(pyfd.JPEGWarning, match=r"\d+ decoder warnings?; the first: ") as caught:
        pixels = pyfd.decode(data, strict=False)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert pixels.shape == (64, 64, 3)


def test_bytes_after_the_end_are_no_error():
    assert np.array_equal(pyfd.decode(SMALL + b"\xff\xd8 more"), pyfd.decode(SMALL))
    assert pyfd.requantize(SMALL + bytes(99), PRESET) == pyfd.requantize(SMALL, PRESET)


def test_sequential_files_without_dht_use_the_standards_tables():
    data = SMALL
    while (start := data.find(b"\xff\xc4")) >= 0:
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        data = data[:start] + data[start + 2 + length :]
    assert np.array_equal(pyfd.decode(data), pyfd.decode(SMALL))


def test_a_component_without_a_scan_is_damage():
    data = encode_with_pillow(picture(32, 32), progressive=True)
    first = data.index(b"\xff\xda")
    # only a first scan of Y, with the DC codes of the joint scan
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01" + bytes(64)
    broken = data[:first] + scan + b"\xff\xd9"
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.decode(broken)
    with pytest.warns(pyfd.JPEGWarning):
        pyfd.decode(broken, strict=False)


@pytest.mark.parametrize("component", [0, 1, 2])
def test_a_scan_names_huffman_tables_that_exist(component):
    data = encode_with_pillow(picture(40, 40), quality=75)  # tables 0 and 1 of both kinds
    place = data.index(b"\xff\xda") + 6 + 2 * component
    for tables in range(256):
        broken = data[:place] + bytes([tables]) + data[place + 1 :]
        for strict in (True, False):
            if tables >> 4 > 1 or tables & 15 > 1:
                with pytest.raises(pyfd.CorruptJPEGError, match="Huffman table"):
                    pyfd.decode(broken, strict=strict)


def test_a_code_that_does_not_exist_is_reported_anywhere():
    data = encode_with_pillow(picture(200, 200), quality=95)
    for place in range(len(data) // 4, len(data) - 100, len(data) // 20):
        broken = data[:place] + b"\xff\x00" * 8 + data[place + 16 :]  # 64 ones
        with pytest.raises(pyfd.CorruptJPEGError, match="bad Huffman code"):
            pyfd.decode(broken)


def test_nothing_is_printed(capfd):
    for data in (SMALL[:50], SMALL[:-40], b"junk"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for strict in (True, False):
                with pytest.raises(pyfd.JPEGError):
                    pyfd.decode(data[:50], strict=strict)
    assert capfd.readouterr() == ("", "")
