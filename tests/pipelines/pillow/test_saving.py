"""Saving with Pillow, which must write the given tables whatever the quality."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

import pyfd
import pyfd.pillow
from pyfd import QTables
from pyfd.pillow import register
from tests.jpegs import picture, read_with_jpeglib
from tests.pipelines.pillow.files import COARSE, PRESET, frames_of, opened, photo, plain


def saved(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


THREE = QTables([np.arange(1, 65).reshape(8, 8), np.full((8, 8), 50), np.full((8, 8), 60)])


@pytest.mark.parametrize("qtables", [*pyfd.PRESETS, QTables.uniform(16), THREE])
@pytest.mark.parametrize("options", [{}, {"quality": 10}, {"quality": 95}, {"quality": -1}])
def test_our_tables_are_written_whatever_the_quality(tmp_path, qtables, options):
    tables = QTables.preset(qtables) if isinstance(qtables, str) else qtables
    for shape in ((40, 40), (40, 40, 3)):
        pixels = picture(40, 40, channels=1 if len(shape) == 2 else 3)
        data = saved(pixels, qtables=qtables, **options)
        _, steps = read_with_jpeglib(tmp_path / "x.jpg", data)
        assert len(steps) == (1 if len(shape) == 2 else 3)
        for i, step in enumerate(steps):
            assert np.array_equal(step, tables[i])


def test_saving_is_pillows_otherwise(tmp_path):
    pixels = picture(40, 40)
    data = saved(pixels, qtables=PRESET, progressive=True, comment="x", dpi=(96, 96))
    header = pyfd.probe(data)
    assert (header.progressive, header.comment) == (True, b"x")
    assert header.subsampling == "4:2:0"
    assert pyfd.probe(saved(pixels, qtables=PRESET, subsampling=0)).subsampling == "4:4:4"
    Image.fromarray(pixels).save(tmp_path / "x.jpg", qtables=PRESET)
    assert pyfd.probe(tmp_path / "x.jpg").qtables[0].max() == 30
    with pytest.raises(OSError, match="cannot write mode RGBA"):
        Image.new("RGBA", (8, 8)).save(io.BytesIO(), "JPEG", qtables=PRESET)


def test_arrays_are_tables_too():
    """Pillow alone would silently ignore them."""
    steps = np.arange(1, 65).reshape(8, 8)
    for array in (steps, np.stack([steps, steps + 1])):
        found = pyfd.probe(saved(picture(40, 40), qtables=array)).qtables
        assert np.array_equal(found[0], steps)
        assert np.array_equal(found[1], array.reshape(-1, 8, 8)[-1])
    with pytest.raises(ValueError, match="8×8"):
        saved(picture(40, 40), qtables=np.full(64, 16))


def test_multi_picture_files_are_written_with_our_tables():
    images = [Image.fromarray(picture(40, 40, seed=seed)) for seed in range(2)]
    for qtables in (PRESET, COARSE):
        want = QTables.preset(PRESET) if qtables == PRESET else COARSE
        buffer = io.BytesIO()
        images[0].save(buffer, "MPO", save_all=True, append_images=images[1:], qtables=qtables)
        parts = frames_of(buffer.getvalue())
        assert len(parts) == 2
        assert all(np.array_equal(pyfd.probe(part).qtables[0], want[0]) for part in parts)
        buffer = io.BytesIO()
        images[0].save(buffer, "MPO", qtables=qtables)
        assert np.array_equal(pyfd.probe(buffer.getvalue()).qtables[0], want[0])


def test_two_passes_in_pillow_alone():
    """The paper's two passes: the tables at the camera and at the classifier."""
    data = saved(picture(64, 48), qtables=PRESET, subsampling=0)
    register(PRESET)
    assert np.array_equal(np.asarray(opened(data)), plain(data))


@pytest.mark.parametrize(
    "qtables",
    ["web_low", [[9] * 64], ([9] * 64, [8] * 64), {0: [9] * 64}, "3 " * 64, None],
)
def test_pillows_own_tables_still_work(qtables):
    before = JpegImagePlugin._save
    image = Image.fromarray(picture(40, 40))
    image.encoderinfo, image.encoderconfig = {"qtables": qtables, "quality": 80}, ()
    buffer = io.BytesIO()
    before(image, buffer, "")
    assert saved(picture(40, 40), qtables=qtables, quality=80) == buffer.getvalue()


def test_keep_keeps_the_files_tables():
    register(PRESET)
    image = opened(photo(qtables=[[7] * 64, [9] * 64]))
    for options in ({"qtables": "keep"}, {"quality": "keep"}):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", **options)
        assert opened(buffer.getvalue()).quantization == image.quantization


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qtables": "fd-no-such"}, "Invalid quantization table"),
        ({"qtables": PRESET, "quality": "keep"}, "give either quality or qtables"),
        ({"qtables": PRESET, "quality": "web_low"}, "give either quality or qtables"),
        ({"qtables": QTables.uniform(256)}, "1...255"),
    ],
)
def test_bad_options_leave_no_file(tmp_path, options, message):
    path = tmp_path / "x.jpg"
    with pytest.raises(ValueError, match=message):
        Image.fromarray(picture(9, 9)).save(path, **options)
    assert not path.exists()
