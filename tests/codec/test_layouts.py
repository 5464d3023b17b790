"""`encode` with `mode` and `layout`: other libraries' encoders, and plain RGB, are the oracles."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core import binding
from tests.jpegs import picture

FD = "fd-cvpr2019"
SIMPLEJPEG = {"4:4:4": "444", "4:2:2": "422", "4:2:0": "420", "4:4:0": "440"}
ACCURATE = 96  # the quality from which on simplejpeg takes the accurate DCT
OPENCV = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
}
PILLOW = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}

sides = st.integers(1, 40)
qualities = st.integers(1, 100) | st.integers(ACCURATE, 100)
seeds = st.integers(0, 99)
subsamplings = st.sampled_from(sorted(SIMPLEJPEG))
kinds = st.sampled_from([{}, {"progressive": True}, {"optimize": True}])


def same_coefficients(ours: bytes, theirs: bytes) -> bool:
    ours, theirs = pyfd.read_coefficients(ours), pyfd.read_coefficients(theirs)
    return ours.sampling == theirs.sampling and all(
        np.array_equal(a, b) for a, b in zip(ours.components, theirs.components, strict=True)
    )


def encode_with_opencv(bgr: np.ndarray, quality: int, subsampling: str) -> bytes:
    factor = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, OPENCV[subsampling]]
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *factor])
    return data.tobytes()


def noise(width: int, height: int, seed: int) -> np.ndarray:
    """Return pixels of all values, which in YCbCr are often outside of RGB."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---- color ---------------------------------------------------------------------


@given(sides, sides, seeds, subsamplings, qualities, kinds)
def test_bgr_as_other_encoders_take_it(width, height, seed, subsampling, quality, kind):
    bgr = picture(width, height, seed)
    options = {"subsampling": subsampling, **kind}
    ours = pyfd.encode(bgr, QTables.annex_k(quality), mode="BGR", **options)
    assert same_coefficients(ours, encode_with_opencv(bgr, quality, subsampling))
    if quality >= ACCURATE:
        sampling = SIMPLEJPEG[subsampling]
        theirs = simplejpeg.encode_jpeg(bgr, quality, "BGR", colorsubsampling=sampling)
        assert same_coefficients(ours, theirs)
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    for mode in (None, "RGB"):
        assert ours == pyfd.encode(rgb, QTables.annex_k(quality), mode=mode, **options)


@given(sides, sides, seeds, st.sampled_from(sorted(PILLOW)), st.integers(1, 100))
def test_ycbcr_as_pillow_writes_it(width, height, seed, subsampling, quality):
    image = Image.fromarray(noise(width, height, seed))
    image = Image.frombytes("YCbCr", image.size, image.tobytes())
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=PILLOW[subsampling])
    tables = QTables.annex_k(quality)
    for given_image in (np.asarray(image), image):
        ours = pyfd.encode(given_image, tables, mode="YCbCr", subsampling=subsampling)
        assert same_coefficients(ours, file.getvalue())


def test_ycbcr_is_what_decode_gives():
    data = pyfd.encode(picture(40, 24), QTables.uniform(1))
    planes = pyfd.decode(data, mode="YCbCr")
    again = pyfd.encode(planes, QTables.uniform(1), mode="YCbCr")
    assert np.abs(pyfd.decode(again, mode="YCbCr").astype(int) - planes).max() <= 1


def test_no_copy_is_made_of_pixels_that_lie_as_c_takes_them(monkeypatch):
    seen = []
    real = binding.encode

    def noted(pixels, *arguments):
        seen.append(pixels)
        return real(pixels, *arguments)

    monkeypatch.setattr(binding, "encode", noted)
    pixels = noise(20, 12, 0)
    tensor = torch.from_numpy(pixels)
    batch = torch.zeros(2, 3, 12, 20, dtype=torch.uint8).to(memory_format=torch.channels_last)
    for image, options in [
        (pixels, {"mode": "BGR"}),
        (pixels, {"mode": "YCbCr"}),
        (tensor, {}),
        (tensor.permute(2, 0, 1), {"layout": "CHW"}),
        (pixels.transpose(2, 0, 1), {"layout": "CHW", "mode": "BGR"}),
        (batch[1], {"layout": "CHW"}),
        (tensor[..., 0].contiguous()[None], {"layout": "CHW", "mode": "L"}),
    ]:
        pyfd.encode(image, FD, **options)
        assert np.shares_memory(seen.pop(), np.asarray(image))


# ---- layout --------------------------------------------------------------------


@given(
    sides,
    sides,
    seeds,
    st.sampled_from([None, "RGB", "BGR", "YCbCr", "L"]),
    st.sampled_from(["contiguous", "channels_last", "steps", "backwards", "offset", "read-only"]),
    st.booleans(),
)
def test_channels_first_of_all_strides(width, height, seed, mode, strides, tensor):
    pixels = noise(width, height, seed)
    pixels = pixels[:, :, 0] if mode == "L" else pixels
    expected = pyfd.encode(np.ascontiguousarray(pixels), FD, mode=mode)
    first = pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
    if strides == "contiguous":
        first = np.ascontiguousarray(first)
    elif strides == "steps":
        first = np.ascontiguousarray(first).repeat(2, 1).repeat(3, 2)[:, ::2, ::3]
    elif strides == "backwards" and not tensor:  # torch has no negative strides
        first = np.ascontiguousarray(first[:, ::-1, ::-1])[:, ::-1, ::-1]
    elif strides == "offset":
        first = np.pad(first, ((2, 1), (1, 2), (3, 4)))[2:-1, 1:-2, 3:-4]
    elif strides == "read-only" and not tensor:  # torch warns of them
        first.flags.writeable = False
    image = torch.from_numpy(first) if tensor else first
    assert pyfd.encode(image, FD, mode=mode, layout="CHW") == expected
    if mode == "L":
        assert pyfd.encode(image[0], FD, layout="CHW") == expected


def test_a_shape_that_both_layouts_have_is_not_guessed():
    pixels = noise(3, 3, 5)
    first = pyfd.encode(pixels, FD, layout="CHW")
    assert first == pyfd.encode(pixels.transpose(1, 2, 0).copy(), FD)
    assert first != pyfd.encode(pixels, FD)


ZEROS = np.zeros((8, 9, 3), np.uint8)
FIRST = ZEROS.transpose(2, 0, 1)
RGB = Image.fromarray(ZEROS)
TENSOR = torch.zeros(3, 8, 9, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (FIRST, {}, 'must be H×W×3 or H×W, not (3, 8, 9): did you mean layout="CHW"?'),
        (FIRST[:1], {}, 'must be H×W×3 or H×W, not (1, 8, 9): did you mean layout="CHW"?'),
        (TENSOR, {}, 'must be H×W×3 or H×W, not (3, 8, 9): did you mean layout="CHW"?'),
        (ZEROS, {"layout": "CHW"}, 'or H×W, not (8, 9, 3): did you mean layout="HWC"?'),
        (FIRST, {"mode": "BGR"}, 'mode BGR must be H×W×3, not (3, 8, 9): did you mean layout="'),
        (ZEROS[:, :, :1], {}, "drop the axis of the channels with image[:, :, 0]"),
        (np.zeros((4, 8, 9), np.uint8), {"layout": "CHW"}, "with image[:3]"),
        (np.zeros((8, 9, 4), np.uint8), {"mode": "BGR"}, "with image[:, :, :3]"),
        (ZEROS, {"mode": "L"}, "mode L must be H×W, not (8, 9, 3)"),
        (FIRST, {"mode": "L", "layout": "CHW"}, "L must be 1×H×W or H×W, not (3, 8, 9)"),
        (ZEROS[:, :, 0], {"mode": "YCbCr"}, "mode YCbCr must be H×W×3, not (8, 9)"),
        (FIRST[:1], {"mode": "RGB", "layout": "CHW"}, "RGB must be 3×H×W, not (1, 8, 9)"),
        (ZEROS[0, 0], {}, "must be H×W×3 or H×W, not (3,)"),
        (np.zeros((), np.uint8), {"layout": "CHW"}, "or H×W, not ()"),
        (TENSOR[None], {"layout": "CHW"}, "not (1, 3, 8, 9)"),
        (ZEROS[:0], {}, "sides must be in 1...65500"),
        (FIRST[:, :, :0], {"layout": "CHW"}, "sides must be in 1...65500"),
        (ZEROS, {"mode": "CMYK"}, "mode must be one of RGB, BGR, L, YCbCr or None, not 'CMYK'"),
        (ZEROS, {"mode": ZEROS}, "mode must be one of RGB, BGR, L, YCbCr or None"),
        (ZEROS, {"layout": "NCHW"}, 'layout must be "HWC" or "CHW", not \'NCHW\''),
        (ZEROS, {"layout": None}, 'layout must be "HWC" or "CHW", not None'),
        (ZEROS, {"subsampling": ["4:2:0"]}, "subsampling must be one of 4:4:4, 4:2:2, 4:2:0, "),
        (RGB, {"mode": "BGR"}, 'the PIL image has mode "RGB", not "BGR": leave mode out'),
        (RGB, {"mode": "L"}, 'the PIL image has mode "RGB", not "L"'),
        (RGB.convert("L"), {"mode": "RGB"}, 'the PIL image has mode "L", not "RGB"'),
        (RGB, {"layout": "CHW"}, 'a PIL image has no layout "CHW"'),
        (RGB.convert("YCbCr"), {}, 'or say mode="YCbCr"'),
        (RGB.convert("YCbCr"), {"mode": "RGB"}, 'the PIL image has mode "YCbCr", not "RGB"'),
        (RGB.convert("RGBA"), {"mode": "RGB"}, 'use image.convert("RGB") (RGBA)'),
        (TENSOR.float(), {"layout": "CHW"}, "must be uint8 in 0...255, not float32: scale"),
        (TENSOR.bfloat16(), {}, "must be uint8 in 0...255, not bfloat16: scale"),
        (TENSOR.bool(), {}, "must be uint8 in 0...255, not bool: scale"),
        (TENSOR.float().requires_grad_(), {}, "not float32 that requires grad: scale, round and"),
        (TENSOR.to("meta"), {}, "the tensor is on meta, and pyfd runs on the CPU: use .cpu()"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_with_advice(image, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pyfd.encode(image, FD, **options)


def test_options_of_other_types():
    for loss in ("1", None, [1.0], np.array([1.0, 2.0])):
        with pytest.raises(TypeError, match="max_loss must be a number of dB, not "):
            pyfd.encode(ZEROS, FD, max_loss=loss)
    for call in (pyfd.certify, lambda *args, **options: pyfd.holds(*args, 1, **options)):
        with pytest.raises(ValueError, match="subsampling must be one of"):
            call(ZEROS, FD, subsampling=["4:2:0"])


def test_what_cannot_be_an_array(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"")
    with path.open("rb") as file:
        for image in (path, str(path), b"", file, io.BytesIO()):
            with pytest.raises(TypeError, match="not a file"):
                pyfd.encode(image, FD)
    with pytest.raises(TypeError, match=r"no pixels can be read from Tensor: .*[Ss]parse"):
        pyfd.encode(TENSOR.to_sparse(), FD, layout="CHW")


def test_pil_images_with_what_is_true_of_them():
    pixels = picture(9, 8)
    expected = pyfd.encode(pixels, FD)
    assert pyfd.encode(Image.fromarray(pixels), FD, mode="RGB", layout="HWC") == expected
    assert pyfd.encode(Image.fromarray(pixels[:, :, 0]), FD, mode="L") == pyfd.encode(
        pixels[:, :, 0], FD
    )


def test_other_entry_points_take_rgb_only():
    """A YCbCr image of Pillow's is no RGB image."""
    image = RGB.convert("YCbCr")
    with pytest.raises(ValueError, match=r'use image.convert\("RGB"\)'):
        pyfd.certify(image, FD)
    with pytest.raises(ValueError, match=r'use image.convert\("RGB"\)'):
        pyfd.holds(image, FD, 1)


# ---- radii ---------------------------------------------------------------------


@given(
    width=st.integers(1, 4),
    height=st.integers(1, 4),
    seed=seeds,
    mode=st.sampled_from(["BGR", "YCbCr"]),
    layout=st.sampled_from(["HWC", "CHW"]),
    radius=st.sampled_from([0, 1, 3, None]),
    files=st.sampled_from([0, 1, None]),
    smooth=st.booleans(),
)
def test_radii_hold_for_pixels_of_every_color(
    width, height, seed, mode, layout, radius, files, smooth
):
    pixels = (picture if smooth else noise)(8 * width, 8 * height, seed)
    tables = QTables.uniform(72)
    given_pixels = pixels if layout == "HWC" else pixels.transpose(2, 0, 1)
    data = pyfd.encode(
        given_pixels, tables, mode=mode, layout=layout, radius=radius, radius_files=files
    )
    decoded = pyfd.decode(data)
    certificate = pyfd.certify(decoded, tables)
    if radius is not None:
        assert certificate.radius > radius
    if files is not None:
        assert certificate.file_radius > files
    assert same_coefficients(pyfd.encode(decoded, tables), data) or radius is None
    if mode == "BGR":
        rgb = np.ascontiguousarray(pixels[:, :, ::-1])
        assert data == pyfd.encode(rgb, tables, radius=radius, radius_files=files)
    elif radius is None and files is None:
        assert data == pyfd.encode(pixels, tables, mode=mode)


def test_a_radius_of_ycbcr_pixels_is_close_to_that_of_rgb():
    """The search compares in RGB, where the certified file is hardly worse."""
    pixels = picture(64, 48, 3)
    tables = QTables.preset(FD)
    plain = pyfd.decode(pyfd.encode(pixels, QTables.uniform(1)), mode="YCbCr")
    errors = [
        float(np.mean((pyfd.decode(data).astype(float) - pixels) ** 2))
        for data in (
            pyfd.encode(pixels, tables, radius=1),
            pyfd.encode(plain, tables, mode="YCbCr", radius=1),
        )
    ]
    assert errors[1] < 1.1 * errors[0]


def test_a_radius_with_subsampled_chroma():
    pixels = picture(40, 24)
    options = {"subsampling": "4:2:0", "radius": 1}
    tables = QTables.uniform(60)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    expected = pyfd.encode(pixels, tables, **options)
    assert pyfd.encode(bgr, tables, mode="BGR", **options) == expected
    first = bgr.transpose(2, 0, 1)
    assert pyfd.encode(first, tables, mode="BGR", layout="CHW", **options) == expected
    with pytest.raises(ValueError, match="takes RGB or BGR pixels, not YCbCr"):
        pyfd.encode(pixels, tables, mode="YCbCr", **options)
