"""Pictures that are not JPEG files: the limits on what Pillow reads and decodes."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pyfd._core import pictures
from pyfd._core.pictures import PictureError
from pyfd.errors import LimitExceededError
from pyfd.limits import Limits

MIB = 1 << 20


# ---- files, made by hand ------------------------------------------------------


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=4, height=4, before=b"", after=b"", rows=None) -> bytes:
    """Return a black RGB file with chunks before and after its pixels."""
    rows = bytes(height * (1 + 3 * width)) if rows is None else rows
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows)) + after
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + pixels + chunk(b"IEND")


def tiff(tags=(), padding=8, following=0) -> bytes:
    """Return a gray file of one pixel with more tags: number, type, count and offset."""
    needed = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    needed += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1)]
    entries = b"".join(struct.pack("<HHII", *entry) for entry in sorted([*needed, *tags]))
    head = struct.pack("<2sHI", b"II", 42, 8 + padding) + bytes(padding)
    return head + struct.pack("<H", len(entries) // 12) + entries + struct.pack("<I", following)


def gif(before=b"", frames=1, after=b"") -> bytes:
    """Return a file with extensions before and after its frames."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + before + frame * frames + after + b"\x3b"


def comment(size: int) -> bytes:
    """Return a comment of a GIF file, which Pillow joins in quadratic time."""
    return b"\x21\xfe" + (b"\xff" + b"x" * 255) * (size // 256) + b"\0"


def saved(pixels: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def icon(inner: bytes) -> bytes:
    """Return an icon of 16×16 pixels that holds a PNG file of any size."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


# ---- the limits -----------------------------------------------------------------


HOSTILE = {
    "60000×60000": (lambda: png(60000, 60000, rows=b""), "max_pixels"),
    "an icon with a large file inside": (lambda: icon(png(9000, 9000, rows=b"")), "max_pixels"),
    "60 MB of PNG text": (
        lambda: png(before=chunk(b"iTXt", b"k\0\0\0\0\0" + bytes(60 * MIB))),
        "max_metadata",
    ),
    "60 MB of PNG profile": (
        lambda: png(before=chunk(b"iCCP", b"k\0\0" + os.urandom(60 * MIB))),
        "max_metadata",
    ),
    "20 PNG profiles": (
        lambda: png(before=chunk(b"prVt", os.urandom(MIB)) * 20),
        "max_metadata",
    ),
    "5 million PNG chunks": (lambda: png(before=chunk(b"prVt") * (5 * MIB)), "max_segments"),
    "5 million PNG chunks at the end": (
        lambda: png(after=chunk(b"prVt") * (5 * MIB)),
        "max_segments",
    ),
    "5 million empty IDAT chunks": (
        lambda: png(rows=b"", after=chunk(b"IDAT") * (5 * MIB)),
        "max_segments",
    ),
    "TIFF tags that share a megabyte": (
        lambda: tiff([(60000 + i, 1, MIB, 8) for i in range(50)], 60 * MIB),
        "max_metadata",
    ),
    "a TIFF tag of 20 MB": (lambda: tiff([(339, 3, 10 * MIB, 8)], 20 * MIB), "max_metadata"),
    "60,000 TIFF tags": (
        lambda: tiff([(300 + i, 2, 8, 8) for i in range(60000)]),
        "max_segments",
    ),
    "60 MB of GIF comment": (lambda: gif(before=comment(60 * MIB)), "max_segments"),
    "20 million GIF extensions": (
        lambda: gif(before=b"\x21\x01\0" * (20 * MIB)),
        "max_segments",
    ),
    "20 million GIF extensions at the end": (
        lambda: gif(after=b"\x21\x01\0" * (20 * MIB)),
        "max_segments",
    ),
    "60 MB of PPM comment": (
        lambda: b"P6\n#" + b"x" * (60 * MIB) + b"\n1 1 255\n...",
        "max_segments",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(name):
    make, limit = HOSTILE[name]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceededError) as caught:
            pictures.read(data, Limits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    error = caught.value
    assert (error.limit, error.allowed) == (limit, getattr(Limits(), limit))
    assert error.needed is not None
    assert error.needed > error.allowed
    assert str(error).startswith(f"{limit} is {error.allowed}, but the file has ")
    assert peak < 100 * MIB


@pytest.mark.parametrize(
    "data",
    [
        png(before=chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(60 * MIB)))),
        png(before=chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(60 * MIB)))),
        png(before=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(MIB))) * 80),
    ],
)
def test_texts_that_grow(data):
    """Pillow has limits of its own for these."""
    with pytest.raises(PictureError, match="Pillow cannot read it"):
        pictures.read(data, Limits())


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 99, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        *(lambda kind=kind: animated(kind) for kind in ("GIF", "PNG", "WEBP", "TIFF")),
        lambda: gif(frames=4 * MIB),
        lambda: gif(frames=1) + gif(frames=1)[19:],  # bytes after the end are no frame
        lambda: png(before=chunk(b"acTL", struct.pack(">II", 1 << 30, 0))),
        lambda: tiff(following=8),
    ],
)
def test_several_frames_are_not_decoded(make):
    data = make()
    if data.startswith(b"GIF") and len(data) < 100 and data.count(b"\x2c") == 2:
        assert pictures.read(data, Limits()).pixels.shape == (1, 1, 3)
        return
    with pytest.raises(PictureError, match="has several frames, and a JPEG file holds one"):
        pictures.read(data, Limits())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "GIF", "WEBP"])
def test_every_limit_is_exact(kind):
    pixels = np.zeros((30, 50, 3), np.uint8)
    data = saved(pixels, kind)
    storage = 1 + 3 if kind == "GIF" else 4 + 3
    needed = {
        "max_bytes": len(data),
        "max_pixels": 1500,
        "max_memory": len(data) + 1500 * storage,
    }
    for name, value in needed.items():
        assert pictures.read(data, replace(Limits(), **{name: value})).pixels.shape == pixels.shape
        with pytest.raises(LimitExceededError) as caught:
            pictures.read(data, replace(Limits(), **{name: value - 1}))
        error = caught.value
        assert (error.limit, error.allowed, error.needed) == (name, value - 1, value)
    assert pictures.read(data, Limits.unlimited()).pixels.shape == pixels.shape


def test_a_camera_of_90_megapixels():
    """More than Pillow itself takes without a warning, and after a raised limit no error."""
    data = png(10000, 9000)
    with pytest.raises(LimitExceededError, match="max_pixels is 67108864, but the file has 900000"):
        pictures.read(data, Limits())
    pixels = pictures.read(data, Limits(max_pixels=100_000_000)).pixels
    assert pixels.shape == (9000, 10000, 3)


def test_pillow_s_own_limit_is_as_before(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    assert pictures.read(png(), Limits()).pixels.shape == (4, 4, 3)
    for data in (png(9999, 9999, rows=b""), b"no picture"):
        with pytest.raises(ValueError, match=r"max_pixels|not an image"):
            pictures.read(data, Limits())
    assert Image.MAX_IMAGE_PIXELS == 7


def test_threads_do_not_take_each_other_s_limit():
    failures = []

    def work(limits: Limits, fits: bool) -> None:
        for _ in range(100):
            try:
                pictures.read(png(), limits)
            except LimitExceededError:
                failures.extend(["refused"] if fits else [])
            else:
                failures.extend([] if fits else ["taken"])

    threads = [
        threading.Thread(target=work, args=(Limits(max_pixels=most), most > 15))
        for most in (15, 16, 15, 16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_many_warnings_are_one():
    data = tiff([(60000 + i, 1, MIB, 8) for i in range(50)])
    with pytest.warns(UserWarning, match="Pillow: .*, and [0-9]+ more warnings") as caught:
        assert pictures.read(data, Limits()).pixels.shape == (1, 1)
    assert len(caught) == 1


# ---- the pixels -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA"])
def test_pixels_in_strips_are_those_of_the_whole(mode, monkeypatch):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (37, 50, 3), np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    whole = np.asarray(image.convert("L" if mode in ("L", "1", "LA") else "RGB"))
    for strip in (1, 500, 1 << 20):
        monkeypatch.setattr(pictures, "_STRIP", strip)
        pixels = pictures.read(buffer.getvalue(), Limits()).pixels
        assert np.array_equal(pixels, whole)
        assert pixels.flags.c_contiguous
    if mode == "RGBA":
        image.putpixel((49, 36), (1, 2, 3, 254))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        with pytest.raises(PictureError, match="has transparent pixels"):
            pictures.read(buffer.getvalue(), Limits())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"strip_size": 1}),
        ("WEBP", {"lossless": True}),
        ("PPM", {}),
        ("TGA", {"compression": "tga_rle"}),
        ("SGI", {}),
        ("PCX", {}),
        ("DDS", {}),
        ("QOI", {}),
        ("JPEG2000", {"irreversible": False}),
    ],
)
def test_ordinary_files_do_not_reach_the_limits(kind, options):
    """Noise, which needs the most bytes and the most reads."""
    pixels = np.random.default_rng(2).integers(0, 256, (300, 400, 3), np.uint8)
    data = saved(pixels, kind, **options)
    assert np.array_equal(pictures.read(data, Limits()).pixels, pixels)


def test_small_chunks_are_ordinary():
    """A row per IDAT chunk, as small encoders write it, and a text in many."""
    rows = np.random.default_rng(3).integers(0, 256, (600, 1201), np.uint8)
    rows[:, 0] = 0  # no filter
    data = zlib.compress(rows.tobytes(), 0)
    parts = b"".join(chunk(b"IDAT", data[i : i + 1000]) for i in range(0, len(data), 1000))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 400, 600, 8, 2, 0, 0, 0))
    texts = b"".join(chunk(b"tEXt", b"key\0" + b"x" * 1000) for _ in range(1000))
    file = b"\x89PNG\r\n\x1a\n" + head + texts + parts + chunk(b"IEND")
    pixels = pictures.read(file, Limits()).pixels
    assert np.array_equal(pixels, rows[:, 1:].reshape(600, 400, 3))
