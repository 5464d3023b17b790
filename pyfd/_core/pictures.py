"""Pictures that are not JPEG files, read through Pillow, and their metadata for a JPEG file."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from pyfd._core import metadata
from pyfd._core.metadata import comments, icc
from pyfd._core.metadata import exif as blocks
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
    kept = clean(image.info.get("exif"), image.info.get("icc_profile"), None)
    return Picture(np.asarray(_flat(image)), *kept)


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


def clean(
    exif: bytes | None, icc_profile: bytes | None, comment: bytes | None
) -> tuple[bytes | None, bytes | None, bytes | None]:
    r"""Return a file's EXIF, ICC profile and comment as `pyfd.requantize` keeps them.

    What is listed there, but damaged, is left out with a `UserWarning`.

    Args:
        exif: A block with or without its leading ``Exif\0\0``; empty or None for none.
        icc_profile: A profile, or None.
        comment: A comment, or None.

    Returns:
        The three of them, each None if nothing of it is kept; the block with its prefix.
    """
    left_out: dict[str, None] = {}
    if exif:
        block = exif if exif.startswith(blocks.PREFIX) else blocks.PREFIX + exif
        exif = blocks.clean(block, ("exif", "gps"), left_out)
    profile = icc.clean(icc_profile, left_out)
    texts = comments.clean([(comments.MARKER, comment)] if comment else [], left_out)
    if left_out:
        warnings.warn(metadata.told(left_out), stacklevel=2)
    return exif or None, profile, texts[0] if texts else None
