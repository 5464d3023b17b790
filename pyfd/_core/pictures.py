"""Pictures that are not JPEG files, read through Pillow, and their EXIF for a JPEG file."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from pyfd._core.metadata import exif as blocks
from pyfd._core.metadata.segments import MAX_PAYLOAD
from pyfd._core.pixels import Pixels

# Modes with an alpha channel, and the same mode without it
_ALPHA = {"RGBA": "RGB", "PA": "RGB", "LA": "L"}
_OPAQUE = {"RGB": "RGB", "P": "RGB", "L": "L", "1": "L"}


class PictureError(ValueError):
    """A picture without pixels that a JPEG file can hold; the message says why."""


class Picture(NamedTuple):
    """Pixels and metadata, as `pyfd.encode` takes them."""

    pixels: Pixels
    exif: bytes | None
    icc_profile: bytes | None
    comment: bytes | None


def read(data: bytes) -> Picture:
    """Read a picture from the bytes of a file in any format that Pillow reads, except EPS.

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
    except Exception as error:  # Pillow's plugins raise many types for a damaged file
        reason = str(error) or type(error).__name__
        raise PictureError(f"Pillow cannot read it: {reason}") from error
    if frames > 1:
        raise PictureError(f"has {frames} frames, and a JPEG file holds one")
    exif, icc_profile = image.info.get("exif"), image.info.get("icc_profile")
    return Picture(np.asarray(_flat(image)), clean_exif(exif), icc_profile, None)


def _formats() -> list[str]:
    """Return Pillow's formats except EPS: an EPS file is a program, which Ghostscript runs."""
    Image.init()
    return sorted(set(Image.OPEN) - {"EPS"})


def _flat(image: Image.Image) -> Image.Image:
    """Return the image in mode "RGB" or "L", if that loses nothing visible."""
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
    r"""Return EXIF that a JPEG file can hold, without its thumbnail.

    Args:
        exif: A block with or without its leading ``Exif\0\0``.

    Returns:
        The block with its prefix. None, with a `UserWarning`, if it is damaged or too
        long; None for an empty one.
    """
    if not exif:
        return None
    block = exif if exif.startswith(blocks.PREFIX) else blocks.PREFIX + exif
    clean = blocks.clean(block)
    if clean is None:
        warnings.warn("EXIF left out: it is damaged", stacklevel=2)
        return None
    if len(clean) > MAX_PAYLOAD:
        text = f"EXIF left out: it has {len(clean)} bytes, but at most {MAX_PAYLOAD} fit"
        warnings.warn(text, stacklevel=2)
        return None
    return clean
