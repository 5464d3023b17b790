"""Pictures that are not JPEG files, read through Pillow, and EXIF for the JPEG made of them."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from pyfd._core import metadata

_EXIF = b"Exif\0\0"
_MAX_EXIF = 65533  # a marker segment's payload
# Modes with an alpha channel, and what is left without it.
_ALPHA = {"RGBA": "RGB", "PA": "RGB", "LA": "L"}
_OPAQUE = {"RGB": "RGB", "P": "RGB", "L": "L", "1": "L"}


class PictureError(ValueError):
    """The picture has no pixels that a JPEG file can hold; the text says why."""


class Picture(NamedTuple):
    """Pixels and metadata, as `pyfd.encode` takes them."""

    pixels: npt.NDArray[np.uint8]
    exif: bytes | None
    icc_profile: bytes | None
    comment: bytes | None


def read(data: bytes) -> Picture:
    """Read the picture in a file of any kind that Pillow knows.

    Raises:
        PictureError: The file has no pixels that a JPEG file can hold.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                frames = getattr(image, "n_frames", 1)
                image.load()
    except UnidentifiedImageError:
        raise PictureError("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's plugins raise all sorts of things on a damaged file
        reason = str(error) or type(error).__name__
        raise PictureError(f"Pillow cannot read it: {reason}") from error
    if frames > 1:
        raise PictureError(f"has {frames} frames, and a JPEG file holds one")
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
        raise PictureError(f'pixels of mode "{image.mode}": convert them to 8-bit RGB or grayscale')
    if image.mode in _ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            raise PictureError("has transparent pixels, and JPEG has none: flatten it first")
        return rgba.convert(mode)
    return image.convert(mode)


def clean_exif(exif: bytes | None) -> bytes | None:
    """EXIF that a JPEG file can hold, without its thumbnail; warns when it must go."""
    if not exif:
        return None
    block = exif if exif.startswith(_EXIF) else _EXIF + exif
    clean = metadata.without_pixels(block)
    if clean is None:
        warnings.warn("EXIF left out: it makes no sense", stacklevel=2)
        return None
    if len(clean) > _MAX_EXIF:
        warnings.warn(f"EXIF left out: {len(clean)} bytes, {_MAX_EXIF} fit", stacklevel=2)
        return None
    return clean
