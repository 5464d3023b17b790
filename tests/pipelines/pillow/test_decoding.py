"""Pixels and attributes of defended images, compared with Pillow's for the re-quantized file.

The expected pixels are Pillow's for ``pyfd.requantize(data, tables)``, whose coefficients
tests/codec compares with jpeglib's.
"""

import copy
import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin, MpoImagePlugin
from PIL.Image import DecompressionBombError

import pyfd
import pyfd.pillow
from pyfd import QTables
from pyfd.pillow import defended, register
from tests.jpegs import (
    EOI,
    SOI,
    dqt,
    encode_with_pillow,
    gray,
    picture,
    real_jpegs,
    sof,
    sos,
)
from tests.pipelines.pillow.files import PRESET, expected, frames_of, opened, photo, rich, several

# ---- pixels -----------------------------------------------------------------


@given(real_jpegs(), st.integers(1, 32767) | st.sampled_from([1, 16, 40]))
def test_pixels_are_those_of_the_requantized_file(data, step):
    qtables = QTables([np.full((8, 8), step), np.full((8, 8), max(1, step // 2))])
    with defended(qtables):
        image = opened(data)
    own = opened(pyfd.requantize(data, qtables, baseline=False))
    assert (image.mode, image.size, image.format) == (own.mode, own.size, "JPEG")
    assert np.array_equal(np.asarray(image), np.asarray(own))
    if image.mode == "RGB":
        assert np.array_equal(np.asarray(image), pyfd.decode(data, qtables))


@pytest.mark.parametrize("mode", [None, "L", "RGB", "YCbCr", "CMYK", "P"])
@pytest.mark.parametrize("size", [None, (435, 361), (2048, 2048), (218, 181), (60, 200), (1, 1)])
def test_draft_is_pillows(mode, size):
    for channels in (1, 3, 4):
        data = encode_with_pillow(picture(435, 361, channels=channels))
        image, own = opened(data), opened(pyfd.requantize(data, PRESET))
        with defended(PRESET):
            image = opened(data)
        assert image.draft(mode, size) == own.draft(mode, size)
        assert (image.mode, image.size) == (own.mode, own.size)
        assert image.draft(mode, (1, 1)) == own.draft(mode, (1, 1))  # a second call has no effect
        assert np.array_equal(np.asarray(image), np.asarray(own))
        if image.mode == "L":
            scale = own.decoderconfig[0] if own.decoderconfig else 1
            same = pyfd.decode(data, PRESET, mode="L", scale=scale)
            assert np.array_equal(np.asarray(image), same)


def test_a_draft_that_libjpeg_cannot_do_is_an_error_as_in_pillow():
    data = encode_with_pillow(picture(40, 30), keep_rgb=True)
    own = opened(data)
    own.draft("YCbCr", None)
    with pytest.raises(OSError):  # noqa: PT011
        own.load()
    with defended(PRESET):
        image = opened(data)
    image.draft("YCbCr", None)
    with pytest.raises(OSError, match="decodes to"):
        image.load()


def test_thumbnails_are_pillows():
    data = encode_with_pillow(picture(640, 400))
    own = opened(pyfd.requantize(data, PRESET))
    with defended(PRESET):
        image = opened(data)
    for one in (own, image):
        one.thumbnail((50, 50))
    assert image.size == own.size == (50, 31)
    assert np.array_equal(np.asarray(image), np.asarray(own))


def test_exif_thumbnails_are_defended_too():
    inner = photo()
    exif = Image.Exif()
    exif.get_ifd(1).update({0x0103: 6})
    tiff = b"II*\0" + (8).to_bytes(4, "little") + bytes(2) + (14).to_bytes(4, "little")
    entries = [(0x0201, 14 + 2 + 24 + 4), (0x0202, len(inner))]
    rows = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    data = encode_with_pillow(
        picture(8, 8), exif=b"Exif\0\0" + tiff + b"\2\0" + rows + bytes(4) + inner
    )
    register(PRESET)
    (child,) = opened(data).get_child_images()
    assert np.array_equal(np.asarray(child), expected(inner))


# ---- attributes -------------------------------------------


@pytest.mark.parametrize(
    "data",
    [rich(), photo(), encode_with_pillow(picture(9, 9, channels=4)), gray()],
    ids=["rich", "photo", "cmyk", "gray"],
)
def test_attributes_are_pillows(data):
    own = opened(data)
    register(PRESET)
    image = opened(data)
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    same = "format format_description mode size info quantization layers layer bits app applist"
    for name in same.split():
        assert getattr(image, name) == getattr(own, name), name
    assert image.getexif() == own.getexif()
    assert image._getexif() == own._getexif()
    assert image.get_format_mimetype() == "image/jpeg"
    image.load()
    own.load()
    assert image.info == own.info
    assert image.tile == own.tile == []


def test_orientation_is_pillows_to_apply():
    register(PRESET)
    image = opened(rich())
    assert image.size == (64, 40)
    assert ImageOps.exif_transpose(image).size == (40, 64)


# ---- files ------------------------------------------------------------------


class Counting(io.BytesIO):
    """A file that counts the bytes that are read."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


def test_opening_is_lazy():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    file = Counting(encode_with_pillow(noise, quality=95))
    size = len(file.getvalue())
    assert size > 1_000_000
    register(PRESET)
    image = Image.open(file)
    assert file.count < 150_000
    assert image.size == (1000, 1000)
    assert file.count < 150_000
    image.load()
    assert file.count >= size


def test_a_header_longer_than_the_first_read_is_read_whole():
    data = photo(icc_profile=bytes(300_000))
    register(PRESET)
    image = opened(data)
    assert len(image.info["icc_profile"]) == 300_000
    assert np.array_equal(np.asarray(image), expected(data))


def test_files_are_held_and_closed_as_in_pillow(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(photo())
    register(PRESET)
    image = Image.open(path)
    file = image.fp
    assert image.filename == str(path)
    assert not file.closed
    image.load()
    assert file.closed
    assert image.fp is None
    with Image.open(path) as image:
        file = image.fp
    assert file.closed
    with path.open("rb") as mine:  # a file of the caller's, which Pillow must not close
        Image.open(mine).load()
        assert not mine.closed


def test_file_objects_anywhere_and_streams():
    data = photo()
    register(PRESET)
    file = io.BytesIO(data)
    file.seek(50)
    assert np.array_equal(np.asarray(Image.open(file, formats=["JPEG"])), expected(data))

    class Stream:
        def read(self):
            return data

    assert np.array_equal(np.asarray(Image.open(Stream())), expected(data))


def test_the_incremental_parser():
    data = photo()
    register(PRESET)
    with ImageFile.Parser() as parser:
        for i in range(0, len(data), 100):
            parser.feed(data[i : i + 100])
    assert np.array_equal(np.asarray(parser.close()), expected(data))


def test_verify_and_load():
    register(PRESET)
    image = opened(photo())
    image.verify()
    assert image.fp is None
    image = opened(photo())
    assert image.load()[0, 0] == image.getpixel((0, 0))


@pytest.mark.parametrize(
    "move", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_of_unloaded_images_are_defended(move):
    with defended(PRESET):
        image = opened(photo())
    moved = move(image)
    assert np.array_equal(np.asarray(moved), expected(photo()))
    assert np.array_equal(np.asarray(moved.copy()), expected(photo()))


def test_a_file_that_changes_after_it_was_opened():
    file = io.BytesIO(encode_with_pillow(picture(16, 16)))
    register(PRESET)
    image = Image.open(file)
    file.seek(0)
    file.write(encode_with_pillow(picture(24, 16)))
    with pytest.raises(OSError, match="size has changed"):
        image.load()


# ---- several pictures in a file ---------------------------------------------


def test_every_frame_is_defended():
    frames = [picture(50, 40, seed=1), picture(50, 40, seed=2), picture(64, 24, seed=3)]
    data = several(*frames)
    parts = frames_of(data)
    assert len(parts) == 3
    with defended(PRESET):
        image = opened(data)
    assert isinstance(image, MpoImagePlugin.MpoImageFile)
    assert (image.format, image.n_frames, image.get_format_mimetype()) == ("MPO", 3, "image/mpo")
    for frame in (0, 2, 1, 0, 2):
        image.seek(frame)
        assert image.tell() == frame
        assert np.array_equal(np.asarray(image), expected(parts[frame]))
    with pytest.raises(EOFError):
        image.seek(3)
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.seek(1)


def test_damaged_and_missing_frames():
    data = several(picture(50, 40), picture(50, 40, seed=2))
    first, second = frames_of(data)
    register(PRESET)
    image = opened(first)
    with pytest.raises(ValueError, match="No data"):
        image.seek(1)
    image = opened(first + second[:-200])
    image.seek(1)
    with pytest.raises(OSError, match="truncated"):
        image.load()
    bomb = SOI + dqt() + sof(65500, 65500) + sos() + EOI
    for bad, error in ((b"no JPEG", OSError), (bomb, DecompressionBombError)):
        image = opened(first + bad)
        with pytest.raises(error) as caught:
            image.seek(1)
        assert isinstance(caught.value.__cause__, pyfd.JPEGError)
        image.seek(0)
        assert np.array_equal(np.asarray(image), expected(first))


def test_no_way_through_seek_leads_to_undefended_pixels(monkeypatch):
    """When Pillow's seek fails, it leaves a tile of its own decoder behind."""
    data = several(picture(50, 40), picture(50, 40, seed=2))
    register(PRESET)
    image = opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DecompressionBombError):
        image.seek(1)
    assert image.tile[0][0] == "jpeg"
    assert np.array_equal(np.asarray(image), expected(frames_of(data)[0]))
