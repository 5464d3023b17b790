"""Each kind of metadata, read, built and kept; tests/codec tests it through the codec."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyfd._core import metadata
from pyfd._core.metadata import comments, exif, icc, iptc, xmp
from pyfd._core.metadata.segments import MAX_PAYLOAD

KINDS = [comments, exif, icc, iptc, xmp]
PREFIXES = [b"", exif.PREFIX, exif.PREFIX + b"II*\0", icc.PREFIX, iptc.PREFIX, xmp.PREFIX]
PAYLOADS = st.tuples(
    st.sampled_from([kind.MARKER for kind in KINDS] + [0xE0]),
    st.builds(bytes.__add__, st.sampled_from(PREFIXES), st.binary(max_size=200)),
)


def parsed(segments: bytes) -> list[tuple[int, bytes]]:
    """Return the payloads of marker segments."""
    found = []
    while segments:
        assert segments[0] == 0xFF
        size = int.from_bytes(segments[2:4], "big")
        found.append((segments[1], segments[4 : 2 + size]))
        segments = segments[2 + size :]
    return found


@given(st.lists(PAYLOADS, max_size=6))
def test_whatever_is_in_a_file_is_read_and_kept_or_left_out(found):
    read = metadata.read(found)
    assert 1 <= metadata.orientation(read.exif) <= 8
    kept = parsed(metadata.kept(found))
    assert metadata.kept(kept) == metadata.kept(found)  # a second pass changes nothing
    assert metadata.read(kept).comment == read.comment
    assert metadata.read(kept).icc_profile == read.icc_profile


@pytest.mark.parametrize("size", [1, 65519, 65520, 200_000])
def test_icc_profiles_are_split_and_joined(size):
    profile = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found = parsed(icc.build(profile))
    assert len(found) == -(-size // 65519)
    assert icc.read(found) == icc.read(found[::-1]) == profile
    assert icc.read(found[1:]) is None
    assert icc.read([*found, found[0]]) is None


def test_empty_values_have_no_segments():
    assert metadata.build(b"", b"", b"") == metadata.build(None, None, "") == b""
    assert metadata.kept([]) == b""


@pytest.mark.parametrize(
    ("kind", "most", "prefix"),
    [(exif, MAX_PAYLOAD, exif.PREFIX), (comments, MAX_PAYLOAD, b""), (icc, 255 * 65519, b"")],
)
def test_the_longest_value_that_fits(kind, most, prefix):
    value = prefix + bytes(most - len(prefix))
    assert kind.read(parsed(kind.build(value))) == value
    with pytest.raises(ValueError, match="is longer than"):
        kind.build(value + b"\0")


def test_exif_is_copied_by_an_allow_list():
    """Pillow's copy keeps makers' notes and private tags; ours must not keep them."""
    image = Image.Exif()
    image[0x010F], image[0xC634] = "maker", b"PRIVATE"
    image[0x8769] = {0x927C: b"MAKERS NOTE", 0x9003: "2026:01:02 03:04:05"}
    block = image.tobytes()
    again = Image.Exif()
    again.load(block)
    clean = exif.clean(block)
    for hidden in (b"PRIVATE", b"MAKERS NOTE"):
        assert hidden in again.tobytes()
        assert hidden not in clean
    kept = Image.Exif()
    kept.load(clean)
    assert kept[0x010F] == "maker"
    assert kept.get_ifd(0x8769) == {0x9003: "2026:01:02 03:04:05"}


def test_values_that_overlap_are_not_copied():
    """Entries that all point to the same bytes could make megabytes of a 64 KiB block."""

    def block(count: int) -> bytes:
        offset = 8 + 2 + 12 * count + 4
        rows = b"".join(struct.pack("<HHII", 0x9C00 + n, 7, 400, offset) for n in range(count))
        return exif.PREFIX + b"II*\0" + struct.pack("<IH", 8, count) + rows + bytes(404)

    assert exif.clean(block(1)) == block(1)
    assert exif.clean(block(2)) is None


def test_iptc_loses_other_resources():
    def resource(number: int, data: bytes) -> bytes:
        return b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(data)) + data

    record, thumbnail = resource(0x0404, b"IPTC"), resource(0x040C, b"JPEG")
    assert iptc.clean(iptc.PREFIX + thumbnail + record) == iptc.PREFIX + record
    assert iptc.clean(iptc.PREFIX + thumbnail) is None
    assert iptc.clean(iptc.PREFIX + record[:-1]) is None


@pytest.mark.parametrize("quote", [b"'", b'"'])
def test_xmp_loses_thumbnails(quote):
    packet = xmp.PREFIX + b"<a xmpGImg:image=%sQUJD%s/><xmpGImg:image>QUJD</xmpGImg:image>"
    expected = xmp.PREFIX + b'<a xmpGImg:image=""/><xmpGImg:image></xmpGImg:image>'
    assert xmp.clean(packet % (quote, quote)) == expected
