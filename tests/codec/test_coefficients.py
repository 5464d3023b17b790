import dataclasses

import numpy as np
import pytest
from hypothesis import given

import pyfd
from pyfd import Coefficients, QTables
from tests.jpegs import encode_with_pillow, picture, read_with_jpeglib, real_jpegs


@given(real_jpegs("L YCbCr RGB"))
def test_reads_what_jpeglib_reads(tmp_path_factory, data):
    planes, steps = read_with_jpeglib(tmp_path_factory.mktemp("jpeglib") / "x.jpg", data)
    ours = pyfd.read_coefficients(data)
    for i, (plane, step) in enumerate(zip(planes, steps, strict=True)):
        assert ours.components[i].dtype == np.int16
        assert np.array_equal(ours.components[i], plane)
        assert np.array_equal(ours.qtables[i], step)
        dequantized = ours.dequantized(i)
        assert dequantized.dtype == np.int32
        assert np.array_equal(dequantized, plane.astype(int) * step)


@given(real_jpegs())
def test_round_trip_is_exact(data):
    first = pyfd.read_coefficients(data)
    for options in ({}, {"progressive": True}, {"optimize": True}):
        written = pyfd.write_coefficients(first, **options)
        again = pyfd.read_coefficients(written)
        assert len(again.components) == len(first.components)
        for a, b in zip(first.components, again.components, strict=True):
            assert np.array_equal(a, b)
        assert all((first.qtables[i] == again.qtables[i]).all() for i in range(4))
        for field in ("width", "height", "color_space", "sampling"):
            assert getattr(again, field) == getattr(first, field)
        assert np.array_equal(pyfd.decode(written, mode=None), pyfd.decode(data, mode=None))


def test_components_may_have_four_tables():
    coefficients = pyfd.read_coefficients(encode_with_pillow(picture(20, 20, channels=4)))
    qtables = QTables([np.full((8, 8), step) for step in (1, 300, 7, 65535)])
    changed = dataclasses.replace(coefficients, qtables=qtables)
    again = pyfd.read_coefficients(pyfd.write_coefficients(changed))
    assert again.qtables == qtables


def test_padding_blocks_are_not_kept():
    """The example of csrc/pyfd.h: 36x28 in 4:2:0."""
    coefficients = pyfd.read_coefficients(encode_with_pillow(picture(36, 28), subsampling=2))
    assert [c.shape for c in coefficients.components] == [
        (4, 5, 8, 8),
        (2, 3, 8, 8),
        (2, 3, 8, 8),
    ]


def block(value: int, place: int, **changes: object) -> Coefficients:
    plane = np.zeros((1, 1, 64), np.int64)
    plane[0, 0, place] = value
    fields = {
        "components": [plane.reshape(1, 1, 8, 8)],
        "qtables": QTables.uniform(1),
        "sampling": ((1, 1),),
        "width": 8,
        "height": 8,
        "color_space": "L",
    }
    return Coefficients(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "place"), [(1023, 63), (-1023, 1), (1023, 0), (-1024, 0)])
@pytest.mark.parametrize("optimize", [True, False])
def test_extremes_are_written(value, place, optimize):
    data = pyfd.write_coefficients(block(value, place), optimize=optimize)
    (plane,) = pyfd.read_coefficients(data).components
    assert plane.ravel()[place] == value


@pytest.mark.parametrize(
    ("coefficients", "match"),
    [
        (block(1024, 5), "AC"),
        (block(-1024, 5), "AC"),
        (block(1024, 0), "DC"),
        (block(-1025, 0), "DC"),
        (block(70000, 5), "AC"),
        (block(0, 0, width=9), "shape"),
        (block(0, 0, height=65501), "width and height"),
        (block(0, 0, width=0), "width and height"),
        (block(0, 0, color_space="YCbCr"), "3 components"),
        (block(0, 0, color_space="XYZ"), "color_space"),
        (block(0, 0, sampling=((0, 1),)), "sampling"),
        (block(0, 0, sampling=((5, 1),)), "sampling"),
        (block(0, 0, sampling=()), "1 components"),
        (block(0, 0, components=[np.zeros((1, 1, 8, 8))]), "integers"),
        (block(0, 0, components=[np.zeros((1, 8, 8), np.int16)]), "shape"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(coefficients, match):
    with pytest.raises(ValueError, match=match):
        pyfd.write_coefficients(coefficients)


def test_fractional_sampling_is_refused():
    """libjpeg writes it, but no decoder here reads it."""
    planes = [np.zeros(shape, np.int16) for shape in ((1, 3, 8, 8), (1, 2, 8, 8), (1, 2, 8, 8))]
    coefficients = Coefficients(
        planes, QTables.uniform(1), ((3, 1), (2, 1), (2, 1)), 24, 8, "YCbCr"
    )
    data = pyfd.write_coefficients(coefficients)
    with pytest.raises(pyfd.UnsupportedJPEGError):
        pyfd.decode(data)


def test_metadata_can_be_added():
    data = pyfd.write_coefficients(block(3, 3), comment="hello")
    assert pyfd.probe(data).comment == b"hello"


def test_qtables_in_all_forms_and_nothing_else():
    good = block(3, 3)
    expected = pyfd.write_coefficients(dataclasses.replace(good, qtables=QTables.uniform(7)))
    for form in (np.full((8, 8), 7), [np.full((8, 8), 7)] * 3):
        assert pyfd.write_coefficients(dataclasses.replace(good, qtables=form)) == expected
    for bad in ([np.ones((1, 1), np.uint8)] * 3, np.zeros((8, 8), int), "no preset"):
        with pytest.raises(ValueError, match=r"8×8|steps|preset"):
            pyfd.write_coefficients(dataclasses.replace(good, qtables=bad))


def test_masked_values_do_not_hide():
    plane = np.ma.masked_array(np.full((1, 1, 8, 8), -32768, np.int16), mask=True)
    with pytest.raises(ValueError, match="beyond"):
        pyfd.write_coefficients(block(0, 0, components=[plane]))


def test_sizes_may_be_numpys_integers():
    data = pyfd.write_coefficients(block(3, 3, width=np.uint8(8), height=np.uint8(8)))
    assert pyfd.probe(data).width == 8


@pytest.mark.parametrize("factors", [(2, 2), (4, 4), (3, 2)])
@pytest.mark.parametrize("progressive", [True, False])
def test_more_blocks_than_one_scan_holds(factors, progressive):
    """4:4:4 with factors of 2×2 or more needs a scan for each component (T.81 B.2.3)."""
    rng = np.random.default_rng(0)
    planes = [rng.integers(-20, 21, (3, 5, 8, 8)).astype(np.int16) for _ in range(3)]
    coefficients = Coefficients(planes, QTables.uniform(9), (factors,) * 3, 40, 24, "YCbCr")
    data = pyfd.write_coefficients(coefficients, progressive=progressive)
    again = pyfd.read_coefficients(data)
    assert all(np.array_equal(a, b) for a, b in zip(planes, again.components, strict=True))
    out = pyfd.requantize(data, "fd-2018", progressive=progressive)
    assert np.array_equal(pyfd.decode(out), pyfd.decode(data, "fd-2018"))
    assert pyfd.requantize(out, "fd-2018", progressive=progressive) == out
