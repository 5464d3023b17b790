"""A picture, and encodings of it, in every place that metadata have: nothing of it is kept."""

from __future__ import annotations

import base64
import functools
import itertools
import struct
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import pytest

import pyfd
from pyfd._core import metadata
from pyfd._core.metadata import exif, icc, iptc, profiles, properties, tags, xmp
from pyfd._core.metadata.segments import Payload
from tests.jpegs import encode_with_pillow, gray, picture
from tests.metadata import (
    SIZES,
    SPACES,
    SRGB,
    as_segments,
    block,
    dataset,
    packet,
    parsed,
    profile,
    rdf,
    resource,
)  # fmt: skip

JPEG = encode_with_pillow(picture(40, 30), quality=60)
BASE64 = base64.b64encode(JPEG)
TEXTS = {
    "base64": BASE64,
    "base64 in lines": base64.encodebytes(JPEG),
    "base64 in lines of 64": b"\r\n".join(BASE64[at : at + 64] for at in range(0, len(BASE64), 64)),
    "base64 in lines of 32": b"\n".join(BASE64[at : at + 32] for at in range(0, 1800, 32)),
    "base64 for addresses": base64.urlsafe_b64encode(JPEG),
    "hexadecimal": JPEG.hex().encode(),
    "base85": base64.b85encode(JPEG),
    "an address": b"data:image/jpeg;base64," + BASE64,
    "markup": b'<svg onload="alert(1)"><path d="M 0 0 L 9 9 z M 1 2 z"/></svg>',
}
FORMS = {
    "bytes": JPEG,
    "behind a NUL": b"words\0" + JPEG,
    "behind words": b"some words" + JPEG,
    **TEXTS,
    "base64 in UTF-16": BASE64.decode().encode("utf-16-le"),
    "base64 in UTF-16, big-endian": BASE64.decode().encode("utf-16-be"),
    "markup in UTF-16": TEXTS["markup"].decode().encode("utf-16-le"),
}
PARTS = 12  # bytes in a row that would give it away


@functools.cache
def parts(form: bytes) -> set[bytes]:
    """Return parts of a form, as bytes and as text of one byte per letter."""
    found = set()
    for whole in (form, form.replace(b"\0", b""), JPEG):
        found |= {whole[at : at + PARTS] for at in range(0, len(whole) - PARTS, 3)}
    return {part for part in found if len(set(part)) > 4}


def assert_gone(found: list[Payload], form: bytes) -> None:
    kept = metadata.kept(found).segments
    assert not parts(form) & {kept[at : at + PARTS] for at in range(len(kept))}


@pytest.fixture(params=FORMS, name="form")
def hidden_form(request) -> bytes:
    return FORMS[request.param]


OTHER_TAGS = (
    *(0xFDE8, 0xC7A1, 0xEA1C, 0x8649, 0x02BC, 0x002E, 0x83BB, 0x8773, 0x9C9A, 0xC4A5, 0xC634),
    *(0x0111, 0x0144, 0x014A, 0x015B, 0x0201, 0x0202, 0x927C, 0xA40B, 0xA20C, 0x8828, 0xFFFF),
)
DIRECTORIES = {"image": tags.IMAGE, "exif": tags.EXIF, "gps": tags.GPS, "interop": tags.INTEROP}


@pytest.mark.parametrize("place", DIRECTORIES)
def test_every_tag_of_every_type(place, form):
    """In as few blocks as hold all of them."""
    rows = []
    for tag, kind in itertools.product((*DIRECTORIES[place], *OTHER_TAGS), SIZES):
        rows.append((tag, kind, form.ljust(-(-len(form) // SIZES[kind]) * SIZES[kind])))
    each = max(1, 50_000 // (len(form) + 30))
    for number, at in enumerate(range(0, len(rows), each)):
        data = block(**{place: rows[at : at + each]}, order="<>"[number % 2])
        assert_gone([(exif.MARKER, data)], form)


@pytest.mark.parametrize(
    "code", [b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", bytes(8), b"other\0\0\0"]
)
@pytest.mark.parametrize("tag", [0x9286, 0x001B, 0x001C])
def test_texts_with_a_code(tag, code, form):
    for kind, order in itertools.product((2, 7, 129), "<>"):
        place = "exif" if tag == 0x9286 else "gps"
        data = block(**{place: [(tag, kind, code + form)]}, order=order)
        assert_gone([(exif.MARKER, data)], form)


def test_in_a_block_without_a_tag(form):
    data = block([(0x0112, 3, b"\6\0")], exif=[], gps=[])
    for whole in (
        data + form,
        data[:6] + form,
        data.replace(b"\x08\0\0\0", b"\x08\1\0\0", 1) + form,
    ):
        assert_gone([(exif.MARKER, whole)], form)


def test_every_dataset_and_resource(form):
    for first in range(0, 256, 16):
        found = [
            (iptc.MARKER, iptc.PREFIX + resource(0x0404, dataset(record, number, form)))
            for record in (1, 2, 3, 8)
            for number in range(first, first + 16)
        ]
        for one in found:
            assert_gone([one], form)
    numbers = (*range(0x03E8, 0x0460), 0x0BB7, 0x0FA0, 0x2710)
    all_of_them = b"".join(resource(number, form, form[:200]) for number in numbers)
    title = resource(0x0404, dataset(2, 5, b"A title"))
    joined = all_of_them + title + form
    found = [
        (iptc.MARKER, iptc.PREFIX + joined[at : at + 60_000])
        for at in range(0, len(joined), 60_000)
    ]
    assert_gone(found, form)
    assert b"A title" in metadata.kept(found).segments


def as_xml(form: bytes) -> str | None:
    """Return a form as XML has it, or None if it is no text."""
    try:
        return form.decode("utf-16-le" if form[1:2] == b"\0" else "utf-8")
    except UnicodeDecodeError:
        return None


def thumbnails(item: str) -> str:
    return f"<xmp:Thumbnails><rdf:Alt><rdf:li{item}</rdf:Alt></xmp:Thumbnails>"


def xml_places(text: str) -> Iterator[tuple[str, str]]:
    """Yield what can hold a text in a packet: elements, and attributes of the description."""
    value, attribute = escape(text), quoteattr(text)
    yield f"<!--{value.replace('--', '- ')}-->", ""
    yield f"<?pi {value.replace('?>', '')}?>", ""
    yield value, ""
    strange = ("xmpGImg:image", "xapGImg:image", "GImage:Data", "GDepth:Data", "dc:other", "thumb")
    listed = [f"{properties.NAMESPACES[uri]}:{name}" for uri, name in properties.PROPERTIES]
    for name in strange:
        for inside in (value, f"<![CDATA[{text.replace(']]>', '')}]]>"):
            yield f"<{name}>{inside}</{name}>", ""
            yield thumbnails(f" rdf:parseType='Resource'><{name}>{inside}</{name}></rdf:li>"), ""
        yield thumbnails(f" {name}={attribute}/>"), ""
        yield "", f" {name}={attribute}"
    for name in listed:
        yield "", f" {name}={attribute}"
        yield f"<{name}>{value}</{name}>", ""
    for name in listed[:40]:
        yield f"<{name}><![CDATA[{text.replace(']]>', '')}]]></{name}>", ""
        yield f"<{name} rdf:resource={attribute}/>", ""
        yield f"<{name} xml:lang={attribute}>words</{name}>", ""
        yield f"<{name}><rdf:Alt><rdf:li xml:lang={attribute}>words</rdf:li></rdf:Alt></{name}>", ""
        yield (
            f"<{name}><rdf:Bag><rdf:li>words</rdf:li><rdf:li>{value}</rdf:li></rdf:Bag></{name}>",
            "",
        )
        yield f"<{name}><rdf:Bag>{value}<rdf:li>words</rdf:li></rdf:Bag></{name}>", ""
        yield f"<{name} xmlns:q={attribute} q:a='b'>words</{name}>", ""


def test_every_place_in_a_packet(form):
    text = as_xml(form)
    if text is None:
        for whole in (xmp.PREFIX + form, packet("") + form, packet("")[:-20] + form):
            assert_gone([(xmp.MARKER, whole)], form)
        return
    spaces = "".join(
        f" xmlns:{prefix}='http://example.org/{prefix}/'"
        for prefix in ("xmpGImg", "xapGImg", "GImage", "GDepth", "photo")
    )
    if "\0" in text:
        return
    for number, (inside, attribute) in enumerate(xml_places(text)):
        found = rdf(inside, spaces + attribute)
        codec = ("utf-8", "utf-8-sig", "utf-16")[number % 3]
        assert_gone([(xmp.MARKER, (xmp.PREFIX + found.encode(codec))[:65533])], text.encode())


def test_every_tag_of_a_profile(form):
    for name, kinds in {**profiles.TAGS, "JPEG": ("data",), "meta": ("dict",)}.items():
        for kind in (*kinds, "data", "text"):
            for head in (b"", struct.pack(">I", len(form)), bytes(8)):
                data = profile(
                    (b"wtpt", b"XYZ " + bytes(16)),
                    (name.encode(), kind.encode() + bytes(4) + head + form),
                )
                assert_gone(parsed(icc.build(data)), form)
    for whole in (SRGB + form, SRGB[:-4] + form, SRGB[:4] + form.ljust(124) + SRGB[128:], form):
        assert_gone(parsed(icc.build(whole)), form)
    larger = struct.pack(">I", len(SRGB) + len(form)) + SRGB[4:] + form
    assert_gone(parsed(icc.build(larger)), form)


def test_every_other_segment(form):
    prefixes = (
        *(
            b"",
            exif.PREFIX,
            icc.PREFIX,
            iptc.PREFIX,
            xmp.PREFIX,
            b"JFIF\0\1\1\0\0\1\0\1",
            b"JFXX\0\x10",
        ),
        *(b"http://ns.adobe.com/xmp/extension/\0", b"MPF\0", b"Adobe\0", b"ICC_PROFILE\0\1\1"),
    )
    for marker, prefix in itertools.product((*range(0xE0, 0xF0), 0xFE), prefixes):
        assert_gone([(marker, prefix + form)], form)


def test_the_whole_file(form):
    """All at once, around fields that are kept."""
    words = block(
        [(0x0112, 3, b"\6\0"), (0x9C9B, 1, form), (0x010E, 2, form), (0x010F, 2, b"Maker\0")]
    )
    before = as_segments(
        [
            (exif.MARKER, words),
            (0xFE, form),
            (0xFE, b"a comment"),
            (0xE5, form),
            (0xE2, b"MPF\0" + form),
        ]
    )
    out = pyfd.requantize(gray(before=before), "fd-cvpr2019")
    assert pyfd.probe(out).orientation == 6
    assert pyfd.probe(out).comment == b"a comment"
    assert b"Maker" in out
    assert form[:60] not in out
    assert len(out) < 1000
    assert SPACES.encode() not in out
