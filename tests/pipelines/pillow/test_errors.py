"""Refused files raise the exceptions that Pillow's users expect."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.Image import DecompressionBombError

import pyfd
import pyfd.pillow
from pyfd import Limits
from pyfd.pillow import register
from tests.attacks import ATTACKS
from tests.jpegs import EOI, SOI, dqt, gray, picture, progressive_gray, sof, sos
from tests.pipelines.pillow.files import PRESET, opened, photo


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


# The large ones, and one that test_pillows_parser_is_not_fed_bytes_... covers
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
    cause = caught.value.__cause__
    assert isinstance(cause, pyfd.LimitExceededError)
    assert str(caught.value) == str(cause)
    assert cause.allowed == getattr(limits, cause.limit) != getattr(Limits(), cause.limit)
    assert cause.needed > cause.allowed


@pytest.mark.parametrize("loose", [b"\xff" * 3_000_000, b"\xff\0" * 1_500_000, b"x" * 3_000_000])
def test_pillows_parser_is_not_fed_bytes_that_it_reads_one_by_one(loose):
    register(PRESET, strict=False)
    data = SOI + dqt() + loose + sof(8, 8) + sos() + b"\x28" + EOI
    start = time.process_time()
    with pytest.raises(DecompressionBombError, match="in no segment") as caught:
        opened(data)
    cause = caught.value.__cause__
    assert (cause.limit, cause.allowed) == ("max_loose_bytes", 1 << 16)
    assert cause.needed >= len(loose)
    assert time.process_time() - start < 0.5
    few = SOI + dqt() + b"\xff" * 30_000 + sof(8, 8) + sos() + b"\x28" + EOI
    assert opened(few).getpixel((0, 0)) == 128


def test_pillows_own_limit_stays(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    register(PRESET)
    with pytest.raises(DecompressionBombError, match="exceeds limit of 2000"):
        opened(photo())
