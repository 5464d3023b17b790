"""ICC profiles: kept byte for byte if they are profiles, with zeros instead of anything else."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import ImageCms

from pyfd._core import metadata
from pyfd._core.metadata import icc
from tests.metadata import SRGB, check, parsed, profile

NAMES = ("sRGB", "LAB", "XYZ")
HIDDEN = b"\xff\xd8\xff\xe0 undefended pixels \xff\xd9"
WHITE = (b"wtpt", b"XYZ " + bytes(16))


def kept(data: bytes) -> tuple[bytes | None, str]:
    found = parsed(icc.build(data))
    check(found)
    result = metadata.kept(found)
    return icc.read(parsed(result.segments)), result.left_out


def wide(value: str, *, extra: bytes = b"") -> bytes:
    """Return multi-localized text in one language."""
    coded = value.encode("utf-16-be")
    row = b"enUS" + struct.pack(">II", len(coded), 28)
    return b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + row + coded + extra


def old(value: bytes, coded: bytes = b"", script: bytes = b"") -> bytes:
    """Return a description of version 2."""
    head = b"desc" + bytes(4) + struct.pack(">I", len(value) + 1) + value + b"\0"
    head += struct.pack(">II", 0, len(coded) // 2) + coded
    return head + struct.pack(">HB", 0, len(script)) + script.ljust(67, b"\0")


def table(grid: int, inputs: int = 3, outputs: int = 3) -> bytes:
    head = b"mft2" + bytes(4) + bytes([inputs, outputs, grid, 0]) + bytes(36)
    numbers = 2 * inputs + grid**inputs * outputs + 2 * outputs
    return head + struct.pack(">HH", 2, 2) + b"\1" * (2 * numbers)


CURVE = b"curv" + bytes(4) + struct.pack(">I", 3) + b"\1\2" * 3
FORMULA = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"\1" * 20


def pipeline() -> bytes:
    curves = CURVE + bytes(2) + FORMULA + CURVE + bytes(2)
    grid = bytes([2, 2, 2]) + bytes(13) + b"\2" + bytes(3) + b"\1" * (8 * 3 * 2)
    places, at = [], 32
    for part in (curves, bytes(48), curves, grid, curves):
        places.append(at)
        at += len(part)
    head = b"mAB " + bytes(4) + b"\3\3\0\0" + struct.pack(">5I", *places)
    return head + curves + bytes(range(48)) + curves + grid + curves


@pytest.mark.parametrize("name", NAMES)
def test_good_profiles_stay_as_they_are(name):
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
    assert kept(data) == (data, "")
    assert ImageCms.ImageCmsProfile(io.BytesIO(kept(data)[0])).tobytes() == data


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        (b"rTRC", CURVE),
        (b"kTRC", FORMULA),
        (b"desc", wide("größe 写真")),
        (b"desc", old(b"a profile")),
        (b"desc", old(b"a profile", "größe".encode("utf-16-be"), b"mac")),
        (b"desc", old(b"a profile")[:-60]),
        (b"cprt", b"text" + bytes(4) + b"(c) 1998 a company\0"),
        (b"A2B0", table(4)),
        (b"A2B0", b"mft1" + bytes(4) + b"\3\4\2" + bytes(37) + b"\1" * (256 * 7 + 8 * 4)),
        (b"A2B1", pipeline()),
        (b"vcgt", b"vcgt" + bytes(4) + struct.pack(">IHHH", 0, 3, 256, 2) + b"\1" * 1536),
        (b"vcgt", b"vcgt" + bytes(4) + struct.pack(">I", 1) + b"\1" * 36),
    ],
)
def test_tags_and_their_sizes(tag, data):
    whole = profile((tag, data), WHITE)
    assert kept(whole) == (whole, "")
    at = whole.index(data)
    longer = profile((tag, data + HIDDEN), WHITE)
    new, _ = kept(longer)
    assert HIDDEN not in new
    if tag != b"cprt" and data[:4] != b"desc":
        assert new[at : at + len(data)] == data
    shorter = profile((tag, data[:-9]), WHITE)
    assert kept(shorter)[0] is not None


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        (b"JPEG", b"data" + bytes(4) + HIDDEN),
        (b"wtpt", b"data" + bytes(4) + HIDDEN),
        (b"wtpt", b"XYZ " + bytes(4) + HIDDEN * 3),
        (b"wtpt", b"XYZ \0\0\0\1" + bytes(12)),
        (b"cprt", b"text" + bytes(4) + HIDDEN),
        (b"cprt", b"text" + bytes(4) + b"QUJDREVG" * 20),
        (b"cprt", b"text" + bytes(4) + b"words \0" + HIDDEN),
        (b"cprt", b"text" + bytes(4) + b"words " * 400),
        (b"desc", old(HIDDEN)),
        (b"desc", old(b"a profile", HIDDEN * 2)),
        (b"desc", old(b"a profile", script=HIDDEN)),
        (b"desc", old(b"a profile", b"QUJDREVG" * 20)),
        (b"desc", wide("QUJDREVG" * 20)),
        (b"desc", wide("<script>")),
        (b"desc", wide("words " * 400)),
        (b"desc", wide("words").replace(b"enUS", b"\xff\xd8\xff\xe0")),
        (b"desc", b"mluc" + bytes(4) + struct.pack(">II", 2**31, 12)),
        (b"rTRC", b"curv" + bytes(4) + struct.pack(">I", 5000) + bytes(10000)),
        (b"rTRC", b"para" + bytes(4) + struct.pack(">HH", 9, 0) + bytes(40)),
        (b"A2B0", table(1)[:48]),
        (b"A2B0", b"mft2" + bytes(4) + b"\xff\xff\xff" + bytes(80)),
        (b"A2B0", pipeline().replace(b"mAB \0\0\0\0\3\3", b"mAB \0\0\0\0\3\xff")),
        (b"vcgt", b"vcgt" + bytes(4) + struct.pack(">IHHH", 0, 3, 9000, 2) + bytes(54000)),
    ],
)
def test_what_a_profile_does_not_hold_is_lost_alone(tag, data):
    good = (b"bkpt", b"XYZ " + bytes(4) + b"\1" * 12)
    new, left_out = kept(profile(good, (tag, data)))
    assert left_out == ""
    assert new[128:144] == struct.pack(">I4sII", 1, *good[:1], 156, 20)
    assert new[156:176] == good[1]
    assert not any(new[144:156] + new[176:])
    assert not any(new[84:100])  # the digest is no longer right


def test_unused_bytes_become_zeros():
    count = struct.unpack_from(">I", SRGB, 128)[0]
    holes = SRGB[:100] + HIDDEN.ljust(28) + SRGB[128:] + HIDDEN * 9
    size = struct.pack(">I", len(holes))
    new, left_out = kept(size + holes[4:])
    assert new == size + SRGB[4:84] + bytes(44) + SRGB[128:] + bytes(len(HIDDEN) * 9)
    assert left_out == ""
    assert count > 5


def test_bytes_behind_the_profile_are_cut_off():
    assert kept(SRGB + HIDDEN) == (SRGB, "")
    assert kept(SRGB + b"PK\x03\x04" * 50_000) == (SRGB, "")


@pytest.mark.parametrize(
    "data",
    [
        b"no profile",
        SRGB[:131],
        SRGB[:-1],
        bytes(len(SRGB)),
        SRGB.replace(b"acsp", b"ACSP"),
        profile(),
        profile((b"JPEG", b"data" + bytes(40))),
        SRGB[:128] + struct.pack(">I", 2**31) + SRGB[132:],
        SRGB[:128] + struct.pack(">I", 101) + SRGB[132:] + bytes(3000),
        struct.pack(">I", 131) + SRGB[4:],
    ],
)
def test_what_is_no_profile_is_left_out(data):
    assert kept(data) == (None, "metadata left out: the ICC profile")


def test_a_chunk_that_is_missing():
    found = parsed(icc.build(SRGB + bytes(70_000)))
    assert len(found) == 2
    for part in (found[:1], found[1:], [*found, found[0]]):
        check(part)
        assert metadata.kept(part) == (b"", "metadata left out: the ICC profile")


def test_tags_that_share_their_data():
    whole = profile((b"rTRC", CURVE), (b"gTRC", CURVE), WHITE)
    shared = bytearray(whole)
    shared[148:152] = whole[136:140]
    assert kept(bytes(shared))[0][:180] == bytes(shared[:84]) + bytes(16) + bytes(shared[100:180])


def test_tags_that_overlap_too_often():
    """Each of a profile's bytes can be read once; otherwise 100 tags would cost 100 times."""
    names = [b"bTRC", b"gTRC", b"kTRC", b"rTRC"]
    rows = [struct.pack(">4sII", name, 1332, 60_000 + n) for n, name in enumerate(names)]
    data = SRGB[4:128] + struct.pack(">I", len(rows)) + b"".join(rows)
    data = data.ljust(1328, b"\0") + CURVE.ljust(61_000, b"\0")
    new, _ = kept(struct.pack(">I", 4 + len(data)) + data)
    assert new[128:132] == struct.pack(">I", 1)
    assert new[132:136] == b"bTRC"
