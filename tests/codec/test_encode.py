"""`encode`, compared with other decoders and another encoder."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import QTables
from tests.jpegs import (
    decode_with_pillow,
    encode_with_pillow,
    picture,
    read_with_jpeglib,
    tables,
)

PRESET = "fd-cvpr2019"


@given(tables(255), st.booleans())
def test_tables_are_written_bit_for_bit(tmp_path_factory, qtables, progressive):
    data = pyfd.encode(picture(24, 24), qtables, progressive=progressive)
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    _, steps = read_with_jpeglib(path, data)
    for i, step in enumerate(steps):
        assert np.array_equal(step, qtables[i])
    found = pyfd.probe(data).qtables
    assert len(found) == 3
    assert all(np.array_equal(found[i], qtables[i]) for i in range(3))


def test_three_tables_stay_three_and_a_fourth_is_not_written():
    qtables = QTables([np.full((8, 8), step) for step in (11, 22, 33, 44)])
    data = pyfd.encode(picture(8, 8), qtables)
    assert sorted(Image.open(io.BytesIO(data)).quantization) == [0, 1, 2]
    gray = pyfd.encode(picture(8, 8, channels=1), qtables)
    assert sorted(Image.open(io.BytesIO(gray)).quantization) == [0]


def test_encodes_as_pillow_with_the_same_tables():
    image = picture(101, 67)
    for name, number in (("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)):
        qtables = QTables.annex_k(80)
        lists = [table.ravel().tolist() for table in qtables]
        theirs = encode_with_pillow(image, qtables=lists, subsampling=number)
        ours = pyfd.encode(image, qtables, subsampling=name)
        assert np.array_equal(pyfd.decode(ours), decode_with_pillow(theirs))


def test_no_image_leaves_what_huffman_coding_can_hold(tmp_path):
    """The signs of basis functions give the largest coefficients, with steps of 1."""
    y, x = np.mgrid[0:8, 0:8]
    worst = []
    for u in range(8):
        for v in range(8):
            sign = np.cos((2 * y + 1) * u * np.pi / 16) * np.cos((2 * x + 1) * v * np.pi / 16) >= 0
            worst += [np.where(sign, 255, 0), np.where(sign, 0, 255)]
    image = np.hstack(worst).astype(np.uint8)
    data = pyfd.encode(image, QTables.uniform(1))
    (plane,), _ = read_with_jpeglib(tmp_path / "x.jpg", data)
    assert plane.min() >= -1024
    assert plane.max() <= 1023
    error = pyfd.decode(data, mode="L").astype(int) - image
    assert np.abs(error).max() <= 1


def test_accepts_any_strides_read_only_arrays_and_pil_images():
    image = picture(31, 17)
    expected = pyfd.encode(image, PRESET)
    wide = np.zeros((34, 62, 3), np.uint8)
    wide[::2, ::2] = image
    assert pyfd.encode(wide[::2, ::2], PRESET) == expected
    assert pyfd.encode(np.asfortranarray(image), PRESET) == expected
    image.flags.writeable = False
    assert pyfd.encode(image, PRESET) == expected
    assert pyfd.encode(Image.fromarray(image), PRESET) == expected
    assert pyfd.encode(Image.fromarray(image).convert("L"), PRESET) == pyfd.encode(
        np.asarray(Image.fromarray(image).convert("L")), PRESET
    )


def test_memory_mapped_arrays_are_images(tmp_path):
    image = np.memmap(tmp_path / "x.raw", np.uint8, "w+", shape=(9, 9, 3))
    assert pyfd.encode(image, PRESET) == pyfd.encode(np.zeros((9, 9, 3), np.uint8), PRESET)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((8, 8, 4), np.uint8), "alpha"),
        (np.zeros((8, 8, 3)), "uint8"),
        (np.zeros((8, 8, 3), np.uint16), "uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), "H×W"),
        (np.zeros((8,), np.uint8), "H×W"),
        (np.zeros((0, 8, 3), np.uint8), "sides"),
        (np.zeros((65501, 1), np.uint8), "sides"),
        (Image.new("RGBA", (8, 8)), "convert"),
        (Image.new("P", (8, 8)), "convert"),
        (Image.new("1", (8, 8)), "convert"),
    ],
)
def test_other_images_are_refused_with_advice(image, match):
    with pytest.raises(ValueError, match=match):
        pyfd.encode(image, PRESET)


def test_longest_sides():
    assert pyfd.decode(pyfd.encode(np.zeros((65500, 1), np.uint8), 16 * np.ones((8, 8), int))).shape


# ---- metadata ------------------------------------------------------------------


def test_metadata_is_written():
    icc = bytes(range(256)) * 600
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = pyfd.encode(picture(8, 8), PRESET, exif=exif.tobytes(), icc_profile=icc, comment="größe")
    image = Image.open(io.BytesIO(data))
    assert image.getexif()[0x010E] == "a description"
    assert image.info["icc_profile"] == icc
    assert image.info["comment"] == "größe".encode()
    header = pyfd.probe(data)
    assert (header.exif, header.icc_profile) == (exif.tobytes(), icc)
    assert header.comment == "größe".encode()
    assert pyfd.encode(picture(8, 8), PRESET, exif=exif.tobytes()[6:]) == pyfd.encode(
        picture(8, 8), PRESET, exif=exif.tobytes()
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("exif", b"Exif\0\0" + bytes(65528)),
        ("exif", b"not exif"),
        ("comment", b"x" * 65534),
        ("icc_profile", bytes(255 * 65519 + 1)),
        ("subsampling", "4:1:1"),
    ],
)
def test_metadata_and_options_that_do_not_fit(option, value):
    with pytest.raises(ValueError, match=option):
        pyfd.encode(picture(8, 8), PRESET, **{option: value})


@pytest.mark.parametrize("value", [5, 2**70, [1, 2], True, "text", np.zeros(3, np.uint16).tolist()])
@pytest.mark.parametrize("option", ["exif", "icc_profile", "comment"])
def test_metadata_must_be_bytes(option, value):
    if option == "comment" and value == "text":
        return
    with pytest.raises(TypeError, match=f"{option} must be bytes"):
        pyfd.encode(picture(8, 8), PRESET, **{option: value})


def test_exif_objects_of_pillow():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    assert pyfd.probe(pyfd.encode(picture(8, 8), PRESET, exif=exif)).exif == exif.tobytes()


def test_options_of_any_type():
    """Those without a hash, and equal ones of other types, mean what they did in any other call."""
    image = picture(16, 16)
    plain, progressive = (pyfd.encode(image, PRESET, progressive=kind) for kind in (False, True))
    assert plain != progressive
    for kind in (np.True_, np.array(True), 1, 2.5, [0]):
        assert pyfd.encode(image, PRESET, progressive=kind) == progressive
    for kind in (np.False_, np.array(False), 0, 0.0, []):
        assert pyfd.encode(image, PRESET, progressive=kind) == plain
    assert pyfd.encode(image, PRESET, mode=np.str_("RGB"), max_loss=np.float64(2)) == plain
    for name in ("mode", "layout", "subsampling"):
        for wrong in (["RGB"], {}, np.array("HWC"), 3, b"4:2:0"):
            with pytest.raises(ValueError, match=f"{name} must be"):
                pyfd.encode(image, PRESET, **{name: wrong})
    for wrong in ("x", None, [1], 1j, np.ones(3)):
        with pytest.raises(TypeError, match="max_loss must be a number"):
            pyfd.encode(image, PRESET, max_loss=wrong)
    for wrong in (-1, float("nan"), np.array(-1)):
        with pytest.raises(ValueError, match="max_loss must be 0 dB or more"):
            pyfd.encode(image, PRESET, max_loss=wrong)
