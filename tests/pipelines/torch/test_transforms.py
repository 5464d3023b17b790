"""The transform for torchvision, with torchvision or with its stand-in."""

import importlib
import importlib.util
import pickle
import sys

import numpy as np
import PIL.Image
import pytest
import torch

import pyfd
from tests.jpegs import decode_with_pillow, picture
from tests.pipelines.torch import torchvision_stand_in
from tests.pipelines.torch.files import TABLES, as_chw


@pytest.fixture
def transforms(monkeypatch):
    """Import `pyfd.torch.transforms`, with torchvision or with its stand-in."""
    if importlib.util.find_spec("torchvision") is None:
        torchvision_stand_in.install(monkeypatch)
    yield importlib.import_module("pyfd.torch.transforms")
    del sys.modules["pyfd.torch.transforms"]


def through_codec(pixels: np.ndarray, tables: object = TABLES, subsampling="4:4:4") -> np.ndarray:
    """Encode with pyfd, and decode with Pillow."""
    return decode_with_pillow(pyfd.encode(pixels, tables, subsampling=subsampling, baseline=False))


def test_transform_of_tensors(transforms):
    pixels = picture(33, 17)
    transform = transforms.JPEG(TABLES, subsampling="4:2:0")
    expected = as_chw(through_codec(pixels, TABLES, "4:2:0"))
    image = as_chw(pixels)
    assert torch.equal(transform(image), expected)
    assert torch.equal(transform(image.contiguous()), expected)
    clip = torch.stack([image, image.flip(2)]).expand(2, 2, 3, 17, 33)
    found = transform(clip)
    assert found.shape == clip.shape
    assert torch.equal(found[1, 0], expected)
    assert torch.equal(found[0, 1], transform(image.flip(2)))
    assert type(found) is torch.Tensor


def test_transform_of_grayscale(transforms):
    pixels = picture(33, 17, channels=1)
    tables = pyfd.QTables([np.full((8, 8), 20), np.full((8, 8), 90)])
    expected = torch.tensor(through_codec(pixels, tables))
    transform = transforms.JPEG(tables)
    assert torch.equal(transform(torch.from_numpy(pixels)[None]), expected[None])
    found = transform(PIL.Image.fromarray(pixels))
    assert found.mode == "L"
    assert np.array_equal(np.asarray(found), expected.numpy())


def test_transform_leaves_the_rest_of_a_sample_alone(transforms):
    tv_tensors = transforms.tv_tensors
    image = tv_tensors.Image(as_chw(picture(16, 8)))
    mask = tv_tensors.Mask(torch.full((1, 8, 16), 7, dtype=torch.uint8))
    numbers = torch.arange(3)
    sample = {"image": image, "more": [mask, 7, "cat", None], "numbers": numbers}
    found = transforms.JPEG(TABLES)(sample)
    assert type(found["image"]) is tv_tensors.Image
    assert torch.equal(found["image"], as_chw(through_codec(picture(16, 8))))
    assert found["more"][0] is mask
    assert found["more"][1:] == [7, "cat", None]
    assert found["numbers"] is numbers


def test_transform_of_pil_images_and_labels(transforms):
    image, label = transforms.JPEG(TABLES)(PIL.Image.fromarray(picture(16, 8)), 3)
    assert type(image) is PIL.Image.Image
    assert np.array_equal(np.asarray(image), through_codec(picture(16, 8)))
    assert label == 3


def test_transform_takes_the_first_plain_tensor(transforms):
    image, numbers = as_chw(picture(16, 8)), torch.arange(3)
    found, same = transforms.JPEG(TABLES)((image, numbers))
    assert torch.equal(found, as_chw(through_codec(picture(16, 8))))
    assert same is numbers


def test_transform_keeps_videos_and_empty_batches(transforms):
    video = transforms.tv_tensors.Video(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert type(transforms.JPEG(TABLES)(video)) is transforms.tv_tensors.Video
    empty = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    assert transforms.JPEG(TABLES)(empty).shape == empty.shape


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(3, 8, 8), TypeError, r"uint8, not torch.float32: use v2.ToDtype"),
        (torch.zeros(8, 8, dtype=torch.uint8), ValueError, "not 8×8"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), ValueError, "…×3×H×W"),
        (PIL.Image.new("RGBA", (8, 8)), ValueError, r'convert\("RGB"\)'),
    ],
)
def test_transform_refuses_other_tensors(transforms, image, error, message):
    with pytest.raises(error, match=message):
        transforms.JPEG(TABLES)(image)


def test_transform_refuses_bad_options(transforms):
    with pytest.raises(ValueError, match="8191"):
        transforms.JPEG(pyfd.QTables.uniform(8192))
    with pytest.raises(ValueError, match="subsampling"):
        transforms.JPEG(TABLES, subsampling="4:1:1")


def test_transform_says_what_it_is_and_survives_pickling(transforms):
    transform = transforms.JPEG("fd-2018", subsampling="4:2:0")
    assert repr(transform) == "JPEG(fd-2018, subsampling=4:2:0)"
    image = as_chw(picture(16, 8))
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))


def test_missing_torchvision_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "pyfd.torch.transforms", raising=False)
    with pytest.raises(ImportError, match="torchvision is missing: pip install torchvision"):
        importlib.import_module("pyfd.torch.transforms")
