"""Decoding with `orient` and `fit`: against Pillow and OpenCV."""

from __future__ import annotations

import io
import itertools
import struct
import tracemalloc
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

import pyfd
from pyfd import Limits
from tests import metadata
from tests.jpegs import decode_with_pillow, encode_with_pillow, picture, real_jpegs, segment

TABLES = "fd-cvpr2019"
SIDES = st.integers(1, 70)


def with_orientation(data: bytes, orientation: int, order: str = "<", kind: int = 3) -> bytes:
    entry = (0x0112, kind, metadata.number(orientation, kind, order))
    return with_payloads(data, metadata.block([entry], order=order))


def with_payloads(data: bytes, *payloads: bytes) -> bytes:
    return data[:2] + b"".join(segment(0xE1, p) for p in payloads) + data[2:]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels of any channels as Pillow turns them."""
    planes = pixels.reshape(*pixels.shape[:2], -1)
    turned = []
    for channel in range(planes.shape[2]):
        image = Image.fromarray(np.ascontiguousarray(planes[..., channel]))
        image.getexif()[0x0112] = orientation
        turned.append(np.asarray(ImageOps.exif_transpose(image)))
    return turned[0] if pixels.ndim == 2 else np.stack(turned, -1)


# ---- orient ---------------------------------------------------------------------


@given(
    real_jpegs(),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, "RGB", "BGR", "L"]),
    st.data(),
)
def test_the_pixels_are_turned_as_pillow_turns_them(data, orientation, scale, mode, draw):
    data = with_orientation(data, orientation)
    if mode == "L" and pyfd.probe(data).color_space in ("CMYK", "YCCK"):
        mode = "RGB"
    expected = upright(pyfd.decode(data, TABLES, mode=mode, scale=scale), orientation)
    turned = pyfd.decode(data, TABLES, mode=mode, scale=scale, orient=True)
    assert np.array_equal(turned, expected)
    assert turned.flags.c_contiguous
    height, width = expected.shape[:2]
    left, top = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
    across = draw.draw(st.integers(1, width - left))
    down = draw.draw(st.integers(1, height - top))
    part = pyfd.decode(
        data, TABLES, mode=mode, scale=scale, orient=True, region=(left, top, across, down)
    )
    assert np.array_equal(part, expected[top : top + down, left : left + across])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_caller_gives_the_turned_shape(orientation):
    data = with_orientation(encode_with_pillow(picture(40, 24)), orientation)
    expected = upright(pyfd.decode(data), orientation)
    out = np.empty_like(expected)
    assert pyfd.decode(data, orient=True, out=out) is out
    assert np.array_equal(out, expected)
    if orientation >= 5:
        with pytest.raises(ValueError, match=r"out must have the shape \(40, 24, 3\)"):
            pyfd.decode(data, orient=True, out=np.empty((24, 40, 3), np.uint8))
        with pytest.raises(ValueError, match=r"24 pixels wide and 40 high"):
            pyfd.decode(data, orient=True, region=(0, 0, 40, 24))


def test_damaged_files_are_turned_too():
    data = with_orientation(encode_with_pillow(picture(200, 100)), 6)[:-300]
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.decode(data, orient=True)
    with pytest.warns(pyfd.JPEGWarning):
        plain = pyfd.decode(data, strict=False)
    with pytest.warns(pyfd.JPEGWarning):
        assert np.array_equal(pyfd.decode(data, strict=False, orient=True), upright(plain, 6))


@pytest.mark.parametrize("progressive", [False, True])
def test_it_takes_no_second_array(progressive):
    """Nor does a limit count one."""
    plain = encode_with_pillow(picture(640, 480), progressive=progressive)
    data = with_orientation(plain, 6)
    needed = None
    if progressive:
        with pytest.raises(pyfd.LimitExceededError) as caught:
            pyfd.decode(data, limits=Limits(max_memory=1))
        needed = caught.value.needed
        with pytest.raises(pyfd.LimitExceededError, match="max_memory"):
            pyfd.decode(data, orient=True, limits=Limits(max_memory=needed - 1))
    limits = Limits() if needed is None else Limits(max_memory=needed)
    tracemalloc.start()
    try:
        size = pyfd.decode(data, orient=True, limits=limits).nbytes
        assert tracemalloc.get_traced_memory()[1] < size + 100_000
    finally:
        tracemalloc.stop()


# ---- which orientation ----------------------------------------------------------

FILE = encode_with_pillow(picture(40, 24))
FORMS = {o: upright(pyfd.decode(FILE), o) for o in range(1, 9)}


def applied(pixels: np.ndarray) -> int:
    """Return the orientation that was applied to `FILE`."""

    def difference(form: np.ndarray) -> float:
        if form.shape != pixels.shape:
            return 255
        return float(np.abs(form.astype(int) - pixels).mean())

    found = min(FORMS, key=lambda o: difference(FORMS[o]))
    assert difference(FORMS[found]) < 3  # decoders round differently
    return found


def by_opencv(data: bytes) -> int:
    return applied(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def by_pillow(data: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return applied(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


def check(*payloads: bytes) -> tuple[int, int]:
    """Compare with both libraries; return OpenCV's and Pillow's orientation."""
    data = with_payloads(FILE, *payloads)
    ours = applied(pyfd.decode(data, orient=True))
    theirs = by_opencv(data), by_pillow(data)
    assert ours == theirs[0]
    return theirs


def field(order: str, kind: int, count: int, value: bytes) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0" + head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("order", "<>")
def test_tags_of_all_types(order):
    """Where Pillow says otherwise, torchvision 0.28 agrees with OpenCV, whose code it has."""
    for kind, count, value in itertools.product(
        range(14), (0, 1, 2, 3, 65535), (0, 1, 6, 9, 255, 65535)
    ):
        for code in "BHI" if value < 256 else "HI":
            check(field(order, kind, count, struct.pack(order + code, value)))
    for kind, expected in WHOLE_NUMBERS[order].items():
        assert check(field(order, kind, 1, metadata.number(6, kind, order))) == expected


#: What OpenCV and Pillow read of a 6 of each type of whole numbers. OpenCV takes the first two
#: bytes of the field, and Pillow makes bytes of type 1.
WHOLE_NUMBERS = {
    "<": {1: (6, 1), 3: (6, 6), 4: (6, 6), 6: (6, 6), 8: (6, 6), 9: (6, 6)},
    ">": {1: (1, 1), 3: (6, 6), 4: (1, 6), 6: (1, 6), 8: (6, 6), 9: (1, 6)},
}


def test_several_blocks_and_damaged_ones():
    three, six = (field("<", 3, 1, bytes([n])) for n in (3, 6))
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    says_six = xmp + b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    assert check(three, six) == (3, 3)
    assert check(xmp + b"<x/>", six) == (6, 6)  # torchvision reads the first APP1 only
    assert check(says_six) == (1, 6)  # Pillow alone reads XMP's
    assert check(b"Exif\0\0XX", six)[0] == 6
    assert check(six[:-4]) == (6, 6)
    for length in range(len(six)):
        check(six[:length])


def test_probe_and_orient_differ_only_for_odd_types():
    """`pyfd.probe` reads whole numbers of every type; the difference is documented."""
    for orientation in range(1, 9):
        for order, kind in itertools.product("<>", (3, 8)):
            data = with_orientation(FILE, orientation, order, kind)
            assert pyfd.probe(data).orientation == orientation
            assert applied(pyfd.decode(data, orient=True)) == orientation
    long = with_orientation(FILE, 6, ">", 4)
    assert pyfd.probe(long).orientation == 6
    assert applied(pyfd.decode(long, orient=True)) == 1


# ---- fit ------------------------------------------------------------------------


def drafted(data: bytes, size: tuple[int, int]) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", size)
    return np.asarray(image)


@given(SIDES, SIDES, st.integers(1, 80), st.integers(1, 80))
def test_fit_takes_the_scale_of_pillows_draft(columns, rows, width, height):
    """Of sides that 8 divides: Pillow rounds others down, and takes a smaller scale at times."""
    data = encode_with_pillow(picture(8 * columns, 8 * rows))
    expected = drafted(data, (width, height))
    assert np.array_equal(pyfd.decode(data, fit=(width, height)), expected)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90), st.integers(1, 90))
def test_fit_is_the_smallest_that_covers(width, height, across, down):
    data = with_orientation(encode_with_pillow(picture(width, height)), 6)
    for orient in (False, True):
        covering = [
            scale
            for scale in (8, 4, 2)
            for high, wide, _ in [pyfd.decode(data, scale=scale, orient=orient).shape]
            if wide >= across and high >= down
        ]
        expected = pyfd.decode(data, scale=(*covering, 1)[0], orient=orient)
        fitted = pyfd.decode(data, fit=(across, down), orient=orient)
        assert np.array_equal(fitted, expected)
    assert drafted(data, (across, down)).shape[0] >= pyfd.decode(data, fit=(across, down)).shape[0]


def test_fit_defends():
    data = encode_with_pillow(picture(64, 64))
    fitted = pyfd.decode(data, TABLES, fit=(16, 16))
    assert np.array_equal(fitted, decode_with_pillow(pyfd.requantize(data, TABLES), scale=4))
