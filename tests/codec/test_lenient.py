"""Damaged files on every entry point: strict and lenient mean the same everywhere."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFile

import pyfd
import pyfd.opencv
import pyfd.pillow
import pyfd.ray
import pyfd.torch
from pyfd._core import binding
from pyfd._core.reading import Reading
from pyfd.cli import cli
from tests import damages
from tests.damages import DAMAGES, Damage, File
from tests.jpegs import SOI, encode_with_pillow, picture

PRESET = "fd-cvpr2019"
PAGE = Path(__file__).parents[2] / "docs/security.md"


class RefusedError(Exception):
    """A file that is refused without pyfd's own error."""


def with_pillow(data: bytes, strict: bool) -> np.ndarray:
    with pyfd.pillow.defended(PRESET, strict=strict):
        try:
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except OSError as error:
            raise RefusedError(error) from error


def with_opencv(data: bytes, strict: bool) -> np.ndarray:
    flags = pyfd.opencv.IMREAD_COLOR_RGB
    pixels = pyfd.opencv.imdecode(data, flags, PRESET, strict=strict)
    if pixels is None:
        raise RefusedError
    return pixels


def with_ray(data: bytes, strict: bool) -> np.ndarray:
    batch = {"bytes": np.array([data], object)}
    (piece,) = pyfd.ray.Decode(PRESET, strict=strict)(batch)
    if piece["error"][0]:
        raise RefusedError(piece["error"][0])
    return np.asarray(piece["image"][0])


def through_coefficients(data: bytes, strict: bool) -> np.ndarray:
    read = pyfd.read_coefficients(data, strict=strict)
    if all(abs(component).max() < 1024 for component in read.components):
        return pyfd.decode(pyfd.write_coefficients(read), PRESET)
    with warnings.catch_warnings():  # coefficients that no file can hold
        warnings.simplefilter("ignore")
        return pyfd.decode(data, PRESET, strict=strict)


def counted(data: bytes, strict: bool) -> None:
    """Gather statistics, which must be those of the coefficients."""
    found = binding.gather_statistics(data, Reading(strict=strict)).view(binding.STATISTICS)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = pyfd.read_coefficients(data, strict=strict)
    for i, component in enumerate(read.components):
        assert found["blocks"][i] == component[:, :, 0, 0].size
        values = read.dequantized(i).clip(-32767, 32767)
        assert np.array_equal(found["sums"][i].reshape(8, 8), values.sum((0, 1)))


#: The functions that must give the pixels of `pyfd.decode` onto the tables
PIXELS: dict[str, Callable[[bytes, bool], np.ndarray]] = {
    "requantize": lambda d, s: pyfd.decode(pyfd.requantize(d, PRESET, strict=s)),
    "requantize, progressive": lambda d, s: pyfd.decode(
        pyfd.requantize(d, PRESET, progressive=True, metadata=False, strict=s)
    ),
    "requantize, optimized": lambda d, s: pyfd.decode(
        pyfd.requantize(d, PRESET, optimize=True, strict=s)
    ),
    "read_coefficients": through_coefficients,
    "decode_many": lambda d, s: pyfd.decode_many([d], PRESET, strict=s)[0],
    "torch.decode": lambda d, s: pyfd.torch.decode(d, PRESET, strict=s).numpy().transpose(1, 2, 0),
    "torch.decode_many": lambda d, s: pyfd.torch.decode_many([d], PRESET, strict=s)[0]
    .numpy()
    .transpose(1, 2, 0),
    "BGR": lambda d, s: pyfd.decode(d, PRESET, mode="BGR", strict=s)[:, :, ::-1],
    "pillow": with_pillow,
    "opencv": with_opencv,
    "ray": with_ray,
}
#: Others
RESULTS: dict[str, Callable[[bytes, bool], object]] = {
    "decode without tables": lambda d, s: pyfd.decode(d, strict=s),
    "L": lambda d, s: pyfd.decode(d, PRESET, mode="L", strict=s),
    "a half": lambda d, s: pyfd.decode(d, PRESET, scale=2, strict=s),
    "an eighth": lambda d, s: pyfd.decode(d, scale=8, strict=s),
    "snap": lambda d, s: pyfd.snap(d, PRESET, strict=s),
    "statistics": counted,
}
#: Those that tell pyfd's warning from none
QUIET = ("ray",)  # a worker's warnings stay in the worker


@cache
def undamaged() -> list[File]:
    return damages.files()


def called(call: Callable[[bytes, bool], object], data: bytes, strict: bool) -> tuple[object, int]:
    """Return the result, or the type of the error, and the number of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(data, strict)
        except (pyfd.JPEGError, RefusedError) as error:
            return type(error), 0
    return result, sum(issubclass(warning.category, pyfd.JPEGWarning) for warning in caught)


def decoded(data: bytes, strict: bool) -> np.ndarray:
    return pyfd.decode(data, PRESET, strict=strict)


# ---- the damages -------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what[:50])
def test_strict(damage: Damage):
    """All functions refuse the same files, and all give what they give of the whole file."""
    for file in undamaged():
        for what, data in damage.make(file):
            where = (file.name, what)
            for name, call in {"decode": decoded, **PIXELS, **RESULTS}.items():
                result, warned = called(call, data, True)
                assert warned == 0, (*where, name)
                expected = (damage.strict, RefusedError) if damage.strict else (None,)
                refused = result if isinstance(result, type) else None
                assert refused in expected, (*where, name)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what[:50])
def test_lenient(damage: Damage):
    """All functions take the same files, with one warning, and the same pixels of them."""
    for file in undamaged():
        whole = decoded(file.data, True)
        for what, data in damage.make(file):
            pixels, warned = called(decoded, data, False)
            check_pixels(damage, pixels, whole, (file.name, what))
            for name, call in {**PIXELS, **RESULTS}.items():
                result, count = called(call, data, False)
                where = (file.name, what, name)
                if isinstance(pixels, type):
                    assert result in (pixels, RefusedError), where
                    continue
                assert not isinstance(result, type), where
                assert count == warned or name in QUIET, where
                if name in PIXELS:
                    assert np.array_equal(result, pixels), where


def check_pixels(damage: Damage, pixels: object, whole: np.ndarray, where: object) -> None:
    if not isinstance(damage.lenient, str):
        assert pixels is damage.lenient, where
        return
    assert isinstance(pixels, np.ndarray), where
    assert pixels.shape == whole.shape, where
    if damage.lenient != "part":
        assert np.array_equal(pixels, whole), where


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what[:50])
def test_warnings(damage: Damage):
    for file in undamaged():
        for what, data in damage.make(file):
            if isinstance(damage.lenient, str):
                _, warned = called(decoded, data, False)
                assert warned == (damage.lenient != "same"), (file.name, what)


def test_every_kind_of_damage_makes_files():
    for damage in DAMAGES:
        assert any(list(damage.make(file)) for file in undamaged()), damage.what


def test_the_page_has_the_table():
    assert damages.table() in PAGE.read_text()


@pytest.mark.parametrize("command", ["decode", "requantize"])
def test_the_commands(command, tmp_path):
    """Of a folder of damaged files, the command does those that the functions take."""
    folder = tmp_path / "in"
    folder.mkdir()
    taken = {False: set(), True: set()}
    file = undamaged()[1]
    for number, damage in enumerate(DAMAGES):
        for _, data in list(damage.make(file))[:1]:
            (folder / f"{number}.jpg").write_bytes(data)
            for lenient, outcome in ((False, damage.strict), (True, damage.lenient)):
                if outcome is None or isinstance(outcome, str):
                    taken[lenient].add(f"{number}")
    assert len(taken[True]) > len(taken[False]) > 1
    for lenient in (False, True):
        out = tmp_path / f"out-{lenient}"
        options = ["--lenient"] if lenient else []
        result = CliRunner().invoke(cli, [command, str(folder), "-o", str(out), *options])
        assert result.exit_code == 1, result.output
        assert {path.stem for path in out.glob("*.*g")} == taken[lenient]


# ---- oracles -----------------------------------------------------------------


def test_pillows_pixels(monkeypatch):
    """Where Pillow's own decoder gives an image of a single-scan file, it is ours."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    compared = 0
    for file in undamaged()[:2]:
        for damage in DAMAGES:
            for what, data in damage.make(file):
                if damage.lenient not in ("whole", "part", "same") or "cut" in what:
                    continue  # Pillow leaves the rows of a file that is cut off black
                try:
                    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                except OSError:
                    continue
                ours, _ = called(lambda d, s: pyfd.decode(d, strict=s), data, False)
                assert np.array_equal(ours, theirs), (file.name, damage.what, what)
                compared += 1
    assert compared > 200


def test_fill_bytes_in_a_scan_are_one_byte_everywhere():
    """FF FF 00 stands for one FF, wherever it is; upstream's fast path makes more of some."""
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 7}):
        data = encode_with_pillow(picture(120, 120), quality=92, **options)
        whole = pyfd.decode(data)
        places = [
            i for i in range(data.index(b"\xff\xda"), len(data)) if data[i : i + 2] == b"\xff\0"
        ]
        assert len(places) > 10
        for place in places:
            damaged = data[:place] + b"\xff" + data[place:]
            with pytest.raises(pyfd.CorruptJPEGError, match="fill bytes"):
                pyfd.decode(damaged)
            with pytest.warns(pyfd.JPEGWarning, match="^1 decoder warning.*fill bytes"):
                assert np.array_equal(pyfd.decode(damaged, strict=False), whole)


def test_the_first_damage_is_named():
    data = encode_with_pillow(picture(40, 40))
    end = data.index(b"\xff\xdb")
    damaged = data[:end] + b"\xff\xfe\0\0" + data[end:-2] + b"\xff\xd8"
    for strict, kind in ((True, pyfd.CorruptJPEGError), (False, pyfd.JPEGWarning)):
        context = pytest.raises if strict else pytest.warns
        with context(kind, match="0xFE of impossible length"):
            pyfd.decode(damaged, strict=strict)


def test_probe_reads_on():
    """It has no opinion on damage that leaves the header readable."""
    data = encode_with_pillow(picture(40, 24), comment=b"kept")
    header = pyfd.probe(SOI + b"\xff\xfe\0\0" + data[2:])
    assert (header.width, header.height, header.comment) == (40, 24, b"kept")
