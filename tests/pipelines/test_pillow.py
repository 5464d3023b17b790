"""Pillow with the defence: what Pillow itself makes of re-quantized files, and Pillow's own habits.

The expected pixels are Pillow's, of ``pyfd.requantize(data, tables)``, whose
coefficients test_codec.py holds against jpeglib's.
"""

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps, JpegImagePlugin, MpoImagePlugin
from PIL.Image import DecompressionBombError

import pyfd
import pyfd.pillow
from pyfd import Limits, QTables
from pyfd.pillow import defended, register, unregister
from tests.attacks import ATTACKS
from tests.jpegs import (
    EOI,
    SOI,
    dqt,
    encode_with_pillow,
    gray,
    picture,
    progressive_gray,
    read_with_jpeglib,
    real_jpegs,
    sof,
    sos,
)

PRESET = "fd-cvpr2019"
COARSE = QTables.uniform(90)


@pytest.fixture(autouse=True)
def pillows_own():
    """Every test starts and ends with Pillow as it is."""
    before = Image.OPEN["JPEG"]
    assert before[0] is JpegImagePlugin.jpeg_factory
    yield
    unregister()
    assert Image.OPEN["JPEG"] == before


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


def plain(data: bytes) -> np.ndarray:
    """Pillow's pixels, whatever is registered."""
    return np.asarray(JpegImagePlugin.jpeg_factory(io.BytesIO(data)))


def expected(data: bytes, qtables=PRESET) -> np.ndarray:
    return plain(pyfd.requantize(data, qtables, baseline=False))


def photo(**options) -> bytes:
    data = encode_with_pillow(picture(123, 77), **options)
    assert not np.array_equal(plain(data), expected(data))
    return data


def is_defended(data: bytes) -> bool:
    pixels = np.asarray(opened(data))
    seen = [name for name, made in (("on", expected), ("off", plain))
            if np.array_equal(pixels, made(data))]  # fmt: skip
    assert len(seen) == 1
    return seen == ["on"]


def several(*frames: np.ndarray) -> bytes:
    """A multi-picture file, by Pillow."""
    images = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(buffer, "MPO", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def frames_of(mpo: bytes) -> list[bytes]:
    """The files in a multi-picture file that Pillow wrote: one behind the other."""
    starts = [
        i for i in range(len(mpo)) if mpo[i : i + 4] in (SOI + b"\xff\xe0", SOI + b"\xff\xe1")
    ]
    return [mpo[a:b] for a, b in zip(starts, [*starts[1:], len(mpo)], strict=True)]


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


# ---- what an image says of itself -------------------------------------------


def rich() -> bytes:
    """A file with all that Pillow finds in one."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return encode_with_pillow(
        picture(64, 40), exif=exif, icc_profile=ImageCms.ImageCmsProfile(
            ImageCms.createProfile("sRGB")).tobytes(), comment=b"a comment", dpi=(300, 300),
        xmp=b"<x/>", progressive=True, qtables=[[7] * 64, [9] * 64, [11] * 64],
    )  # fmt: skip


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
    """Counts what is read."""

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
    with path.open("rb") as mine:  # not Pillow's to close
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
    with pytest.raises(OSError, match="not of the size"):
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
    """Pillow's seek leaves a tile of its own decoder behind when it fails."""
    data = several(picture(50, 40), picture(50, 40, seed=2))
    register(PRESET)
    image = opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DecompressionBombError):
        image.seek(1)
    assert image.tile[0][0] == "jpeg"
    assert np.array_equal(np.asarray(image), expected(frames_of(data)[0]))


# ---- errors -----------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_files_are_an_oserror_again_and_again(progressive):
    data = photo(progressive=progressive)
    register(PRESET)
    image = opened(data[: len(data) // 2])
    for _ in range(2):
        with pytest.raises(OSError, match="truncated") as caught:
            image.load()
        assert isinstance(caught.value.__cause__, pyfd.CorruptJPEGError)
    with pytest.raises(OSError, match="truncated"):
        image.convert("L")


def test_strict_governs_and_load_truncated_images_does_not(monkeypatch):
    data = photo()[:-500]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    register(PRESET)
    with pytest.raises(OSError, match="truncated"):
        opened(data).load()
    register(PRESET, strict=False)
    with pytest.warns(pyfd.JPEGWarning):
        pixels = np.asarray(opened(data))
    with pytest.warns(pyfd.JPEGWarning):
        assert np.array_equal(pixels, pyfd.decode(data, PRESET, strict=False))


@pytest.mark.parametrize("cut", [3, 20, 100, 300])
def test_truncated_headers(cut):
    register(PRESET)
    with pytest.raises(Image.UnidentifiedImageError, match="cannot identify") as caught:
        opened(photo()[:cut])
    assert isinstance(caught.value.__cause__, pyfd.CorruptJPEGError)


def test_other_formats_are_pillows():
    register(PRESET)
    buffer = io.BytesIO()
    Image.fromarray(picture(20, 10)).save(buffer, "PNG")
    assert np.array_equal(np.asarray(opened(buffer.getvalue())), picture(20, 10))
    for junk in (b"", b"\xff\xd8", b"text", bytes(100)):
        with pytest.raises(Image.UnidentifiedImageError):
            opened(junk)
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(photo()), formats=["PNG"])


# The large ones, and one that is Pillow's own: test_pillows_parser_is_not_fed_bytes_...
LEFT_OUT = ("8192²", "million", "fill bytes")
QUICK = [attack for attack in ATTACKS if not any(name in attack.name for name in LEFT_OUT)]


@pytest.mark.parametrize("attack", QUICK, ids=lambda attack: attack.name)
def test_attacks_are_refused_with_pillows_errors_or_defended(attack):
    data = attack.make()
    register(PRESET)
    start = time.process_time()
    if attack.error is None:
        assert np.array_equal(np.asarray(opened(data).convert("RGB")), pyfd.decode(data, PRESET))
        return
    pillows = DecompressionBombError if attack.error is pyfd.LimitExceededError else OSError
    with pytest.raises(pillows, match=attack.says) as caught:
        opened(data).load()
    assert isinstance(caught.value.__cause__, attack.error)
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(max_pixels=99), gray(10, 10)),
        (Limits(max_bytes=300), photo()),
        (Limits(max_scans=2), progressive_gray(64, 64, 3)),
        (Limits(max_memory=1000), photo(progressive=True)),
        (Limits(max_segments=3), photo()),
        (Limits(max_metadata=100), photo(comment=bytes(200))),
    ],
    ids=["pixels", "bytes", "scans", "memory", "segments", "metadata"],
)
def test_limits_are_decompression_bombs(limits, data):
    register(PRESET, limits=limits)
    with pytest.raises(DecompressionBombError) as caught:
        opened(data).load()
    assert isinstance(caught.value.__cause__, pyfd.LimitExceededError)
    assert str(caught.value) == str(caught.value.__cause__)


@pytest.mark.parametrize("loose", [b"\xff" * 3_000_000, b"\xff\0" * 1_500_000, b"x" * 3_000_000])
def test_pillows_parser_is_not_fed_bytes_that_it_reads_one_by_one(loose):
    register(PRESET, strict=False)
    data = SOI + dqt() + loose + sof(8, 8) + sos() + b"\x28" + EOI
    start = time.process_time()
    with pytest.raises(DecompressionBombError, match="in no segment"):
        opened(data)
    assert time.process_time() - start < 0.5
    few = SOI + dqt() + b"\xff" * 30_000 + sof(8, 8) + sos() + b"\x28" + EOI
    assert opened(few).getpixel((0, 0)) == 128


def test_pillows_own_limit_stays(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    register(PRESET)
    with pytest.raises(DecompressionBombError, match="exceeds limit of 2000"):
        opened(photo())


# ---- on and off -------------------------------------------------------------


def test_on_and_off():
    data = photo()
    unregister()  # nothing to undo
    assert not is_defended(data)
    register(PRESET)
    assert is_defended(data)
    unregister()
    assert not is_defended(data)


def test_registering_again_replaces():
    data = photo()
    register(COARSE)
    register(PRESET)
    assert is_defended(data)
    unregister()
    assert not is_defended(data)


def test_blocks_nest_and_restore():
    data = photo()
    with defended(PRESET):
        with defended(COARSE):
            assert np.array_equal(np.asarray(opened(data)), expected(data, COARSE))
        assert is_defended(data)
    assert not is_defended(data)
    register(PRESET)
    with pytest.raises(KeyError), defended(COARSE):
        raise KeyError
    assert is_defended(data)
    with defended(PRESET):
        unregister()
        assert is_defended(data)
    assert not is_defended(data)


def test_blocks_that_overlap_leave_no_gap():
    """As two threads may enter and leave them."""
    data = photo()
    first, second = defended(COARSE), defended(PRESET)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert is_defended(data)
    second.__exit__(None, None, None)
    assert not is_defended(data)


def test_an_image_keeps_what_it_was_opened_with():
    data = photo()
    with defended(PRESET):
        inside = opened(data)
    outside = opened(data)
    register(COARSE)
    assert np.array_equal(np.asarray(inside), expected(data))
    assert np.array_equal(np.asarray(outside), plain(data))


def test_blocks_go_for_all_threads():
    data = photo()
    with defended(PRESET), ThreadPoolExecutor(3) as pool:
        assert all(pool.map(is_defended, [data] * 6))


def test_threads_while_it_goes_on_and_off():
    data = photo()
    allowed = {made.tobytes() for made in (plain(data), expected(data), expected(data, COARSE))}
    stop = threading.Event()

    def switch():
        while not stop.is_set():
            with defended(PRESET):
                register(COARSE)
            unregister()

    switching = threading.Thread(target=switch)
    switching.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            images = pool.map(lambda _: np.asarray(opened(data)).tobytes(), range(200))
            assert {pixels in allowed for pixels in images} == {True}
    finally:
        stop.set()
        switching.join()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes(tmp_path, start):
    """A child of fork inherits the registration; one that starts anew needs its own."""
    context = multiprocessing.get_context(start)
    path = tmp_path / "x.jpg"
    path.write_bytes(photo())

    def pixels(pool) -> np.ndarray:
        return np.asarray(pool.submit(Image.open, path).result())  # loaded there, to be pickled

    inherited = expected(photo()) if start == "fork" else plain(photo())
    with warnings.catch_warnings():  # Python 3.12: fork beside threads, such as a test runner's
        warnings.simplefilter("ignore", DeprecationWarning)
        with defended(PRESET), ProcessPoolExecutor(1, context) as pool:
            assert np.array_equal(pixels(pool), inherited)
        with ProcessPoolExecutor(1, context, register, (PRESET,)) as pool:
            assert np.array_equal(pixels(pool), expected(photo()))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"qtables": "no-such-preset"}, ValueError),
        ({"qtables": np.zeros((8, 8), int)}, ValueError),
        ({"qtables": QTables.uniform(32768)}, ValueError),
        ({"qtables": None}, (TypeError, ValueError)),
        ({"qtables": PRESET, "limits": 5}, TypeError),
    ],
)
def test_misuse_leaves_pillow_as_it_was(arguments, error):
    with pytest.raises(error):
        register(**arguments)
    with pytest.raises(error), defended(**arguments):
        pass
    assert not is_defended(photo())


# ---- saving -----------------------------------------------------------------


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
    """Pillow would ignore them without a word."""
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
    """What the paper does: the tables at the camera, and at the classifier."""
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
        ({"qtables": PRESET, "quality": "keep"}, "leave out one"),
        ({"qtables": PRESET, "quality": "web_low"}, "leave out one"),
        ({"qtables": QTables.uniform(256)}, "1...255"),
    ],
)
def test_bad_options_leave_no_file(tmp_path, options, message):
    path = tmp_path / "x.jpg"
    with pytest.raises(ValueError, match=message):
        Image.fromarray(picture(9, 9)).save(path, **options)
    assert not path.exists()


# ---- without Pillow ---------------------------------------------------------


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    return done.stdout + done.stderr


def test_missing_pillow_names_the_extra():
    code = "import sys; sys.modules['PIL'] = None; import pyfd; import pyfd.pillow"
    assert "ImportError: Pillow is missing: pip install 'pyfd-jpeg[pillow]'" in python(code)


def test_the_core_imports_no_pillow():
    assert python("import sys, pyfd; print('PIL' in sys.modules)") == "False\n"


def test_importing_alone_changes_no_decoding():
    code = "import pyfd.pillow; from PIL import Image, JpegImagePlugin as j; "
    code += "Image.init(); print(Image.OPEN['JPEG'][0] is j.jpeg_factory)"
    assert python(code) == "True\n"


def test_registered_before_pillow_looks_for_its_plugins(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(photo())
    code = f"import pyfd.pillow as p; p.register('{PRESET}'); from PIL import Image\n"
    code += f"a = type(Image.open({str(path)!r})); Image.init()\n"
    code += f"print(a is type(Image.open({str(path)!r})) is p.JpegImageFile)"
    assert python(code) == "True\n"


def test_warnings_stay_off():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with defended(PRESET):
            opened(rich()).load()
    assert seen == []
