"""`encode_many`: order, errors, laziness, and the memory that its threads share."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import Limits, QTables
from pyfd._core import binding, encoding
from tests.at_once import AtOnce
from tests.jpegs import picture

ROOT = Path(__file__).parents[2]
PRESET = "fd-cvpr2019"
IMAGES = [picture(20 + n, 30, seed=n) for n in range(10)]


@given(
    kinds=st.lists(st.sampled_from(["array", "gray", "pil", "tensor", "bad", "float"]), max_size=9),
    workers=st.integers(1, 4),
    options=st.sampled_from(
        [{}, {"progressive": True}, {"optimize": True, "subsampling": "4:2:0"}, {"comment": "x"}]
    ),
)
def test_files_are_those_of_encode_in_order(kinds, workers, options):
    def image(n, kind):
        pixels = picture(9 + n, 13, seed=n)
        return {
            "array": pixels,
            "gray": pixels[:, :, 0],
            "pil": Image.fromarray(pixels),
            "tensor": torch.from_numpy(pixels),
            "bad": pixels[0, 0],
            "float": pixels.astype(float),
        }[kind]

    images = [image(n, kind) for n, kind in enumerate(kinds)]
    found = pyfd.encode_many(iter(images), PRESET, workers=workers, errors="return", **options)
    for given_image, kind, file in zip(images, kinds, found, strict=True):
        if kind in ("bad", "float"):
            assert isinstance(file, ValueError)
        else:
            assert file == pyfd.encode(given_image, PRESET, **options)
    if {"bad", "float"} & {*kinds}:
        first = next(error for error in found if isinstance(error, ValueError))
        with pytest.raises(ValueError, match="pixels must be") as raised:
            pyfd.encode_many(images, PRESET, workers=workers, **options)
        assert str(raised.value) == str(first)


def test_options_are_those_of_encode():
    bgr = np.ascontiguousarray(picture(16, 16)[:, :, ::-1])
    options = {"mode": "BGR", "layout": "CHW", "radius": 1, "exif": b"Exif\0\0MM"}
    tables = QTables.uniform(60)
    first = bgr.transpose(2, 0, 1)
    (file,) = pyfd.encode_many([first], tables, **options)
    assert file == pyfd.encode(first, tables, **options)
    large = QTables.uniform(300)
    assert pyfd.encode_many([bgr], large, baseline=False) == [
        pyfd.encode(bgr, large, baseline=False)
    ]
    for wrong, error, message in [
        ({"nonsense": 1}, TypeError, r"encode_many\(\) takes no option 'nonsense'"),
        ({"strict": True}, TypeError, r"encode_many\(\) takes no option 'strict'"),
        ({"limits": 5}, TypeError, "limits must be pyfd.Limits, not int"),
        ({"limits": None}, TypeError, "limits must be pyfd.Limits, not NoneType"),
        ({"mode": "CMYK"}, ValueError, "mode must be one of"),
        ({"layout": "NCHW"}, ValueError, "layout must be"),
        ({"subsampling": "4:1:1"}, ValueError, "subsampling must be one of"),
        ({"max_loss": math.nan}, ValueError, "max_loss must be"),
        ({"comment": 5}, TypeError, "comment must be bytes"),
        ({"workers": 0}, ValueError, "workers must be at least 1"),
        ({"workers": 1.5}, TypeError, "integer"),
        ({"errors": "ignore"}, ValueError, "errors must be"),
        ({"errors": np.zeros(2)}, ValueError, "errors must be"),
    ]:
        with pytest.raises(error, match=message):
            pyfd.encode_many([bgr], PRESET, **wrong)
    with pytest.raises(ValueError, match="steps"):
        pyfd.encode_many([bgr], large)


def test_planes_are_images_too():
    y, cb, cr = picture(20, 12), picture(10, 6), picture(10, 6, 1)
    planes = [(y[..., n], cb[..., n], cr[..., n]) for n in range(3)]
    options = {"mode": "YCbCr", "subsampling": "4:2:0"}
    expected = [pyfd.encode(image, PRESET, **options) for image in planes]
    assert pyfd.encode_many(planes, PRESET, workers=2, **options) == expected
    for wrong in ((), (y[..., 0],), (5, 6), (y, cb)):
        found = pyfd.encode_many([planes[0], wrong], PRESET, errors="return", **options)
        assert found[0] == expected[0]
        assert isinstance(found[1], ValueError)


def test_a_memory_map_is_an_array(tmp_path):
    """It has the attribute `mode`, as Pillow's images do."""
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(2, 16, 24, 3))
    images[1] = picture(24, 16)
    expected = [pyfd.encode(np.array(image), PRESET) for image in images]
    assert pyfd.encode_many(images, PRESET) == expected
    assert pyfd.encode_many([*images], PRESET, workers=1) == expected


def test_an_array_is_a_batch_only_if_nothing_is_guessed():
    batch = np.stack([picture(20, 12, n) for n in range(3)])
    expected = [pyfd.encode(image, PRESET) for image in batch]
    assert pyfd.encode_many(batch, PRESET) == expected
    assert pyfd.encode_many(torch.from_numpy(batch), PRESET) == expected
    first = torch.from_numpy(batch).permute(0, 3, 1, 2)
    assert pyfd.encode_many(first, PRESET, layout="CHW") == expected
    grays = batch[..., 0]
    assert pyfd.encode_many(grays, PRESET, mode="L") == [pyfd.encode(x, PRESET) for x in grays]
    assert pyfd.encode_many([], PRESET) == pyfd.encode_many(batch[:0], PRESET) == []
    for single in (batch[0], grays, torch.from_numpy(batch[0]), grays[0], grays[0, 0]):
        with pytest.raises(ValueError, match="put a single image into a list"):
            pyfd.encode_many(single, PRESET)
    for file in ("x.jpg", b"", Path("x.jpg")):
        with pytest.raises(TypeError, match="not one file"):
            pyfd.encode_many(file, PRESET)
    with pytest.raises(TypeError, match="iterable"):
        pyfd.encode_many(Image.fromarray(batch[0]), PRESET)


def test_a_generator_is_taken_from_lazily(monkeypatch):
    made, done, furthest = 0, 0, 0
    real = binding.encode

    def counted(*arguments):
        nonlocal done
        done += 1
        return real(*arguments)

    def images():
        nonlocal made, furthest
        for n in range(50):
            made += 1
            furthest = max(furthest, made - done)
            yield picture(8, 8, n)

    monkeypatch.setattr(binding, "encode", counted)
    assert len(pyfd.encode_many(images(), PRESET, workers=2)) == 50
    assert furthest <= 4

    def broken():
        yield IMAGES[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        pyfd.encode_many(broken(), PRESET, errors="return")


# ---- memory --------------------------------------------------------------------


def test_many_share_one_memory_limit(monkeypatch):
    counted = AtOnce(binding.encode)
    monkeypatch.setattr(binding, "encode", counted)
    image = picture(96, 96)
    needed = image.size // 64 * (128 + 160)
    limits = Limits(max_memory=needed)
    expected = pyfd.encode(image, PRESET, progressive=True)
    options = {"progressive": True, "workers": 4}
    assert pyfd.encode_many([image] * 12, PRESET, limits=limits, **options) == [expected] * 12
    assert counted.most == 1
    less = Limits(max_memory=needed - 1)
    with pytest.raises(pyfd.LimitExceededError, match="but the image needs") as error:
        pyfd.encode_many([image], PRESET, limits=less, **options)
    assert (error.value.limit, error.value.needed) == ("max_memory", needed)
    found = pyfd.encode_many([image, IMAGES[0]], PRESET, limits=less, errors="return", **options)
    assert isinstance(found[0], pyfd.LimitExceededError)
    assert isinstance(found[1], bytes)
    # The other limits are those of files that are read
    others = Limits(max_pixels=1, max_bytes=1, max_work=1, max_scans=1)
    assert pyfd.encode_many([image], PRESET, limits=others, **options) == [expected]


def test_a_large_picture_is_refused_before_pillow_loads_it():
    class Lazy(Image.Image):
        def tobytes(self, *_arguments):
            raise AssertionError

    image = Lazy()
    image._mode, image._size = "RGB", (50_000, 50_000)
    with pytest.raises(pyfd.LimitExceededError, match="max_memory"):
        pyfd.encode_many([image], PRESET)


#: What is encoded, and the least share of the charge that it takes indeed.
HELD = {
    "plain": ("image", {}, 0.3),
    "strided": ("image[:, ::-1]", {}, 0.4),
    "channels first": ("first", {"layout": "CHW", "subsampling": "4:2:0"}, 0.4),
    "progressive": ("image[::-1]", {"progressive": True}, 0.6),
    "optimized, subsampled": ("image", {"optimize": True, "subsampling": "4:2:0"}, 0.6),
    "planes": ("(image[..., 0], image[..., 1], image[..., 2])", {"mode": "YCbCr"}, 0.3),
    "pil": ("PIL.Image.fromarray(image)", {}, 0.4),
    "bgr, searched": (
        "image[:512, :512]",
        {"mode": "BGR", "subsampling": "4:2:2", "radius": 1, "max_loss": 99.0},
        0.2,
    ),
}


@pytest.mark.parametrize("kind", HELD)
def test_no_more_is_held_than_is_charged(kind):
    expression, options, least = HELD[kind]
    code = f"""
        import PIL.Image
        import numpy as np
        import pyfd
        from benchmarks.memory import growth
        from pyfd._core import encoding, subsampled

        subsampled._ROUNDS = 1  # a round is as large as any other
        image = np.random.default_rng(0).integers(0, 2, (1600, 1600, 3), dtype=np.uint8) * 255
        first = np.ascontiguousarray(image.transpose(2, 0, 1))
        tables = pyfd.QTables.uniform({40 if "radius" in options else 1})
        chosen = encoding.Encoding(**{options!r})
        small = np.full((3, 16, 3) if {options.get("layout")!r} else (16, 16, 3), 9, np.uint8)
        pyfd.encode(small, tables, **{options!r})
        given = {expression}
        charged = encoding._held(given, chosen) / 2**20
        grown, files = growth(lambda: pyfd.encode_many([given], tables, errors="return",
                                                       **{options!r}))
        print(charged, grown, type(files[0]).__name__)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    charged, grown, outcome = result.stdout.split()
    assert outcome == ("CertificateError" if "radius" in options else "bytes")
    slack = 6  # the interpreter, rows of pixels, and threads
    assert float(grown) < float(charged) + slack
    assert float(grown) > least * float(charged) - slack


def test_the_longest_codes_fit_the_charge():
    """These 64 samples of 0 or 255 were found by a search for the longest code."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex("6aecd6e74c1bcbc1"), np.uint8))
    block = bits.reshape(8, 8) * np.uint8(255)
    image = np.tile(np.hstack([block, 255 - block]), (16, 8))
    size = len(pyfd.encode(image, QTables.uniform(1))) / (image.size / 64)
    assert 130 < size < encoding._FILE
