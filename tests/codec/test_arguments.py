"""Arguments that several functions of the codec share: tables, sources, limits."""

import io
import mmap

import numpy as np
import pytest

import pyfd
from pyfd import QTables
from tests.jpegs import encode_with_pillow, picture

PRESET = "fd-cvpr2019"
SMALL = encode_with_pillow(picture(20, 12))


@pytest.mark.parametrize(
    ("call", "step"),
    [
        (lambda t: pyfd.encode(picture(8, 8), t), 256),
        (lambda t: pyfd.encode(picture(8, 8), t, baseline=False), 8192),
        (lambda t: pyfd.decode(SMALL, t), 32768),
        (lambda t: pyfd.requantize(SMALL, t), 256),
        (lambda t: pyfd.requantize(SMALL, t, baseline=False), 32768),
    ],
)
def test_steps_have_bounds(call, step):
    assert call(QTables.uniform(step - 1)) is not None
    with pytest.raises(ValueError, match=f"not {step}"):
        call(QTables.uniform(step))


def test_tables_in_all_forms():
    expected = pyfd.decode(SMALL, PRESET)
    table = QTables.preset(PRESET)[0]
    for form in (table, table.tolist(), [table], [table, table], QTables.preset(PRESET)):
        assert np.array_equal(pyfd.decode(SMALL, form), expected)


def test_tables_changed_by_force_cannot_smuggle_steps_of_0():
    tables = QTables(np.ones((8, 8), int))
    object.__setattr__(tables, "array", np.zeros((1, 8, 8), np.uint16))
    with pytest.raises(ValueError, match="steps"):
        pyfd.requantize(SMALL, tables)


def test_sources_in_all_forms(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(SMALL)
    expected = pyfd.decode(SMALL)
    array = np.frombuffer(SMALL, np.uint8)
    for source in (bytearray(SMALL), memoryview(SMALL), array, path, str(path), io.BytesIO(SMALL)):
        assert np.array_equal(pyfd.decode(source), expected)
    with path.open("rb") as file:
        assert np.array_equal(pyfd.decode(file), expected)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert np.array_equal(pyfd.decode(mapped), expected)


@pytest.mark.parametrize("source", [None, 5, io.StringIO("text"), object()])
def test_other_sources_are_a_type_error(source):
    with pytest.raises(TypeError):
        pyfd.decode(source)


def test_non_contiguous_sources_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match="contiguous"):
        pyfd.decode(memoryview(SMALL * 2)[::2])
    with pytest.raises(FileNotFoundError):
        pyfd.decode(tmp_path / "none.jpg")


def test_files_and_pixels_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match=r"pass an array of pixels to encode"):
        pyfd.decode(picture(9, 9))
    for file in ("photo.png", tmp_path / "photo.png", SMALL):
        with pytest.raises(TypeError, match="pixels"):
            pyfd.encode(file, PRESET)
    for one in ("photo.jpg", SMALL):
        with pytest.raises(TypeError, match="iterable of files"):
            pyfd.decode_many(one)


@pytest.mark.parametrize("limits", [None, 5])
def test_limits_are_limits(limits):
    for call in (pyfd.probe, pyfd.decode, pyfd.read_coefficients):
        with pytest.raises(TypeError, match="limits must be"):
            call(SMALL, limits=limits)
    for call in (pyfd.requantize, lambda x, t, limits: pyfd.decode_many([x], t, limits=limits)):
        with pytest.raises(TypeError, match="limits must be"):
            call(SMALL, PRESET, limits=limits)


def test_flags_may_be_any_truth():
    assert np.array_equal(pyfd.decode(SMALL, strict=2**40), pyfd.decode(SMALL))
    assert pyfd.encode(picture(8, 8), PRESET, progressive=-1) == pyfd.encode(
        picture(8, 8), PRESET, progressive=True
    )
