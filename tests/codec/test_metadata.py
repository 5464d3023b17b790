"""`metadata=`: what `requantize` keeps, by names, and what it says of damage."""

from __future__ import annotations

import io
import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd._core.metadata import NAMES, exif, iptc
from tests.jpegs import encode_with_pillow, gray, picture
from tests.metadata import SRGB, as_segments, block, dataset, packet, resource

PRESET = "fd-cvpr2019"
TURNED, MAKE = (0x0112, 3, b"\6\0"), (0x010F, 2, b"Maker\0")
BLOCK = block([TURNED, MAKE], gps=[(1, 2, b"N\0")])
WORDS = "<dc:title>a title</dc:title><photoshop:City>Ulm</photoshop:City>"
RECORDS = dataset(2, 5, b"a title") + dataset(2, 90, b"Ulm")
DATA = encode_with_pillow(picture(40, 32), dpi=(300, 72), icc_profile=SRGB, comment=b"words")
DATA = DATA[:20] + as_segments(
    [(0xE1, BLOCK), (0xE1, packet(WORDS)), (0xED, iptc.PREFIX + resource(0x0404, RECORDS))]
) + DATA[20:]  # fmt: skip


def signs(data: bytes) -> set[str]:
    """Return the names of what a file has; "place" for the texts that say where."""
    header = pyfd.probe(data)
    read = Image.open(io.BytesIO(data))
    found = {"icc"} if header.icc_profile == SRGB else set()
    found |= {"orientation"} if header.orientation == 6 else set()
    found |= {"exif"} if read.getexif().get(0x010F) == "Maker" else set()
    found |= {"gps"} if read.getexif().get_ifd(0x8825) else set()
    found |= {"comment"} if header.comment == b"words" else set()
    found |= {"iptc"} if iptc.PREFIX in data else set()
    found |= {"xmp"} if b"<x:xmpmeta" in data else set()
    found |= {"place"} if data.count(b"Ulm") == len(found & {"iptc", "xmp"}) > 0 else set()
    return found | ({"density"} if read.info.get("dpi") == (300, 72) else set())


def expected(names: set[str]) -> set[str]:
    implied = {"orientation"} if "exif" in names else set()
    place = {"place"} if "gps" in names and names & {"xmp", "iptc"} else set()
    return names | implied | place | {"density"}


@pytest.mark.parametrize("count", range(len(NAMES) + 1))
def test_every_choice_of_names(count):
    for names in map(set, itertools.combinations(NAMES, count)):
        assert signs(pyfd.requantize(DATA, PRESET, metadata=names)) == expected(names)


def test_all_and_nothing():
    everything = pyfd.requantize(DATA, PRESET)
    assert signs(everything) == expected(set(NAMES))
    for whole in (
        True,
        np.True_,
        NAMES,
        list(NAMES),
        frozenset(NAMES),
        dict.fromkeys(NAMES).keys(),
    ):
        assert pyfd.requantize(DATA, PRESET, metadata=whole) == everything
    nothing = pyfd.requantize(DATA, PRESET, metadata=False)
    assert signs(nothing) == set()
    assert pyfd.requantize(DATA, PRESET, metadata=np.False_) == nothing


def test_a_service_keeps_how_the_image_is_meant():
    out = pyfd.requantize(DATA, PRESET, metadata={"icc", "orientation"})
    assert pyfd.probe(out).exif == block([TURNED])
    assert pyfd.probe(out).icc_profile == SRGB
    for told in (b"Maker", b"Ulm", b"title", b"words"):
        assert told not in out


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"icc", "thumbnail"}, ValueError, "no 'thumbnail', only icc, orientation, exif, gps"),
        (["ICC"], ValueError, "no 'ICC', only icc"),
        ([3], ValueError, "no 3, only icc"),
        ([["icc"]], ValueError, "only icc"),
        ("icc", TypeError, "a set of names, not str"),
        (b"icc", TypeError, "a set of names, not bytes"),
        ({"icc": True, "gps": False}, TypeError, "a set of names, not dict"),
        (None, TypeError, "a set of names, not NoneType"),
        (1, TypeError, "a set of names, not int"),
        (iter(["icc"]), TypeError, "a set of names, not list_iterator"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_names(value, error, message):
    for data in (DATA, b"", b"no JPEG"):  # the caller's mistake comes first
        with pytest.raises(error, match=message):
            pyfd.requantize(data, PRESET, metadata=value)


# ---- what is said of damage ---------------------------------------------------------

ODD = gray(
    before=as_segments([(exif.MARKER, block([TURNED, (0x8825, 4, b"\xff" * 4)])), (0xFE, b"\1")])
)
LEFT_OUT = "metadata left out: the GPS directory (its pointer leads nowhere), a comment"


def test_a_lenient_call_gives_one_warning():
    with pytest.warns(pyfd.JPEGWarning) as caught:
        out = pyfd.requantize(ODD, PRESET, strict=False)
    assert [str(warning.message) for warning in caught] == [LEFT_OUT]
    assert caught[0].filename == __file__
    assert pyfd.probe(out).orientation == 6


def test_a_lenient_call_gives_one_warning_for_all_damage():
    with pytest.warns(pyfd.JPEGWarning) as caught:
        pyfd.requantize(ODD[:-2], PRESET, strict=False)
    (warning,) = caught
    assert "decoder warning" in str(warning.message)
    assert str(warning.message).endswith(f"; {LEFT_OUT}")
    assert warning.filename == __file__


def test_a_strict_call_is_silent():
    """Metadata are no reason to refuse an image, and a strict call never warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = pyfd.requantize(ODD, PRESET)
        assert pyfd.probe(out).orientation == 6
        pyfd.requantize(out, PRESET, strict=False)
        pyfd.requantize(ODD, PRESET, strict=False, metadata=False)
        pyfd.requantize(ODD, PRESET, strict=False, metadata={"orientation"})
        pyfd.requantize(DATA, PRESET, strict=False)
