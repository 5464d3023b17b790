"""XMP: listed properties are read in any form, and written as a new packet."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from pyfd._core import metadata
from pyfd._core.metadata import properties, text, xmp
from tests.metadata import check, packet, parsed, rdf

TITLE = "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>A title</rdf:li></rdf:Alt></dc:title>"


def kept(payload: bytes, *names: str) -> tuple[str | None, str]:
    """Return the packet that is kept, and the line about what is left out."""
    found = [(xmp.MARKER, payload)]
    check(found)
    result = metadata.kept(found, names or metadata.NAMES)
    segments = parsed(result.segments)
    return (segments[0][1][len(xmp.PREFIX) :].decode() if segments else None), result.left_out


def values(new: str | None) -> dict[str, list[str]]:
    """Return the texts of each property, read with another parser."""
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    found = {}
    for element in ElementTree.fromstring(new).iter(f"{rdf}Description") if new else ():
        for child in element:
            uri, name = child.tag[1:].split("}")
            items = [item.text or "" for item in child.iter(f"{rdf}li")]
            found[f"{properties.NAMESPACES[uri]}:{name}"] = items or [child.text or ""]
    return found


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (TITLE, {"dc:title": ["A title"]}),
        ("<dc:title>A title</dc:title>", {"dc:title": ["A title"]}),
        ("<dc:creator><rdf:Bag><rdf:li>A</rdf:li><rdf:li>B</rdf:li></rdf:Bag></dc:creator>",
         {"dc:creator": ["A", "B"]}),
        ("<xmp:CreateDate>2026-01-02</xmp:CreateDate>", {"xmp:CreateDate": ["2026-01-02"]}),
        ("<xmp:Rating>\n5</xmp:Rating>", {"xmp:Rating": ["\n5"]}),
        ("<xmpRights:WebStatement rdf:resource='https://example.org/a'/>",
         {"xmpRights:WebStatement": ["https://example.org/a"]}),
        ("<dc:format><![CDATA[image/jpeg]]></dc:format>", {"dc:format": ["image/jpeg"]}),
        ("<dc:format>a &amp; b &lt; &#13; ]]&gt;</dc:format>", {"dc:format": ["a & b < \n ]]>"]}),
        ("<dc:source/>", {"dc:source": [""]}),
        ("<dc:subject><rdf:Bag/></dc:subject>", {}),
        ("<q:title xmlns:q='http://purl.org/dc/elements/1.1/'>A title</q:title>",
         {"dc:title": ["A title"]}),
        ("<title xmlns='http://purl.org/dc/elements/1.1/'>A title</title>",
         {"dc:title": ["A title"]}),
        ("<dc:title xmlns:dc='http://example.org/'>not a title</dc:title>", {}),
        (f"{TITLE}<dc:title>another</dc:title>", {"dc:title": ["A title"]}),
        ("<!-- words --><?program words?>" + TITLE, {"dc:title": ["A title"]}),
    ],
)  # fmt: skip
def test_forms_that_writers_use(inside, expected):
    new, left_out = kept(packet(inside))
    assert values(new) == expected
    assert left_out == ""


def test_attributes_of_the_description():
    new, left_out = kept(packet("", " xmp:Rating='5' photoshop:City='Ulm' title='x' xmp:Other='y'"))
    assert values(new) == {"xmp:Rating": ["5"], "photoshop:City": ["Ulm"]}
    assert left_out == ""
    new, _ = kept(packet("", " xmp:Rating='5' photoshop:City='Ulm'"), "xmp")
    assert values(new) == {"xmp:Rating": ["5"]}


def test_languages():
    items = "<rdf:li xml:lang='x-default'>A</rdf:li><rdf:li xml:lang='pt-BR'>B</rdf:li>"
    items += "<rdf:li xml:lang='QUJDREVG'>C</rdf:li><rdf:li xml:lang='QUJDREVGQUJD'>D</rdf:li>"
    new, _ = kept(packet(f"<dc:title><rdf:Alt>{items}</rdf:Alt></dc:title>"))
    assert re.findall('lang="(.*?)"', new) == ["x-default", "pt-BR", "QUJDREVG", "x-default"]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", ["", "<?xml version='1.0' encoding='ISO-8859-1'?>"])
def test_codes(codec, declared):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")
    data = (declared + rdf("<dc:title>größe 写真</dc:title>") + "\0").encode(codec)
    for packet_ in (data, mark + data):
        new, left_out = kept(xmp.PREFIX + packet_)
        assert values(new) == {"dc:title": ["größe 写真"]}
        assert left_out == ""


STRUCTURE = "<xmp:Label rdf:parseType='Resource'><xmp:Rating>words</xmp:Rating></xmp:Label>"


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        (STRUCTURE, "xmp:Label"),
        ("<xmp:Label xmp:Rating='words'/>", "xmp:Label"),
        ("<xmp:Label><rdf:Description xmp:Rating='words'/></xmp:Label>", "xmp:Label"),
        ("<dc:type><rdf:Bag xmp:Rating='words'/></dc:type>", "dc:type"),
        ("<dc:type><rdf:Bag><rdf:li xmp:Rating='words'/></rdf:Bag></dc:type>", "dc:type"),
        ("<dc:type><rdf:Bag><rdf:li><rdf:Bag/>words</rdf:li></rdf:Bag></dc:type>", "dc:type"),
        ("<dc:type><rdf:li>words</rdf:li></dc:type>", "dc:type"),
        (f"<dc:source>{'QUJDREVG' * 20}</dc:source>", "dc:source"),
        (f"<dc:source><![CDATA[{'QUJDREVG' * 20}]]></dc:source>", "dc:source"),
        (f"<dc:source>{'words ' * 50}</dc:source>", "dc:source"),
        ("<dc:source>&lt;script></dc:source>", "dc:source"),
        ("<dc:source>JavaScript:words()</dc:source>", "dc:source"),
        (
            "<dc:type><rdf:Bag>" + "<rdf:li>QUJD7REV</rdf:li>" * 20 + "</rdf:Bag></dc:type>",
            "dc:type",
        ),
        ("<dc:source>&#x85;words</dc:source>", "dc:source"),
        ("<dc:type><rdf:Bag>" + "<rdf:li>words</rdf:li>" * 900 + "</rdf:Bag></dc:type>", ""),
    ],
)
def test_what_is_no_text_is_left_out_alone(inside, name):
    for both in (inside + TITLE, TITLE + inside):
        new, left_out = kept(packet(both))
        assert values(new).pop("dc:title") == ["A title"]
        if name:
            assert "words" not in new
            assert "QUJD" not in new
            assert left_out == f"metadata left out: XMP {name}"
        assert len(new) < 2 * text.MOST


def test_many_long_texts_have_a_bound_together():
    inside = "".join(
        f"<{prefix}:{name}>{'words ' * 40}</{prefix}:{name}>"
        for (uri, name), listed in properties.PROPERTIES.items()
        for prefix in [properties.NAMESPACES[uri]]
    )
    new, left_out = kept(packet(inside))
    assert text.MOST / 2 < len(new) < 2 * text.MOST
    assert "more" in left_out


@pytest.mark.parametrize("item", ["&amp; " * 120, "\u5199" * 250, "", "&lt; " * 100])
def test_the_longest_packet_fits_a_segment(item):
    rows = f"<rdf:li xml:lang='abcdefgh-abcdefgh-abcdefgh-abcdefgh-a'>{item}</rdf:li>" * 40
    inside = "".join(
        f"<{properties.NAMESPACES[uri]}:{name}><rdf:Alt>{rows if n < 20 else ''}"
        f"<rdf:li>{item}</rdf:li></rdf:Alt></{properties.NAMESPACES[uri]}:{name}>"
        for n, (uri, name) in enumerate(properties.PROPERTIES)
    )
    reader, left_out = xmp._Reader(), {}
    reader.read(rdf(inside))
    kept = list(xmp._kept(reader.found, True, left_out))
    assert len(kept) > 10
    assert len(xmp._packet(kept).encode()) < 40_000


@pytest.mark.parametrize(
    ("damaged", "found", "named"),
    [
        (packet(TITLE + "<dc:source>words"), {"dc:title": ["A title"]}, "XMP (damaged)"),
        (packet(TITLE)[:-3], {"dc:title": ["A title"]}, "XMP (damaged)"),
        (packet(TITLE) + b"<more/>", {"dc:title": ["A title"]}, "XMP (damaged)"),
        (packet(TITLE + "&unknown;"), {"dc:title": ["A title"]}, "XMP (damaged)"),
        (packet(TITLE + "\x01"), {"dc:title": ["A title"]}, "XMP (damaged)"),
        (
            packet(TITLE + "<dc:source>w</dc:source>").replace(b">w<", b">\xff<"),
            {"dc:title": ["A title"]},
            "XMP (damaged), XMP dc:source",
        ),
        (xmp.PREFIX, {}, "XMP (damaged)"),
        (xmp.PREFIX + b"\xff\xfe\x00\xd8", {}, "XMP (damaged)"),
        (xmp.PREFIX + b"<!DOCTYPE x>" + packet(TITLE)[29:], {}, "XMP (it has a DOCTYPE)"),
        (
            xmp.PREFIX + b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + packet(TITLE)[29:],
            {},
            "XMP (it has a DOCTYPE)",
        ),
        (packet("<a>" * 60 + "</a>" * 60 + TITLE), {}, "XMP (its elements are nested too deeply)"),
        (
            packet(TITLE, "".join(f" xmlns:a{n}='b'" for n in range(400))),
            {},
            "XMP (it has too many namespaces)",
        ),
    ],
)
def test_damage(damaged, found, named):
    new, left_out = kept(damaged)
    assert values(new) == found
    assert left_out == f"metadata left out: {named}"


def test_only_the_first_packet_is_read():
    found = [(xmp.MARKER, packet(TITLE)), (xmp.MARKER, packet("<dc:source>words</dc:source>"))]
    check(found)
    assert b"words" not in metadata.kept(found).segments


@pytest.mark.parametrize(
    "lost",
    [
        "GCamera:MicroVideo='1' GCamera:MicroVideoOffset='99'",
        "hdrgm:Version='1.0'",
        "xmpNote:HasExtendedXMP='0123456789ABCDEF0123456789ABCDEF'",
        "tiff:Orientation='6'",
        "crs:HasCrop='True'",
    ],
)
def test_what_points_to_lost_parts_is_lost(lost):
    spaces = "".join(
        f" xmlns:{prefix}='http://ns.google.com/{prefix}/'"
        for prefix in ("GCamera", "hdrgm", "xmpNote", "crs", "Container")
    )
    directory = (
        "<Container:Directory><rdf:Seq><rdf:li>gain map</rdf:li></rdf:Seq></Container:Directory>"
    )
    new, left_out = kept(packet(TITLE + directory, f"{spaces} {lost}"))
    assert values(new) == {"dc:title": ["A title"]}
    assert left_out == ""
    assert lost.split(":")[1].split("=")[0] not in new


def test_places_belong_to_gps():
    listed = {
        f"{properties.NAMESPACES[uri]}:{name}": listed.place
        for (uri, name), listed in properties.PROPERTIES.items()
    }
    inside = "".join(f"<{name}>word</{name}>" for name in listed)
    assert list(values(kept(packet(inside))[0])) == list(listed)
    without = values(kept(packet(inside), "xmp")[0])
    assert list(without) == [name for name, place in listed.items() if not place]
    assert not [name for name in without if "GPS" in name or name.endswith(("City", "Country"))]
    assert kept(packet(inside), "gps", "exif", "icc")[0] is None
