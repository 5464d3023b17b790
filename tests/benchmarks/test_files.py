"""The photographs for the measurements, and the files made from them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.files import COUNT, FEW, OWN, VARIABLE, Files, found, tiled
from tests.jpegs import picture


@pytest.fixture(autouse=True)
def no_photographs(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path):
    """Three times as many photographs as are used, one of them gray, and another file."""
    for number in range(3 * COUNT):
        image = Image.fromarray(picture(20 + number, 16))
        image.save(tmp_path / f"{number:02}.{('jpg', 'JPEG', 'png')[number % 3]}")
    Image.fromarray(picture(20, 16)).convert("L").save(tmp_path / "00.jpg")
    (tmp_path / "a.txt").write_text("not a photograph")
    return tmp_path


def test_photographs_are_spread_over_a_folder(folder):
    images = found(folder)
    assert [image.width for image in images] == list(range(20, 20 + 3 * COUNT, 3))
    assert {image.mode for image in images} == {"RGB"}


def test_a_folder_comes_from_the_environment(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(folder))
    assert [image.width for image in found(None)][:2] == [20, 23]
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(picture(99, 16)).save(other / "a.png")
    assert [image.width for image in found(other)] == [99]  # the argument wins


@pytest.mark.parametrize("value", [None, ""])
def test_scikit_images_pictures_are_the_default(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert [image.size for image in found(None)] == [(512, 512), (600, 400), (451, 300), (640, 427)]


def test_a_folder_without_photographs_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("not a photograph")
    with pytest.raises(FileNotFoundError, match="holds no photographs"):
        found(tmp_path)
    with pytest.raises(FileNotFoundError, match="no-such"):
        found(tmp_path / "no-such")


def test_files_are_what_their_kind_says():
    files = Files()
    for kind in FEW:
        with Image.open(io.BytesIO(files.of("64×64", kind)[0])) as image:
            assert image.size == (64, 64)
            assert bool(image.info.get("progressive")) == kind.progressive


def test_each_file_is_made_once(monkeypatch):
    files, made = Files(), []
    monkeypatch.setattr("benchmarks.files.write", lambda _, kind: made.append(kind) or b"")
    assert files.of(OWN, FEW[0]) is files.of(OWN, FEW[0])
    assert made == [FEW[0]] * 4


def test_tiles_repeat_the_photograph():
    image = Image.fromarray(picture(5, 3))
    pixels = np.asarray(tiled(image, (12, 7)))
    assert pixels.shape == (7, 12, 3)
    assert (pixels[3:6, 5:10] == np.asarray(image)).all()
