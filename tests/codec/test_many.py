"""`decode_many`: order, errors, memory and threads."""

import io
import threading

import numpy as np
import pytest

import pyfd
from pyfd import QTables
from pyfd._core import binding
from tests.at_once import AtOnce
from tests.jpegs import encode_with_pillow, picture

PRESET = "fd-cvpr2019"
SMALL = encode_with_pillow(picture(20, 12))


def test_many_keeps_the_order_and_the_errors():
    files = [encode_with_pillow(picture(20 + n, 30), progressive=n % 2 == 0) for n in range(20)]
    files[7] = b"junk"
    files[11] = files[11][:100]
    results = pyfd.decode_many(iter(files), PRESET, workers=3, errors="return")
    for n, (file, result) in enumerate(zip(files, results, strict=True)):
        if n in (7, 11):
            assert isinstance(result, pyfd.CorruptJPEGError)
        else:
            assert np.array_equal(result, pyfd.decode(file, PRESET))
    with pytest.raises(pyfd.CorruptJPEGError, match="not a JPEG"):
        pyfd.decode_many(files, workers=2)


def test_many_takes_only_so_many_files_from_a_generator():
    read, furthest = 0, 0

    class Counted(io.BytesIO):
        def read(self, size=-1):
            nonlocal read
            read += self.tell() == 0
            return super().read(size)

    def sources():
        nonlocal furthest
        for taken in range(1, 101):
            furthest = max(furthest, taken - read)
            yield Counted(SMALL)

    assert len(pyfd.decode_many(sources(), workers=2)) == 100
    assert furthest <= 9

    def broken():
        yield b"junk"
        while True:
            yield SMALL

    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.decode_many(broken(), workers=2)


def test_many_passes_options_on():
    (gray,) = pyfd.decode_many([SMALL], mode="L", scale=2)
    assert np.array_equal(gray, pyfd.decode(SMALL, mode="L", scale=2))
    assert pyfd.decode_many([]) == []
    for bad in ({"subsampling": "4:4:4"}, {"nonsense": 1}):
        with pytest.raises(TypeError, match="takes no option"):
            pyfd.decode_many([SMALL], **bad)
    with pytest.raises(ValueError, match="workers"):
        pyfd.decode_many([SMALL], workers=0)
    with pytest.raises(ValueError, match="errors"):
        pyfd.decode_many([SMALL], errors="ignore")


@pytest.mark.parametrize("workers", [float("nan"), 2.5, 1.0, "2"])
def test_workers_are_whole(workers):
    image = picture(20, 12)
    for call in (
        lambda: pyfd.decode_many([SMALL], workers=workers),
        lambda: pyfd.encode_many([image], PRESET, workers=workers),
        lambda: pyfd.decode(SMALL, workers=workers),
        lambda: pyfd.encode(image, PRESET, workers=workers),
        lambda: pyfd.requantize(SMALL, PRESET, workers=workers),
    ):
        with pytest.raises(TypeError):
            call()


def test_many_share_one_memory_limit(monkeypatch):
    """With memory for one progressive file, two are never decoded at the same time."""
    counted = AtOnce(binding.decode)
    monkeypatch.setattr(binding, "decode", counted)
    data = encode_with_pillow(picture(200, 200), progressive=True, subsampling=0)
    needed = len(data) + 3 * 25 * 25 * 128 + 200 * 200 * 3
    limits = pyfd.Limits(max_memory=needed)
    results = pyfd.decode_many([data] * 12, workers=4, limits=limits)
    assert len(results) == 12
    assert counted.most == 1


def test_threads_agree_with_one_thread():
    files = [encode_with_pillow(picture(90, 60, seed=n)) for n in range(8)]
    expected = [pyfd.decode(file, PRESET) for file in files]
    results = pyfd.decode_many(files * 10, PRESET, workers=8)
    for n, result in enumerate(results):
        assert np.array_equal(result, expected[n % 8])


def test_the_gil_is_released():
    """Another thread runs Python code while a long decode goes on."""
    data = pyfd.encode(picture(4000, 3000), QTables.uniform(2))
    ticks = 0
    done = threading.Event()

    def count():
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=count)
    thread.start()
    pyfd.decode(data)
    done.set()
    thread.join()
    assert ticks > 5


def test_ctrl_c_is_no_files_fault():
    class Interrupting(io.BytesIO):
        def read(self, _size=-1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyfd.decode_many([Interrupting()], errors="return")
