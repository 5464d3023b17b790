"""`requantize`, streamed MCU by MCU, compared with the coefficients of the whole image."""

import dataclasses
import io
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import Coefficients, QTables
from tests.jpegs import encode_with_pillow, gray, picture, real_jpegs, requantized, segment

PRESET = QTables.preset("fd-cvpr2019")


def through_arrays(data: bytes, qtables: QTables, strict: bool = True, **options: bool) -> bytes:
    """Return the same file, made by numpy from the coefficients of the whole image."""
    found = pyfd.read_coefficients(data, strict=strict)
    planes = [
        requantized(plane, found.qtables[i], qtables[i]).astype(np.int16)
        for i, plane in enumerate(found.components)
    ]
    changed = dataclasses.replace(found, components=planes, qtables=qtables)
    return pyfd.write_coefficients(changed, **options)


def tables(seed: int) -> QTables:
    rng = np.random.default_rng(seed)
    return QTables([rng.integers(1, 256, (8, 8)) for _ in range(1 + seed % 4)])


@given(real_jpegs(), st.integers(0, 99))
def test_streamed_files_are_those_of_the_arrays(data, seed):
    """All colors, samplings and sizes give equal files, with and without restart markers."""
    qtables = tables(seed)
    for options in ({}, {"optimize": True}, {"progressive": True}):
        out = pyfd.requantize(data, qtables, metadata=False, **options)
        assert out == through_arrays(data, qtables, **options)


@given(st.data(), real_jpegs(), st.booleans())
def test_so_they_are_for_damaged_files(draw, data, strict):
    """Files that are cut off or have changed bytes give the same file or the same error."""
    start = data.index(b"\xff\xda")
    damaged = bytearray(data[: draw.draw(st.integers(start, len(data)))])
    for _ in range(draw.draw(st.integers(0, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))

    def outcome(call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return call(), [str(warning.message) for warning in caught]
            except pyfd.JPEGError as error:
                return type(error), str(error)

    streamed = outcome(lambda: pyfd.requantize(bytes(damaged), PRESET, strict=strict))
    whole = outcome(lambda: pyfd.requantize(bytes(damaged), PRESET, strict=strict, optimize=True))
    if isinstance(whole[0], bytes):
        assert streamed[1] == whole[1]
        first, second = (pyfd.read_coefficients(x[0]) for x in (streamed, whole))
        for a, b in zip(first.components, second.components, strict=True):
            assert np.array_equal(a, b)
    else:
        assert streamed == whole


@pytest.mark.parametrize(
    "sampling",
    [
        ((4, 1), (1, 1), (1, 1)),
        ((1, 4), (1, 1), (1, 1)),
        ((1, 1), (2, 2), (1, 1)),
        ((1, 2), (2, 1), (1, 1)),
        ((2, 2), (1, 1), (1, 1), (2, 2)),
        ((2, 2),),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (8, 8), (17, 31), (70, 45)])
def test_unusual_samplings(sampling, width, height):
    """Coefficients may be as large as possible, and steps may have 16 bits."""
    rng = np.random.default_rng(width)
    wide, high = (max(factor[i] for factor in sampling) for i in (0, 1))
    planes = []
    for h, v in sampling if len(sampling) > 1 else ((wide, high),):
        blocks = (
            math.ceil(math.ceil(height * v / high) / 8),
            math.ceil(math.ceil(width * h / wide) / 8),
        )
        plane = rng.integers(-1023, 1024, (*blocks, 8, 8)) * (rng.random((*blocks, 8, 8)) < 0.3)
        planes.append(plane.astype(np.int16))
    steps = QTables([rng.integers(1, 65536, (8, 8)) for _ in sampling])
    space = {1: "L", 3: "YCbCr", 4: "CMYK"}[len(sampling)]
    data = pyfd.write_coefficients(Coefficients(planes, steps, sampling, width, height, space))
    for qtables in (PRESET, QTables.uniform(1), QTables.uniform(255)):
        assert pyfd.requantize(data, qtables, metadata=False) == through_arrays(data, qtables)


def test_components_in_another_order_are_refused():
    """So the MCUs that are read are always those to write."""
    data = bytearray(encode_with_pillow(picture(50, 40), subsampling=0))
    first = data.index(b"\xff\xda") + 5
    second = first + 2
    data[first:second], data[second : second + 2] = data[second : second + 2], data[first:second]
    with pytest.raises(pyfd.CorruptJPEGError, match="component ID 1"):
        pyfd.requantize(data, PRESET)


def test_the_output_buffer_grows():
    """From less to many times more than its first size, the bytes are the same."""
    for width in (8, 300, 1500):
        data = encode_with_pillow(picture(width, 900), quality=95, subsampling=0)
        out = pyfd.requantize(data, QTables.uniform(1), metadata=False)
        assert out == through_arrays(data, QTables.uniform(1))


def test_sources_and_metadata():
    data = encode_with_pillow(picture(40, 40), comment=b"hello")
    expected = pyfd.requantize(data, PRESET)
    for source in (bytearray(data), memoryview(data), io.BytesIO(data)):
        assert pyfd.requantize(source, PRESET) == expected
    assert pyfd.probe(expected).comment == b"hello"
    assert pyfd.requantize(gray(), PRESET, metadata=False) == pyfd.requantize(gray(), PRESET)


def test_many_segments_are_kept():
    """The file has more segments than `pyfd_found` has room for."""
    data = gray(before=b"".join(segment(0xFE, b"comment %d" % n) for n in range(60)))
    out = pyfd.requantize(data, PRESET)
    assert [out.count(b"comment %d" % n) for n in (0, 15, 16, 17)] == [1, 1, 1, 1]
    assert pyfd.probe(out).comment == pyfd.probe(data).comment == b"comment 59"
