"""One image without restart markers on several threads: the result is that of one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import Limits, QTables
from pyfd._core import helpers
from tests.codec.test_strips import SUBSAMPLINGS, TABLES, WORKERS, T, alone, outcome
from tests.jpegs import as_ycck, decode_with_pillow, encode_with_pillow, picture

__all__ = ["alone"]  # a fixture

SIZE = (1037, 2043)  # enough pixels, and no multiple of an MCU


def file(*, size: tuple[int, int] = SIZE, channels: int = 3, **options: object) -> bytes:
    return encode_with_pillow(picture(*size, channels=channels), **options)


def sampled(data: bytes, component: int, sampling: int) -> bytes:
    """Return a baseline file with other sampling factors of a component."""
    place = data.index(b"\xff\xc0") + 10 + 3 * component + 1
    return data[:place] + bytes([sampling]) + data[place + 1 :]


# ---- the same result ---------------------------------------------------------


@settings(max_examples=15)
@given(
    st.integers(900, 2500),
    st.integers(0, 2),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, T, TABLES]),
    st.sampled_from(WORKERS),
    st.data(),
)
def test_decode(width, subsampling, channels, scale, tables, workers, draw):
    size = (width, (1 << 21) // width + 1)
    data = file(size=size, channels=channels, subsampling=subsampling, quality=90)
    data = as_ycck(data) if channels == 4 and draw.draw(st.booleans()) else data
    mode = draw.draw(st.sampled_from([None, "RGB", "BGR"]))
    one = pyfd.decode(data, tables, mode=mode, scale=scale)
    found = pyfd.decode(data, tables, mode=mode, scale=scale, workers=workers)
    assert np.array_equal(found, one)
    if tables is None and mode == {1: None, 3: "RGB", 4: None}[channels]:
        assert np.array_equal(found, decode_with_pillow(data, mode, scale))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(33, 64000), (130, 17000), (17000, 130), (65000, 33)])
def test_sides_of_all_lengths(size, subsampling):
    data = pyfd.encode(picture(*size), QTables.annex_k(80), subsampling=subsampling)
    one = pyfd.decode(data, T)
    for workers in WORKERS:
        assert np.array_equal(pyfd.decode(data, T, workers=workers), one)


@pytest.mark.parametrize("sampling", [0x11, 0x12, 0x21, 0x22, 0x44])
def test_one_component_with_any_sampling(sampling):
    """One block is an MCU then, and a row of iMCUs has several rows of them (T.81 A.2.2)."""
    data = file(channels=1)
    found = pyfd.decode(sampled(data, 0, sampling), mode=None, workers=3)
    assert np.array_equal(found, decode_with_pillow(data, None))


# ---- that it is done in stages -----------------------------------------------------


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"mode": "L"}])
def test_decode_reads_all_in_stages(alone, subsampling, options):
    """Once a thread has done all, nothing is read again."""
    original = file(subsampling=subsampling)
    data = bytearray(original)

    def spoil() -> None:
        data[data.rindex(b"\xff\xda") :] = bytes(len(data) - data.rindex(b"\xff\xda"))

    asked = alone(spoil)
    found = pyfd.decode(memoryview(data), T, workers=3, **options)
    assert asked == [2]
    assert np.array_equal(found, pyfd.decode(original, T, **options))


def test_few_threads_are_asked(alone):
    asked = alone(lambda: None)
    pyfd.decode(file(), T, workers=99)
    assert asked == [3]


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (file(size=(1000, 2000)), {}),
        (file(progressive=True), {}),
        (file(), {"strict": False}),
        (file(), {"workers": 1}),
        (file(), {"region": (0, 0, 1036, 2043)}),
        (pyfd.encode(picture(*SIZE), T, exif=b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06"
                     + bytes(6)), {"orient": True}),
        (file(), {"limits": Limits(max_memory=9 << 20)}),
        (file(), {"limits": Limits(max_work=500_000)}),
    ],
    ids=["small", "progressive", "lenient", "one", "region", "turned", "memory", "work"],
)  # fmt: skip
def test_nobody_is_asked(alone, data, options):
    asked = alone(lambda: None)
    plain = {key: value for key, value in options.items() if key != "workers"}
    found = pyfd.decode(data, T, **{"workers": 4, **options})
    assert asked == []
    assert np.array_equal(found, pyfd.decode(data, T, **plain))


# ---- damage ------------------------------------------------------------------


def agree(data: bytes, **options: object) -> bool:
    """Check that several threads do as one does; return whether the calls fail."""
    one = outcome(pyfd.decode, data, T, **options)
    for workers in (2, 3):
        assert outcome(pyfd.decode, data, T, workers=workers, **options) == one
    return isinstance(one[0], type)


def damaged(data: bytes) -> Iterator[bytes]:
    scan = data.rindex(b"\xff\xda") + 14
    for place in (scan, (scan + len(data)) // 2, len(data) - 30):
        yield data[:place]
        yield data[:place] + b"\xff\xd9"
        yield data[:place] + b"\xfe" * 20 + data[place + 20 :]
        for marker in (b"\xff\xd0", b"\xff\xd9", b"\xff\x02", b"\xff\xda"):
            yield data[:place] + marker + data[place:]
    yield data[:-2]
    yield data[:-1]
    yield data[:-2] + b"abc" + data[-2:]
    yield data[:-2] + b"\xff\xd0" + data[-2:]


@pytest.mark.parametrize("subsampling", [0, 2])
def test_damage_is_reported_as_by_one_thread(subsampling):
    data = file(subsampling=subsampling, quality=60)
    refused = [agree(bad) for bad in damaged(data)]
    assert sum(refused) > len(refused) - 4
    assert not agree(data[:-400], strict=False)
    assert not agree(data + b"abc")


FRAGILE = [file(quality=50, subsampling=subsampling) for subsampling in (0, 2)]


@settings(max_examples=15)
@given(
    st.sampled_from(FRAGILE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=2)
)
def test_changed_bytes_are_reported_as_by_one_thread(data, changes):
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
    agree(file(), limits=limits)


@pytest.mark.parametrize(
    ("data", "change"),
    [
        (file(subsampling=0), lambda data: [sampled(data, i, 0x31) for i in range(3)]),
        (file(channels=1), lambda data: [sampled(data, 0, 0x44)]),
        (file(channels=1), lambda data: [sampled(data, 0, 0x12)]),
    ],
    ids=["more blocks", "more rows", "rows of MCUs"],
)
def test_a_file_that_changes_during_the_call(monkeypatch, data, change):
    """The ring has place for the blocks of the file that was opened, and for no others."""
    changing, changes = bytearray(data), change(data)

    def ask(call: Callable[[], None], count: int) -> None:
        for other in changes:
            for i, byte in enumerate(other):
                if byte != data[i]:
                    changing[i] = byte
        for _ in range(count):
            call()

    monkeypatch.setattr(helpers, "ask", ask)
    assert np.array_equal(
        pyfd.decode(memoryview(changing), mode=None, workers=3), pyfd.decode(data, mode=None)
    )


# ---- threads ---------------------------------------------------------------------


def test_many_calls_at_once():
    data, found = file(subsampling=2), []
    expected = pyfd.decode(data, T)

    def call() -> None:
        for _ in range(3):
            found.append(np.array_equal(pyfd.decode(data, T, workers=4), expected))

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [True] * 18


@pytest.mark.parametrize("subsampling", [0, 2])
def test_late_helpers_find_nothing_to_do(monkeypatch, subsampling):
    """The call reads a part, makes pixels of it, and reads the next."""
    late = []
    monkeypatch.setattr(helpers, "ask", lambda call, count: late.extend([call] * count))
    data = file(subsampling=subsampling)
    assert np.array_equal(pyfd.decode(data, T, workers=4), pyfd.decode(data, T))
    assert len(late) == 3
    for call in late:
        call()
