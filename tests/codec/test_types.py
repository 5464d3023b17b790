"""The types of what functions return. `make lint` checks them with mypy, and pytest the values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import assert_type

import pyfd
import pyfd.torch
from pyfd.codec import Layout, PixelMode

Pixels = npt.NDArray[np.uint8]

PIXELS: Pixels = np.full((16, 24, 3), 90, np.uint8)
TABLES = "fd-cvpr2019"
FILE = pyfd.encode(PIXELS, TABLES)


def test_decode_many() -> None:
    arrays = pyfd.decode_many([FILE], TABLES)
    assert_type(arrays, list[Pixels])
    assert_type(pyfd.decode_many([FILE], errors="raise", mode="L"), list[Pixels])
    places = np.empty((2, 16, 24, 3), np.uint8)
    either = pyfd.decode_many([FILE, b""], errors="return", out=places, layout="HWC", scale=1)
    assert_type(either, list[Pixels | Exception])
    assert [isinstance(item, np.ndarray) for item in either] == [True, False]
    for item in either:
        if isinstance(item, Exception):
            continue
        assert item.shape == PIXELS.shape


def test_torch_decode_many() -> None:
    tensors = pyfd.torch.decode_many([FILE], TABLES)
    assert_type(tensors, list[Tensor])
    out = torch.empty(2, 3, 16, 24, dtype=torch.uint8)
    either = pyfd.torch.decode_many([FILE, b""], TABLES, errors="return", out=out)
    assert_type(either, list[Tensor | Exception])
    assert [isinstance(item, Tensor) for item in either] == [True, False]


def test_encode_many() -> None:
    files = pyfd.encode_many([PIXELS], TABLES, limits=pyfd.Limits())
    assert_type(files, list[bytes])
    either = pyfd.encode_many([PIXELS, PIXELS[0, 0]], TABLES, errors="return", optimize=True)
    assert_type(either, list[bytes | Exception])
    assert [isinstance(item, bytes) for item in either] == [True, False]


def test_encode_takes_images_of_every_kind() -> None:
    mode: PixelMode = "RGB"
    layout: Layout = "CHW"
    tensor = torch.from_numpy(PIXELS)
    first = tensor.permute(2, 0, 1)
    for file in (
        pyfd.encode(tensor, TABLES, mode=mode),
        pyfd.encode(first, TABLES, layout=layout),
        pyfd.encode(Image.fromarray(PIXELS), TABLES, mode=mode),
        *pyfd.encode_many([tensor, tensor], TABLES),
        *pyfd.encode_many(first[None], TABLES, layout=layout),
        *pyfd.encode_many(PIXELS[None], TABLES),
    ):
        assert_type(file, bytes)
        assert file == FILE
