"""Comments: text within a bound."""

from __future__ import annotations

import base64
import textwrap

import pytest

from pyfd._core import metadata
from pyfd._core.metadata import comments, text
from tests.metadata import check, parsed


def kept(*payloads: bytes) -> tuple[list[bytes], str]:
    found = [(comments.MARKER, payload) for payload in payloads]
    check(found)
    result = metadata.kept(found)
    return [payload for _, payload in parsed(result.segments)], result.left_out


@pytest.mark.parametrize(
    "value",
    [
        b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90\n",
        "größe 写真 😀".encode(),
        b"File written by Adobe Photoshop\xa8 4.0",
        b"tabs\tand\r\nlines",
        b"https://example.org/a-very-long-path/that/goes-on/and-on?for=ever",
        b"3 < 4 > 2, <3, Jane Doe <jane.doe@example.org>",
        b"Donaudampfschifffahrtsgesellschaft",
        b"words " * 333,
    ],
)
def test_texts_are_kept_as_they_are(value):
    assert kept(value) == ([value], "")
    assert kept(value + b"\0") == ([value], "")
    assert kept(value + b"\0\xff\xd8\xff") == ([value], "")


@pytest.mark.parametrize(
    "value",
    [
        b"PK\x03\x04\x14\0\0\0\x08\0",
        b"words PK\x03\x04",
        b"<script>alert(1)</script>",
        b"<SCRIPT SRC=//example.org>",
        b"</title><svg/onload=alert(1)>",
        b"<svg/onload=alert@x.org>",
        b"<!--", b"<?php system(1); ?>", b"<%= 1 %>", b"<!DOCTYPE html>",
        b"%PDF-1.4", b"%!PS-Adobe", b"\x7fELF\x02",
        b"\xff\xd8\xff\xe0", b"\xff\xd8 undefended pixels \xff\xd9", b"\x89PNG\r\n\x1a\n",
        b"QUJDREVG" * 6, b"ff" * 30, b"!" * 129,
        b"\x1b]0;owned\x07", b"\x9b2J", b"words\x7f",
        b"words " * 334,
        "\ue000 private".encode(), "\ufffe".encode(),
    ],
)  # fmt: skip
def test_what_is_no_text_is_left_out_alone(value):
    assert kept(b"one", value, b"two") == ([b"one", b"two"], "metadata left out: a comment")


def test_an_empty_comment_is_no_loss():
    assert kept(b"", b"\0", b"\0\xff\xd8") == ([], "")


def test_all_comments_have_a_bound_together():
    found, left_out = kept(*[b"words " * 300] * 20)
    assert found == [b"words " * 300] * (text.MOST // 1800)
    assert left_out == "metadata left out: a comment"


BYTES = bytes(range(7, 256, 3)) * 4
ENCODED = {
    "base64": base64.b64encode(BYTES).decode(),
    "base32": base64.b32encode(BYTES).decode(),
    "hexadecimal": BYTES.hex(),
    "pairs": BYTES.hex(" ").upper(),
    "C": ", ".join(map(hex, BYTES)),
    "decimal": ", ".join(map(str, BYTES)),
}


@pytest.mark.parametrize("code", ENCODED)
@pytest.mark.parametrize("width", [8, 20, 40])
def test_encoded_bytes_are_no_text_in_lines_of_any_width(code, width):
    lines = textwrap.wrap(ENCODED[code], width)
    for between in ("\n", "\r\n", "\t", " "):
        assert not text.is_text(between.join(lines))
        assert not text.is_text(between.join(["A caption.", *lines]))
    assert kept(*(line.encode() for line in lines)) == ([], "metadata left out: a comment")


def test_words_with_digits_and_capitals_are_text():
    for value in (
        "Canon EOS 5D Mark IV, EF70-200mm f/2.8L IS III USM, ISO100 1/250s IMG_0815.CR2",
        "In 1969, on July 20 at 20:17 UTC, Apollo 11 landed; McDonnell Douglas, iPhone, eBay. " * 5,
        "hw-remosaic: 0; touch: (-1.0, -1.0); modeInfo: ; sceneMode: ; cct_value: 0; aec_lux: 13",
    ):
        assert text.is_text(value)
