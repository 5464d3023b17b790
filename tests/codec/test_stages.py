"""Files without restart markers on two threads, of which one reads symbols and the other makes
pixels: the result is that of one thread, byte for byte, or its error."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import JPEGError, Limits, QTables
from pyfd._core import helpers
from tests.damages import DAMAGES, File, files
from tests.jpegs import (
    as_ycck,
    decode_with_pillow,
    encode_with_pillow,
    picture,
    with_factors,
)
from tests.thread_sanitizer import compile_program

T = QTables.preset("fd-cvpr2019")
TABLES = [QTables.annex_k(80)[0], QTables.annex_k(60)[1], QTables.uniform(9)[0]]
SIZE = (1291, 1637)  # more than the fewest pixels, and no multiple of an MCU
EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"

# ---- in C, where every file is large enough and waits for its helper ------------------

SMALL = {
    "PYFD_STAGE_PIXELS": 1,
    "PYFD_CHUNK_BLOCKS": 20,
    "PYFD_RING_CHUNKS": 4,
    "PYFD_CHUNKS_AT_ONCE": 2,
    "PYFD_PATIENCE": 1_000_000_000_000,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Return the program that compares files, with ThreadSanitizer."""
    target = tmp_path_factory.mktemp("stages") / "stages"
    compile_program(Path(__file__).with_name("stages.c"), target, SMALL)
    return target


@pytest.fixture
def compare(program, tmp_path) -> Callable[[dict[str, bytes]], int]:
    """Compare files, and return how many calls were done by two threads."""

    def run(named: dict[str, bytes]) -> int:
        for name, data in named.items():
            (tmp_path / name).write_bytes(data)
        paths = [str(tmp_path / name) for name in named]
        done = subprocess.run(
            [program, *paths], capture_output=True, text=True, check=False, env={}, timeout=600
        )
        assert (done.returncode, done.stderr) == (0, "")
        return int(done.stdout)

    return run


def test_every_sampling(compare):
    named = {}
    for width, height in ((1, 1), (17, 9), (131, 97), (128, 112), (7, 900)):
        pixels = picture(width, height)
        for way in ("444", "422", "420", "440", "411", "Gray"):
            source = pixels if way != "Gray" else picture(width, height, channels=1)[..., None]
            data = simplejpeg.encode_jpeg(
                source,
                90,
                colorspace="GRAY" if way == "Gray" else "RGB",
                colorsubsampling=way,
            )
            named[f"{way}-{width}x{height}"] = data
        for way in (0, 2):
            data = encode_with_pillow(picture(width, height, channels=4), subsampling=way)
            named[f"cmyk-{way}-{width}x{height}"] = data
            named[f"ycck-{way}-{width}x{height}"] = as_ycck(data)
    large = [name for name in named if "131" in name or "128" in name]
    assert compare(named) >= 3 * len(large)  # for gray files, one of the colors is no color


@pytest.mark.parametrize(
    "sampling",
    [
        ((4, 1), (1, 1), (1, 1)),
        ((1, 4), (1, 1), (1, 1)),
        ((3, 2), (1, 1), (1, 2)),
        ((1, 1), (2, 2), (1, 2)),
        ((2, 2), (2, 2), (1, 2)),
    ],
)
def test_other_sampling_factors(compare, sampling):
    whole = with_factors(sampling, (259, 143))
    assert compare({"file": pyfd.write_coefficients(whole)}) == 4


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_every_damage(compare, file):
    """One thread reads files of several scans and with restart markers, in any case."""
    named = {}
    for number, damage in enumerate(DAMAGES):
        try:
            for name, bad in damage.make(file):
                named[f"{number}-{len(named)}-{name.replace('/', ' ')[:40]}"] = bad
        except ValueError:  # some kinds do not exist in some files
            continue
    assert len(named) > 100
    compare(named)


def larger() -> list[File]:
    """Return files of many chunks, so that damage meets threads that are at work."""
    made = {
        "4:2:0": encode_with_pillow(picture(150, 120), subsampling=2, quality=85),
        "4:4:4": encode_with_pillow(picture(150, 120), subsampling=0, quality=85),
    }
    return [File(name, data) for name, data in made.items()]


@pytest.mark.parametrize("file", larger(), ids=lambda file: file.name)
def test_damage_in_the_middle(compare, file):
    data, (_, start, end, _) = file.data, file.scans[0]
    named = {f"cut {size}": data[:size] for size in range(start, len(data), 211)}
    named |= {f"cut and ended {size}": data[:size] + b"\xff\xd9" for size in range(start, end, 347)}
    rng = np.random.default_rng(0)
    for place in range(start, end, 173):
        for name, new in {
            "marker": b"\xff\xd3",
            "stuffed": b"\xff\x00\xff\x00\xff\x00\xff\x00",
            "end": b"\xff\xd9",
            "zeros": bytes(4),
            "random": rng.bytes(3),
        }.items():
            named[f"{name} {place}"] = data[:place] + new + data[place + len(new) :]
        named[f"missing {place}"] = data[:place] + data[place + 7 :]
    for name, new in {"few": b"ab", "many": bytes(500), "scan": data[start:end]}.items():
        named[f"behind {name}"] = data[:end] + new + data[end:]
    compare(named)


# ---- with Python's helpers, and the sizes that are used ------------------------------


def big(subsampling: int = 2, channels: int = 3, **options: object) -> bytes:
    pixels = picture(*SIZE, channels=channels)
    return encode_with_pillow(pixels, subsampling=subsampling, **options)


DATA = {way: big(way) for way in (0, 1, 2)}


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["RGB", "BGR", "YCbCr", "L"]),
    st.sampled_from([None, T, TABLES]),
    st.sampled_from([1, 1, 1, 2, 4, 8]),
    st.sampled_from([2, 3, 8]),
    st.booleans(),
)
def test_decode(subsampling, mode, tables, scale, workers, in_part):
    data, options = DATA[subsampling], {"mode": mode, "scale": scale}
    one = pyfd.decode(data, tables, **options)
    found = pyfd.decode(data, tables, workers=workers, **options)
    assert np.array_equal(found, one)
    if tables is None and mode == "RGB":
        assert np.array_equal(found, decode_with_pillow(data, mode, scale))
    if in_part:
        height, width = one.shape[:2]
        options["region"] = (width // 5, height // 3, width // 2, height // 2)
        one = pyfd.decode(data, tables, **options)
        assert np.array_equal(pyfd.decode(data, tables, workers=workers, **options), one)


@pytest.mark.parametrize("mode", [None, "RGB", "BGR"])
@pytest.mark.parametrize("channels", [1, 4])
def test_other_components(channels, mode):
    data = big(channels=channels)
    for source in (data, as_ycck(data)) if channels == 4 else (data,):
        one = pyfd.decode(source, T, mode=mode)
        assert np.array_equal(pyfd.decode(source, T, mode=mode, workers=2), one)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned(orientation):
    data = pyfd.encode(picture(*SIZE), T, exif=EXIF % orientation, subsampling="4:2:0")
    one = pyfd.decode(data, orient=True)
    assert np.array_equal(pyfd.decode(data, orient=True, workers=2), one)


def outcome(data: bytes, **options: object) -> object:
    """Return what a call returns, or how it fails or warns."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = pyfd.decode(data, T, **options)
        except JPEGError as error:
            return type(error), str(error)
    return found.tobytes(), [str(warning.message) for warning in warned]


@pytest.mark.parametrize("strict", [True, False])
def test_damage_is_reported_as_by_one_thread(strict):
    data = DATA[2]
    start, end = data.rindex(b"\xff\xda") + 14, len(data) - 2
    middle = (start + end) // 2
    damaged = {
        "cut": data[:middle],
        "no EOI": data[:-2],
        "EOI in the middle": data[:middle] + b"\xff\xd9",
        "bytes before EOI": data[:end] + b"abc" + data[end:],
        "bytes after EOI": data + b"abc",
        "bad codes": data[: end - 99] + b"\xff\0" * 20 + data[end - 59 :],
        "bad codes at the start": data[:start] + b"\xff\0" * 20 + data[start + 40 :],
    }
    for name, bad in damaged.items():
        one = outcome(bad, strict=strict)
        assert outcome(bad, strict=strict, workers=2) == one, name
        assert isinstance(one[0], type) == (strict and name != "bytes after EOI")


@pytest.mark.parametrize(
    "limits",
    [Limits(max_memory=1000), Limits(max_work=1000), Limits(max_pixels=9), Limits(max_bytes=9)],
)
def test_limits_are_those_of_one_thread(limits):
    assert outcome(DATA[2], limits=limits, workers=2) == outcome(DATA[2], limits=limits)


def test_a_file_that_changes_gives_a_result_or_an_error_of_ours():
    """Each of the stages reads the header again, and may find another one."""
    original = DATA[2]
    data, done, header = bytearray(original), threading.Event(), original.rindex(b"\xff\xda") + 14

    def change() -> None:
        order = random.Random(0)
        while not done.is_set():
            place = order.choice((order.randrange(2, header), order.randrange(2, len(data))))
            data[place] = order.choice((0, 255, order.randrange(256)))
            time.sleep(0.0002)
            data[place] = original[place]
            time.sleep(0.002)

    thread = threading.Thread(target=change)
    thread.start()
    found = set()
    try:
        for _ in range(300):
            try:
                pyfd.decode(data, T, workers=2)
            except (JPEGError, ValueError) as error:
                found.add(type(error))
    finally:
        done.set()
        thread.join()
    assert pyfd.CorruptJPEGError in found


# ---- who is asked, and who comes -------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, [1]),
        ({"workers": 7}, [1]),
        ({"mode": "BGR"}, [1]),
        ({"workers": 1}, []),
        ({"mode": "L"}, []),
        ({"scale": 2}, []),
        ({"region": (0, 1, 1291, 1636)}, []),
        ({"strict": False}, []),
        ({"limits": Limits(max_memory=8 << 20)}, []),
        ({"limits": Limits(max_work=500_000)}, []),
    ],
)
def test_who_is_asked(monkeypatch, options, asked):
    counts = []

    def ask(call: Callable[[], None], count: int) -> None:
        counts.append(count)
        call()

    monkeypatch.setattr(helpers, "ask", ask)
    plain = {key: value for key, value in options.items() if key != "workers"}
    found = pyfd.decode(DATA[2], T, **{"workers": 2, **options})
    assert counts == asked
    assert np.array_equal(found, pyfd.decode(DATA[2], T, **plain))


@pytest.mark.parametrize(
    "data", [big(progressive=True), encode_with_pillow(picture(1400, 1400))], ids=["scans", "small"]
)
def test_nobody_is_asked(monkeypatch, data):
    counts = []
    monkeypatch.setattr(helpers, "ask", lambda _, count: counts.append(count))
    assert np.array_equal(pyfd.decode(data, T, workers=2), pyfd.decode(data, T))
    assert counts == []


def test_helpers_that_never_come(monkeypatch):
    late = []
    monkeypatch.setattr(helpers, "ask", lambda call, count: late.extend([call] * count))
    for data in DATA.values():
        assert np.array_equal(pyfd.decode(data, T, workers=2), pyfd.decode(data, T))
    assert len(late) == 3
    for call in late:  # when there is nothing to do any more
        call()


@pytest.mark.parametrize("delay", [0, 0.0001, 0.0004, 0.0005, 0.0006, 0.002, 0.05])
def test_helpers_that_come_late(monkeypatch, delay):
    """Also in the moment when the call gives them up."""
    threads = []

    def ask(call: Callable[[], None], count: int) -> None:
        def later() -> None:
            time.sleep(delay)
            call()

        assert count == 1
        threads.append(threading.Thread(target=later))
        threads[-1].start()

    expected = pyfd.decode(DATA[2], T)
    monkeypatch.setattr(helpers, "ask", ask)
    for _ in range(10):
        assert np.array_equal(pyfd.decode(DATA[2], T, workers=2), expected)
    for thread in threads:
        thread.join()


def test_a_busy_pool():
    """Its only thread waits for something else, so the call does it alone."""
    expected = pyfd.decode(DATA[2], T)
    go = threading.Event()
    busy = [helpers._threads().submit(go.wait) for _ in range(os.cpu_count() or 1)]
    try:
        assert np.array_equal(pyfd.decode(DATA[2], T, workers=2), expected)
    finally:
        go.set()
    assert all(future.result() for future in busy)


def test_many_calls_at_once():
    found, expected = [], {way: pyfd.decode(data, T) for way, data in DATA.items()}

    def call(way: int) -> None:
        for _ in range(4):
            found.append(np.array_equal(pyfd.decode(DATA[way], T, workers=2), expected[way]))

    callers = [threading.Thread(target=call, args=(way,)) for way in (*DATA, *DATA)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [True] * 24
