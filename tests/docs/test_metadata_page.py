"""docs/metadata.md against the lists in the code: every row, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from pyfd._core.metadata import NAMES, iptc, profiles, properties, tags

PAGE = Path(__file__).parents[2].joinpath("docs", "metadata.md").read_text()


def rows(*cells: Iterable[object]) -> list[str]:
    return ["| " + " | ".join(map(str, row)) + " |" for row in cells]


def of_exif(listed: dict[int, tags.Tag]) -> list[str]:
    return rows(*((f"0x{tag:04X}", rule.name, rule.holds) for tag, rule in sorted(listed.items())))


def of_iptc() -> Iterator[tuple[str, str, int, str]]:
    for number, rule in sorted(iptc.DATASETS.items()):
        yield f"2:{number:02}", rule.name, rule.most, "gps" if rule.place else ""


def of_xmp() -> Iterator[tuple[str, str, str, int, str]]:
    def kind(item: tuple[tuple[str, str], properties.Property]) -> tuple[str, str, int, str]:
        (uri, _), rule = item
        place = "gps" if rule.place else ""
        return properties.NAMESPACES[uri], rule.form, rule.most, place

    for (prefix, form, most, place), found in groupby(properties.PROPERTIES.items(), kind):
        yield prefix, " ".join(name for (_, name), _ in found), form, most, place


def of_icc() -> Iterator[tuple[str, str]]:
    for kinds, found in groupby(profiles.TAGS, profiles.TAGS.get):
        yield " ".join(found), " ".join(kind.strip() for kind in kinds or ())


TABLES = {
    "### The image's directory": of_exif(tags.IMAGE),
    "### The Exif directory": of_exif(tags.EXIF),
    "### The interoperability directory": of_exif(tags.INTEROP),
    "## gps": of_exif(tags.GPS),
    "## iptc": rows(*of_iptc()),
    "## xmp": rows(*of_xmp()),
    "## icc": rows(*of_icc()),
}


@pytest.mark.parametrize("title", TABLES)
def test_the_page_has_the_list(title):
    section = PAGE.split(f"\n{title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    assert table[1:] == TABLES[title]


def test_the_page_has_a_section_for_each_name():
    titles = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert set(NAMES) <= set(titles)
