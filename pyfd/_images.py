"""Pictures that are not JPEG files, through Pillow, and the metadata that goes with them."""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

import pyfd
from pyfd import _metadata
from pyfd._jobs import JPEG_SUFFIXES, RefusedError

#: What `read` takes from a directory. A file given by its name may be anything Pillow reads.
SUFFIXES = JPEG_SUFFIXES | {
    ".avif", ".bmp", ".gif", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip

#: What `write` writes, by suffix.
FORMATS = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP"}

_EXIF = b"Exif\0\0"
_MAX_EXIF = 65533  # a marker segment's payload
# Modes with an alpha channel, and what is left without it.
_ALPHA = {"RGBA": "RGB", "PA": "RGB", "LA": "L"}
_OPAQUE = {"RGB": "RGB", "P": "RGB", "L": "L", "1": "L"}


class Picture(NamedTuple):
    """Pixels and metadata, as `pyfd.encode` takes them."""

    pixels: npt.NDArray[np.uint8]
    exif: bytes | None
    icc_profile: bytes | None
    comment: bytes | None


def read(data: bytes) -> Picture:
    """The picture in a file of any kind.

    Raises:
        RefusedError: It has no pixels that a JPEG file can hold.
        pyfd.JPEGError: It is a JPEG file that cannot be read.
    """
    return _read_jpeg(data) if data[:2] == b"\xff\xd8" else _read_other(data)


def _read_jpeg(data: bytes) -> Picture:
    """Through our own decoder: it has limits, and does not hide damage."""
    header = pyfd.probe(data)
    if header.color_space in ("CMYK", "YCCK"):
        raise RefusedError("a CMYK image: requantize keeps it, encode takes RGB and grayscale")
    pixels = pyfd.decode(data, mode="L" if header.color_space == "L" else "RGB")
    return Picture(pixels, clean_exif(header.exif), header.icc_profile, header.comment)


def _read_other(data: bytes) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                frames = getattr(image, "n_frames", 1)
                image.load()
    except UnidentifiedImageError:
        raise RefusedError("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's plugins raise all sorts of things on a damaged file
        reason = str(error) or type(error).__name__
        raise RefusedError(f"Pillow cannot read it: {reason}") from error
    if frames > 1:
        raise RefusedError(f"has {frames} frames, and a JPEG file holds one")
    exif, icc_profile = image.info.get("exif"), image.info.get("icc_profile")
    return Picture(np.asarray(_flat(image)), clean_exif(exif), icc_profile, None)


def _formats() -> list[str]:
    """All that Pillow reads but EPS: a program, which Ghostscript would run."""
    Image.init()
    return sorted(set(Image.OPEN) - {"EPS"})


def _flat(image: Image.Image) -> Image.Image:
    """The image in mode "RGB" or "L", if that loses nothing that can be seen."""
    mode = _OPAQUE.get(image.mode) or _ALPHA.get(image.mode)
    if mode is None:
        raise RefusedError(f'pixels of mode "{image.mode}": convert them to 8-bit RGB or grayscale')
    if image.mode in _ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            raise RefusedError("has transparent pixels, and JPEG has none: flatten it first")
        return rgba.convert(mode)
    return image.convert(mode)


def clean_exif(exif: bytes | None) -> bytes | None:
    """EXIF that a JPEG file can hold, without its thumbnail; warns when it must go."""
    if not exif:
        return None
    block = exif if exif.startswith(_EXIF) else _EXIF + exif
    clean = _metadata.without_pixels(block)
    if clean is None:
        warnings.warn("EXIF left out: it makes no sense", stacklevel=2)
        return None
    if len(clean) > _MAX_EXIF:
        warnings.warn(f"EXIF left out: {len(clean)} bytes, {_MAX_EXIF} fit", stacklevel=2)
        return None
    return clean


def write(pixels: npt.NDArray[np.uint8], file_format: str, header: pyfd.Header) -> bytes:
    """A decoded file's pixels in another format; PNG takes the metadata along."""
    options: dict[str, Any] = {}
    if file_format == "PNG":
        own = {"L": 2, "YCbCr": 3, "RGB": 3}.get(header.color_space)
        fits = pixels.ndim == own  # a profile for other colors would spoil these
        options = {
            "exif": clean_exif(header.exif) or b"",
            "icc_profile": header.icc_profile if fits else None,
        }
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()
