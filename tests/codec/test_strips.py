"""One image on several threads: the result is that of one thread, byte for byte, or its error."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import JPEGError, Limits, QTables
from pyfd._core import helpers
from tests.jpegs import (
    as_ycck,
    decode_with_pillow,
    encode_with_pillow,
    picture,
    with_factors,
)

T = QTables.preset("fd-cvpr2019")
TABLES = [QTables.annex_k(80)[0], QTables.annex_k(60)[1], QTables.uniform(9)[0]]
SIZE = (259, 1043)  # pixels for four strips, and no multiple of an MCU
WORKERS = (2, 3, 8)
SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0")


def file(rows: int, *, size: tuple[int, int] = SIZE, channels: int = 3, **options: object) -> bytes:
    return encode_with_pillow(
        picture(*size, channels=channels), restart_marker_rows=rows, **options
    )


def markers(data: bytes) -> list[int]:
    scan = data.rindex(b"\xff\xda")
    return [found.start() for found in re.compile(rb"\xff[\xd0-\xd7]").finditer(data, scan)]


# ---- the same result ---------------------------------------------------------


@settings(max_examples=15)
@given(
    st.integers(1, 70),
    st.integers(0, 2),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, T, TABLES]),
    st.sampled_from(WORKERS),
    st.data(),
)
def test_decode(rows, subsampling, channels, scale, tables, workers, draw):
    data = file(rows, channels=channels, subsampling=subsampling, quality=90)
    data = as_ycck(data) if channels == 4 and draw.draw(st.booleans()) else data
    mode = draw.draw(st.sampled_from([None, "RGB", "BGR"]))
    one = pyfd.decode(data, tables, mode=mode, scale=scale)
    found = pyfd.decode(data, tables, mode=mode, scale=scale, workers=workers)
    assert np.array_equal(found, one)
    if tables is None and mode == {1: None, 3: "RGB", 4: None}[channels]:
        assert np.array_equal(found, decode_with_pillow(data, mode, scale))
    height, width = one.shape[:2]
    left, top = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height // 2))
    region = (left, top, width - left, draw.draw(st.integers(1, height - top)))
    options = {"mode": mode, "scale": scale, "region": region}
    assert np.array_equal(
        pyfd.decode(data, tables, workers=workers, **options), pyfd.decode(data, tables, **options)
    )


@pytest.mark.parametrize("interval", [1, 2, 5, 32, 33, 66, 100, 1000, 4000])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_intervals_that_are_no_rows(interval, subsampling):
    data = encode_with_pillow(
        picture(*SIZE), subsampling=subsampling, restart_marker_blocks=interval
    )
    assert np.array_equal(pyfd.decode(data, T, workers=3), pyfd.decode(data, T))
    assert pyfd.requantize(data, T, restart_rows=2, workers=3) == pyfd.requantize(
        data, T, restart_rows=2
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_turned(orientation, mode):
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0"
    image, exif = picture(*SIZE), tag + bytes(4)
    data = pyfd.encode(image, T, exif=exif, restart_rows=3, subsampling="4:2:0")
    one = pyfd.decode(data, mode=mode, orient=True)
    assert np.array_equal(pyfd.decode(data, mode=mode, orient=True, workers=3), one)
    assert (one.shape[:2] == SIZE) == (orientation > 4)
    region = (7, 31, one.shape[1] - 20, one.shape[0] - 77)
    options = {"orient": True, "region": region, "mode": mode}
    assert np.array_equal(pyfd.decode(data, workers=3, **options), pyfd.decode(data, **options))


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 20, 65, 65535])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_encode(rows, subsampling):
    for image in (picture(*SIZE), picture(*SIZE, channels=1)):
        options = {"subsampling": subsampling, "restart_rows": rows, "comment": "\xff\xd9" * 9}
        one = pyfd.encode(image, TABLES, **options)
        for workers in WORKERS:
            assert pyfd.encode(image, TABLES, workers=workers, **options) == one


def test_markers_are_those_of_other_encoders():
    image, qtables = picture(*SIZE), [QTables.annex_k(75)[i] for i in (0, 1)]
    for number, subsampling in enumerate(SUBSAMPLINGS[:3]):
        for rows in (1, 3):
            ours = pyfd.encode(
                image, qtables, subsampling=subsampling, restart_rows=rows, workers=2
            )
            theirs = file(rows, subsampling=number, quality=75)
            assert ours[ours.rindex(b"\xff\xda") :] == theirs[theirs.rindex(b"\xff\xda") :]


@pytest.mark.parametrize("options", [{"radius": 1}, {"radius_files": 1}])
def test_encode_with_a_radius(options):
    """Each block is certified on its own."""
    image = picture(64, 2048)
    one = pyfd.encode(image, QTables.uniform(90), restart_rows=4, **options)
    assert pyfd.encode(image, QTables.uniform(90), restart_rows=4, workers=3, **options) == one


@settings(max_examples=12)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2),
    st.sampled_from([1, 3, 4]),
    st.sampled_from(WORKERS),
)
def test_requantize(rows, written, subsampling, channels, workers):
    data = file(rows, channels=channels, subsampling=subsampling)
    one = pyfd.requantize(data, T, restart_rows=written)
    assert pyfd.requantize(data, T, restart_rows=written, workers=workers) == one
    pixels = pyfd.decode(one, mode=None, workers=workers)
    assert np.array_equal(pixels, pyfd.decode(data, T, mode=None))
    assert np.array_equal(pixels, decode_with_pillow(one))


def test_an_interval_has_at_most_65535_mcus():
    image = np.zeros((80, 65500), np.uint8)
    data = pyfd.encode(image, T, restart_rows=9)
    assert data[data.index(b"\xff\xdd") :][:6] == b"\xff\xdd\0\4" + (8 * 8188).to_bytes(2, "big")
    assert pyfd.encode(image, T, restart_rows=9, workers=2) == data
    assert np.array_equal(pyfd.decode(data, mode=None, workers=2), image)


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}])
def test_what_strips_cannot_do_is_done_in_one(options):
    image = picture(*SIZE)
    data = pyfd.encode(image, T, restart_rows=2, **options)
    assert markers(data)
    assert pyfd.encode(image, T, restart_rows=2, workers=3, **options) == data
    assert np.array_equal(pyfd.decode(data, workers=3), decode_with_pillow(data))
    kept = pyfd.requantize(data, T, restart_rows=2, workers=3, **options)
    assert kept == pyfd.requantize(data, T, restart_rows=2, **options)


# ---- that it is done in strips ---------------------------------------------------


@pytest.fixture
def alone(monkeypatch) -> Iterator[Callable[[Callable[[], None]], list[int]]]:
    """Let one helper take all steps at once, and then do something."""

    def install(then: Callable[[], None]) -> list[int]:
        asked = []

        def ask(call: Callable[[], None], count: int) -> None:
            asked.append(count)
            for _ in range(count):
                call()
            then()

        monkeypatch.setattr(helpers, "ask", ask)
        return asked

    return install


SAMPLINGS = {
    "L": [((1, 1),), ((2, 2),), ((1, 4),), ((3, 1),)],
    "YCbCr": [
        ((4, 1), (1, 1), (1, 1)),
        ((1, 4), (1, 1), (1, 1)),
        ((3, 2), (1, 1), (1, 2)),
        ((1, 1), (2, 2), (1, 2)),
        ((2, 2), (2, 1), (1, 2)),
    ],
    "CMYK": [((2, 2), (1, 1), (2, 2), (1, 1)), ((1, 2), (2, 1), (1, 1), (2, 2))],
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("space", "sampling"), [(name, one) for name in SAMPLINGS for one in SAMPLINGS[name]]
)
def test_sampling_factors(alone, space, sampling, rows):
    whole = with_factors(sampling, SIZE, space, seed=rows)
    data = pyfd.requantize(pyfd.write_coefficients(whole), T, restart_rows=rows)
    asked = alone(lambda: None)
    assert pyfd.requantize(data, TABLES, restart_rows=2, workers=3) == pyfd.requantize(
        data, TABLES, restart_rows=2
    )
    for options in ({}, {"scale": 2}, {"region": (17, 130, 200, 801)}):
        one = pyfd.decode(data, TABLES, mode=None, **options)
        found = pyfd.decode(data, TABLES, mode=None, workers=3, **options)
        assert np.array_equal(found, one)
    assert len(asked) == 4


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"region": (8, 40, 200, 990)}])
def test_decode_reads_all_in_strips(alone, subsampling, options):
    """Once the steps are done, nothing is read again."""
    original = file(1, subsampling=subsampling)
    data = bytearray(original)

    def spoil() -> None:
        data[data.rindex(b"\xff\xda") :] = bytes(len(data) - data.rindex(b"\xff\xda"))

    asked = alone(spoil)
    found = pyfd.decode(memoryview(data), T, workers=3, **options)
    assert asked == [2]
    assert np.array_equal(found, pyfd.decode(original, T, **options))


def test_requantize_reads_all_in_strips(alone):
    original = file(4)
    data = bytearray(original)

    def spoil() -> None:
        data[data.rindex(b"\xff\xda") :] = bytes(len(data) - data.rindex(b"\xff\xda"))

    asked = alone(spoil)
    found = pyfd.requantize(memoryview(data), T, restart_rows=4, workers=2)
    assert asked == [1]
    assert found == pyfd.requantize(original, T, restart_rows=4)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_encode_reads_all_in_strips(alone, subsampling):
    image = picture(*SIZE)
    original = image.copy()
    asked = alone(lambda: image.fill(0))
    found = pyfd.encode(image, T, subsampling=subsampling, restart_rows=3, workers=4)
    assert asked == [3]
    assert found == pyfd.encode(original, T, subsampling=subsampling, restart_rows=3)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (file(1, size=(64, 1000)), {}),  # too few pixels
        (file(1, size=(4000, 120)), {}),  # too few rows
        (encode_with_pillow(picture(*SIZE)), {}),
        (file(1, progressive=True), {}),
        (file(1), {"strict": False}),
        (file(1), {"workers": 1}),
        (file(1), {"limits": Limits(max_memory=1 << 20)}),
        (file(1), {"limits": Limits(max_work=100_000)}),
    ],
    ids=["small", "low", "no markers", "progressive", "lenient", "one", "memory", "work"],
)
def test_nobody_is_asked(alone, data, options):
    asked = alone(lambda: None)
    plain = {key: value for key, value in options.items() if key != "workers"}
    found = pyfd.decode(data, T, **{"workers": 4, **options})
    assert asked == []
    assert np.array_equal(found, pyfd.decode(data, T, **plain))


# ---- damage ------------------------------------------------------------------


def outcome(call: Callable[..., object], *arguments: object, **options: object) -> object:
    """Return what a call returns, or how it fails or warns."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = call(*arguments, **options)
        except JPEGError as error:
            return type(error), str(error)
    if isinstance(found, np.ndarray):
        found = found.tobytes()
    return found, [str(warning.message) for warning in warned]


def agree(data: bytes, **options: object) -> bool:
    """Check that three threads do as one does; return whether all calls fail."""
    one = outcome(pyfd.decode, data, T, **options)
    assert outcome(pyfd.decode, data, T, workers=3, **options) == one
    again = outcome(pyfd.requantize, data, T, restart_rows=2, **options)
    found = outcome(pyfd.requantize, data, T, restart_rows=2, workers=3, **options)
    assert found == again
    return isinstance(one[0], type) and isinstance(again[0], type)


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    places = markers(data)
    scan = data.rindex(b"\xff\xda") + 14
    for place in (places[0], places[len(places) // 2], places[-1]):
        yield "missing", data[:place] + data[place + 2 :]
        yield "stuffed", data[: place + 1] + b"\0" + data[place + 2 :]
        yield "twice", data[:place] + data[place : place + 2] + data[place:]
        for change in (1, 4, 7):
            number = 0xD0 + (data[place + 1] + change) % 8
            yield "wrong", data[: place + 1] + bytes([number]) + data[place + 2 :]
        yield "bytes before", data[:place] + b"abc" + data[place:]
        yield "fill bytes before", data[:place] + b"\xff\xff" + data[place:]
        yield "bytes missing", data[: place - 6] + data[place:]
        yield "no codes", data[: place - 9] + b"\xfe" * 9 + data[place:]
        yield "another marker", data[:place] + b"\xff\xd9" + data[place + 2 :]
        yield "unknown marker", data[:place] + b"\xff\x02" + data[place:]
        yield "cut off", data[: place - 3]
        yield "cut off at the marker", data[: place + 1]
    yield "an interval missing", data[: places[2]] + data[places[3] :]
    yield "eight intervals missing", data[: places[2]] + data[places[10] :]
    yield "eight intervals twice", data[: places[10]] + data[places[2] :]
    yield "too many", data[:-2] + b"\xff\xd0" + data[-2:]
    yield "no EOI", data[:-2]
    yield "bytes before EOI", data[:-2] + b"abc" + data[-2:]
    yield "bytes after EOI", data + b"abc"
    yield "no data", data[:scan] + b"\xff\xd9"
    place = data.index(b"\xff\xdd") + 4
    for interval in (0, 1, int.from_bytes(data[place : place + 2], "big") + 1, 65535):
        yield "wrong interval", data[:place] + interval.to_bytes(2, "big") + data[place + 2 :]


@pytest.mark.parametrize("subsampling", [0, 2])
def test_damage_is_reported_as_by_one_thread(subsampling):
    data = file(1, subsampling=subsampling)
    refused = 0
    for _, bad in damaged(data):
        refused += agree(bad)
        agree(bad, strict=False)
    assert refused > 40  # nearly all of them


FRAGILE = [file(1, quality=60, subsampling=0), file(2, quality=60, subsampling=2)]


@settings(max_examples=40)
@given(
    st.sampled_from(FRAGILE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3)
)
def test_changed_bytes_are_reported_as_by_one_thread(data, changes):
    """Whatever the strips take, one thread takes, with the same pixels."""
    changed = bytearray(data)
    scan = data.rindex(b"\xff\xda") + 14
    for share, value in changes:
        changed[scan + int(share * (len(data) - scan - 1))] = value
    agree(bytes(changed))


@pytest.mark.parametrize(
    "limits",
    [Limits(max_memory=1000), Limits(max_work=1000), Limits(max_pixels=9), Limits(max_bytes=9)],
)
def test_limits_are_those_of_one_thread(limits):
    data = file(1)
    agree(data, limits=limits)
    with pytest.raises(pyfd.LimitExceededError):
        pyfd.requantize(data, T, restart_rows=1, limits=limits, workers=3)
