"""JPEG files for the tests in this folder, and pixels in the order of torch."""

import numpy as np
import torch

import pyfd
from tests.jpegs import encode_with_pillow, picture

TABLES = pyfd.QTables.preset("fd-cvpr2019")
NAMES = ["cat/1.jpg", "cat/2.JPEG", "cat/more/3.jpe", "cat/more.jpg", "dog/1.jpg", "dog/a.jfif"]


def jpeg(seed: int = 0) -> bytes:
    return encode_with_pillow(picture(32, 24, seed), quality=90)


def as_chw(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)
