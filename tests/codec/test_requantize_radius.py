"""Certified files from other people's files: `requantize` with a radius."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import pyfd
from pyfd import Limits, QTables
from tests import intervals, metadata
from tests.codec.test_radius import coefficients, drawn, perturbations, same, tables_for
from tests.jpegs import (
    decode_with_pillow,
    encode_with_pillow,
    picture,
    progressive_gray,
    real_jpegs,
    segment,
)

T = QTables.certified(2)
KINDS = st.sampled_from([{}, {"progressive": True}, {"optimize": True}])


def of_its_pixels(data: bytes, qtables: QTables, **options) -> bytes:
    """Return the certified file of the pixels that a file is decoded to."""
    mode = "L" if pyfd.probe(data).color_space == "L" else "RGB"
    return pyfd.encode(pyfd.decode(data, mode=mode), qtables, **options)


@settings(max_examples=40)
@given(
    data=real_jpegs("L YCbCr RGB"),
    epsilon=st.sampled_from([0, 1, 2, 4, 16]),
    slack=st.sampled_from([0, 8]),
    options=KINDS,
    seed=st.integers(0, 2**32 - 1),
)
def test_the_certificate_holds(data, epsilon, slack, options, seed):
    """In Pillow's pixels of the file, by interval arithmetic in numpy, and by perturbing them."""
    tables = tables_for(epsilon, slack, seed)
    out = pyfd.requantize(data, tables, radius=epsilon, baseline=False, metadata=False, **options)
    assert out == of_its_pixels(data, tables, radius=epsilon, baseline=False, **options)
    decoded = decode_with_pillow(out)
    assert np.array_equal(decoded, pyfd.decode(out, tables, mode=None))
    assert min(radii.min() for radii in intervals.radii(decoded, tables, "4:4:4")) > epsilon
    assert all(part.min() > epsilon for part in pyfd.certify(decoded, tables).radii)
    for e in perturbations(decoded, epsilon, seed):
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        assert same(coefficients(pyfd.encode(moved, tables, baseline=False)), coefficients(out))
    again = pyfd.requantize(out, tables, radius=epsilon, baseline=False, metadata=False, **options)
    assert again == out


@pytest.mark.parametrize("channels", [1, 3])
def test_radius_for_files(channels):
    data = encode_with_pillow(picture(48, 40, 1, channels), quality=85)
    tables = QTables.certified(1, files=True)
    out = pyfd.requantize(data, tables, radius=1, radius_files=1, metadata=False)
    assert out == of_its_pixels(data, tables, radius=1, radius_files=1)
    assert pyfd.certify(pyfd.decode(out, mode=None), tables).file_radius > 1


def test_a_damaged_file_that_is_tolerated():
    data = encode_with_pillow(picture(64, 64), quality=90)[:-400]
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.requantize(data, T, radius=2)
    with pytest.warns(pyfd.JPEGWarning) as ours:
        out = pyfd.requantize(data, T, radius=2, strict=False)
    with pytest.warns(pyfd.JPEGWarning) as theirs:
        pixels = pyfd.decode(data, strict=False)
    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]
    assert [w.filename for w in ours] == [__file__]
    assert out == pyfd.encode(pixels, T, radius=2)


@settings(max_examples=60)
@given(
    data=real_jpegs(),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    strict=st.booleans(),
)
@pytest.mark.filterwarnings("ignore::pyfd.JPEGWarning")
def test_changed_bytes_give_a_certified_file_or_an_error(data, changes, strict):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[min(int(place * len(data)), len(data) - 1)] = value
    limits = Limits(max_pixels=1 << 18, max_memory=1 << 24)
    try:
        out = pyfd.requantize(bytes(damaged), T, radius=2, strict=strict, limits=limits)
    except pyfd.JPEGError:
        return
    except ValueError:
        assert pyfd.probe(bytes(damaged)).color_space in ("CMYK", "YCCK")
        return
    assert pyfd.holds(pyfd.decode(out, mode=None), T, 2).all()


# ---- metadata -------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [True, False, {"icc"}, {"orientation", "comment"}, {"exif", "gps"}]
)
def test_metadata_are_kept_as_without_a_radius(names):
    """The same segments, but for the encoder's own, and the density."""
    exif = metadata.block([(0x010F, 2, b"Maker\0"), (0x0112, 3, b"\6\0")], gps=[(1, 2, b"N\0")])
    file = io.BytesIO()
    Image.fromarray(picture(40, 24)).save(
        file, "JPEG", exif=exif, icc_profile=metadata.SRGB, comment=b"words", dpi=(300, 150)
    )
    data = file.getvalue()
    certified = pyfd.requantize(data, T, radius=2, metadata=names)
    plain = pyfd.requantize(data, T, metadata=names)
    ours, theirs = (pyfd.probe(x) for x in (certified, plain))
    for name in ("exif", "icc_profile", "comment", "orientation", "qtables"):
        assert getattr(ours, name) == getattr(theirs, name)
    densities = [Image.open(io.BytesIO(x)).info.get("jfif_density") for x in (certified, plain)]
    assert densities == [(1, 1) if names is False else (300, 150)] * 2
    assert ours.subsampling == "4:4:4"
    assert theirs.subsampling == "4:2:0"


def test_what_holds_undefended_pixels_is_not_kept():
    thumbnail = encode_with_pillow(picture(16, 16))
    jfif = segment(0xE0, b"JFXX\0\x10" + thumbnail)
    plain = encode_with_pillow(picture(40, 24))
    data = plain[:20] + jfif + segment(0xE1, b"Exif\0\0" + thumbnail) + plain[20:] + thumbnail
    out = pyfd.requantize(data, T, radius=2)
    assert out.count(b"\xff\xd8") == 1
    assert out == of_its_pixels(plain, T, radius=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("orient", [True, "trim"])
def test_an_upright_image(orientation, orient):
    """Its pixels are turned whole, whatever the edges; the certificate is of the turned ones."""
    file = io.BytesIO()
    exif = metadata.block([(0x0112, 3, bytes([orientation, 0]))])
    Image.fromarray(picture(41, 23)).save(file, "JPEG", exif=exif, dpi=(300, 150))
    data = file.getvalue()
    out = pyfd.requantize(data, T, radius=2, orient=orient, metadata={"orientation"})
    upright = pyfd.decode(data, orient=True)
    assert np.array_equal(upright, np.asarray(ImageOps.exif_transpose(Image.open(file))))
    assert same(coefficients(out), coefficients(pyfd.encode(upright, T, radius=2)))
    assert pyfd.holds(pyfd.decode(out), T, 2).all()
    assert pyfd.probe(out).orientation == 1
    density = Image.open(io.BytesIO(out)).info["jfif_density"]
    assert density == ((150, 300) if orientation > 4 else (300, 150))
    assert pyfd.requantize(out, T, radius=2, orient=orient, metadata={"orientation"}) == out


# ---- what is refused ------------------------------------------------------


def test_files_of_four_components_are_refused():
    file = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(file, "JPEG")
    for options in ({"radius": 2}, {"radius_files": 1}):
        with pytest.raises(ValueError, match="a CMYK image has no radius: convert it to RGB"):
            pyfd.requantize(file.getvalue(), QTables.certified(2, files=True), **options)


@pytest.mark.parametrize(
    ("tables", "options", "error", "text"),
    [
        ("fd-2018", {"radius": 5}, ValueError, r"it needs 81 or more. QTables.certified\(5\)"),
        (QTables.uniform(300), {"radius": 2}, ValueError, "1...255"),
        (QTables.uniform(9000), {"radius": 2, "baseline": False}, ValueError, "1...8191"),
        (T, {"radius": -1}, ValueError, "0...255, not -1"),
        (T, {"radius": 256}, ValueError, "0...255, not 256"),
        (T, {"radius": 1.0}, TypeError, "whole number"),
        (T, {"radius_files": 200}, ValueError, "at most 126 levels"),
        (T, {"radius_files": 2}, ValueError, r"certified\(2, files=True\)"),
    ],
)
def test_radii_that_cannot_be(tables, options, error, text):
    data = encode_with_pillow(picture(16, 16))
    with pytest.raises(error, match=text):
        pyfd.requantize(data, tables, **options)


def test_sides_of_files_that_hold_against_files():
    data = encode_with_pillow(picture(20, 16))
    with pytest.raises(ValueError, match="multiples of 8, not 20×16"):
        pyfd.requantize(data, QTables.certified(1, files=True), radius_files=1)


def test_gray_files_need_only_the_first_table():
    tables = QTables([T[0], np.ones((8, 8), int)])
    gray, color = (encode_with_pillow(picture(16, 16, 0, channels)) for channels in (1, 3))
    assert pyfd.probe(pyfd.requantize(gray, tables, radius=2)).color_space == "L"
    with pytest.raises(ValueError, match=r"qtables\[1\] has step 1"):
        pyfd.requantize(color, tables, radius=2)


# ---- limits ---------------------------------------------------------------


def check_limit(data: bytes, name: str, enough: int, **options) -> None:
    """With `enough` the file is taken; with one less, the error names the limit."""
    pyfd.requantize(data, T, radius=2, **options, limits=replace(Limits(), **{name: enough}))
    with pytest.raises(pyfd.LimitExceededError, match=rf"^{name} is {enough - 1}, but") as caught:
        pyfd.requantize(
            data, T, radius=2, **options, limits=replace(Limits(), **{name: enough - 1})
        )
    assert (caught.value.limit, caught.value.needed) == (name, enough)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("reading", "options", "arrays"),
    [({}, {}, 0), ({"progressive": True}, {}, 1), ({}, {"optimize": True}, 2)],
    ids=["baseline", "progressive input", "optimized output"],
)
def test_max_memory(channels, reading, options, arrays):
    """It holds the input, the pixels, and the coefficients of the input or of the output."""
    data = encode_with_pillow(picture(96, 40, 0, channels), **reading, quality=30)
    blocks = 12 * 5 * channels
    if channels == 3 and arrays == 1:  # 4:2:0, padded to whole MCUs
        blocks = 12 * 6 + 2 * 6 * 3
    coefficients = 128 * blocks if arrays else 0
    enough = len(data) + 96 * 40 * channels + coefficients
    if arrays != 1:  # in the place of the input's coefficients, the output is counted
        pyfd.requantize(data, T, radius=2, **options, limits=Limits(max_memory=enough + 100_000))
        with pytest.raises(pyfd.LimitExceededError, match="max_memory"):
            pyfd.requantize(data, T, radius=2, **options, limits=Limits(max_memory=enough - 1))
    else:
        check_limit(data, "max_memory", enough)


@pytest.mark.parametrize(("optimize", "coefficients"), [(True, 3 * 88 * 113 * 128), (False, 0)])
def test_max_memory_covers_the_output(optimize, coefficients):
    data = encode_with_pillow(drawn("noise", 700, 900, 1), quality=40)
    out = pyfd.requantize(data, T, radius=2, optimize=optimize, metadata=False)
    assert len(out) > 1 << 16
    enough = len(data) + 3 * 700 * 900 + coefficients + len(out)
    options = {"optimize": optimize, "metadata": False}
    pyfd.requantize(data, T, radius=2, **options, limits=Limits(max_memory=enough))
    with pytest.raises(pyfd.LimitExceededError, match="output need at least"):
        pyfd.requantize(data, T, radius=2, **options, limits=Limits(max_memory=enough - 1))


@pytest.mark.parametrize(
    ("options", "scans"), [({"optimize": True}, 3), ({"progressive": True}, 14)]
)
def test_max_work_of_the_output(options, scans):
    data = encode_with_pillow(picture(400, 300))
    check_limit(data, "max_work", scans * 50 * 38 * 6, **options)


def test_the_other_limits():
    data = progressive_gray(16, 16, 3)
    data = data[:2] + segment(0xE1, bytes(50)) + data[2:]
    for name, enough in (
        ("max_bytes", len(data)),
        ("max_pixels", 256),
        ("max_scans", 3),
        ("max_metadata", 50),
    ):
        check_limit(data, name, enough)
