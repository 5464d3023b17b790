"""The libraries that a user would choose instead, each called in the fastest way, in one thread.

Pillow's pixels are not converted to an array, and OpenCV's stay in the order BGR. All decode
with the accurate DCT and smooth upsampling, to the same pixels. simplejpeg could leave either
out, which moves pixels of photographs by up to 19 and 46 levels; the others have no such option.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image
from scipy.fft import dct

from benchmarks import bundled
from benchmarks.cases import UnmeasuredError
from benchmarks.files import Kind
from benchmarks.timing import Worker
from pyfd import QTables
from pyfd._core.pixels import Pixels

cv2.setNumThreads(1)

DCT = dct(np.eye(8), axis=0, norm="ortho")


VARIABLE = "PYFD_TORCHVISION"  # names the Python of an environment with torchvision


def simplejpeg_decode(data: bytes, **options: object) -> object:
    return simplejpeg.decode_jpeg(data, **options)


def imagecodecs_decode(data: bytes, **options: object) -> object:
    return imagecodecs.jpeg8_decode(data, **options)


def opencv_decode(data: bytes) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def pillow_decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))  # it tries no others
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


def simplejpeg_encode(kind: Kind) -> Callable[[Pixels], object]:
    factors = kind.subsampling.replace(":", "")
    return lambda pixels: simplejpeg.encode_jpeg(pixels, kind.quality, colorsubsampling=factors)


def imagecodecs_encode(kind: Kind) -> Callable[[Pixels], object]:
    factors = kind.subsampling.replace(":", "")
    return lambda pixels: imagecodecs.jpeg8_encode(pixels, kind.quality, subsampling=factors)


def opencv_encode(kind: Kind) -> Callable[[Pixels], object]:
    """Return a call that takes pixels in the order BGR."""
    factors = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{kind.subsampling.replace(':', '')}")
    options = [cv2.IMWRITE_JPEG_QUALITY, kind.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors]
    return lambda pixels: cv2.imencode(".jpg", pixels, options)[1]


# ---- torchvision, in an environment of its own ---------------------------------


def torchvision_python() -> str:
    """Return the Python that has torchvision, if any has."""
    return os.environ.get(VARIABLE) or sys.executable


@cache
def torchvision() -> Worker:
    """Start torchvision's worker, once.

    Raises:
        UnmeasuredError: There is no torchvision.
    """
    if not bundled_beside().get("torchvision"):
        raise UnmeasuredError(f"needs torchvision in the environment of {VARIABLE}")
    return Worker(torchvision_python(), str(Path(__file__).with_name("torchvision_worker.py")))


@cache
def bundled_beside() -> dict[str, dict[str, str]]:
    """Return the versions of torch, torchvision and webdataset there, of those that there are.

    Raises:
        SystemExit: The variable does not name a Python.
    """
    command = [torchvision_python(), bundled.__file__, "torch", "torchvision", "webdataset"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(f"{VARIABLE} names no Python: {command[0]}") from None
    stated: dict[str, dict[str, str] | None] = json.loads(found.stdout)
    return {name: each for name, each in stated.items() if each}


def libraries() -> dict[str, str]:
    """Return the version of the libjpeg-turbo that each of the libraries brings along."""
    found = {name: bundled.versions(name) or {} for name in ("simplejpeg", "pillow", "imagecodecs")}
    found["torchvision"] = bundled_beside().get("torchvision", {})
    stated = {
        name: each["libjpeg_turbo"] for name, each in found.items() if "libjpeg_turbo" in each
    }
    opencv = re.search(r"JPEG: .*turbo.*\(ver ([0-9.]+)", cv2.getBuildInformation())
    return stated | ({"OpenCV": opencv[1]} if opencv else {})


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
