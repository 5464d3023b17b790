"""`encode_many` takes several small arrays at once: the same files, errors and order."""

import gc
import weakref

import numpy as np
import pytest

import pyfd
from pyfd import Limits, QTables
from pyfd._core import binding, encoding
from tests.jpegs import picture

PRESET = "fd-cvpr2019"
GOOD = [picture(20 + n, 30, seed=n) for n in range(16)]
GRAY = [image[..., 0] for image in GOOD[:4]]
BAD = {
    "floats": GOOD[0].astype(float),
    "four channels": np.zeros((9, 9, 4), np.uint8),
    "no rows": np.zeros((0, 9, 3), np.uint8),
    "a long side": np.broadcast_to(np.uint8(9), (65501, 1)),
}
OPTIONS = [
    {},
    {"subsampling": "4:2:0", "optimize": True},
    {"progressive": True, "subsampling": "4:4:0"},
    {"mode": "BGR", "comment": "x", "restart_rows": 1},
    {"mode": "YCbCr", "exif": b"Exif\0\0MM", "icc_profile": bytes(100)},
    {"mode": "L"},
    {"layout": "CHW"},
]


def outcome(call):
    """What a call gives: a file, or an error's type and text."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def shown(result):
    return (type(result), str(result)) if isinstance(result, Exception) else result


@pytest.fixture
def sizes(monkeypatch):
    """The number of images of each call that takes several."""
    found = []
    real = binding.encode_many

    def noted(pictures, *arguments):
        found.append(len(pictures))
        return real(pictures, *arguments)

    monkeypatch.setattr(binding, "encode_many", noted)
    return found


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("workers", [1, 3])
def test_outcomes_are_those_of_encode(options, workers, sizes):
    views = [GOOD[0][:, ::-1], GOOD[1][::2], np.asfortranarray(GOOD[2]), *GRAY]
    images = [*GOOD, BAD["floats"], *views, *BAD.values(), *GOOD, [[1, 2], [3, 4]], *GOOD]
    images += [image.transpose(2, 0, 1) for image in GOOD]
    found = pyfd.encode_many(images, PRESET, workers=workers, errors="return", **options)
    expected = [outcome(lambda x=x: pyfd.encode(x, PRESET, **options)) for x in images]
    assert [shown(result) for result in found] == expected
    assert max(sizes) > 1
    errors = [x for x in expected if isinstance(x, tuple)]
    assert errors
    assert len(errors) < len(images)
    raised = outcome(lambda: pyfd.encode_many(images, PRESET, workers=workers, **options))
    assert raised == errors[0]


def test_small_images_are_taken_together(sizes):
    pyfd.encode_many(GOOD * 4, PRESET, workers=1)
    assert sizes == [16] * 4
    sizes.clear()
    batch = np.stack([picture(20, 12, n) for n in range(40)])
    assert pyfd.encode_many(batch, PRESET, workers=1) == [pyfd.encode(x, PRESET) for x in batch]
    assert sum(sizes) == 40
    sizes.clear()
    pyfd.encode_many(iter(GOOD), PRESET, workers=1)
    pyfd.encode_many([picture(400, 300)] * 4, PRESET, workers=1)
    pyfd.encode_many(GOOD, PRESET, workers=1, icc_profile=bytes(1 << 18))
    pyfd.encode_many(GOOD, QTables.uniform(60), workers=1, radius=1)
    pyfd.encode_many([picture(16, 16)] * 4, QTables.uniform(60), workers=1, radius_files=1)
    assert sizes == []


def test_images_share_the_memory(sizes):
    """What one image may hold alone, all of them may hold one after the other."""
    needed = encoding._held(GOOD[15], encoding.Encoding())
    images = [GOOD[15], GOOD[0], GOOD[15], picture(60, 30), GOOD[1]]
    found = pyfd.encode_many(
        images, PRESET, workers=1, errors="return", limits=Limits(max_memory=needed)
    )
    assert isinstance(found[3], pyfd.LimitExceededError)
    assert "but the image needs" in str(found[3])
    assert [*found[:3], found[4]] == [pyfd.encode(images[n], PRESET) for n in (0, 1, 2, 4)]
    assert max(sizes) == 1


def test_an_image_that_another_thread_reshapes(monkeypatch):
    real = binding.picture

    def reshaped(pixels, how):
        if pixels is GOOD[3]:
            raise ValueError("the image changed during the call")
        return real(pixels, how)

    monkeypatch.setattr(binding, "picture", reshaped)
    found = pyfd.encode_many(GOOD, PRESET, workers=1, errors="return")
    assert str(found[3]) == "the image changed during the call"
    others = [n for n in range(len(GOOD)) if n != 3]
    assert [found[n] for n in others] == [pyfd.encode(GOOD[n], PRESET) for n in others]


def test_an_error_holds_no_other_image():
    def error_of(images, references):
        references += map(weakref.ref, images)
        found = pyfd.encode_many([*images, BAD["floats"], *images], PRESET, errors="return")
        return next(x for x in found if isinstance(x, Exception))

    references = []
    gc.disable()
    try:
        error = error_of([picture(9, 9, n) for n in range(12)], references)
        assert [reference for reference in references if reference() is not None] == []
    finally:
        gc.enable()
    assert isinstance(error, ValueError)


def test_a_list_that_another_thread_changes(monkeypatch):
    """The images are those of the list at the time of the call."""
    images = GOOD * 4
    real = encoding.encode_batch

    def changing(*arguments):
        images[:] = ["no image"] * 80
        return real(*arguments)

    monkeypatch.setattr(encoding, "encode_batch", changing)
    found = pyfd.encode_many(images, PRESET, workers=1)
    assert images[0] == "no image"
    assert found == [pyfd.encode(image, PRESET) for image in GOOD] * 4
