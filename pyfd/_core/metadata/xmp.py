"""XMP packets in APP1 segments (ISO 16684-1): read, and written anew with what is listed.

A packet can hold anything in any place: thumbnails under any prefix, in attributes or in
CDATA, depth maps, and pointers to pictures that a re-quantized file no longer has. So it is
not edited: its listed properties are read, and a new packet is written from them. They are
simple texts, and lists of these; structures are left out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.parsers import expat

from pyfd._core.metadata import text
from pyfd._core.metadata.properties import NAMESPACES, PROPERTIES, TRANSPOSED, Property
from pyfd._core.metadata.segments import Payload

MARKER = 0xE1
PREFIX = b"http://ns.adobe.com/xap/1.0/\0"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_LISTS = frozenset({(_RDF, "Alt"), (_RDF, "Bag"), (_RDF, "Seq")})
_HARMLESS = frozenset({(_RDF, "about"), (_RDF, "ID"), (_RDF, "nodeID"), (_XML, "lang")})
_LANGUAGE = re.compile(r"[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,5}")
_DEFAULT = "x-default"
_LINE_END = re.compile("\r\n?")  # which XML reads as a line feed
_DEEPEST = 32
_MOST_ITEMS = 256
_MOST_SPACES = 256
_MARKUP = 80  # the most bytes around an item

#: A namespace and a name in it.
_Name = tuple[str, str]


class Item(NamedTuple):
    """A text and its language, which only alternatives have."""

    text: str
    language: str


def _item(value: str, language: str = _DEFAULT) -> Item:
    return Item(_LINE_END.sub("\n", value), language)


def clean(
    found: Sequence[Payload], places: bool, left_out: dict[str, None], transposed: bool = False
) -> bytes | None:
    """Return a payload with a new packet, or None if nothing that is listed is in the old one.

    Args:
        found: The payloads of a file, of which the first packet is read.
        places: Keep the properties that say where the picture was taken.
        left_out: Gets the names of what is listed, but damaged or not text.
        transposed: The image has been transposed: widths and heights change places.
    """
    payloads = (data for marker, data in found if marker == MARKER and data.startswith(PREFIX))
    payload = next(payloads, None)
    if payload is None:
        return None
    properties = _read(payload[len(PREFIX) :], left_out)
    if transposed:
        properties = {TRANSPOSED.get(name, name): items for name, items in properties.items()}
    kept = list(_kept(properties, places, left_out))
    return PREFIX + _packet(kept).encode() if kept else None


def _kept(
    properties: dict[_Name, list[Item] | None], places: bool, left_out: dict[str, None]
) -> Iterator[tuple[_Name, list[Item]]]:
    """Yield what is kept, in the order of the list."""
    left = text.MOST
    for name, listed in PROPERTIES.items():
        if name not in properties or (listed.place and not places):
            continue
        items = [
            item._replace(text=_LINE_END.sub("\n", item.text)) for item in properties[name] or ()
        ]
        size = sum(len(_escaped(item.text).encode()) + _MARKUP for item in items)
        sound = all(text.is_text(i.text, listed.most) for i in items)
        if (
            not items
            or size > left
            or not sound
            or text.is_encoded(" ".join(i.text for i in items))
        ):
            left_out[f"XMP {NAMESPACES[name[0]]}:{name[1]}"] = None
        else:
            left -= size
            yield name, items


# ---- reading ----------------------------------------------------------------


class _RefusedError(Exception):
    """Something that no packet needs: a DOCTYPE, or elements in elements without an end."""


def _read(packet: bytes, left_out: dict[str, None]) -> dict[_Name, list[Item] | None]:
    """Return the listed properties up to the first damage; None for one that is no text."""
    reader = _Reader()
    decoded = packet.decode(_code(packet), "replace").rstrip("\0")
    if "\ufffd" in decoded:  # the properties that have it are no text
        left_out["XMP (damaged)"] = None
    try:
        reader.read(decoded)
    except expat.ExpatError:
        left_out["XMP (damaged)"] = None
    except _RefusedError as error:
        left_out[f"XMP ({error})"] = None
        return {}
    return reader.found


def _code(packet: bytes) -> str:
    """Return the code of a packet. In UTF-16, its first letter is of ASCII, or is its BOM."""
    if packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if packet[0:1] == b"\0" != packet[1:2]:
        return "utf-16-be"
    return "utf-16-le" if packet[1:2] == b"\0" != packet[0:1] else "utf-8-sig"


class _Reader:
    """A reader of RDF as XMP uses it, on expat's events.

    Namespaces are resolved here: expat would repeat a long one with each name.

    Attributes:
        found: The listed properties; None for one that is not a text or a list of texts.
    """

    def __init__(self) -> None:
        self.found: dict[_Name, list[Item] | None] = {}
        self._scopes: list[dict[str, str]] = [{"xml": _XML}]
        self._path: list[_Name] = []
        self._top = 0  # the depth of rdf:RDF, or 0 outside of it
        self._items: list[Item] | None = None  # those of the property that is being read
        self._is_plain = True  # whether it has no elements
        self._text: list[str] = []
        self._language = _DEFAULT

    def read(self, packet: str) -> None:
        """Read a packet.

        Raises:
            expat.ExpatError: It is damaged.
            _RefusedError: It has what no packet needs.
        """
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text_is
        parser.Parse(packet.encode(), True)

    def _doctype(self, *_: object) -> None:
        raise _RefusedError("it has a DOCTYPE")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _DEEPEST:
            raise _RefusedError("its elements are nested too deeply")
        scope = self._scopes[-1]
        if spaces := {a[6:]: uri for a, uri in attributes.items() if a[:6] in ("xmlns", "xmlns:")}:
            scope = {**scope, **spaces}
            if len(scope) > _MOST_SPACES:
                raise _RefusedError("it has too many namespaces")
        self._scopes.append(scope)
        prefix, _, local = tag.rpartition(":")
        name = scope.get(prefix, ""), local
        self._path.append(name)
        others = {}
        for attribute, value in attributes.items():
            prefix, colon, local = attribute.rpartition(":")
            if prefix != "xmlns" and attribute != "xmlns":
                others[scope.get(prefix, "") if colon else "", local] = value
        if not self._top:
            self._top = len(self._path) if name == (_RDF, "RDF") else 0
        else:
            self._start_in_rdf(name, others)

    def _start_in_rdf(self, name: _Name, attributes: dict[_Name, str]) -> None:
        level = len(self._path) - self._top
        self._text = []
        self._language = attributes.get((_XML, "lang"), _DEFAULT)
        strange = attributes.keys() - _HARMLESS
        if level == 1 and name == (_RDF, "Description"):
            for key in PROPERTIES.keys() & attributes.keys():
                self.found.setdefault(key, [_item(attributes[key])])
        elif level == 2:
            self._items, self._is_plain = [], True
            resource = attributes.get((_RDF, "resource"))
            if strange == {(_RDF, "resource")} and resource is not None:
                self._items.append(_item(resource))
            elif strange:
                self._items = None  # a structure
        elif level > 2:
            self._is_plain = False
            if strange or not self._is_list(level, name):
                self._items = None

    def _is_list(self, level: int, name: _Name) -> bool:
        return (level == 3 and name in _LISTS) or (
            level == 4 and name == (_RDF, "li") and self._path[-2] in _LISTS
        )

    def _text_is(self, data: str) -> None:
        self._text.append(data)

    def _end(self, _tag: str) -> None:
        level = len(self._path) - self._top
        self._scopes.pop()
        name = self._path.pop()
        if not self._top:
            return
        if level == 0:
            self._top = 0
        elif level == 4 and self._items is not None and len(self._items) < _MOST_ITEMS:
            self._items.append(_item("".join(self._text), self._language))
        elif level == 2 and self._path[-1] == (_RDF, "Description") and name in PROPERTIES:
            if self._items == [] and self._is_plain:
                self._items.append(_item("".join(self._text)))
            if self._items != []:
                self.found.setdefault(name, self._items)
        self._text = []


# ---- writing ----------------------------------------------------------------


def _packet(properties: Sequence[tuple[_Name, list[Item]]]) -> str:
    spaces = {uri: NAMESPACES[uri] for (uri, _), _ in properties}
    declared = "".join(f' xmlns:{prefix}="{uri}"' for uri, prefix in spaces.items())
    rows = "".join(
        _row(f"{spaces[uri]}:{name}", PROPERTIES[uri, name], items)
        for (uri, name), items in properties
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'<rdf:Description rdf:about=""{declared}>\n{rows}</rdf:Description>\n'
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="r"?>'
    )


def _escaped(value: str) -> str:
    return html.escape(value, quote=False)


def _row(name: str, listed: Property, items: Sequence[Item]) -> str:
    if listed.form == "text":
        value = _escaped(items[0].text)
    else:
        entries = (f"<rdf:li{_lang(listed, i)}>{_escaped(i.text)}</rdf:li>" for i in items)
        value = f"<rdf:{listed.form}>{''.join(entries)}</rdf:{listed.form}>"
    return f"<{name}>{value}</{name}>\n"


def _lang(listed: Property, item: Item) -> str:
    if listed.form != "Alt":
        return ""
    known = _LANGUAGE.fullmatch(item.language)
    return f' xml:lang="{item.language if known else _DEFAULT}"'
