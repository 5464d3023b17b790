"""`decode_many` takes several small files of a list at once: the same results, errors and order."""

import gc
import warnings
import weakref

import numpy as np
import pytest

import pyfd
from pyfd._core import binding, decoding
from tests.damages import DAMAGES, files
from tests.jpegs import encode_with_pillow, picture

PRESET = "fd-cvpr2019"
GOOD = [encode_with_pillow(picture(24, 16, seed=n), quality=75 + n) for n in range(8)]
OTHER_TABLES = encode_with_pillow(picture(24, 16), optimize=True)
PROGRESSIVE = encode_with_pillow(picture(24, 16), progressive=True)
BAD = {
    "no JPEG": b"junk",
    "empty": b"",
    "a damaged header": GOOD[0][:60],
    "no end": GOOD[0][:-2],
    "a damaged scan": GOOD[0][:-40] + b"\xff\xd9",
}


def outcome(call):
    """What a call gives: pixels, or an error's type and text."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def same(a, b):
    if isinstance(a, tuple) or isinstance(b, tuple):
        return a == b
    return np.array_equal(a, b)


def mixed(bad):
    return [*GOOD, BAD[bad], OTHER_TABLES, *GOOD, PROGRESSIVE, *GOOD, BAD[bad], *GOOD]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_outcomes_are_those_of_decode(bad, workers, tmp_path):
    path = tmp_path / "file.jpg"
    path.write_bytes(GOOD[3])
    files = [*mixed(bad), path, bytearray(GOOD[4]), *GOOD]
    found = pyfd.decode_many(files, PRESET, workers=workers, errors="return")
    assert len(found) == len(files)
    for file, result in zip(files, found, strict=True):
        if isinstance(result, Exception):
            result = (type(result), str(result))
        assert same(result, outcome(lambda file=file: pyfd.decode(file, PRESET)))


@pytest.mark.parametrize("bad", BAD)
def test_the_first_error_is_raised(bad):
    files = mixed(bad)
    files[20] = b"junk of another kind"
    with pytest.raises(pyfd.JPEGError) as error:
        pyfd.decode_many(files, workers=2)
    assert (type(error.value), str(error.value)) == outcome(lambda: pyfd.decode(BAD[bad]))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_places_of_failed_files_hold_zeros(bad, layout):
    files = mixed(bad)
    shape = (len(files), 16, 24, 3) if layout == "HWC" else (len(files), 3, 16, 24)
    out = np.full(shape, 7, np.uint8)
    found = pyfd.decode_many(files, out=out, layout=layout, errors="return", workers=2)
    for file, result, place in zip(files, found, out, strict=True):
        if isinstance(result, Exception):
            assert not place.any()
            continue
        pixels = pyfd.decode(file)
        assert np.shares_memory(result, place)
        assert np.array_equal(place, pixels if layout == "HWC" else pixels.transpose(2, 0, 1))


def test_options_and_sizes():
    files = [*GOOD, *(encode_with_pillow(picture(9 + n, 30 - n)) for n in range(12))]
    for options in ({"mode": "L"}, {"mode": None}, {"scale": 4}, {"mode": "BGR"}):
        found = pyfd.decode_many(files, PRESET, workers=1, **options)
        for file, pixels in zip(files, found, strict=True):
            assert np.array_equal(pixels, pyfd.decode(file, PRESET, **options))
    refused = pyfd.decode_many(files, mode="CMYK", errors="return", workers=1)
    assert {str(error) for error in refused} == {
        "a YCbCr file decodes to RGB, BGR, L, YCbCr, not to CMYK"
    }


def test_lenient_files_warn_one_by_one():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pyfd.decode_many([BAD["no end"]] * 12, strict=False, workers=1)
    assert len(caught) == 12


def test_limits_hold_for_each():
    limits = pyfd.Limits(max_pixels=24 * 16)
    files = [*GOOD, encode_with_pillow(picture(24, 17)), *GOOD]
    found = pyfd.decode_many(files, limits=limits, errors="return", workers=1)
    assert [i for i, x in enumerate(found) if isinstance(x, Exception)] == [len(GOOD)]
    assert isinstance(found[len(GOOD)], pyfd.LimitExceededError)
    assert found[len(GOOD)].needed == 24 * 17


def test_small_files_are_taken_together(monkeypatch):
    sizes = []

    class Noted(binding.Batch):
        def __init__(self, files, limits):
            sizes.append(len(files))
            super().__init__(files, limits)

    monkeypatch.setattr(binding, "Batch", Noted)
    pyfd.decode_many(GOOD * 8, workers=1)
    assert max(sizes) == 16
    sizes.clear()
    pyfd.decode_many(iter(GOOD * 8), workers=1)
    large = encode_with_pillow(picture(900, 900, seed=1), quality=98)
    pyfd.decode_many([large + bytes(1 << 17)] * 4, workers=1)
    assert sizes == []


def test_damaged_files_of_all_kinds():
    """Also in the order of the errors: that of the sources."""
    damaged = [data for file in files() for damage in DAMAGES for _, data in damage.make(file)]
    found = pyfd.decode_many(damaged, PRESET, workers=2, errors="return")
    errors = []
    for data, result in zip(damaged, found, strict=True):
        expected = outcome(lambda data=data: pyfd.decode(data, PRESET))
        if isinstance(result, Exception):
            errors.append(result)
            result = (type(result), str(result))
        assert same(result, expected)
    assert len(errors) > 1000
    with pytest.raises(pyfd.JPEGError) as raised:
        pyfd.decode_many(damaged, PRESET, workers=2)
    assert (type(raised.value), str(raised.value)) == (type(errors[0]), str(errors[0]))


def test_an_error_holds_nothing_of_other_files():
    def error_of(found, references):
        references += [weakref.ref(x) for x in found if isinstance(x, np.ndarray)]
        return next(x for x in found if isinstance(x, Exception))

    for bad in (*BAD.values(), PROGRESSIVE[:-30]):
        references = []
        gc.disable()
        try:
            error = error_of(
                pyfd.decode_many([*GOOD, bad, *GOOD], errors="return", workers=1), references
            )
            assert [reference for reference in references if reference() is not None] == []
        finally:
            gc.enable()
        assert isinstance(error, pyfd.JPEGError)


@pytest.mark.parametrize("later", [[], ["no file"] * 64, GOOD[:1] * 100])
def test_a_list_that_another_thread_changes(monkeypatch, later):
    """The files are those of the list at the time of the call."""
    sources = GOOD * 8
    real = decoding.decode_batch

    def changing(*arguments):
        sources[:] = later
        return real(*arguments)

    monkeypatch.setattr(decoding, "decode_batch", changing)
    found = pyfd.decode_many(sources, PRESET, workers=1)
    assert sources == later
    for file, pixels in zip(GOOD * 8, found, strict=True):
        assert np.array_equal(pixels, pyfd.decode(file, PRESET))


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_a_batch_that_fails_leaves_zeros(monkeypatch, kind):
    def failing(*_):
        raise kind

    monkeypatch.setattr(binding.Batch, "decode", failing)
    out = np.full((16, 16, 24, 3), 7, np.uint8)
    if kind is KeyboardInterrupt:
        with pytest.raises(kind):
            pyfd.decode_many(GOOD * 2, out=out, workers=1, errors="return")
    else:
        found = pyfd.decode_many(GOOD * 2, out=out, workers=1, errors="return")
        assert {type(error) for error in found} == {kind}
    assert not out.any()
