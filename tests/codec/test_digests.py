"""Bytes and pixels must be those that were recorded: see tests/digests.py."""

import json
import platform

import pytest

from tests import digests

#: The kinds of machines whose results are all equal. On others, the files that overflow the
#: inverse DCT give other pixels, because its C code wraps where vectors saturate; ordinary
#: files do not.
EQUAL = ("x86_64", "AMD64", "aarch64", "arm64")
ORDINARY = ("seed ", "encode ")


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return digests.recorded()


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return json.loads(digests.RECORDED.read_text())


def test_the_entries_are_those_recorded(found, expected):
    assert sorted(found) == sorted(expected)


def test_nothing_has_changed(found, expected):
    everything = platform.machine() in EQUAL
    names = [name for name in expected if everything or name.startswith(ORDINARY)]
    assert len(names) >= 25
    assert [name for name in names if found[name] != expected[name]] == []
