"""`requantize(orient=)`: against its definition in numpy, and jpegtran."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
import pyfd.ray
from pyfd import Limits, QTables
from pyfd.coefficients import Coefficients
from tests import metadata
from tests.codec.test_orient import upright, with_orientation, with_payloads
from tests.jpegs import (
    encode_with_pillow,
    picture,
    read_with_jpeglib,
    real_jpegs,
    requantized,
    tables,
)

TABLES = QTables.preset("fd-cvpr2019")
TRANSPOSED, LEFT_RIGHT, TOP_BOTTOM = {5, 6, 7, 8}, {2, 3, 6, 7}, {3, 4, 7, 8}
#: What jpegtran does for an orientation
TRANSFORMS = {
    2: "-flip horizontal",
    3: "-rotate 180",
    4: "-flip vertical",
    5: "-transpose",
    6: "-rotate 90",
    7: "-transverse",
    8: "-rotate 270",
}


def turned(blocks: np.ndarray, orientation: int) -> np.ndarray:
    """Return a component's blocks (high, wide, 8, 8) as those of the turned image."""
    if orientation in TRANSPOSED:
        blocks = blocks.transpose(1, 0, 3, 2)
    if orientation in TOP_BOTTOM:  # cosines of odd frequencies are odd functions
        blocks = blocks[::-1] * np.where(np.arange(8) % 2, -1, 1)[:, np.newaxis]
    if orientation in LEFT_RIGHT:
        blocks = blocks[:, ::-1] * np.where(np.arange(8) % 2, -1, 1)
    return blocks


def mcu(header: pyfd.Header) -> tuple[int, int]:
    if len(header.sampling) == 1:
        return 8, 8
    return 8 * max(h for h, _ in header.sampling), 8 * max(v for _, v in header.sampling)


def moving(orientation: int) -> tuple[bool, bool]:
    """Return whether the right and the lower edge of the stored image move."""
    sides = orientation in LEFT_RIGHT, orientation in TOP_BOTTOM
    return sides[::-1] if orientation in TRANSPOSED else sides


def rests(data: bytes, orientation: int) -> tuple[int, int]:
    """Return the columns and the rows that cannot move."""
    header = pyfd.probe(data)
    sizes, units = (header.width, header.height), mcu(header)
    return tuple(
        size % unit if moves else 0
        for size, unit, moves in zip(sizes, units, moving(orientation), strict=True)
    )


def nothing_is_left(data: bytes, orientation: int) -> bool:
    header = pyfd.probe(data)
    sizes = header.width, header.height
    return any(rest == size for rest, size in zip(rests(data, orientation), sizes, strict=True))


# ---- the definition -------------------------------------------------------------


@given(
    real_jpegs("L YCbCr RGB"),
    st.integers(2, 8),
    tables(),
    st.booleans(),
    st.booleans(),
)
def test_it_turns_blocks_tables_and_sampling(
    tmp_path_factory, data, orientation, qtables, progressive, optimize
):
    data = with_orientation(data, orientation)
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    header, lost = pyfd.probe(data), rests(data, orientation)
    sizes, units = (header.width, header.height), mcu(header)
    options = {"progressive": progressive, "optimize": optimize}
    if any(lost):
        with pytest.raises(pyfd.UnsupportedJPEGError, match="cannot move without loss"):
            pyfd.requantize(data, qtables, orient=True, **options)
    if nothing_is_left(data, orientation):
        with pytest.raises(pyfd.UnsupportedJPEGError, match="nothing else would be left"):
            pyfd.requantize(data, qtables, orient="trim", **options)
        return
    made = pyfd.requantize(data, qtables, orient="trim", **options)
    if not any(lost):
        assert pyfd.requantize(data, qtables, orient=True, **options) == made
    after = pyfd.probe(made)
    kept = tuple(size - rest for size, rest in zip(sizes, lost, strict=True))
    swap = slice(None, None, -1 if orientation in TRANSPOSED else 1)
    assert (after.width, after.height) == kept[swap]
    assert after.sampling == tuple(pair[swap] for pair in header.sampling)
    assert (after.orientation, after.progressive) == (1, progressive)
    old, new = read_with_jpeglib(path, data), read_with_jpeglib(path, made)
    for i, (plane, steps) in enumerate(zip(*old, strict=True)):
        h, v = header.sampling[i]
        plane = plane[  # of an edge that moves, only whole MCUs are left
            : kept[1] // units[1] * v if lost[1] else None,
            : kept[0] // units[0] * h if lost[0] else None,
        ]
        steps = steps.T if orientation in TRANSPOSED else steps
        expected = requantized(turned(plane, orientation), steps, qtables[i])
        assert np.array_equal(new[0][i], expected)
        assert np.array_equal(new[1][i], qtables[i])


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(
    "sampling", [((4, 1), (1, 1), (1, 1)), ((1, 4), (1, 1), (2, 2)), ((2, 2),)]
)
def test_uncommon_sampling_factors(sampling, orientation):
    """Also 4:1:1, factors that differ between the chroma planes, and those of one component."""
    unit = (8, 8) if len(sampling) == 1 else (8 * 4, 8) if sampling[0] == (4, 1) else (16, 32)
    width, height = 3 * unit[0], 2 * unit[1]
    most = [max(pair[axis] for pair in sampling) for axis in (0, 1)]
    rng = np.random.default_rng(0)
    shapes = [(height * v // most[1] // 8, width * h // most[0] // 8) for h, v in sampling]
    planes = tuple(rng.integers(-9, 10, (*shape, 8, 8)).astype(np.int16) for shape in shapes)
    space = "L" if len(sampling) == 1 else "YCbCr"
    steps = QTables(rng.integers(1, 99, (1, 8, 8)))
    stored = Coefficients(planes, steps, sampling, width, height, space)
    data = with_orientation(pyfd.write_coefficients(stored), orientation)
    made = pyfd.read_coefficients(pyfd.requantize(data, TABLES, orient=True))
    swap = slice(None, None, -1 if orientation in TRANSPOSED else 1)
    assert (made.width, made.height) == (width, height)[swap]
    assert made.sampling == tuple(pair[swap] for pair in sampling)
    q = steps[0].T if orientation in TRANSPOSED else steps[0]
    for i, plane in enumerate(planes):
        assert np.array_equal(
            made.components[i], requantized(turned(plane, orientation), q, TABLES[i])
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_gray_and_cmyk_pixels_are_the_turned_ones(orientation):
    """The inverse DCT rounds a transposed block otherwise, by a level at most."""
    for pixels in (picture(48, 32, channels=1), picture(48, 32, channels=4)):
        data = with_orientation(encode_with_pillow(pixels), orientation)
        made = pyfd.requantize(data, TABLES, orient=True)
        expected = upright(pyfd.decode(data, mode=None), orientation)
        assert pyfd.decode(made, mode=None).shape == expected.shape
        ones = QTables(np.ones((1, 8, 8), int))
        exact = pyfd.decode(pyfd.requantize(data, ones, orient=True), mode=None)
        assert np.abs(exact.astype(int) - expected).max() <= 1


def test_upright_files_are_not_touched():
    plain = encode_with_pillow(picture(50, 37))
    for data in (plain, with_orientation(plain, 1), with_orientation(plain, 0)):
        for orient in (True, "trim", np.True_):
            assert pyfd.requantize(data, TABLES, orient=orient) == pyfd.requantize(data, TABLES)
    # A decoder would turn it now, and did not before: the type is LONG
    odd = with_orientation(plain, 6, ">", 4)
    assert pyfd.probe(pyfd.requantize(odd, TABLES, orient=True)).orientation == 1


def test_a_certificate_does_not_survive_a_transposition():
    """As the documentation says; turned pixels can be certified."""
    qtables = QTables.certified(2)
    radii = []
    for seed in range(8):
        certified = pyfd.encode(picture(160, 96, seed), qtables, radius=2)
        data = with_orientation(certified, 6)
        turned_file = pyfd.requantize(data, qtables, orient=True)
        radii.append(pyfd.certify(pyfd.decode(turned_file), qtables).radius)
    assert min(radii) <= 2 < max(radii)
    again = pyfd.encode(pyfd.decode(data, orient=True), qtables, radius=2)
    assert pyfd.certify(pyfd.decode(again), qtables).radius > 2


# ---- metadata -------------------------------------------------------------------


def with_everything(orientation: int) -> bytes:
    def text(*pairs: tuple[str, str]) -> str:
        return "".join(f"<{name}>{value}</{name}>" for name, value in pairs)

    rational = [struct.pack("<II", n, 1) for n in (300, 72)]
    block = metadata.block(
        [
            (0x0112, 3, metadata.number(orientation)),
            (0x011A, 5, rational[0]),
            (0x011B, 5, rational[1]),
            (0x0212, 3, struct.pack("<HH", 2, 1)),
        ],
        [
            (0x9214, 3, struct.pack("<HH", 5, 7)),
            (0xA002, 3, metadata.number(48)),
            (0xA003, 3, metadata.number(32)),
        ],
    )
    xmp = text(("tiff:Orientation", "6"), ("exif:PixelXDimension", "48"))
    xmp += text(("exif:PixelYDimension", "32"), ("tiff:XResolution", "300/1"))
    data = encode_with_pillow(picture(48, 32), dpi=(300, 72))
    place = data.index(b"\xff\xdb")
    return data[:place] + with_payloads(b"\xff\xd8", block, metadata.packet(xmp))[2:] + data[place:]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_is_kept_describes_the_turned_image(orientation):
    made = pyfd.requantize(with_everything(orientation), TABLES, orient=True)
    image = Image.open(io.BytesIO(made))
    exif = image.getexif()
    swapped = orientation == 6
    assert exif[0x0112] == 1
    assert (exif[0x011A], exif[0x011B]) == ((72, 300) if swapped else (300, 72))
    assert image.info["jfif_density"] == ((72, 300) if swapped else (300, 72))
    below = exif.get_ifd(0x8769)
    assert (below[0xA002], below[0xA003]) == image.size == ((32, 48) if swapped else (48, 32))
    assert (0x9214 in below) == (0x0212 in exif) == (orientation == 1)
    xmp = image.info["xmp"].decode()
    assert "Orientation" not in xmp
    first, second = ("32", "48") if swapped else ("48", "32")
    assert f"<exif:PixelXDimension>{first}</exif:PixelXDimension>" in xmp
    assert f"<exif:PixelYDimension>{second}</exif:PixelYDimension>" in xmp
    assert f"<tiff:{'Y' if swapped else 'X'}Resolution>300/1<" in xmp
    plain = pyfd.requantize(with_everything(orientation), TABLES, orient=True, metadata=False)
    assert "exif" not in Image.open(io.BytesIO(plain)).info


# ---- checks ---------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 1, 0, ["trim"], np.array([True, False])])
def test_types_that_orient_is_not(wrong):
    with pytest.raises(TypeError, match='orient must be True, False or "trim"'):
        pyfd.requantize(encode_with_pillow(picture(8, 8)), TABLES, orient=wrong)


def test_other_texts_are_refused():
    with pytest.raises(ValueError, match="not 'exact'"):
        pyfd.requantize(encode_with_pillow(picture(8, 8)), TABLES, orient="exact")
    with pytest.raises(ValueError, match="not 'exact'"):
        pyfd.ray.Requantize(TABLES, orient="exact")


def test_ray_takes_it():
    good = with_orientation(encode_with_pillow(picture(48, 32)), 6)
    odd = with_orientation(encode_with_pillow(picture(50, 37)), 6)
    batch = pyfd.ray.Requantize(TABLES, orient=True)({"bytes": np.array([good, odd], object)})
    assert batch["bytes"][0] == pyfd.requantize(good, TABLES, orient=True)
    assert [bool(error) for error in batch["error"]] == [False, True]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
def test_limits_hold(options):
    """All coefficients are in memory twice, and what more than one pass writes is counted."""
    data = with_orientation(encode_with_pillow(picture(640, 480)), 6)
    coefficients = 640 * 480 * 3  # 4:2:0, of two bytes each
    with pytest.raises(pyfd.LimitExceededError) as caught:
        pyfd.requantize(data, TABLES, orient=True, limits=Limits(max_memory=10_000), **options)
    assert caught.value.limit == "max_memory"
    assert 2 * coefficients + len(data) <= caught.value.needed < 2 * coefficients + 2 * len(data)
    enough = Limits(max_memory=caught.value.needed + len(data))
    pyfd.requantize(data, TABLES, orient=True, limits=enough, **options)


def test_the_work_of_a_progressive_output_is_counted():
    plain = encode_with_pillow(picture(640, 480))
    for file, orient in ((plain, False), (with_orientation(plain, 6), True)):
        limits = Limits(max_work=80_000)
        pyfd.requantize(file, TABLES, orient=orient, limits=limits)
        with pytest.raises(pyfd.LimitExceededError, match=r"max_work .* for its output"):
            pyfd.requantize(file, TABLES, orient=orient, progressive=True, limits=limits)


def test_damaged_files():
    data = with_orientation(encode_with_pillow(picture(160, 96)), 6)[:-300]
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.requantize(data, TABLES, orient=True)
    with pytest.warns(pyfd.JPEGWarning):
        made = pyfd.requantize(data, TABLES, orient=True, strict=False)
    assert pyfd.decode(made).shape == (160, 96, 3)


# ---- jpegtran -------------------------------------------------------------------


@pytest.mark.system
@given(real_jpegs(), st.integers(2, 8), st.booleans(), st.sampled_from([True, "trim"]))
def test_it_is_jpegtran_and_then_requantize(data, orientation, progressive, orient):
    program = shutil.which("jpegtran")
    assert program, "make system-test installs it"
    how = "-perfect" if orient is True else "-trim"
    command = [program, *TRANSFORMS[orientation].split(), how, "-copy", "none"]
    done = subprocess.run(command, input=data, capture_output=True)
    oriented = with_orientation(data, orientation)
    options = {"metadata": False, "progressive": progressive}
    if done.returncode:
        with pytest.raises(pyfd.UnsupportedJPEGError, match="cannot move without loss"):
            pyfd.requantize(oriented, TABLES, orient=orient, **options)
    elif orient is True or not nothing_is_left(data, orientation):  # jpegtran leaves such edges
        made = pyfd.requantize(oriented, TABLES, orient=orient, **options)
        assert made == pyfd.requantize(done.stdout, TABLES, **options)
