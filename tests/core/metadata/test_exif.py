"""EXIF: an allow-list of tags, and one bad field that does not cost the good ones."""

from __future__ import annotations

import io
import struct

import piexif
import pytest
from PIL import Image

from pyfd._core import metadata
from pyfd._core.metadata import exif, tags
from tests.metadata import block, check, directory, number, parsed

MAKE, MODEL = (0x010F, 2, b"Maker\0"), (0x0110, 2, b"a model\0")
TURNED = (0x0112, 3, number(6))
DATE = (0x9003, 2, b"2026:01:02 03:04:05\0")
NORTH = (0x0001, 2, b"N\0")


def kept(data: bytes, *names: str) -> tuple[bytes | None, str]:
    """Return the block that is kept, and the line about what is left out."""
    found = [(exif.MARKER, data)]
    check(found)
    result = metadata.kept(found, names or metadata.NAMES)
    segments = parsed(result.segments)
    return (segments[0][1] if segments else None), result.left_out


def tags_of(data: bytes | None) -> dict[int, object]:
    """Return Pillow's reading: the tags of all directories."""
    image = Image.Exif()
    image.load(data or b"")
    found = {tag: value for tag, value in image.items() if tag not in (0x8769, 0x8825)}
    for pointer in (0x8769, 0x8825, 0xA005):
        found.update({(pointer, t): v for t, v in image.get_ifd(pointer).items() if t != 0xA005})
    return found


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_cameras_block_is_kept_as_it_is(order):
    data = block(
        [
            MAKE,
            MODEL,
            (0x0112, 3, number(6, 3, order)),
            (0x011A, 5, struct.pack(order + "2I", 72, 1)),
        ],
        exif=[DATE, (0x9000, 7, b"0232"), (0xA432, 5, struct.pack(order + "8I", *range(1, 9)))],
        gps=[NORTH, (0x0002, 5, struct.pack(order + "6I", 48, 1, 8, 1, 1234, 100))],
        interop=[(1, 2, b"R98\0"), (2, 7, b"0100")],
        order=order,
    )
    new, left_out = kept(data)
    assert left_out == ""
    assert tags_of(new) == tags_of(data)
    assert new[6:8] == data[6:8]
    assert len(tags_of(new)) == 11


def sample(rule: tags.Tag) -> tuple[int, bytes]:
    """Return a type and a value that a tag may have."""
    if rule.kinds in (tags.NUMBERS, tags.INTEGERS):
        return 3, number(1) * rule.least
    if rule.name == "CFAPattern":
        return 7, b"\2\0\2\0\0\1\1\2"
    if rule.name.startswith("XP"):
        return 1, "word\0".encode("utf-16-le")
    return (2, b"word\0") if not rule.least else (1, b"\1" * rule.most)


def test_every_tag_of_the_list_is_kept_and_no_other():
    for place, listed in (("image", tags.IMAGE), ("exif", tags.EXIF), ("gps", tags.GPS)):
        entries = [(tag, *sample(rule)) for tag, rule in sorted(listed.items())]
        new, left_out = kept(block(**{place: [*entries, (0xFDE8, 2, b"private\0")]}))
        assert new == block(**{place: entries})
        assert left_out == ""


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ([(0x8825, 4, b"\xff\xff\0\0")], "the GPS directory (its pointer leads nowhere)"),
        ([(0x8825, 2, b"\x08\0\0\0")], "the GPS directory (its pointer leads nowhere)"),
        ([(0x8769, 4, b"\xff\xff\xff\xff")], "the Exif directory (its pointer leads nowhere)"),
        ([(0x010E, 2, (40, b"\xff\xff\0\0"))], "ImageDescription"),
        ([(0x010E, 2, (2**31, b"\x08\0\0\0"))], "ImageDescription"),
        ([(0x0131, 7, b"software")], "Software"),
        ([(0x0131, 99, (1, b"word"))], "Software"),
        ([(0x011A, 5, (2, b"\x08\0\0\0"))], "XResolution"),
        ([(0x011A, 5, (0, b"\x08\0\0\0"))], "XResolution"),
        ([(0x010E, 2, b"\xff\xd8\xff\xe0" * 9)], "ImageDescription"),
    ],
)
def test_one_bad_entry_costs_itself(image, named):
    for entries in ([*image, MAKE, TURNED], [MAKE, *image, TURNED], [MAKE, TURNED, *image]):
        new, left_out = kept(block(entries))
        assert tags_of(new) == {0x010F: "Maker", 0x0112: 6}
        assert left_out == f"metadata left out: {named}"


def test_a_bad_directory_costs_itself():
    data = block([TURNED], exif=[DATE], gps=[NORTH])
    at = data.index(directory([NORTH], 0)[:6])
    for size in range(at, len(data)):
        new, _ = kept(data[:size])
        assert tags_of(new)[0x0112] == 6
        assert tags_of(new)[0x8769, 0x9003] == "2026:01:02 03:04:05"


def test_a_block_that_is_cut_keeps_what_is_before_the_cut():
    data = block([TURNED, MAKE, MODEL])
    sizes = range(14, len(data))
    found = [metadata.orientation(exif.clean(data[:size], metadata.NAMES, {})) for size in sizes]
    assert found == [metadata.orientation(data[:size]) for size in sizes]
    assert found[-1] == 6
    assert 0x010F in tags_of(kept(data[:-8])[0])


def test_directories_in_a_loop():
    first = [TURNED, MAKE, (0x8769, 4, number(8, 4)), (0x8825, 4, number(8, 4))]
    new, _ = kept(block(first))
    assert {0x0112, 0x010F} <= set(tags_of(new))
    looped = block([TURNED], exif=[DATE, (0xA005, 4, number(8, 4)), (0x8769, 4, number(8, 4))])
    assert tags_of(kept(looped)[0]) == {0x0112: 6, (0x8769, 0x9003): "2026:01:02 03:04:05"}


def test_duplicates_keep_the_first_that_is_sound():
    new, left_out = kept(
        block([(0x010F, 7, b"bad!"), MAKE, (0x010F, 2, b"Other\0"), TURNED, TURNED])
    )
    assert tags_of(new) == {0x010F: "Maker", 0x0112: 6}
    assert left_out == "metadata left out: Make"


def test_values_that_overlap_are_kept_apart():
    value = (9, struct.pack("<I", 60))
    data = block([(0x010F, 2, value), (0x0110, 2, value), (0x0131, 2, value)]).ljust(66, b"\0")
    data += b"the same\0"
    new, left_out = kept(data)
    assert left_out == ""
    assert tags_of(new) == dict.fromkeys((0x010F, 0x0110, 0x0131), "the same")


def test_values_that_overlap_too_often_cost_no_time():
    """Each of 5,400 entries points to 2,000 bytes that are almost text."""
    row = (0x010E, 2, (2000, struct.pack("<I", 66000)))
    data = block([row] * 5400).ljust(66006, b"\0") + b"words " * 330 + b"\x01" * 40
    _, left_out = kept(data)
    assert "ImageDescription" in left_out
    block_ = exif.tiff.Block(data[6:])
    block_.read(8, exif.tiff.Listed("", tags.IMAGE, {}), {})
    assert block_._left < 0


def test_two_blocks_keep_what_readers_read():
    one, two = block([TURNED]), block([MAKE])
    found = [(exif.MARKER, b"http://ns.adobe.com/xap/1.0/\0"), (0xE1, one), (0xE1, two)]
    check(found)
    assert tags_of(metadata.kept(found).segments[4:]) == {0x0112: 6}


# ---- values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "kind", "value", "expected"),
    [
        (0x010F, 2, b"Canon\0\xff\xd8 JPEG", b"Canon\0"),
        (0x010F, 2, b"no end", b"no end\0"),
        (0x010F, 2, "größe\0".encode(), "größe\0".encode()),
        (0x010F, 2, "größe\0".encode("latin-1"), "größe\0".encode("latin-1")),
        (0x010F, 129, "größe\0".encode(), "größe\0".encode()),
        (0x010F, 2, b"SONY" + bytes(3000), b"SONY\0"),
        (0x010E, 2, b"x " * 1000, b"x " * 1000 + b"\0"),
        (0x010E, 2, b"x " * 1001, None),
        (0x010E, 2, b"\xff\xd8\xff\xe0words", None),
        (0x010E, 2, b"<script>alert(1)</script>", None),
        (0x010E, 2, b"PK\x03\x04", None),
        (0x010E, 2, b"%PDF-1.4 ", None),
        (0x010E, 2, b"a < b, <3, 1 > 0, <jane@example.org>\0", ...),
        (0x010E, 2, b"<svg/onload=x@y>\0", None),
        (0x8298, 2, b"(c) Jane\0ed. John\0", ...),
        (0x8298, 2, b"(c) Jane\0\xff\xd8\xff", None),
        (0x8298, 2, b"(c) Jane\0", ...),
        (0x9C9B, 1, "Größe\0".encode("utf-16-le"), ...),
        (0x9C9B, 1, "\ud83d\ude00 ok\0".encode("utf-16-le", "surrogatepass"), ...),
        (0x9C9B, 1, b"\xff\xd8" * 20, None),
        (0x9C9B, 1, b"QUJDREVG" * 20, None),
        (0x9C9B, 1, ("QUJDREVG" * 20).encode("utf-16-le"), None),
        (0x9C9B, 1, ("QUJDREVG" * 20).encode("utf-16-be"), None),
    ],
)
def test_texts(tag, kind, value, expected):
    new, left_out = kept(block([(tag, kind, value)]))
    if expected is None:
        assert new is None
        assert left_out == f"metadata left out: {tags.IMAGE[tag].name}"
    else:
        expected = value if expected is ... else expected
        assert new == block([(tag, kind, expected)])
        assert left_out == ""


UNICODE, PLAIN, JIS = b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (7, PLAIN + b"words", ...),
        (7, PLAIN + b"words" + bytes(90), PLAIN + b"words"),
        (7, bytes(8) + b"words", ...),
        (7, bytes(264), bytes(8)),
        (7, UNICODE + "Größe".encode("utf-16-le"), ...),
        (7, UNICODE + "Größe".encode("utf-16-be"), ...),
        (
            7,
            UNICODE + "写真".encode("utf-16-be") + b"\0\0\xff\xd8",
            UNICODE + "写真".encode("utf-16-be"),
        ),
        (7, JIS + "写真".encode("iso2022_jp"), ...),
        (7, JIS + "どこかで撮った写真".encode("iso2022_jp"), ...),
        (7, JIS + b"\x1b$B" + b"ffd8ffe0" * 20 + b"\x1b(B", None),
        (7, JIS + b"\x1b$B\x1b(B" * 9, None),
        (7, b"no code", b"no code\0"),
        (2, b"no code\0", ...),
        (7, PLAIN + b"\xff\xd8\xff\xe0", None),
        (7, bytes(8) + b"\xff\xd8\xff\xe0", None),
        (7, UNICODE + b"\xff\xd8\xff\xe0" * 90, None),
        (7, UNICODE + b"QUJDREVG" * 90, None),
        (7, b"\xff\xd8\xff\xe0" * 90, None),
        (7, PLAIN + b"QUJDREVG" * 90, None),
        (7, PLAIN + b"x " * 1001, None),
    ],
)
def test_user_comments(kind, value, expected):
    new, left_out = kept(block([], exif=[(0x9286, kind, value)]))
    if expected is None:
        assert new is None
        assert left_out == "metadata left out: UserComment"
    else:
        expected = value if expected is ... else expected
        assert new == block([], exif=[(0x9286, kind, expected)])
        assert left_out == ""


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        (b"\2\0\2\0\0\1\1\2", True),
        (b"\0\2\0\2\0\1\1\2", True),
        (b"\2\0\2\0\xff\xd8\xff\xe0", False),
        (b"\2\0\2\0", False),
        (b"\0\0\0\0\0", False),
        (b"\2\0\2\0\0\1\1", False),
    ],
)
def test_color_filters(value, is_kept):
    assert (kept(block([], exif=[(0xA302, 7, value)]))[0] is not None) == is_kept


# ---- the orientation, and names ------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
def test_orientations_of_all_types_are_kept_as_a_short(kind, order):
    for value in (1, 3, 8):
        data = block([(0x0112, kind, number(value, kind, order))], order=order)
        assert metadata.orientation(data) == value
        assert kept(data)[0] == block([(0x0112, 3, number(value, 3, order))], order=order)


@pytest.mark.parametrize(
    "entries",
    [
        [(0x0112, 3, number(0))],
        [(0x0112, 3, number(9)), TURNED],
        [(0x0112, 2, b"6\0"), TURNED],
        [(0x0112, 3, b"\6\0\7\0"), TURNED],
        [(0x0112, 4, (2, b"\x08\0\0\0")), TURNED],
        [(0x0112, 3, (0, b"\6\0\0\0")), TURNED],
        [TURNED, (0x0112, 3, number(1))],
        [(0x0112, 9, number(-1, 9)), TURNED],
    ],
)
def test_the_orientation_stays_what_probe_reads(entries):
    data = block([*entries, MAKE], gps=[(99, 99, (2**31, b"\xff" * 4))])
    new, _ = kept(data)  # `check` compares the orientations
    assert tags_of(new)[0x010F] == "Maker"
    assert metadata.orientation(kept(data, "orientation")[0]) == metadata.orientation(data)


def test_names_choose_directories():
    data = block([MAKE, TURNED], exif=[DATE], gps=[NORTH], interop=[(1, 2, b"R98\0")])
    everything = tags_of(data)
    assert tags_of(kept(data, "exif", "gps")[0]) == everything
    position = {(0x8825, 1): "N"}
    assert tags_of(kept(data, "exif")[0]) == {
        tag: value for tag, value in everything.items() if (tag, value) not in position.items()
    }
    assert tags_of(kept(data, "gps")[0]) == position
    assert tags_of(kept(data, "gps", "orientation")[0]) == {0x0112: 6, **position}
    assert kept(data, "orientation")[0] == block([TURNED])
    assert kept(data, "icc", "xmp", "iptc", "comment")[0] is None
    assert kept(block([MAKE]), "orientation")[0] is None


def test_pillows_own_block():
    """Pillow's copy keeps makers' notes and private tags; ours must not keep them."""
    image = Image.Exif()
    image[0x010F], image[0xC634] = "maker", b"PRIVATE"
    image[0x8769] = {0x927C: b"MAKERS NOTE", 0x9003: "2026:01:02 03:04:05"}
    data = image.tobytes()
    again = Image.Exif()
    again.load(data)
    new, left_out = kept(data)
    assert left_out == ""  # what is not listed is no news
    for hidden in (b"PRIVATE", b"MAKERS NOTE"):
        assert hidden in again.tobytes()
        assert hidden not in new
    assert tags_of(new) == {0x010F: "maker", (0x8769, 0x9003): "2026:01:02 03:04:05"}


def test_piexif_reads_the_same():
    data = piexif.dump(
        {
            "0th": {piexif.ImageIFD.Make: b"Maker", piexif.ImageIFD.XPTitle: tuple(b"t\0\0\0")},
            "Exif": {piexif.ExifIFD.FNumber: (28, 10), piexif.ExifIFD.LensModel: b"a lens"},
            "GPS": {piexif.GPSIFD.GPSLatitude: ((48, 1), (8, 1), (1234, 100))},
        }
    )
    old, new = piexif.load(data), piexif.load(kept(data)[0])
    for found in (old, new):
        del found["0th"][0x8769], found["0th"][0x8825]  # the places of directories
    assert new == old


def test_the_longest_block_fits_a_segment():
    words, coded = b"words " * 700, PLAIN + b"words " * 333
    windows = ("words " * 333).encode("utf-16-le")

    def longest(listed: dict[int, tags.Tag]) -> list[tuple[int, int, bytes]]:
        found = []
        for tag, rule in sorted(listed.items()):
            if rule.kinds is tags.NUMBERS:
                found.append((tag, 5, bytes(8 * rule.most)))
            elif rule.name.startswith("XP"):
                found.append((tag, 1, windows))
            elif 2 in rule.kinds and not rule.least:
                found.append((tag, 2, coded if 7 in rule.kinds else words[: rule.most]))
        return found

    old = exif.tiff.Block(block([])[6:])
    image, below, gps = (
        exif.tiff.Directory({tag: exif.tiff.Value(kind, value) for tag, kind, value in found}, {})
        for found in map(longest, (exif._IMAGE, tags.EXIF, tags.GPS))
    )
    image.below.update({0x8769: below, 0x8825: gps})
    data = exif.PREFIX + exif.tiff.write(old.order, image)
    assert 30_000 < len(data) < 65_000
    assert sum(map(most_bytes, (exif._IMAGE, tags.EXIF, tags.GPS, tags.INTEROP))) < 65_000


def most_bytes(listed: dict[int, tags.Tag]) -> int:
    """Return the most bytes of a directory with two pointers."""
    return 6 + 12 * (len(listed) + 2) + sum(rule.longest + 2 for rule in listed.values())


def test_a_header_alone():
    for data in (b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0nonsense"):
        assert kept(data) == (None, "metadata left out: EXIF (no TIFF header)")
    assert io.BytesIO(kept(block([]))[0] or b"").read() == b""
