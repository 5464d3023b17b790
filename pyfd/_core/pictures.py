"""Pictures that are not JPEG files, read through Pillow, and their metadata for a JPEG file."""

from __future__ import annotations

import io
import re
import sys
import threading
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from pyfd._core import metadata
from pyfd._core.metadata import comments, icc
from pyfd._core.metadata import exif as blocks
from pyfd._core.pixels import Pixels
from pyfd.errors import JPEGError, LimitExceededError
from pyfd.limits import Limits

# Modes with an alpha channel, and the same mode without it
_ALPHA = {"RGBA": "RGB", "PA": "RGB", "LA": "L"}
_OPAQUE = {"RGB": "RGB", "P": "RGB", "L": "L", "1": "L"}

# Formats whose pixels come in as many chunks, strips or tiles as the file says
_CHUNKED = frozenset({"ICNS", "ICO", "PNG", "TIFF"})
_CHUNK = 1 << 10  # the least bytes of a chunk of pixels, on average

_READS = 4  # calls of a parser for one chunk, tag or block
_STRIP = 1 << 20  # pixels

_lock = threading.Lock()  # for Pillow's own limit


class PictureError(ValueError):
    """A picture without pixels that a JPEG file can hold; the message says why."""


class Picture(NamedTuple):
    """Pixels and metadata, as `pyfd.encode` takes them."""

    pixels: Pixels
    exif: bytes | None
    icc_profile: bytes | None
    comment: bytes | None


def read(data: bytes, limits: Limits) -> Picture:
    """Read a picture from the bytes of a file in any format that Pillow reads, except EPS.

    The limits hold before Pillow decodes: `max_pixels` for every image in the file,
    `max_memory` for the file, Pillow's image and the array together, and `max_metadata` and
    `max_segments` for what Pillow's parser reads before the pixels. Pillow's own limit of
    pixels is set to ours meanwhile, for all threads of the process.

    Raises:
        PictureError: The file has no pixels that a JPEG file can hold.
        LimitExceededError: The file exceeds a limit.
    """
    if len(data) > limits.max_bytes:
        raise _exceeded("max_bytes", limits, len(data), "has")
    if _has_frames_of_gif(data, limits):  # Pillow would take long to find out
        raise _several_frames()
    with _lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.max_pixels
        try:
            pixels, info = _read(data, limits)
        except UnidentifiedImageError:
            raise PictureError("not an image that Pillow can read") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            number = re.search(r"[0-9]+", str(error))  # the first one in the text
            needed = int(number[0]) if number else limits.max_pixels + 1
            raise _exceeded("max_pixels", limits, needed, "has") from None
        except (PictureError, JPEGError):
            raise
        except Exception as error:  # Pillow's plugins raise many types for a damaged file
            reason = str(error) or type(error).__name__
            raise PictureError(f"Pillow cannot read it: {reason}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = before
    if caught:  # one line, of however many that a file may cause
        more = f", and {len(caught) - 1} more warnings" if len(caught) > 1 else ""
        warnings.warn(f"Pillow: {caught[0].message}{more}", stacklevel=2)
    return Picture(pixels, *clean(info.get("exif"), info.get("icc_profile"), None))


def _read(data: bytes, limits: Limits) -> tuple[Pixels, dict[str | tuple[int, int], Any]]:
    """Return the pixels, and Pillow's information about the file."""
    file = _Metered(data, limits)
    with Image.open(file, formats=_formats()) as image:
        if getattr(image, "is_animated", False):
            raise _several_frames()
        mode = _mode(image)
        channels = len(mode)
        storage = 1 if image.mode in ("1", "L", "P") else 4  # bytes of Pillow's pixels
        needed = len(data) + image.width * image.height * (storage + channels)
        if needed > limits.max_memory:
            raise _exceeded("max_memory", limits, needed, "needs")
        file.expect_pixels(image.format in _CHUNKED)
        image.load()
        return _pixels(image), image.info


class _Metered(io.BytesIO):
    """A file of which Pillow's parsers cannot read more than the limits on metadata allow.

    They are written in Python, and follow what the file says: small chunks without end, or
    tags that all refer to the same data.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        super().__init__(data)
        self._limits = limits
        self._reads = self._most = _READS * limits.max_segments
        self._bytes = limits.max_metadata

    def expect_pixels(self, chunked: bool) -> None:
        """Allow as many reads as pixels need that are in chunks of ordinary size, or any."""
        self._bytes = sys.maxsize
        self._reads = self._most = (
            _READS * self._limits.max_segments + len(self.getbuffer()) // _CHUNK
            if chunked
            else sys.maxsize
        )

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count it; reading all of the rest is for a parser that is not in Python."""
        return self._counted(super().read(size), whole=size is None or size < 0)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line, and count it."""
        return self._counted(super().readline(size))

    def _counted(self, data: bytes, *, whole: bool = False) -> bytes:
        self._reads -= 1
        if not whole:
            self._bytes -= len(data)
        limits = self._limits
        if self._reads < 0:
            raise _exceeded("max_segments", limits, limits.max_segments + 1, "has at least")
        if self._bytes < 0:
            raise _exceeded("max_metadata", limits, limits.max_metadata + 1, "has at least")
        return data


def _exceeded(name: str, limits: Limits, needed: int, verb: str) -> LimitExceededError:
    allowed = getattr(limits, name)
    text = f"{name} is {allowed}, but the file {verb} {needed}"
    return LimitExceededError(text, limit=name, allowed=allowed, needed=needed)


def _several_frames() -> PictureError:
    return PictureError("has several frames, and a JPEG file holds one")


def _has_frames_of_gif(data: bytes, limits: Limits) -> bool:
    """Return whether a file is a GIF with more than one frame.

    Raises:
        LimitExceededError: It has too many extensions.
    """
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 13:
        return False
    frames, extensions, at = 0, 0, 13 + _colors_of_gif(data[10])
    while frames < 2 and at < len(data):
        kind = data[at]
        if kind == 0x2C and at + 9 < len(data):  # an image
            frames += 1
            at += 11 + _colors_of_gif(data[at + 9])
        elif kind == 0x21:  # an extension
            extensions += 1
            if extensions > limits.max_segments:
                raise _exceeded("max_segments", limits, extensions, "has at least")
            at += 2
        else:  # the end, or no GIF any more
            break
        while at < len(data) and data[at]:  # blocks, each after its length
            at += 1 + data[at]
        at += 1
    return frames > 1


def _colors_of_gif(flags: int) -> int:
    """Return the size in bytes of the color table that a byte of flags announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _formats() -> list[str]:
    """Return Pillow's formats except EPS: an EPS file is a program, which Ghostscript runs."""
    Image.init()
    return sorted(set(Image.OPEN) - {"EPS"})


def _mode(image: Image.Image) -> str:
    """Return "RGB" or "L", if the image can be in that mode without a visible loss."""
    mode = _OPAQUE.get(image.mode) or _ALPHA.get(image.mode)
    if mode is None:
        raise PictureError(f'pixels of mode "{image.mode}": convert them to 8-bit RGB or grayscale')
    return mode


def _pixels(image: Image.Image) -> Pixels:
    """Return the pixels as an array, made in strips: a whole image more would double the memory."""
    mode, (width, height) = _mode(image), image.size
    pixels = np.empty((height, width, 3) if mode == "RGB" else (height, width), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        below = min(top + rows, height)
        pixels[top:below] = np.asarray(_flat(image.crop((0, top, width, below)), mode))
    return pixels


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in a mode without an alpha channel, if that loses nothing visible."""
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise PictureError("has transparent pixels, and JPEG has none: flatten it first")
    return image.convert(mode)


def clean(
    exif: bytes | None,
    icc_profile: bytes | None,
    comment: bytes | None,
    *,
    turned: int | None = None,
) -> tuple[bytes | None, bytes | None, bytes | None]:
    r"""Return a file's EXIF, ICC profile and comment as `pyfd.requantize` keeps them.

    What is listed there, but damaged, is left out with a `UserWarning`.

    Args:
        exif: A block with or without its leading ``Exif\0\0``; empty or None for none.
        icc_profile: A profile, or None.
        comment: A comment, or None.
        turned: The orientation that has been applied to the pixels, 1...8, or None.

    Returns:
        The three of them, each None if nothing of it is kept; the block with its prefix.
    """
    left_out: dict[str, None] = {}
    if exif:
        block = exif if exif.startswith(blocks.PREFIX) else blocks.PREFIX + exif
        exif = blocks.clean(block, ("exif", "gps"), left_out, turned=turned)
    profile = icc.clean(icc_profile, left_out)
    texts = comments.clean([(comments.MARKER, comment)] if comment else [], left_out)
    if left_out:
        warnings.warn(metadata.told(left_out), stacklevel=2)
    return exif or None, profile, texts[0] if texts else None
