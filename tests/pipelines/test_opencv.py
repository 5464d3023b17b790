"""`imdecode`, compared with `cv2.imdecode`."""

import io
import itertools
import mmap
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import Limits, QTables, opencv
from pyfd.opencv import imdecode
from tests.attacks import ATTACKS
from tests.jpegs import as_ycck, encode_with_pillow, gray, picture, real_jpegs, segment

PRESET = "fd-cvpr2019"
NAMED = sorted({getattr(cv2, name) for name in dir(cv2) if name.startswith("IMREAD_")})


def with_cv2(data: bytes, flags: int) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def same(ours: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    assert ours is not None
    assert theirs is not None
    return (
        ours.dtype == theirs.dtype
        and ours.shape == theirs.shape
        and ours.flags.c_contiguous
        and ours.flags.writeable
        and np.array_equal(ours, theirs)
    )


def exif(orientation: int, order: str = "little", kind: int = 3) -> bytes:
    """Return an APP1 segment that holds only an orientation."""
    numbers = [(42, 2), (8, 4), (1, 2), (0x0112, 2), (kind, 2), (1, 4)]
    tiff = b"".join(number.to_bytes(size, order) for number, size in numbers)
    value = orientation.to_bytes(2 if kind == 3 else 4, order).ljust(4, b"\0")
    mark = b"II" if order == "little" else b"MM"
    return segment(0xE1, b"Exif\0\0" + mark + tiff + value + bytes(4))


def turned(data: bytes, orientation: int, order: str = "little") -> bytes:
    return data[:2] + exif(orientation, order) + data[2:]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A file of each color space, with odd sides."""
    cmyk = encode_with_pillow(picture(45, 33, channels=4))
    adobe = cmyk.index(b"\xff\xee")
    return {
        "L": encode_with_pillow(picture(45, 33, channels=1)),
        "YCbCr": encode_with_pillow(picture(45, 33)),
        "RGB": encode_with_pillow(picture(45, 33), keep_rgb=True),
        "CMYK": cmyk,
        "CMYK without Adobe's marker": cmyk[:adobe] + cmyk[adobe + 16 :],
        "YCCK": as_ycck(cmyk),
        "progressive": encode_with_pillow(picture(45, 33), progressive=True),
    }


# ---- without tables ---------------------------------------------------------


def test_numbers_are_opencvs():
    names = [name for name in dir(cv2) if name.startswith("IMREAD_")]
    assert {name: getattr(opencv, name) for name in names} == {
        name: getattr(cv2, name) for name in names
    }


def test_every_flag_on_every_color_space(files):
    """The flags are all combinations of all bits, and bits without a meaning."""
    for data in files.values():
        turn = turned(data, 6)
        for flags in (*range(-1, 512), 512, 1024, 2**30):
            if flags >= 0 and flags & 1 and flags & 256:
                continue
            assert same(imdecode(turn, flags), with_cv2(turn, flags)), flags


@given(real_jpegs(), st.sampled_from(NAMED), st.integers(0, 9), st.sampled_from(["little", "big"]))
def test_pixels_are_opencvs(data, flags, orientation, order):
    data = turned(data, orientation, order)
    assert same(imdecode(np.frombuffer(data, np.uint8), flags), with_cv2(data, flags))


def test_orientations_on_all_color_spaces(files):
    for data, orientation in itertools.product(files.values(), range(1, 9)):
        turn = turned(data, orientation)
        for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_REDUCED_COLOR_2):
            assert same(imdecode(turn, flags), with_cv2(turn, flags))
            ignored = flags | cv2.IMREAD_IGNORE_ORIENTATION
            assert same(imdecode(turn, ignored), with_cv2(data, flags))


def test_photos(photos):
    for data in photos[:10]:
        for flags in NAMED:
            assert same(imdecode(data, flags), with_cv2(data, flags))


def test_color_is_the_default(files):
    assert same(imdecode(files["YCbCr"]), with_cv2(files["YCbCr"], cv2.IMREAD_COLOR))


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: np.frombuffer(data, np.uint8),
        lambda data: np.frombuffer(data, np.int8),
        lambda data: np.frombuffer(data, np.uint8).reshape(1, -1),
        lambda data: np.frombuffer(data, np.uint8).reshape(-1, 1),
        lambda data: np.repeat(np.frombuffer(data, np.uint8), 2)[::2],
    ],
)
def test_buffers(files, wrap):
    data = files["YCbCr"]
    assert same(imdecode(wrap(data), 1), with_cv2(data, 1))


def test_memory_maps(files, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(files["YCbCr"])
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert same(imdecode(mapped, 1), with_cv2(files["YCbCr"], 1))
    # Nothing holds the map, so that it can be closed


@pytest.mark.parametrize(
    ("buf", "error"),
    [
        (np.zeros((3, 4), np.uint8), ValueError),
        (np.zeros(8, np.float32), ValueError),
        ([255, 216], TypeError),
        ("x.jpg", TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_buffer(buf, error):
    for qtables in (None, PRESET):
        with pytest.raises(error):
            imdecode(buf, 1, qtables)


@pytest.mark.parametrize("flags", [257, 1 | 256 | 128, -2, -3])
def test_flags_that_make_no_sense(flags):
    with pytest.raises(ValueError, match="flags must"):
        imdecode(gray(), flags)
    if flags > 0:
        with pytest.raises(cv2.error):
            with_cv2(gray(), flags)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
@pytest.mark.parametrize("flags", [-1, 0, 1, 256, 17])
def test_other_formats_are_opencvs(kind, flags):
    buffer = io.BytesIO()
    Image.fromarray(picture(20, 10)).save(buffer, kind)
    theirs = with_cv2(buffer.getvalue(), flags)
    assert same(imdecode(buffer.getvalue(), flags), theirs)


def test_16_bit_pngs_too():
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    data = cv2.imencode(".png", deep)[1].tobytes()
    assert same(imdecode(data, -1), deep)


@pytest.mark.parametrize("junk", [b"junk", b"\xff\xd8", b"\xff\xd8\xff", bytes(100)])
def test_junk_is_none(junk):
    assert with_cv2(junk, 1) is None
    assert imdecode(junk, 1) is None
    assert imdecode(junk, 1, PRESET) is None


def test_an_empty_buffer_is_none():
    for empty in (b"", np.zeros(0, np.uint8)):
        assert imdecode(empty, 1) is None
        assert imdecode(empty, 1, PRESET) is None


# ---- with tables ------------------------------------------------------------


@given(real_jpegs(), st.sampled_from(NAMED), st.integers(1, 8), st.integers(1, 32767))
def test_defended_pixels_are_opencvs_of_the_requantized_file(data, flags, orientation, step):
    qtables = QTables.uniform(step)
    data = turned(data, orientation)
    stock = pyfd.requantize(data, qtables, baseline=False)
    assert same(imdecode(data, flags, qtables), with_cv2(stock, flags))


def test_defended_pixels_are_those_of_decode(files):
    data = files["YCbCr"]
    assert same(imdecode(data, 1, PRESET), pyfd.decode(data, PRESET, mode="BGR"))
    assert same(imdecode(data, 256, PRESET), pyfd.decode(data, PRESET))
    assert same(imdecode(data, 0, PRESET), pyfd.decode(data, PRESET, mode="L"))
    assert same(imdecode(data, 33, PRESET), pyfd.decode(data, PRESET, mode="BGR", scale=4))
    assert not np.array_equal(imdecode(data, 1, PRESET), with_cv2(data, 1))


def test_what_cannot_be_defended_is_none():
    """An attacker must not be able to avoid the tables by sending another format."""
    for suffix in (".png", ".bmp", ".webp", ".tiff"):
        data = cv2.imencode(suffix, picture(20, 10))[1].tobytes()
        assert with_cv2(data, 1) is not None
        assert imdecode(data, 1, PRESET) is None


@pytest.mark.parametrize("qtables", ["no-such-preset", np.zeros((8, 8), int), 32768])
@pytest.mark.parametrize("flags", [0, 1])
def test_bad_tables_are_errors(qtables, flags):
    if isinstance(qtables, int):
        qtables = QTables.uniform(qtables)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        imdecode(gray(), flags, qtables)
    assert not isinstance(caught.value, pyfd.JPEGError)


# ---- files that are refused -------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_files_are_none(progressive):
    data = encode_with_pillow(picture(123, 77), progressive=progressive)
    for cut in (20, 200, len(data) // 2, len(data) - 2):
        for qtables in (None, PRESET):
            assert imdecode(data[:cut], 1, qtables) is None
    with pytest.warns(pyfd.JPEGWarning):
        assert imdecode(data[:-2], 1, strict=False).shape == (77, 123, 3)


QUICK = [
    attack for attack in ATTACKS if "8192²" not in attack.name and "million" not in attack.name
]


@pytest.mark.parametrize("attack", QUICK, ids=lambda attack: attack.name)
def test_attacks(attack):
    data = attack.make()
    for qtables in (None, PRESET):
        assert (imdecode(data, 1, qtables) is None) == (attack.error is not None)


def test_limits():
    data = gray(100, 100)
    assert imdecode(data, 0, limits=Limits(max_pixels=10_000)) is not None
    assert imdecode(data, 0, limits=Limits(max_pixels=9_999)) is None
    with pytest.raises(TypeError, match="limits must be"):
        imdecode(data, 0, limits=5)


# ---- without OpenCV ---------------------------------------------------------


def python(code: str) -> str:
    code = "import sys; sys.modules['cv2'] = None\nfrom pyfd.opencv import *\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    return done.stdout + done.stderr


def test_jpegs_need_no_opencv():
    code = f"print(imdecode({gray()!r}, IMREAD_GRAYSCALE).shape)"
    code += f"; print(imdecode({gray()!r}, 1, '{PRESET}').shape, imdecode(b'PNG', 1, '{PRESET}'))"
    assert python(code) == "(8, 8)\n(8, 8, 3) None\n"


def test_missing_opencv_names_the_extra():
    assert "opencv is missing: pip install 'pyfd-jpeg[opencv]'" in python("imdecode(b'PNG', 1)")
