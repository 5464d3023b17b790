"""Metadata for tests: payloads made by hand, and what must hold of all that is kept of them."""

from __future__ import annotations

import io
import re
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from xml.etree import ElementTree

from PIL import Image, ImageCms

from pyfd._core import metadata
from pyfd._core.metadata import comments, exif, icc, iptc, profiles, properties, tags, text, xmp
from pyfd._core.metadata.segments import Payload
from tests.jpegs import gray, segment

#: A profile as Little CMS makes it.
SRGB: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}

#: An entry: a tag, a type, and a value's bytes, or a count and four bytes for the value field.
Entry = tuple[int, int, "bytes | tuple[int, bytes]"]


def number(value: int, kind: int = 3, order: str = "<") -> bytes:
    return struct.pack(order + {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind], value)


def directory(entries: Sequence[Entry], start: int, order: str = "<", following: int = 0) -> bytes:
    """Return a directory at an offset, with its values behind it."""
    rows, behind = b"", b""
    place = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        if isinstance(value, tuple):
            count, field = value
        else:
            count, field = len(value) // SIZES.get(kind, 1), value.ljust(4, b"\0")
        if len(field) > 4:
            at = struct.pack(order + "I", place + len(behind))
            field, behind = at, behind + field + b"\0" * (len(field) % 2)
        rows += struct.pack(order + "HHI", tag, kind, count) + field
    return (
        struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", following) + behind
    )


def block(
    image: Sequence[Entry] = (),
    exif: Sequence[Entry] | None = None,
    gps: Sequence[Entry] | None = None,
    interop: Sequence[Entry] | None = None,
    order: str = "<",
) -> bytes:
    """Return an EXIF block of directories that a camera writes."""

    def pointer(tag: int, place: int) -> list[Entry]:
        return [(tag, 4, struct.pack(order + "I", place))]

    has_exif, has_gps = exif is not None or interop is not None, gps is not None
    pointers = [0x8769] * has_exif + [0x8825] * has_gps
    at = 8 + len(directory([*image, *(pointer(tag, 0)[0] for tag in pointers)], 8, order))
    first, behind = list(image), b""
    if has_exif:
        below = list(exif or [])
        if interop is not None:
            size = len(directory([*below, *pointer(0xA005, 0)], at, order))
            below += pointer(0xA005, at + size)
        first += pointer(0x8769, at)
        behind += directory(below, at, order)
        if interop is not None:
            behind += directory(interop, at + len(behind), order)
    if has_gps:
        first += pointer(0x8825, at + len(behind))
        behind += directory(gps or [], at + len(behind), order)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "I", 8) + directory(first, 8, order) + behind


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    """Return an image resource of Photoshop's."""
    head = b"8BIM" + struct.pack(">HB", number, len(name)) + name + b"\0" * (1 - len(name) % 2)
    return head + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


def dataset(record: int, number: int, value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


SPACES = "".join(f' xmlns:{prefix}="{uri}"' for uri, prefix in properties.NAMESPACES.items())


def packet(inside: str, attributes: str = "") -> bytes:
    """Return an XMP payload with properties in an rdf:Description, in UTF-8."""
    return xmp.PREFIX + rdf(inside, attributes).encode()


def rdf(inside: str, attributes: str = "") -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{SPACES}{attributes}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


def profile(*found: tuple[bytes, bytes], header: bytes = SRGB[:128]) -> bytes:
    """Return an ICC profile of tags and their data."""
    place = 132 + 12 * len(found)
    table, data = struct.pack(">I", len(found)), b""
    for name, value in found:
        table += struct.pack(">4sII", name, place + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    return struct.pack(">I", place + len(data)) + header[4:] + table + data


def as_segments(found: Iterable[Payload]) -> bytes:
    return b"".join(segment(marker, payload[:65533]) for marker, payload in found)


def parsed(data: bytes) -> list[Payload]:
    """Return the payloads of marker segments; of damaged ones as far as they go."""
    found = []
    while len(data) >= 4:
        size = max(2, int.from_bytes(data[2:4], "big"))
        found.append((data[1], data[4 : 2 + size]))
        data = data[2 + size :]
    return found


# ---- what must hold -------------------------------------------------------------


def check(found: list[Payload]) -> None:
    """Check what is kept of payloads: it is listed, bounded, readable, and kept again."""
    read = metadata.read(found)
    kept = metadata.kept(found)
    again = parsed(kept.segments)
    assert as_segments(again) == kept.segments
    assert metadata.kept(again) == (kept.segments, "")
    assert metadata.orientation(metadata.read(again).exif) == metadata.orientation(read.exif)
    assert len(kept.left_out) < 1000
    assert kept.left_out.isascii()
    for marker, payload in again:
        assert_listed(marker, payload)
    sizes = [len(payload) for marker, payload in again if marker == comments.MARKER]
    assert sum(sizes) <= text.MOST
    assert_readable(kept.segments)
    for name in metadata.NAMES:  # a part is never more than the whole
        assert len(metadata.kept(found, {name}).segments) <= len(kept.segments) + 100


def steps(call: Callable[[], object]) -> int:
    """Return the number of calls and returns, of functions in Python and in C."""
    count = 0

    def add(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(add)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def assert_readable(segments: bytes) -> None:
    """Let Pillow read them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Metadata Warning", category=UserWarning)
        with Image.open(io.BytesIO(gray(before=segments))) as image:
            read = image.getexif()
            for pointer in (0x8769, 0x8825, 0xA005):
                read.get_ifd(pointer)
            image.load()


def assert_listed(marker: int, payload: bytes) -> None:
    """Look, with other code than ours, for anything that is not in the lists."""
    if payload.startswith(exif.PREFIX):
        assert marker == exif.MARKER
        _assert_exif(payload[6:])
    elif payload.startswith(xmp.PREFIX):
        assert marker == xmp.MARKER
        _assert_xmp(payload[len(xmp.PREFIX) :])
    elif payload.startswith(iptc.PREFIX):
        assert marker == iptc.MARKER
        _assert_iptc(payload[len(iptc.PREFIX) :])
    elif payload.startswith(icc.PREFIX):
        assert marker == icc.MARKER
        (count,) = struct.unpack_from(">I", payload, 14 + 128) if payload[12] == 1 else (0,)
        for at in range(14 + 132, 14 + 132 + 12 * count, 12):
            assert payload[at : at + 4].decode() in profiles.TAGS
    else:
        assert marker == comments.MARKER
        assert_text(payload)


def assert_text(value: bytes) -> None:
    assert len(value) <= text.LONG
    assert not re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|<[a-zA-Z!?/%](?![^<>]*@)", value)
    assert not re.search(rb"[0-9A-Za-z]{41}", value)


def _assert_exif(tiff: bytes) -> None:
    order = {b"II": "<", b"MM": ">"}[tiff[:2]]
    used = bytearray(len(tiff))
    used[:8] = b"\1" * 8

    def walk(start: int, listed: dict[int, tags.Tag], below: dict[int, dict]) -> None:
        (count,) = struct.unpack_from(order + "H", tiff, start)
        used[start : start + 6 + 12 * count] = b"\1" * (6 + 12 * count)
        assert tiff[start + 2 + 12 * count :][:4] == bytes(4)  # no further directory
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(order + "HHII", tiff, at)
            if tag in below:
                walk(value, below[tag], {0xA005: tags.INTEROP} if tag == 0x8769 else {})
                continue
            assert kind in listed[tag].kinds
            size = number * SIZES[kind]
            if size > 4:
                assert size <= (8 * listed[tag].most if kind in (5, 10, 12) else 4020)
                used[value : value + size + size % 2] = b"\1" * (size + size % 2)

    first = {**tags.IMAGE, **tags.EXIF}
    walk(struct.unpack_from(order + "I", tiff, 4)[0], first, {0x8769: tags.EXIF, 0x8825: tags.GPS})
    assert all(used)


def _assert_xmp(data: bytes) -> None:
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    root = ElementTree.fromstring(data)
    (description,) = root.findall(f"{rdf}RDF/{rdf}Description")
    assert list(description.attrib) == [f"{rdf}about"]
    for element in description:
        uri, name = element.tag[1:].split("}")
        assert (uri, name) in properties.PROPERTIES
        for part in element.iter():
            assert_text((part.text or "").replace("\n", " ").encode()[: text.LONG])
            assert set(part.attrib) <= {"{http://www.w3.org/XML/1998/namespace}lang"}
    assert len(data) <= 65000


def _assert_iptc(data: bytes) -> None:
    assert data[:8] == b"8BIM\x04\x04\0\0"
    (size,) = struct.unpack_from(">I", data, 8)
    assert len(data) == 12 + size + size % 2
    records = data[12 : 12 + size]
    while records:
        _, record, number, size = struct.unpack_from(">BBBH", records)
        value, records = records[5 : 5 + size], records[5 + size :]
        assert (record == 2 and number in iptc.DATASETS) or (record, number) in ((1, 90), (2, 0))
        if record == 2 and number:
            assert_text(value)
