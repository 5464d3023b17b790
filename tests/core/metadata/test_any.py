"""Whatever is in a file: what is kept is listed, bounded, readable and kept again; and the time."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfd._core import metadata
from pyfd._core.metadata import comments, exif, icc, iptc, profiles, properties, tags, xmp
from pyfd._core.metadata.segments import MAX_PAYLOAD, Payload
from tests.metadata import (
    SIZES,
    SRGB,
    as_segments,
    block,
    check,
    dataset,
    number,
    packet,
    parsed,
    profile,
    resource,
    steps,
)

# ---- a grammar of metadata ------------------------------------------------------

PREFIXES = [b"", exif.PREFIX, exif.PREFIX + b"II*\0", icc.PREFIX, iptc.PREFIX, xmp.PREFIX]
NOISE = st.tuples(
    st.sampled_from([0xE0, 0xE1, 0xE2, 0xED, 0xFE]),
    st.builds(bytes.__add__, st.sampled_from(PREFIXES), st.binary(max_size=200)),
)
TEXTS = st.one_of(
    st.sampled_from(
        ["words", "größe", "写真", "<b>", "QUJDREVG" * 9, "", "a\0b", "\r\n", "]]>", "&"]
    ),
    st.text(max_size=30),
)
VALUES = st.one_of(st.binary(max_size=60), TEXTS.map(str.encode))


def entries(*lists: dict[int, tags.Tag]) -> st.SearchStrategy:
    listed = sorted(set().union(*lists))
    number = st.one_of(
        st.sampled_from(listed), st.sampled_from([0x8769, 0x8825, 0xA005, 0x927C, 0x0201])
    )
    fields = st.tuples(
        st.integers(0, 2**32 - 1) | st.integers(0, 300), st.binary(min_size=4, max_size=4)
    )
    places = fields.map(lambda field: (field[0], struct.pack("<I", field[0] % 400)))
    return st.lists(
        st.tuples(number, st.sampled_from(sorted(SIZES)), VALUES | fields | places), max_size=12
    )


EXIF = st.builds(
    block,
    entries(tags.IMAGE, tags.EXIF),
    st.none() | entries(tags.EXIF),
    st.none() | entries(tags.GPS),
    st.none() | entries(tags.INTEROP),
    st.sampled_from("<>"),
).map(lambda data: (exif.MARKER, data))
DATASETS = st.lists(
    st.builds(dataset, st.sampled_from([1, 2, 2, 2, 3]), st.integers(0, 255), VALUES)
)
RESOURCES = st.lists(
    st.builds(
        resource, st.sampled_from([0x0404, 0x0404, 0x0425, 0x040C]), DATASETS.map(b"".join) | VALUES
    ),
    max_size=4,
)
IPTC = RESOURCES.map(lambda found: (iptc.MARKER, iptc.PREFIX + b"".join(found)))
NAMES = [f"{properties.NAMESPACES[uri]}:{name}" for uri, name in properties.PROPERTIES]
ELEMENTS = st.sampled_from(
    [*NAMES, "rdf:Bag", "rdf:Alt", "rdf:li", "rdf:li", "rdf:Description", "x:y"]
)
ATTRIBUTES = st.lists(
    st.builds(
        lambda name, value: f" {name}='{value.translate(dict.fromkeys(b'<&', 'x') | {39: 'x'})}'",
        st.sampled_from(
            ["xml:lang", "rdf:resource", "rdf:parseType", "dc:title", "xmlns:q", "xmlns"]
        ),
        TEXTS,
    ),
    max_size=2,
    unique_by=lambda text: text.split("=")[0],
).map("".join)
XML = st.recursive(
    TEXTS | TEXTS.map(lambda text: f"<![CDATA[{text}]]>"),
    lambda inside: st.builds(
        lambda name, attributes, parts: f"<{name}{attributes}>{''.join(parts)}</{name}>",
        ELEMENTS,
        ATTRIBUTES,
        st.lists(inside, max_size=4),
    ),
    max_leaves=12,
)
XMP = st.builds(packet, XML, ATTRIBUTES).map(lambda data: (xmp.MARKER, data))
PROFILES = st.builds(
    lambda found: (icc.MARKER, icc.PREFIX + b"\1\1" + profile(*found)),
    st.lists(
        st.tuples(
            st.sampled_from(sorted(profiles.TAGS)).map(str.encode),
            st.builds(
                lambda kind, data: kind + bytes(4) + data,
                st.sampled_from(sorted(profiles._TYPES)),
                VALUES | st.just(struct.pack(">I", 2) + b"\1\1\1\1"),
            ),
        ),
        max_size=6,
    ),
)
COMMENTS = VALUES.map(lambda value: (comments.MARKER, value))


@settings(max_examples=300)
@given(st.lists(EXIF | IPTC | XMP | PROFILES | COMMENTS | NOISE, max_size=4))
def test_what_is_kept_of_anything(found):
    check(found)


@given(st.lists(EXIF | IPTC | XMP | PROFILES | COMMENTS, max_size=3), st.data())
def test_what_is_kept_of_damaged_metadata(found, data):
    whole = bytearray(as_segments(found))
    for _ in range(data.draw(st.integers(0, 8))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check(parsed(bytes(whole[: data.draw(st.integers(0, len(whole)))])))


# ---- a caller's own values --------------------------------------------------------


@pytest.mark.parametrize("size", [1, 65519, 65520, 200_000])
def test_icc_profiles_are_split_and_joined(size):
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found = parsed(icc.build(value))
    assert len(found) == -(-size // 65519)
    assert icc.read(found) == icc.read(found[::-1]) == value
    assert icc.read(found[1:]) is None
    assert icc.read([*found, found[0]]) is None


def test_empty_values_have_no_segments():
    assert metadata.build(b"", b"", b"") == metadata.build(None, None, "") == b""
    assert metadata.kept([]) == (b"", "")


@pytest.mark.parametrize(
    ("kind", "most", "prefix"),
    [(exif, MAX_PAYLOAD, exif.PREFIX), (comments, MAX_PAYLOAD, b""), (icc, 255 * 65519, b"")],
)
def test_the_longest_value_that_fits(kind, most, prefix):
    value = prefix + bytes(most - len(prefix))
    assert kind.read(parsed(kind.build(value))) == value
    with pytest.raises(ValueError, match="is longer than"):
        kind.build(value + b"\0")


# ---- the time that the worst files take ---------------------------------------------


ALMOST_TEXT = "".join(chr(0x4E00 + number) for number in range(660)).encode() + b"\1"


def split(marker: int, prefix: bytes, data: bytes) -> list[Payload]:
    each = MAX_PAYLOAD - len(prefix)
    return [(marker, prefix + data[at : at + each]) for at in range(0, len(data), each)]


SAME_PLACE = (0x010E, 2, (2000, struct.pack("<I", 60000)))
LOOPS = [(tag, 4, number(8, 4)) for tag in (0x8769, 0x8825, 0xA005)]


def several(text: str, count: int) -> str:
    return "".join(text.replace("#", str(n)) for n in range(count))


PACKETS = {
    "elements": packet("<a/>" * 15_800),
    "attributes": packet("<a" + several(" b#=''", 7000) + "/>"),
    "namespaces": packet(several("<a xmlns:b#=''/>", 3000), several(" xmlns:q#=''", 230)),
    "a long namespace": packet(f"<a xmlns:p='{'x' * 30000}'" + several(" p:b#=''", 2500) + "/>"),
    "items": packet(f"<dc:type><rdf:Bag>{'<rdf:li>words</rdf:li>' * 2800}</rdf:Bag></dc:type>"),
}
ATTACKS = {
    "comments": [(comments.MARKER, ALMOST_TEXT)] * 8000,
    "datasets": split(0xED, iptc.PREFIX, resource(0x0404, dataset(2, 120, ALMOST_TEXT) * 8000)),
    "empty datasets": split(0xED, iptc.PREFIX, resource(0x0404, dataset(2, 25, b"") * 3_000_000)),
    "empty resources": split(0xED, iptc.PREFIX, resource(1, b"") * 1_300_000),
    "segments": [(0xED, iptc.PREFIX + b"8BIM")] * 100_000,
    "ICC": parsed(icc.build(SRGB + bytes(16_000_000))),
    "ICC chunks": [(icc.MARKER, icc.PREFIX + b"\1\xff" + bytes(60000))] * 260,
    "values": [(0xE1, block([SAME_PLACE] * 4900).ljust(60006, b"\0") + ALMOST_TEXT)] * 250,
    "entries": [(0xE1, block([(0x0102, 3, (3, b"\xff\xff\xff\xff"))] * 5400))] * 250,
    "loops": [(0xE1, block([*LOOPS, *[(0x010F, 7, b"abcd")] * 5390]))] * 250,
    **{name: [(0xE1, data)] * 250 for name, data in PACKETS.items()},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_steps_are_bounded(attack):
    """Even 16 MiB, which is the default of `max_metadata`, take 3 million at most."""
    found = [(marker, payload[:MAX_PAYLOAD]) for marker, payload in ATTACKS[attack]]
    assert steps(lambda: metadata.kept(found)) < 3_000_000
