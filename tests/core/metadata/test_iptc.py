"""IPTC: text records of Photoshop's resources, however many segments these take."""

from __future__ import annotations

import base64
import struct
import textwrap

import pytest

from pyfd._core import metadata
from pyfd._core.metadata import iptc, text
from tests.metadata import check, dataset, parsed, resource

UTF8 = dataset(1, 90, b"\x1b%G")
VERSION = dataset(2, 0, b"\0\4")
TITLE, WORD, CITY = dataset(2, 5, b"A title"), dataset(2, 25, b"word"), dataset(2, 90, b"Ulm")
PREVIEW = dataset(2, 200, b"\0\0") + dataset(2, 202, b"\xff\xd8\xff\xe0")


def kept(resources: bytes, *names: str, each: int = 60000) -> tuple[bytes | None, str]:
    """Return the records that are kept, and the line about what is left out."""
    found = [
        (iptc.MARKER, iptc.PREFIX + resources[at : at + each])
        for at in range(0, len(resources), each)
    ]
    check(found)
    result = metadata.kept(found, names or metadata.NAMES)
    segments = parsed(result.segments)
    if not segments:
        return None, result.left_out
    (payload,) = (payload for _, payload in segments)
    (size,) = struct.unpack_from(">I", payload, len(iptc.PREFIX) + 8)
    records = payload[len(iptc.PREFIX) + 12 :][:size]
    assert payload == iptc.PREFIX + resource(0x0404, records)
    return records, result.left_out


def test_text_records_are_kept():
    records = UTF8 + VERSION + TITLE + WORD + WORD + dataset(2, 120, "größe".encode()) + CITY
    assert kept(resource(0x0404, records)) == (records, "")
    assert kept(resource(0x0404, records), "iptc") == (records.replace(CITY, b""), "")
    assert kept(resource(0x0404, records), "gps", "exif", "xmp") == (None, "")


def test_every_dataset_of_the_list_is_kept_and_no_other():
    records = b"".join(dataset(2, number, b"word") for number in range(1, 256))
    listed = b"".join(dataset(2, number, b"word") for number in sorted(iptc.DATASETS))
    other = b"".join(dataset(n, 5, b"word") for n in (1, 3, 7, 8, 9, 240))
    assert kept(resource(0x0404, other + records + other)) == (listed, "")


@pytest.mark.parametrize("each", [1, 7, 100])
def test_resources_in_several_segments_are_joined(each):
    records = TITLE + dataset(2, 120, b"words " * 300)
    data = resource(0x040C, bytes(500), b"name") + resource(0x0404, records) + resource(1, b"x")
    assert kept(data, each=each) == (records, "")


def test_records_in_several_resources_are_joined():
    first, second = resource(0x0404, VERSION + TITLE), resource(0x0404, UTF8 + VERSION + WORD)
    for between in (b"", resource(0x0425, bytes(16))):
        assert kept(first + between + second) == (UTF8 + VERSION + TITLE + WORD, "")
        assert kept(first + between + first) == (VERSION + TITLE, "")
    damaged = resource(0x0404, TITLE + b"rubbish") + resource(0x0404, WORD)
    assert kept(damaged) == (TITLE + WORD, "metadata left out: IPTC (damaged records)")
    many = b"".join(resource(0x0404, dataset(2, 25, b"words %d " % n * 20)) for n in range(500))
    assert len(kept(many)[0]) <= text.MOST


def test_bytes_in_keywords_are_no_text():
    lines = textwrap.wrap(base64.b64encode(bytes(range(256))).decode(), 32)
    records = b"".join(dataset(2, 25, line.encode()) for line in lines)
    assert kept(resource(0x0404, records)) == (None, "metadata left out: IPTC (encoded)")


def test_other_resources_are_lost():
    digest = resource(0x0425, bytes(16))
    for others in (resource(0x040C, b"\xff\xd8\xff"), resource(0x0422, b"Exif\0\0"), digest):
        assert kept(others + resource(0x0404, TITLE) + others) == (TITLE, "")
        assert kept(others) == (None, "")
    assert kept(resource(0x0404, VERSION)) == (None, "")
    assert kept(resource(0x0404, PREVIEW + TITLE)) == (TITLE, "")


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (dataset(2, 80, b"\xff\xd8\xff\xe0"), "IPTC By-line"),
        (dataset(2, 80, b"QUJDREVG" * 20), "IPTC By-line"),
        (dataset(2, 80, b"<script>"), "IPTC By-line"),
        (dataset(2, 80, b"words " * 50), "IPTC By-line"),
        (dataset(2, 120, b"words " * 400), "IPTC Caption/Abstract"),
        (struct.pack(">BBBHI", 0x1C, 2, 120, 0x8004, 5) + b"words", ""),
        (struct.pack(">BBBHI", 0x1C, 2, 202, 0x8004, 50_000) + bytes(50_000), ""),
    ],
)
def test_one_bad_record_costs_itself(bad, name):
    left_out = f"metadata left out: {name}" if name else ""
    for records in (bad + TITLE, TITLE + bad):
        new, told = kept(resource(0x0404, records))
        assert told == left_out
        assert new.replace(dataset(2, 120, b"words"), b"") == TITLE


@pytest.mark.parametrize(
    "tail",
    [
        b"\x1c\2\x19\0\x05word",
        b"\x1c\2",
        b"rubbish",
        struct.pack(">BBBHI", 0x1C, 2, 5, 0x8004, 2**31),
    ],
)
def test_records_are_kept_up_to_the_damage(tail):
    assert kept(resource(0x0404, TITLE + tail)) == (
        TITLE,
        "metadata left out: IPTC (damaged records)",
    )
    padded = resource(0x0404, TITLE + bytes(9))
    assert kept(padded) == (TITLE, "")
    assert kept(padded[:-12])[0] is None


def test_damaged_resources():
    left_out = "metadata left out: IPTC (damaged Photoshop resources)"
    assert (
        kept(b"rubbish and more rubbish") == (None, "")
        or kept(b"rubbish!! and more")[1] == left_out
    )
    assert kept(b"\0" * 20) == (None, left_out)
    assert kept(resource(0x0404, TITLE) + b"\0" * 20) == (TITLE, "")
    huge = b"8BIM\4\x0c\0\0\xff\xff\xff\xff"
    assert kept(huge + resource(0x0404, TITLE)) == (None, "")


def test_all_records_have_a_bound_together():
    records = b"".join(dataset(2, 25, b"word %d" % number) for number in range(900))
    new, left_out = kept(resource(0x0404, records))
    assert (new, left_out) == (records, "")
    many = b"".join(dataset(2, 25, b"words " * 40) for _ in range(900))
    new, left_out = kept(resource(0x0404, many), each=60000)
    assert text.MOST - 300 < len(new) <= text.MOST
    assert left_out == "metadata left out: IPTC Keywords"
