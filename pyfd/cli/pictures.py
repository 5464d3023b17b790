"""Reading images of any format, and writing pixels as PNG, PPM or BMP files."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

import pyfd
from pyfd._core import pictures
from pyfd._core.files import JPEG_SUFFIXES
from pyfd._core.pictures import Picture, PictureError, clean
from pyfd._core.pixels import Pixels
from pyfd.limits import Limits

#: The suffixes to look for in a directory. A file given by its name may be anything Pillow reads.
SUFFIXES = JPEG_SUFFIXES | {
    ".avif", ".bmp", ".gif", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip

#: Pillow's names of the formats that `write` writes, by suffix.
FORMATS = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP"}


def read(data: bytes, limits: Limits) -> Picture:
    """Read the picture in a file of any format that Pillow knows.

    Args:
        data: The file.
        limits: The limits on it, whatever its format.

    Raises:
        PictureError: The file has no pixels that a JPEG file can hold.
        pyfd.JPEGError: The file is a JPEG file that cannot be read, or exceeds a limit.
    """
    if data[:2] == b"\xff\xd8":
        return _read_jpeg(data, limits)
    return pictures.read(data, limits)


def _read_jpeg(data: bytes, limits: Limits) -> Picture:
    """Read a JPEG file with our own decoder, which has limits and does not hide damage."""
    header = pyfd.probe(data, limits=limits)
    if header.color_space in ("CMYK", "YCCK"):
        raise PictureError("a CMYK image: requantize keeps it, encode takes RGB and grayscale")
    pixels = pyfd.decode(data, mode="L" if header.color_space == "L" else "RGB", limits=limits)
    return Picture(pixels, *clean(header.exif, header.icc_profile, header.comment))


def write(
    pixels: Pixels, file_format: str, header: pyfd.Header, *, turned: int | None = None
) -> bytes:
    """Return a decoded file's pixels as a file of another format.

    Args:
        pixels: H×W×3 or H×W, ``uint8``.
        file_format: Pillow's name of the format, one of `FORMATS`.
        header: The decoded file's header. PNG files get its EXIF and its ICC profile, as
            `pyfd.requantize` keeps them.
        turned: The orientation that has been applied to the pixels, 1...8, or None.
    """
    options: dict[str, Any] = {}
    if file_format == "PNG":
        own = {"L": 2, "YCbCr": 3, "RGB": 3}.get(header.color_space)
        fits = pixels.ndim == own  # a profile for another color space would distort the colors
        exif, profile, _ = clean(header.exif, header.icc_profile, None, turned=turned)
        options = {"exif": exif or b"", "icc_profile": profile if fits else None}
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()
