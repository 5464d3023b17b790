"""`probe`, and the metadata that `requantize` keeps; tests/core/metadata has each kind."""

import io
import struct
import time

import numpy as np
import piexif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from tests.jpegs import SOI, encode_with_pillow, gray, picture, real_jpegs, segment, sof

PRESET = "fd-cvpr2019"


@given(real_jpegs())
def test_agrees_with_pillow(data):
    header, image = pyfd.probe(data), Image.open(io.BytesIO(data))
    assert (header.width, header.height) == image.size
    assert header.progressive == bool(image.info.get("progressive"))
    for i, (_, h, v, slot) in enumerate(image.layer):
        assert header.sampling[i] == (h, v)
        assert header.qtables[i].ravel().tolist() == list(image.quantization[slot])
    assert len(header.qtables) == len(header.sampling)
    mode = {"L": "L", "YCbCr": "RGB", "RGB": "RGB", "CMYK": "CMYK", "YCCK": "CMYK"}
    assert mode[header.color_space] == image.mode


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        ((0x11, 0x11, 0x11), "4:4:4"),
        ((0x22, 0x22, 0x22), "4:4:4"),
        ((0x21, 0x11, 0x11), "4:2:2"),
        ((0x22, 0x11, 0x11), "4:2:0"),
        ((0x12, 0x11, 0x11), "4:4:0"),
        ((0x41, 0x11, 0x11), "4:1:1"),
        ((0x42, 0x11, 0x11), "4:1:0"),
        ((0x22, 0x21, 0x11), None),
        ((0x11, 0x22, 0x22), None),
        ((0x31, 0x21, 0x21), None),
        ((0x11,), None),
        ((0x11, 0x11, 0x11, 0x11), None),
    ],
)
def test_subsampling_has_a_name_or_none(sampling, name):
    one = gray()
    start, end = one.index(b"\xff\xc0"), one.index(b"\xff\xda")
    data = one[:start] + sof(16, 16, sampling) + one[end:]
    header = pyfd.probe(data)
    assert header.subsampling == name
    assert len(header.sampling) == len(sampling)


@pytest.mark.parametrize(
    ("ids", "app", "space"),
    [
        (b"\x01\x02\x03", b"", "YCbCr"),
        (b"RGB", b"", "RGB"),
        (b"\x00\x01\x02", b"", "YCbCr"),
        (b"RGB", segment(0xE0, b"JFIF\0\1\1" + bytes(7)), "YCbCr"),
        (b"RGB", segment(0xE0, b"JFIF\0" + bytes(8)), "RGB"),
        (b"\x01\x02\x03", segment(0xEE, b"Adobe" + bytes(7)), "RGB"),
        (b"\x01\x02\x03", segment(0xEE, b"Adobe" + bytes(6)), "YCbCr"),
        (b"RGB", segment(0xEE, b"Adobe" + bytes(6) + b"\x01"), "YCbCr"),
    ],
)
def test_color_space_is_guessed_as_libjpeg_does(ids, app, space):
    data = encode_with_pillow(picture(16, 16), subsampling=0, quality=80)
    frame = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    data = bytearray(data[:2] + app + data[20:])  # without Pillow's own JFIF segment
    shift = len(app) - 18
    for i, number in enumerate(ids):
        data[frame + shift + 10 + 3 * i] = number
        data[scan + shift + 5 + 2 * i] = number
    data = bytes(data)
    assert pyfd.probe(data).color_space == space
    assert np.array_equal(pyfd.decode(data, strict=True), np.asarray(Image.open(io.BytesIO(data))))


def test_stops_at_the_first_scan():
    data = encode_with_pillow(picture(64, 64))
    end = data.index(b"\xff\xda") + 14
    assert pyfd.probe(data[:end]) == pyfd.probe(data)


# ---- orientation -----------------------------------------------------------


def exif_with(entries: bytes, count: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, count) + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation(order, value):
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, value, 0)
    data = gray(before=segment(0xE1, exif_with(entry, 1, order)))
    assert pyfd.probe(data).orientation == value


@given(st.binary(max_size=80))
def test_orientation_of_nonsense_is_1_to_8(noise):
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        payload = b"Exif\0\0" + head + noise
        header = pyfd.probe(gray(before=segment(0xE1, payload)))
        assert 1 <= header.orientation <= 8
        assert header.exif == payload


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientation_out_of_range_is_1(value):
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, value, 0)
    assert pyfd.probe(gray(before=segment(0xE1, exif_with(entry, 1)))).orientation == 1


# ---- ICC and comments ------------------------------------------------------


def icc(number: int, count: int, payload: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + payload)


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        ([icc(1, 1, b"abc")], b"abc"),
        ([icc(2, 2, b"def"), icc(1, 2, b"abc")], b"abcdef"),
        ([icc(1, 2, b"abc")], None),
        ([icc(1, 1, b"abc"), icc(2, 2, b"abc")], None),
        ([icc(1, 2, b"abc"), icc(1, 2, b"abc")], None),
        ([icc(0, 1, b"abc")], None),
        ([icc(1, 0, b"abc")], None),
        ([icc(1, 1, b"")], None),
        ([icc(n, 255, b"x") for n in range(255)], None),
        ([icc(n, 255, bytes([n])) for n in range(255, 0, -1)], bytes(range(1, 256))),
    ],
)
def test_icc_chunks_are_joined_or_nothing(chunks, profile):
    data = gray(before=b"".join(chunks))
    assert pyfd.probe(data).icc_profile == profile


def test_the_last_comment_is_shown_and_all_are_kept():
    data = gray(before=segment(0xFE, b"one") + segment(0xFE, b"two\0"))
    assert pyfd.probe(data).comment == b"two\0"
    out = pyfd.requantize(data, PRESET)
    assert segment(0xFE, b"one") + segment(0xFE, b"two") in out
    assert pyfd.probe(pyfd.requantize(data, PRESET, metadata=False)).comment is None


# ---- metadata that requantize keeps and drops -------------------------------


def thumbnail_exif() -> tuple[bytes, bytes]:
    thumbnail = encode_with_pillow(picture(40, 30), quality=60)
    content = {
        "0th": {piexif.ImageIFD.Make: b"Maker", piexif.ImageIFD.Orientation: 3},
        "Exif": {piexif.ExifIFD.LensModel: b"a lens"},
        "1st": {piexif.ImageIFD.Compression: 6},
        "thumbnail": thumbnail,
    }
    return piexif.dump(content), piexif.load(piexif.dump(content))["thumbnail"]


def test_exif_is_kept_without_its_thumbnail():
    exif, thumbnail = thumbnail_exif()
    assert thumbnail in exif
    data = encode_with_pillow(picture(64, 48), exif=exif)
    out = pyfd.requantize(data, PRESET)
    kept = piexif.load(out)
    assert kept["0th"][piexif.ImageIFD.Make] == b"Maker"
    assert kept["Exif"][piexif.ExifIFD.LensModel] == b"a lens"
    assert kept["thumbnail"] is None
    assert pyfd.probe(out).orientation == 3
    assert len(pyfd.probe(out).exif) < len(exif)
    assert thumbnail[-60:] in data
    assert thumbnail[-60:] not in out
    assert pyfd.requantize(out, PRESET) == out


def test_uncompressed_exif_thumbnails_are_blanked():
    strip = bytes(range(1, 100))
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 26)
    second = struct.pack("<H", 2)
    second += struct.pack("<HHII", 0x0111, 4, 1, 56) + struct.pack("<HHII", 0x0117, 4, 1, 99)
    tiff = b"II*\0" + struct.pack("<I", 8) + first + second + bytes(4) + strip
    assert tiff[56:] == strip
    data = gray(before=segment(0xE1, b"Exif\0\0" + tiff))
    out = pyfd.requantize(data, PRESET)
    assert strip[:20] not in out
    assert pyfd.probe(out).orientation == 6


@given(
    st.binary(min_size=0, max_size=120), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"])
)
def test_nonsense_exif_never_breaks_requantize(noise, head):
    data = gray(before=segment(0xE1, b"Exif\0\0" + head + noise))
    out = pyfd.requantize(data, PRESET)
    assert pyfd.requantize(out, PRESET) == out


def test_multi_picture_data_and_strangers_are_dropped():
    before = (
        segment(0xE2, b"MPF\0II*\0") + segment(0xE5, b"stranger") + segment(0xE0, b"JFXX\0\x10")
    )
    out = pyfd.requantize(gray(before=before) + gray(), PRESET)
    for part in (b"MPF", b"stranger", b"JFXX"):
        assert part not in out
    assert out.count(SOI) == 1


def test_multi_picture_files_lose_their_other_pictures():
    buffer = io.BytesIO()
    pictures = [Image.fromarray(picture(64, 48, seed=n)) for n in range(2)]
    pictures[0].save(buffer, "MPO", save_all=True, append_images=pictures[1:])
    data = buffer.getvalue()
    assert Image.open(io.BytesIO(data)).n_frames == 2
    out = Image.open(io.BytesIO(pyfd.requantize(data, PRESET)))
    assert out.format == "JPEG"


# ---- hostile EXIF ------------------------------------------------------------


def directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


def exif_of(parts: dict[int, bytes]) -> bytes:
    """Return an EXIF block with bytes at given offsets of its TIFF part."""
    tiff = bytearray(b"II*\0\x08\0\0\0")
    for offset, part in sorted(parts.items()):
        tiff = tiff.ljust(offset, b"\0")
        tiff[offset : offset + len(part)] = part
    return b"Exif\0\0" + bytes(tiff)


PIXELS = b"\xff\xd8" + b"undefended pixels" * 4 + b"\xff\xd9"
SIZE = len(PIXELS)
JPEG_THUMBNAIL = [(0x0201, 4, 1, 300), (0x0202, 4, 1, SIZE)]


@pytest.mark.parametrize(
    "parts",
    [
        {8: directory([], 100), 100: directory(JPEG_THUMBNAIL), 300: PIXELS},
        {8: directory(JPEG_THUMBNAIL), 300: PIXELS},
        {8: directory([], 100), 100: directory([], 200), 200: directory(JPEG_THUMBNAIL)},
        {8: directory([(0x014A, 4, 1, 100)]), 100: directory(JPEG_THUMBNAIL)},
        {8: directory([(0x8769, 4, 1, 100)]), 100: directory(JPEG_THUMBNAIL)},
        {8: directory([(0x8769, 4, 1, 100)]), 100: directory([], 200), 200: directory([])},
        {8: directory([(0x8769, 4, 1, 100)]), 100: directory([(0x927C, 7, SIZE, 300)])},
        {8: directory([], 100), 100: directory([(0x0201, 9, 1, 300), (0x0202, 9, 1, 3)])},
        {8: directory([], 100), 100: directory([(0x0111, 4, 1, 300)])},
        {8: directory([(0x0144, 4, 1, 300), (0x0145, 4, 1, SIZE)])},
        {8: directory([(0x015B, 7, SIZE, 300)])},
        {8: directory([])},
        {8: directory([], 100), 100: directory([(0x0201, 4, 1, 8), (0x0202, 4, 1, 2)])},
        {8: directory([], 100), 100: directory([(0x0201, 4, 1, 0), (0x0202, 4, 1, 3000)])},
    ],
)
def test_no_thumbnail_survives_wherever_it_hides(parts):
    orientation = (0x0112, 3, 1, 6)
    first = parts[8]
    count = struct.unpack_from("<H", first)[0]
    first = struct.pack("<H", count + 1) + struct.pack("<HHII", *orientation) + first[2:]
    exif = exif_of({**parts, 8: first, 300: PIXELS})
    data = gray(before=segment(0xE1, exif))
    out = pyfd.requantize(data, PRESET)
    assert b"undefended" in data
    assert b"undefended" not in out
    assert pyfd.probe(out).orientation == 6
    assert pyfd.requantize(out, PRESET) == out


def test_exif_values_are_kept_bit_for_bit():
    make = b"Maker of cameras\0"
    entries = [(0x010F, 2, len(make), 200), (0x0112, 3, 1, 8), (0x8825, 4, 1, 100)]
    gps = directory([(0x0000, 1, 4, 0x00000302), (0x0002, 5, 3, 240)])
    position = struct.pack("<6I", 48, 1, 8, 1, 1234, 100)
    exif = exif_of({8: directory(entries), 100: gps, 200: make, 240: position})
    out = pyfd.requantize(gray(before=segment(0xE1, exif)), PRESET)
    kept = Image.open(io.BytesIO(out)).getexif()
    assert kept[0x010F] == "Maker of cameras"
    assert kept[0x0112] == 8
    assert [float(v) for v in kept.get_ifd(0x8825)[2]] == [48, 8, 12.34]


def test_exif_that_points_to_the_same_bytes_again_and_again_costs_nothing():
    """1,500 entries of 32,700 values each, in one segment; 200 such segments."""
    entries = [(1000 + n, 3, 32700, 8) for n in range(1500)]
    block = exif_of({8: directory(entries)}).ljust(65000, b"\0")
    data = gray(before=segment(0xE1, block) * 200)
    start = time.process_time()
    assert pyfd.probe(data).orientation == 1
    pyfd.requantize(data, PRESET)
    assert time.process_time() - start < 1


def test_exif_of_entries_without_values_costs_nothing():
    """5,000 empty entries, through directories that are all the same bytes, 200 times."""
    pointers = [(tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005)]
    entries = [(n, 1, 0, 0) for n in range(1, 5000)] + pointers
    data = gray(before=segment(0xE1, exif_of({8: directory(entries)})) * 200)
    start = time.process_time()
    pyfd.requantize(data, PRESET)
    assert time.process_time() - start < 1
