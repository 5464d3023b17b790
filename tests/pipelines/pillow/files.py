"""JPEG files, and the pixels that Pillow gives for them with and without the defence."""

import io

import numpy as np
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

import pyfd
import pyfd.pillow
from pyfd import QTables
from tests.jpegs import SOI, encode_with_pillow, picture

PRESET = "fd-cvpr2019"
COARSE = QTables.uniform(90)


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


def plain(data: bytes) -> np.ndarray:
    """Return Pillow's own pixels, whatever is registered."""
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
    """Return a multi-picture file, written by Pillow."""
    images = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(buffer, "MPO", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def frames_of(mpo: bytes) -> list[bytes]:
    """Split a multi-picture file that Pillow wrote into its files."""
    starts = [
        i for i in range(len(mpo)) if mpo[i : i + 4] in (SOI + b"\xff\xe0", SOI + b"\xff\xe1")
    ]
    return [mpo[a:b] for a, b in zip(starts, [*starts[1:], len(mpo)], strict=True)]


def rich() -> bytes:
    """Return a file with all the metadata that Pillow reads."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return encode_with_pillow(
        picture(64, 40), exif=exif, icc_profile=ImageCms.ImageCmsProfile(
            ImageCms.createProfile("sRGB")).tobytes(), comment=b"a comment", dpi=(300, 300),
        xmp=b"<x/>", progressive=True, qtables=[[7] * 64, [9] * 64, [11] * 64],
    )  # fmt: skip
