"""Labelled images: which are read, how, and the errors for all others."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd.evaluation import dataset
from tests.jpegs import encode_with_pillow, picture


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Four pictures of different kinds, and their labels."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encode_with_pillow(picture(90, 70)))
    Image.fromarray(picture(30, 40)).save(folder / "sub" / "b.png")
    Image.fromarray(picture(30, 20)).convert("L").save(folder / "gray.png")
    (folder / "jpeg.png").write_bytes(encode_with_pillow(picture(20, 33)))
    lines = ["label,kind,file", "7,x,a.jpg", "999,y,sub/b.png", "", " 0 ,z,gray.png", "3,,jpeg.png"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return folder


def listed(folder: Path, *rows: str) -> Path:
    labels = folder.parent / "labels.csv"
    labels.write_text("\n".join(["file,label", *rows]))
    return labels


# ---- a directory -----------------------------------------------------------


def test_directory(directory):
    loaded = dataset.load(directory, directory.parent / "labels.csv")
    assert loaded.names == ["a.jpg", "sub/b.png", "gray.png", "jpeg.png"]
    assert loaded.labels.dtype == np.int64
    assert loaded.labels.tolist() == [7, 999, 0, 3]
    assert [x.shape for x in loaded.pixels] == [(70, 90, 3), (40, 30, 3), (20, 30, 3), (33, 20, 3)]
    for pixels in loaded.pixels:
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable  # torch takes no others
    assert np.array_equal(loaded.pixels[0], pyfd.decode(directory / "a.jpg"))
    assert np.array_equal(loaded.pixels[1], picture(30, 40))
    with Image.open(directory / "gray.png") as gray:
        assert np.array_equal(loaded.pixels[2], np.asarray(gray.convert("RGB")))
    assert np.array_equal(loaded.pixels[3], pyfd.decode(directory / "jpeg.png"))


@pytest.mark.parametrize("name", ["a.jpg", "sub/b.png", "gray.png", "jpeg.png"])
@pytest.mark.parametrize(("limit", "least"), [("max_bytes", 300), ("max_pixels", 300)])
def test_limits(directory, name, limit, least):
    labels = listed(directory, f"{name},1")
    assert len(dataset.load(directory, labels).names) == 1
    with pytest.raises(ValueError, match=rf"{name}: {limit} is {least - 1}, but the file has"):
        dataset.load(directory, labels, limits=pyfd.Limits(**{limit: least - 1}))


def test_a_byte_order_mark(directory):
    labels = directory.parent / "labels.csv"
    labels.write_text("file,label\na.jpg,7\n", encoding="utf-8-sig")
    assert dataset.load(str(directory), str(labels)).labels.tolist() == [7]


def test_longest_side(directory):
    labels = directory.parent / "labels.csv"
    loaded = dataset.load(directory, labels, longest_side=30)
    assert [x.shape[:2] for x in loaded.pixels] == [(23, 30), (30, 22), (20, 30), (30, 18)]
    expected = Image.fromarray(picture(30, 40)).resize((22, 30), Image.Resampling.BICUBIC)
    assert np.array_equal(loaded.pixels[1], np.asarray(expected))
    whole = dataset.load(directory, labels, longest_side=90)
    assert whole.pixels[0].shape == (70, 90, 3)
    with pytest.raises(ValueError, match="longest_side must be at least 1, not 0"):
        dataset.load(directory, labels, longest_side=0)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("a.jpg,cat", r"labels\.csv, line 3: label is a name, 'cat', but those before are numb"),
        ("a.jpg,-1", "line 3: label must be .* not '-1'"),
        ("a.jpg,1.0", "line 3: label must be .* not '1.0'"),
        ("a.jpg,12345678901234567890", "line 3: label must be"),
        ("a.jpg,0,3", r"labels\.csv, line 3: 3 cells for 2 columns"),
        ("a.jpg,", "line 3: label must be .* not ''"),
        ("a.jpg", "line 3: label must be .* not ''"),
        (",1", "line 3: file must be a path in .*photos, not ''"),
        ("../labels.csv,1", "line 3: file must be a path in .*photos, not"),
        ("/etc/passwd,1", "line 3: file must be a path in .*photos, not"),
        ("none.jpg,1", "line 3: no file .*none.jpg"),
        (f"{'a' * 300}.jpg,1", "line 3: File name too long: 'aaa"),
        ("sub,1", "line 3: no file .*sub"),
        ("gray.png,1", "line 3: gray.png is listed twice"),
    ],
)
def test_lines_that_make_no_sense(row, match, directory):
    labels = listed(directory, "gray.png,0", row)
    with pytest.raises(ValueError, match=match):
        dataset.load(directory, labels)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "''"),
        ("name,label", "'name,label'"),
        ("file", "'file'"),
        ("a.jpg,1", "'a.jpg,1'"),
        ("file, label", "'file, label'"),
        ("File,Label", "'File,Label'"),
        ("file,label,label", "'file,label,label'"),
        ("file;label", "'file;label': separate them by commas, not by ';'"),
        ("file\tlabel", r"'file\tlabel': separate them by commas, not by '\t'"),
        (f"{'x' * 200};", f"'{'x' * 80}'"),
    ],
)
def test_other_columns(header, said, directory):
    labels = directory.parent / "labels.csv"
    labels.write_text(f"{header}\na.jpg,1\n")
    with pytest.raises(ValueError, match="line 1") as caught:
        dataset.load(directory, labels)
    assert str(caught.value) == f"{labels}, line 1: the columns must be file and label, not {said}"


def test_no_image(directory):
    with pytest.raises(ValueError, match=r"labels\.csv lists no image"):
        dataset.load(directory, listed(directory))


def test_no_labels(directory):
    with pytest.raises(
        ValueError, match=r"photos: the picture a\.jpg is in no folder of a class: give a CSV"
    ):
        dataset.load(directory)
    with pytest.raises(ValueError, match=r"none\.csv: No such file"):
        dataset.load(directory, "none.csv")
    with pytest.raises(ValueError, match="photos: Is a directory"):
        dataset.load(directory, directory)
    with pytest.raises(ValueError, match=r"a\.jpg is not a CSV file in UTF-8"):
        dataset.load(directory, directory / "a.jpg")
    with pytest.raises(ValueError, match=r"labels\.csv is not a CSV file.*field limit"):
        dataset.load(directory, listed(directory, "x" * 200_000))


def test_no_directory(directory):
    no = "no such folder or file"
    problems = {"none": no, "none.npz": no, "a.jpg": "neither a folder nor"}
    for name, problem in problems.items():
        source = directory / name
        with pytest.raises(ValueError, match=f"{name}: {problem}.*: give a folder.*foolbox"):
            dataset.load(source, directory.parent / "labels.csv")


def test_damaged_images(directory):
    whole = {name: (directory / name).read_bytes() for name in ("a.jpg", "gray.png")}
    for name, data in whole.items():
        labels = listed(directory, "sub/b.png,0", f"{name},1")
        for damaged in (data[: len(data) // 2], b"", b"text"):
            (directory / name).write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{name}: \w"):
                dataset.load(directory, labels)


def test_transparent_images_are_refused(directory):
    Image.new("RGBA", (8, 8)).save(directory / "clear.png")
    with pytest.raises(ValueError, match=r"clear\.png: has transparent pixels"):
        dataset.load(directory, listed(directory, "clear.png,1"))


# ---- foolbox's ---------------------------------------------------------------


def test_foolbox():
    loaded = dataset.load("foolbox")
    assert len(loaded.names) == len(set(loaded.names)) == 20
    assert {x.shape for x in loaded.pixels} == {(512, 512, 3), (427, 640, 3)}
    assert all(x.dtype == np.uint8 and x.flags.writeable for x in loaded.pixels)
    assert loaded.names[4] == "imagenet_04_949.jpg"
    assert loaded.labels[4] == 949
    assert dataset.load("foolbox", longest_side=64).pixels[0].shape == (64, 64, 3)


def test_foolbox_has_labels_of_its_own(directory):
    with pytest.raises(ValueError, match="leave labels out"):
        dataset.load("foolbox", directory.parent / "labels.csv")


def test_without_foolbox(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ImportError, match=r"foolbox is missing: pip install 'pyfd-jpeg\[evaluate\]'"
    ):
        dataset.load("foolbox")


# ---- at the network's input size ------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(256, 256, (16, 16, 224)), (480, 640, (30, 110, 420)), (1, 9, (0, 4, 1)), (7, 3, (2, 0, 3))],
)
def test_central_crop(height, width, expected):
    assert dataset.central_crop(height, width) == expected


def test_at_input_size():
    pixels = picture(300, 256)
    assert np.array_equal(dataset.at_input_size(pixels, 224), pixels[16:240, 38:262])
    crop = Image.fromarray(pixels[16:240, 38:262])
    small = dataset.at_input_size(pixels, 50)
    assert np.array_equal(small, np.asarray(crop.resize((50, 50), Image.Resampling.BICUBIC)))
    assert small.dtype == np.uint8
    assert dataset.at_input_size(small, 50) is small
    assert dataset.at_input_size(small, 64).shape == (64, 64, 3)
