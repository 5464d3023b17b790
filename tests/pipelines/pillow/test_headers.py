"""Headers within `pyfd.Limits` that would keep Pillow's own parser busy are refused before it."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from PIL.Image import DecompressionBombError

import pyfd
import pyfd.pillow
from pyfd.pillow import register
from tests.jpegs import SOI, encode_with_pillow, gray, picture, segment
from tests.pipelines.pillow.files import PRESET, expected, frames_of, opened, rich, several

EXIF, MPF, PHOTOSHOP = b"Exif\0\0", b"MPF\0", b"Photoshop 3.0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
TABLE = b"\0" + bytes([9]) * 64
MEBIBYTE = 1 << 20


def with_segments(*segments: bytes, image: bytes = b"") -> bytes:
    image = image or gray(8, 8)
    return SOI + b"".join(segments) + image[2:]


def directory(*entries: tuple[int, int, int, int], order: str = "<", after: int = 0) -> bytes:
    """Return a directory of (tag, type, count, value or offset)."""
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries)) + body + struct.pack(order + "I", after)


def tiff(*entries: tuple[int, int, int, int], order: str = "<", length: int = 65_000) -> bytes:
    """Return a block with one directory and zeros up to its length."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return (head + directory(*entries, order=order)).ljust(length, b"\0")


def overlapping(count: int, size: int, order: str = "<", kind: int = 5) -> bytes:
    """Return a block whose values are all the same bytes."""
    unit = {5: 8, 7: 1, 3: 2}[kind]
    entries = [(0xB002 + i, kind, size // unit, 8) for i in range(count)]
    return tiff(*entries, order=order)


def behind_pointers(tag: int) -> bytes:
    """Return a block whose overlapping values are in a directory below the first one."""
    inner = directory(*[(0x9000 + i, 5, 4000, 0) for i in range(40)])
    return (b"II*\0\x08\0\0\0" + directory((tag, 4, 1, 26)) + inner).ljust(65_000, b"\0")


def behind_the_first() -> bytes:
    inner = directory(*[(0x9000 + i, 5, 4000, 0) for i in range(40)])
    return (b"II*\0\x08\0\0\0" + directory(after=14) + inner).ljust(65_000, b"\0")


HOSTILE = {
    "EXIF, 4,000 segments": ("max_exif_bytes", [segment(0xE1, EXIF + bytes(4000))] * 4000),
    "EXIF, 17 large segments": ("max_exif_bytes", [segment(0xE1, EXIF + bytes(64_000))] * 17),
    "EXIF, between others": (
        "max_exif_bytes",
        [segment(0xE1, EXIF + bytes(60_000)), segment(0xFE, b"x"), segment(0xE5, b"")] * 18,
    ),
    "DQT, 62 MB": ("max_table_bytes", [segment(0xDB, TABLE * 1000)] * 950),
    "DQT, 4,000 of four tables": ("max_table_bytes", [segment(0xDB, TABLE * 4)] * 4000),
    "DQT of 16 bits": ("max_table_bytes", [segment(0xDB, b"\x10" + b"\0\1" * 64)] * 600),
    "Photoshop resources": (
        "max_photoshop_resources",
        [segment(0xED, PHOTOSHOP + (b"8BIM\4\4" + bytes(6)) * 5400)] * 200,
    ),
    "MPF, overlapping": ("max_directory_bytes", [segment(0xE2, MPF + overlapping(40, 60_000))]),
    "MPF, the other byte order": (
        "max_directory_bytes",
        [segment(0xE2, MPF + overlapping(40, 60_000, ">"))],
    ),
    "MPF, the last of two": (
        "max_directory_bytes",
        [segment(0xE2, MPF + block) for block in (b"", overlapping(40, 60_000))],
    ),
    "EXIF, overlapping": ("max_directory_bytes", [segment(0xE1, EXIF + overlapping(40, 60_000))]),
    "EXIF, two prefixes": (
        "max_directory_bytes",
        [segment(0xE1, EXIF * 2 + overlapping(40, 60_000))],
    ),
    "EXIF, bytes": (
        "max_directory_bytes",
        [segment(0xE1, EXIF + overlapping(40, 60_000, kind=7))],
    ),
    "EXIF, values past the end": (
        "max_directory_bytes",
        [segment(0xE1, EXIF + overlapping(40, 1 << 31))],
    ),
    "EXIF, below the first directory": (
        "max_directory_bytes",
        [segment(0xE1, EXIF + behind_pointers(0x8769))],
    ),
    "EXIF, GPS": ("max_directory_bytes", [segment(0xE1, EXIF + behind_pointers(0x8825))]),
    "EXIF, after the first": ("max_directory_bytes", [segment(0xE1, EXIF + behind_the_first())]),
    "fill bytes": ("max_loose_bytes", [b"\xff" * 5_000_000]),
    "stuffed zeros": ("max_loose_bytes", [b"\xff\0" * 100_000]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pillows_parser_never_sees_them(name, monkeypatch):
    def parsed(*_):
        raise AssertionError("Pillow's parser was called")

    monkeypatch.setattr(JpegImagePlugin, "jpeg_factory", parsed)
    limit, segments = HOSTILE[name]
    data = with_segments(*segments)
    pyfd.probe(data)  # within our limits
    register(PRESET)
    with pytest.raises(DecompressionBombError, match=limit) as caught:
        opened(data)
    cause = caught.value.__cause__
    assert isinstance(cause, pyfd.LimitExceededError)
    assert (cause.limit, cause.needed > cause.allowed) == (limit, True)
    assert str(cause.allowed) in str(cause)
    assert str(cause.needed) in str(cause)


AT_THE_BOUND = {
    "max_loose_bytes": (b"\xff" * (1 << 16), b"\xff"),
    "max_table_bytes": (segment(0xDB, TABLE * 1007), segment(0xDB, TABLE)),
    "max_exif_bytes": (segment(0xE1, EXIF + bytes(32_762)) * 32, segment(0xE1, EXIF)),
    "max_directory_bytes": (
        segment(0xE1, EXIF + overlapping(17, 60_000, kind=7)),
        segment(0xE2, MPF + overlapping(1, 60_000, kind=7)),
    ),
    "max_photoshop_resources": (
        segment(0xED, PHOTOSHOP + (b"8BIM\4\4" + bytes(6)) * 4096) * 4,
        segment(0xED, PHOTOSHOP + b"8BIM"),
    ),
}


@pytest.mark.parametrize("limit", AT_THE_BOUND)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's
def test_what_a_bound_still_allows(limit):
    most, more = AT_THE_BOUND[limit]
    register(PRESET, strict=False)
    assert opened(with_segments(most)).size == (8, 8)
    with pytest.raises(DecompressionBombError, match=limit):
        opened(with_segments(most, more))


def test_every_frame_is_checked():
    frames = several(picture(40, 30), picture(40, 30, seed=1))
    first, second = frames_of(frames)
    hostile = with_segments(*[segment(0xDB, TABLE * 1000)] * 3, image=second)
    register(PRESET)
    image = opened(first + hostile)
    image.load()
    with pytest.raises(DecompressionBombError, match="max_table_bytes"):
        image.seek(1)


# ---- good files --------------------------------------------------------------------


def test_an_icc_profile_of_thirty_segments():
    profile = np.random.default_rng(0).bytes(30 * 65_000)
    register(PRESET)
    image = opened(encode_with_pillow(picture(20, 20), icc_profile=profile))
    assert image.info["icc_profile"] == profile
    image.load()


def test_large_xmp_comments_and_photoshop_resources():
    """Extended XMP comes in segments of 64 KB; Photoshop writes paths and previews."""
    resource = b"8BIM\4\x0c\0\0" + struct.pack(">I", 60_000) + bytes(60_000)
    data = with_segments(
        segment(0xE1, XMP + b"<x:xmpmeta/>"),
        *[segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000))] * 60,
        *[segment(0xED, PHOTOSHOP + resource)] * 60,
        *[segment(0xFE, bytes(65_000))] * 60,
    )
    register(PRESET)
    image = opened(data)
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.info["photoshop"] == {0x040C: bytes(60_000)}
    assert len(image.info["comment"]) == 65_000
    image.load()


def test_exif_in_several_segments():
    """A block of 200 KB with a value that crosses its segments."""
    block = tiff((0x010E, 2, 150_000, 100), length=100) + b"d" * 149_999 + bytes(50_000)
    pieces = [block[start : start + 60_000] for start in range(0, len(block), 60_000)]
    register(PRESET)
    image = opened(with_segments(*[segment(0xE1, EXIF + piece) for piece in pieces]))
    assert image.getexif()[0x010E] == "d" * 149_999


def test_everything_that_pillow_reads_from_a_rich_file_and_an_mpo():
    register(PRESET)
    data = rich()
    image = opened(data)
    ours, pillows = image.info, JpegImagePlugin.jpeg_factory(io.BytesIO(data)).info
    assert ours == pillows
    assert {"exif", "icc_profile", "comment", "xmp", "dpi"} <= set(ours)
    frames = several(picture(40, 30), picture(40, 30, seed=1))
    with Image.open(io.BytesIO(frames)) as image:
        assert image.n_frames == 2
        image.seek(1)
        assert np.array_equal(np.asarray(image), expected(frames_of(frames)[1]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's
def test_blocks_of_any_bytes_are_counted_without_an_error():
    """The count of EXIF's values takes bytes that no reader understands."""
    random = np.random.default_rng(0)
    register(PRESET)
    for _ in range(300):
        block = bytearray(tiff((0x8769, 4, 1, 30), (0x8825, 4, 1, 8), length=80))
        for place in random.integers(0, 80, 8):
            block[place] = random.integers(0, 256)
        cut = bytes(block[: random.integers(0, 81)])
        data = with_segments(segment(0xE1, EXIF + cut), segment(0xE2, MPF + cut))
        opened(data).load()
