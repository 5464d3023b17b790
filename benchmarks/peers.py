"""The libraries that a user would choose instead, each called in the fastest way, in one thread.

Pillow's pixels are not converted to an array, and OpenCV's stay in the order BGR.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image
from scipy.fft import dct

from pyfd import QTables
from pyfd._core.pixels import Pixels

cv2.setNumThreads(1)

DCT = dct(np.eye(8), axis=0, norm="ortho")


def simplejpeg_decode(data: bytes) -> object:
    return simplejpeg.decode_jpeg(data)


def opencv_decode(data: bytes) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def pillow_decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pillow_recompress(data: bytes) -> object:
    """Apply JPEG as a defence without pyfd: decode, encode at quality 75, and decode again."""
    buffer = io.BytesIO()
    pillow_decode(data).save(buffer, "JPEG", quality=75)
    return pillow_decode(buffer.getvalue())


def pillow_encode(
    tables: QTables, subsampling: str, progressive: bool
) -> Callable[[Image.Image], object]:
    lists: Sequence[list[int]] = [table.ravel().tolist() for table in tables]

    def encode(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", qtables=lists, subsampling=subsampling, progressive=progressive)
        return buffer.getvalue()

    return encode


def simplejpeg_encode(quality: int, subsampling: str) -> Callable[[Pixels], object]:
    factors = subsampling.replace(":", "")
    return lambda pixels: simplejpeg.encode_jpeg(pixels, quality, colorsubsampling=factors)


# ---- defences -----------------------------------------------------------------


def reference_arithmetic(pixels: Pixels, steps: npt.NDArray[np.uint16]) -> Pixels:
    """Quantize an image with the paper's arithmetic, in the loop of the paper's code.

    The loop goes over 8×8 blocks of R, G and B, without a color transform or a level shift.

    Args:
        pixels: H×W×3 ``uint8``; H and W are multiples of 8.
        steps: 8×8 quantization steps.

    Returns:
        The defended image, of the same shape.
    """
    height, width, channels = pixels.shape
    result = np.empty(pixels.shape)
    for y in range(0, height, 8):
        for x in range(0, width, 8):
            for channel in range(channels):
                place = np.s_[y : y + 8, x : x + 8, channel]
                coefficients = DCT @ pixels[place].astype(float) @ DCT.T
                coefficients = np.round(coefficients / steps) * steps
                result[place] = DCT.T @ coefficients @ DCT
    return result.round().clip(0, 255).astype(np.uint8)


def total_variation() -> Callable[[Pixels], object]:
    """Return ART's total-variation minimization with its defaults."""
    from art.defences.preprocessor import TotalVarMin

    minimize = TotalVarMin(clip_values=(0, 1))
    return lambda pixels: minimize(pixels[np.newaxis].astype(np.float32) / 255)
