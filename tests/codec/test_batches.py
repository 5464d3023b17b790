"""`decode_many(out=)`: many files into one array."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd._core import binding
from tests.at_once import AtOnce
from tests.jpegs import encode_with_pillow, picture

PRESET = "fd-cvpr2019"
STALE = 77


def jpeg(width: int = 20, height: int = 12, seed: int = 0, **options) -> bytes:
    return encode_with_pillow(picture(width, height, seed), quality=90, **options)


FILES = [jpeg(seed=n, progressive=n % 3 == 1) for n in range(8)]
CMYK = encode_with_pillow(np.dstack([picture(20, 12), picture(20, 12, 1)[..., :1]]))
HALF = jpeg(seed=9)[:-150]  # some of its pixels can be decoded
SHAPES = {"L": (), "RGB": (3,), "BGR": (3,), "YCbCr": (3,), "CMYK": (4,)}


def batch(places: int, mode: str = "RGB", order: str = "HWC", size=(12, 20)) -> np.ndarray:
    """Return places in a layout: "HWC", "CHW", or "view" for channels first of channels last."""
    shape = (places, *size, *SHAPES[mode])
    if order != "HWC" and mode == "L":
        shape = (places, 1, *size)
    elif order == "CHW":
        shape = (places, *SHAPES[mode], *size)
    out = np.full(shape, STALE, np.uint8)
    return out.transpose(0, 3, 1, 2) if order == "view" and mode != "L" else out


def as_decoded(image: np.ndarray, order: str) -> np.ndarray:
    """Return an image of a batch as `decode` gives it."""
    if order == "HWC":
        return image
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def layout_of(order: str) -> str:
    return "HWC" if order == "HWC" else "CHW"


@given(
    mode=st.sampled_from(sorted(SHAPES)),
    order=st.sampled_from(["HWC", "CHW", "view"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    count=st.integers(0, 5),
    left_over=st.integers(0, 2),
    step=st.sampled_from([1, 2, -1]),
    workers=st.integers(1, 4),
    scale=st.sampled_from([1, 2, 8]),
    generator=st.booleans(),
)
def test_each_file_has_its_place(
    mode, order, width, height, count, left_over, step, workers, scale, generator
):
    channels = {"L": 1, "CMYK": 4}.get(mode, 3)
    files = [encode_with_pillow(picture(width, height, n, channels)) for n in range(count)]
    size = -(-height // scale), -(-width // scale)
    out = batch(abs(step) * (count + left_over), mode, order, size)[::step]
    options = {"mode": mode, "scale": scale}
    found = pyfd.decode_many(
        iter(files) if generator else files,
        PRESET,
        workers=workers,
        out=out,
        layout=layout_of(order),
        **options,
    )
    assert len(found) == count
    for file, image, place in zip(files, found, out, strict=False):
        assert np.array_equal(as_decoded(place, order), pyfd.decode(file, PRESET, **options))
        assert image.shape == place.shape
        assert np.shares_memory(image, place)
    assert (out[count:] == STALE).all()


@pytest.mark.parametrize("order", ["HWC", "CHW", "view"])
@pytest.mark.parametrize("strict", [True, False])
def test_nothing_is_left_of_files_that_fail(order, strict):
    files = [*FILES[:2], b"junk", jpeg(21, 12), HALF, CMYK, jpeg(12, 20), b"", FILES[2]]
    out = batch(len(files) + 1, order=order)
    with nullcontext() if strict else pytest.warns(pyfd.JPEGWarning):
        found = pyfd.decode_many(
            files, errors="return", out=out, layout=layout_of(order), workers=3, strict=strict
        )
    fine = {0, 1, 5, 8} | (set() if strict else {4})
    for index, (file, image) in enumerate(zip(files, found, strict=True)):
        if index in fine:
            assert np.shares_memory(image, out[index])
        else:
            assert isinstance(image, ValueError)
            assert not out[index].any()
        if index in fine - {4}:
            assert np.array_equal(as_decoded(out[index], order), pyfd.decode(file))
    assert (out[-1] == STALE).all()
    expected = "the image has the shape (12, 21, 3), and the places of out have (12, 20, 3)"
    assert str(found[3]) == expected
    assert "(20, 12, 3)" in str(found[6])


def test_the_first_failure_is_raised_and_leaves_whole_images():
    out = batch(3)
    with pytest.raises(ValueError, match=r"the image has the shape \(12, 21, 3\)"):
        pyfd.decode_many([FILES[0], jpeg(21, 12), FILES[2]], out=out, workers=1)
    assert np.array_equal(out[0], pyfd.decode(FILES[0]))
    assert not out[1].any()
    assert (out[2] == STALE).all() or np.array_equal(out[2], pyfd.decode(FILES[2]))


def test_ctrl_c_leaves_nothing_of_a_file():
    class Interrupting(io.BytesIO):
        def read(self, _size=-1):
            raise KeyboardInterrupt

    out = batch(2)
    with pytest.raises(KeyboardInterrupt):
        pyfd.decode_many([FILES[0], Interrupting()], errors="return", out=out, workers=1)
    assert not out[1].any()


def test_more_files_than_places():
    """With a length, no file is read; without one, those that had a place are in it."""

    class Untouchable(io.BytesIO):
        def read(self, _size=-1):
            raise AssertionError

    for errors in ("raise", "return"):
        with pytest.raises(ValueError, match="out has 2 places, and there are 3 files"):
            pyfd.decode_many([Untouchable()] * 3, out=batch(2), errors=errors)
        out = batch(5)
        with pytest.raises(ValueError, match="out has 5 places, and there are more files"):
            pyfd.decode_many(iter(FILES), out=out, workers=2, errors=errors)
        assert np.array_equal(out, pyfd.decode_many(FILES[:5]))
    with pytest.raises(ValueError, match="out has 0 places"):
        pyfd.decode_many(FILES, out=batch(0))


def test_each_file_may_have_a_color_of_its_own():
    gray = encode_with_pillow(picture(20, 12, channels=1))
    out = batch(3)
    found = pyfd.decode_many([FILES[0], gray, CMYK], mode=None, out=out, errors="return")
    assert np.array_equal(found[0], pyfd.decode(FILES[0]))
    assert [type(item) for item in found[1:]] == [ValueError, ValueError]
    assert "(12, 20)," in str(found[1])
    assert "(12, 20, 4)" in str(found[2])


def test_the_other_options_make_the_size():
    out = batch(2, size=(4, 6))
    pyfd.decode_many(FILES[:2], PRESET, out=out, region=(3, 2, 6, 4))
    assert np.array_equal(out[1], pyfd.decode(FILES[1], PRESET)[2:6, 3:9])


READ_ONLY = batch(2)
READ_ONLY.flags.writeable = False
WIDE = np.zeros((2, 24, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        (batch(2).tolist(), {}, "out must be an array of uint8"),
        (batch(2).astype(np.int8), {}, "out must be an array of uint8"),
        (READ_ONLY, {}, "out must be writable"),
        (batch(2)[0], {}, 'layout="HWC", out must be N×H×W×3, not (12, 20, 3)'),
        (batch(2, "CMYK"), {}, "out must be N×H×W×3, not (2, 12, 20, 4)"),
        (batch(2, order="CHW"), {}, 'not (2, 3, 12, 20): did you mean layout="CHW"?'),
        (batch(2), {"layout": "CHW"}, 'not (2, 12, 20, 3): did you mean layout="HWC"?'),
        (batch(2), {"mode": "L"}, "out must be N×H×W, not (2, 12, 20, 3)"),
        (batch(2, "L")[..., None], {"mode": "L"}, "out must be N×H×W, not (2, 12, 20, 1)"),
        (batch(2, "L"), {"mode": "L", "layout": "CHW"}, "must be N×1×H×W, not (2, 12, 20)"),
        (batch(2)[..., :2], {"mode": None}, "N×H×W or N×H×W×3 or N×H×W×4, not (2, 12, 20, 2)"),
        (batch(2), {"layout": "NHWC"}, 'layout must be "HWC" or "CHW"'),
        (WIDE[:, ::2, ::2], {}, "each image of out must lie in memory in C's order"),
        (WIDE[:, :12, :20], {}, "each image of out must lie in memory in C's order"),
        (batch(2)[:, ::-1], {}, "each image of out must lie in memory in C's order"),
        (batch(2).swapaxes(1, 2), {}, "each image of out must lie in memory in C's order"),
        (WIDE.transpose(0, 3, 1, 2)[:, :, ::2], {"layout": "CHW"}, "or in that of H×W×C"),
        (np.lib.stride_tricks.as_strided(WIDE, (9, 12, 20, 3), (60, 60, 3, 1)), {}, "overlap"),
        (np.lib.stride_tricks.as_strided(WIDE, (9, 12, 20, 3), (0, 60, 3, 1)), {}, "overlap"),
        (None, {"layout": "CHW"}, "layout is that of out"),
        (None, {"layout": np.zeros(2)}, "layout must be"),
        (None, {"errors": np.zeros(2)}, "errors must be"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(out, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pyfd.decode_many(FILES[:1], out=out, **options)


def test_sources_lie_elsewhere():
    out = batch(3)
    inside = out.reshape(-1)[-len(FILES[0]) :]
    inside[:] = np.frombuffer(FILES[0], np.uint8)
    found = pyfd.decode_many([inside.data, FILES[0]], out=out, errors="return", workers=1)
    assert str(found[0]) == "out must not share memory with the source"
    assert np.array_equal(found[1], pyfd.decode(FILES[0]))
    assert bytes(inside) == FILES[0]


# ---- memory --------------------------------------------------------------------


def test_only_channels_first_are_copied(monkeypatch):
    seen = []
    real = binding.decode

    def noted(data, reading, tables, pixels, **options):
        seen.append(pixels)
        return real(data, reading, tables, pixels, **options)

    monkeypatch.setattr(binding, "decode", noted)
    for mode in SHAPES:
        for order in ("HWC", "CHW", "view"):
            out = batch(1, mode, order)
            file = CMYK if mode == "CMYK" else FILES[0]
            pyfd.decode_many([file], mode=mode, out=out, layout=layout_of(order))
            copied = not np.shares_memory(seen.pop(), out)
            assert copied == (order == "CHW" and mode != "L")


@pytest.mark.parametrize("progressive", [False, True])
def test_scratch_images_count_for_max_memory(monkeypatch, progressive):
    """With memory for one, two files are never decoded at the same time."""
    counted = AtOnce(binding.decode)
    monkeypatch.setattr(binding, "decode", counted)
    side = 96
    data = jpeg(side, side, progressive=progressive, subsampling=0)
    image = 3 * side * side
    scratch = image + (len(data) + 2 * image + image if progressive else 0)
    out = batch(12, order="CHW", size=(side, side))
    options = {"out": out, "layout": "CHW", "workers": 4}
    pyfd.decode_many([data] * 12, limits=pyfd.Limits(max_memory=scratch), **options)
    assert counted.most == 1
    assert np.array_equal(out[11].transpose(1, 2, 0), pyfd.decode(data))
    with pytest.raises(pyfd.LimitExceededError, match="max_memory") as error:
        pyfd.decode_many([data], limits=pyfd.Limits(max_memory=scratch - 1), **options)
    assert error.value.needed == scratch
    assert not out[0].any()
