"""The orientation that `pyfd.opencv.imdecode` reads, compared with `cv2.imdecode`'s."""

import itertools
import struct

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pyfd
from pyfd.opencv import imdecode
from tests.jpegs import SOI, encode_with_pillow, picture, segment

PREFIX = b"Exif\0\0"
IMAGE = encode_with_pillow(picture(24, 16))
ORDERS = {"<": b"II*\0", ">": b"MM\0*"}
# What OpenCV reads before the orientation and checks, and what it passes over
CHECKED = (0x10E, 0x10F, 0x110, 0x11A, 0x11B, 0x131, 0x132, 0x13E, 0x13F, 0x211, 0x214, 0x8298)
OTHERS = (0, 0x100, 0x111, 0x128, 0x213, 0x8769, 0x8825, 0x9003, 0xFFFF)
ORIENTATION = 0x112


def field(order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")


def oriented(order: str, value: int, kind: int = 3, count: int = 1) -> bytes:
    return field(order, ORIENTATION, kind, count, struct.pack(order + "H", value))


def block(order: str, *fields: bytes, first: int = 8, count: int | None = None) -> bytes:
    """Return an APP1 payload with one directory."""
    number = len(fields) if count is None else count
    head = ORDERS[order] + struct.pack(order + "I", first) + bytes(max(0, first - 8))
    return PREFIX + head + struct.pack(order + "H", number) + b"".join(fields) + bytes(4)


def with_payloads(*payloads: bytes) -> bytes:
    return SOI + b"".join(segment(0xE1, payload) for payload in payloads) + IMAGE[2:]


def assert_as_opencv(data: bytes) -> int:
    """Check that both turn the file equally, and return OpenCV's orientation."""
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(imdecode(data), theirs)
    return next(n for n in range(1, 9) if np.array_equal(TURNED[n], theirs))


TURNED = {
    n: cv2.imdecode(
        np.frombuffer(with_payloads(block("<", oriented("<", n))), np.uint8), cv2.IMREAD_COLOR
    )
    for n in range(1, 9)
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", range(20))
def test_all_types_counts_and_places_of_the_value(order, kind):
    """OpenCV reads the first two bytes of the field, whatever the type: BYTE, SBYTE, LONG…"""
    values = (b"\6", b"\0\6", b"\0\0\0\6", struct.pack(order + "i", -6), b"\6\0\6\0")
    seen = set()
    for count, value in itertools.product((0, 1, 2, 4, 5, 2**32 - 1), values):
        data = with_payloads(block(order, field(order, ORIENTATION, kind, count, value)))
        seen.add(assert_as_opencv(data))
    assert seen == {1, 6}


def test_all_values():
    for order, value in itertools.product(ORDERS, (*range(12), 255, 256, 0x106, 0x600, 65535)):
        wanted = value if 1 <= value <= 8 else 1
        assert assert_as_opencv(with_payloads(block(order, oriented(order, value)))) == wanted


def test_probe_takes_only_whole_numbers():
    """TIFF 6.0 gives the tag the type SHORT; text, rationals and the like are no orientation."""
    for kind in (2, 5, 7, 11):
        data = with_payloads(block("<", oriented("<", 6, kind)))
        assert pyfd.probe(data).orientation == 1
        assert assert_as_opencv(data) == 6


@pytest.mark.parametrize("order", ORDERS)
def test_fields_before_it(order):
    """A value that reaches past the end hides the orientation if OpenCV reads that value."""
    for tag in CHECKED:
        after = [bytes(12)] * 3
        size = len(block(order, *[bytes(12)] * 2, *after)) - len(PREFIX)
        seen = set()
        for count in (0, 1, 4, 5, 9, 2**32 - 1):
            for offset in (0, *range(size - 50, size + 2), 2**31, 2**32 - 8):
                before = field(order, tag, 5, count, struct.pack(order + "I", offset))
                data = with_payloads(block(order, before, oriented(order, 6), *after))
                seen.add(assert_as_opencv(data))
        assert seen == {1, 6}
    for tag in OTHERS:
        before = field(order, tag, 2, 2**32 - 1, b"\xff" * 4)
        assert assert_as_opencv(with_payloads(block(order, before, oriented(order, 6)))) == 6


def test_blocks_that_are_cut_off_or_count_wrongly():
    whole = block("<", field("<", 0x100, 3, 1, b"\1"), oriented("<", 6))
    found = {assert_as_opencv(with_payloads(whole[:length])) for length in range(len(whole))}
    assert found == {1, 6}
    for count in (0, 1, 2, 3, 65535):
        assert_as_opencv(with_payloads(block("<", oriented("<", 6), count=count)))
    for first in (*range(14), 26, 200, 60_000):
        assert_as_opencv(with_payloads(block("<", oriented("<", 6), first=first)))
    for start in (0, 7, 9, 1000, 2**31, 2**32 - 2, 2**32 - 1):
        data = with_payloads(whole[:10] + struct.pack("<I", start) + whole[14:])
        assert_as_opencv(data)


def test_several_blocks_and_other_segments():
    three, six, nine = (block("<", oriented("<", n)) for n in (3, 6, 9))
    bad = field("<", 0x10F, 2, 500, b"\xff\xff")
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
    assert assert_as_opencv(with_payloads(three, six)) == 3
    assert assert_as_opencv(with_payloads(nine, six)) == 1
    assert assert_as_opencv(with_payloads(block("<"), six)) == 6
    assert assert_as_opencv(with_payloads(block("<", bad, oriented("<", 3)), six)) == 6
    assert assert_as_opencv(with_payloads(block("<", oriented("<", 3), bad), six)) == 3
    assert assert_as_opencv(with_payloads(block("<", oriented("<", 3), oriented("<", 6)))) == 3
    for first in (xmp, b"", PREFIX, PREFIX + b"I", PREFIX + b"XX\0\0", b"Exif\0\1" + three[6:]):
        assert assert_as_opencv(with_payloads(first, six)) == 6
    before_sof = IMAGE.index(b"\xff\xc0")
    before_sos = IMAGE.index(b"\xff\xda")
    for place in (before_sof, before_sos):
        data = IMAGE[:place] + segment(0xE1, six) + IMAGE[place:]
        assert assert_as_opencv(data) == 6
    after = IMAGE[:-2] + segment(0xE1, six) + IMAGE[-2:]
    assert assert_as_opencv(after) == 1


def test_other_byte_order_marks():
    """Anything but II is read as big-endian, if the number 42 is there."""
    for mark in (b"MI", b"XY", b"XX", b"II", b"MM", bytes(2), b"IM"):
        for order, magic in itertools.product(ORDERS, (b"\0*", b"*\0", b"\0+", b"+\0")):
            whole = block(order, oriented(order, 6))
            assert_as_opencv(with_payloads(PREFIX + mark + magic + whole[10:]))


NUMBERS = st.one_of(st.integers(0, 100), st.sampled_from([2**16 - 1, 2**31, 2**32 - 9, 2**32 - 1]))
FIELDS = st.tuples(
    st.sampled_from((*CHECKED, *OTHERS, ORIENTATION)), st.integers(0, 14), NUMBERS, NUMBERS
)


@given(
    st.sampled_from(list(ORDERS)),
    st.lists(FIELDS, max_size=5),
    st.integers(0, 8),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=2),
)
@example("<", [(0x131, 1, 1, 7), (ORIENTATION, 1, 1, 7)], 7, 0, [])
def test_any_directory(order, fields, orientation, cut, changes):
    packed = [
        field(order, tag, kind, count, struct.pack(order + "I", value))
        for tag, kind, count, value in fields
    ]
    payload = bytearray(block(order, *packed, oriented(order, orientation)))
    for place, value in changes:
        if len(PREFIX) <= place < len(payload):
            payload[place] = value
    assert_as_opencv(with_payloads(bytes(payload[: len(payload) - cut])))


def test_many_blocks_are_read_once_each():
    """Sixteen megabytes of fields that OpenCV checks, and an orientation behind them."""
    fields = [field("<", 0x10F, 2, 5, struct.pack("<I", 8))] * 5400
    data = with_payloads(*[block("<", *fields)] * 250, block("<", oriented("<", 6)))
    assert assert_as_opencv(data) == 6
