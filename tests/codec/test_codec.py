"""encode, decode and requantize against code that is not ours."""

import io
import mmap
import threading
import warnings

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

import pyfd
from pyfd import QTables
from tests.jpegs import (
    as_ycck,
    decode_with_pillow,
    encode_with_pillow,
    picture,
    read_with_jpeglib,
    real_jpegs,
    requantized,
)

PRESET = "fd-cvpr2019"


def tables(most: int = 255, least: int = 1) -> st.SearchStrategy[QTables]:
    """One to three tables with steps of all sizes."""
    uniform = st.integers(least, most).map(lambda step: np.full((8, 8), step))
    random = st.builds(
        lambda seed, high: np.random.default_rng(seed).integers(least, high + 1, (8, 8)),
        st.integers(0, 999),
        st.integers(least, most),
    )
    return st.lists(uniform | random, min_size=1, max_size=3).map(QTables)


# ---- a plain decode --------------------------------------------------------


def test_photos_decode_as_in_pillow(photos):
    for data in photos:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(pyfd.decode(data), expected)


@given(real_jpegs())
def test_decodes_as_pillow(data):
    assert np.array_equal(pyfd.decode(data, mode=None), decode_with_pillow(data))
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(pyfd.decode(data), rgb)
    assert np.array_equal(pyfd.decode(data, mode="BGR"), rgb[:, :, ::-1])


@given(real_jpegs("L YCbCr"), st.sampled_from([1, 2, 4, 8]))
def test_scales_and_converts_as_pillow(data, scale):
    width, height = Image.open(io.BytesIO(data)).size
    if min(width, height) < scale:
        scale = 1
    color = pyfd.probe(data).color_space
    assert np.array_equal(
        pyfd.decode(data, mode="L", scale=scale), decode_with_pillow(data, "L", scale)
    )
    if color == "YCbCr":
        assert np.array_equal(
            pyfd.decode(data, scale=scale), decode_with_pillow(data, "RGB", scale)
        )
        assert np.array_equal(
            pyfd.decode(data, mode="YCbCr", scale=scale), decode_with_pillow(data, "YCbCr", scale)
        )


def test_matches_opencv_and_simplejpeg():
    data = encode_with_pillow(picture(123, 77))
    ours = pyfd.decode(data, mode="BGR")
    assert np.array_equal(ours, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(ours, simplejpeg.decode_jpeg(data, "BGR"))


@pytest.mark.parametrize(
    ("channels", "ycck", "mode"),
    [
        (1, False, "YCbCr"),
        (1, False, "CMYK"),
        (3, False, "CMYK"),
        (4, False, "L"),
        (4, False, "YCbCr"),
        (4, True, "L"),
    ],
)
def test_conversions_that_libjpeg_lacks_are_refused(channels, ycck, mode):
    data = encode_with_pillow(picture(9, 9, channels=channels))
    with pytest.raises(ValueError, match="decodes to") as caught:
        pyfd.decode(as_ycck(data) if ycck else data, mode=mode)
    assert not isinstance(caught.value, pyfd.JPEGError)


def test_orientation_is_reported_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode_with_pillow(picture(40, 20), exif=exif)
    assert pyfd.decode(data).shape == (20, 40, 3)
    assert pyfd.probe(data).orientation == 6


# ---- re-quantization -------------------------------------------------------


@given(real_jpegs("L YCbCr RGB"), tables(32767))
def test_requantized_coefficients_are_the_definitions(tmp_path_factory, data, qtables):
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    planes, steps = read_with_jpeglib(path, data)
    out = pyfd.requantize(data, qtables, baseline=False)
    new_planes, new_steps = read_with_jpeglib(path, out)
    for i, (plane, step) in enumerate(zip(planes, steps, strict=True)):
        assert np.array_equal(new_steps[i], qtables[i])
        assert np.array_equal(new_planes[i], requantized(plane, step, qtables[i]))


@given(real_jpegs(), tables(32767), st.sampled_from([1, 2, 4, 8]), st.booleans(), st.booleans())
def test_the_three_consequences(data, qtables, scale, progressive, optimize):
    """SPEC §3: the last one is in test_the_encoders_grid_is_the_decoders."""
    once = pyfd.requantize(
        data, qtables, baseline=False, progressive=progressive, optimize=optimize
    )
    defended = pyfd.decode(data, qtables, mode=None, scale=scale)
    assert np.array_equal(pyfd.decode(once, mode=None, scale=scale), defended)
    assert np.array_equal(pyfd.decode(once, qtables, mode=None, scale=scale), defended)
    if scale == 1:  # Pillow is the stock decoder that reads the file as it is
        assert np.array_equal(decode_with_pillow(once), defended)
    again = pyfd.requantize(
        once, qtables, baseline=False, progressive=progressive, optimize=optimize
    )
    assert again == once


@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.booleans(),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]),
    tables(8191),
    st.booleans(),
    st.booleans(),
)
def test_the_encoders_grid_is_the_decoders(
    width, height, color, subsampling, qtables, progressive, optimize
):
    image = picture(width, height, seed=width, channels=3 if color else 1)
    data = pyfd.encode(
        image,
        qtables,
        subsampling=subsampling,
        progressive=progressive,
        optimize=optimize,
        baseline=False,
    )
    header = pyfd.probe(data)
    assert (header.width, header.height, header.progressive) == (width, height, progressive)
    assert header.subsampling == (subsampling if color else None)
    mode = None
    assert np.array_equal(pyfd.decode(data, qtables, mode=mode), pyfd.decode(data, mode=mode))
    assert np.array_equal(decode_with_pillow(data), pyfd.decode(data, mode=mode))


def test_photos_on_the_tables(photos):
    for data in photos[::20]:
        for qtables in (PRESET, "fd-2018", QTables.annex_k(50)):
            out = pyfd.requantize(data, qtables)
            expected = np.asarray(Image.open(io.BytesIO(out)).convert("RGB"))
            assert np.array_equal(pyfd.decode(data, qtables), expected)


@given(
    npst.arrays(np.int16, (2, 3, 64), elements=st.integers(-1023, 1023)),
    st.lists(st.integers(1, 65535), min_size=64, max_size=64),
    tables(32767),
)
def test_all_coefficients_steps_and_saturation(tmp_path_factory, blocks, steps, qtables):
    """Far beyond what images hold: the file's 16-bit steps, and results that saturate."""
    step = np.array(steps).reshape(8, 8)
    blocks = blocks.reshape(2, 3, 8, 8)
    coefficients = pyfd.Coefficients([blocks], QTables(step), ((1, 1),), 24, 16, "L")
    data = pyfd.write_coefficients(coefficients)
    out = pyfd.requantize(data, qtables, baseline=False)
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    (plane,), (new_step,) = read_with_jpeglib(path, out)
    assert np.array_equal(new_step, qtables[0])
    assert np.array_equal(plane, requantized(blocks, step, qtables[0]))
    assert np.array_equal(pyfd.decode(data, qtables), pyfd.decode(out))


def test_ties_round_away_from_zero():
    blocks = np.zeros((1, 1, 8, 8), np.int16)
    blocks[0, 0, 0, 1:7] = [1, -1, 3, -3, 5, -5]
    coefficients = pyfd.Coefficients([blocks], QTables.uniform(5), ((1, 1),), 8, 8, "L")
    out = pyfd.requantize(pyfd.write_coefficients(coefficients), QTables.uniform(10))
    (plane,) = pyfd.read_coefficients(out).components
    assert plane[0, 0, 0, 1:7].tolist() == [1, -1, 2, -2, 3, -3]


def test_unfinished_progressive_files_are_not_smoothed_onto_tables():
    """Smoothing guesses coefficients that the defence has not seen."""
    data = encode_with_pillow(picture(64, 64), progressive=True, quality=30)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    dc_only = data[:second_scan] + b"\xff\xd9"
    expected = pyfd.decode(pyfd.requantize(dc_only, PRESET))
    assert np.array_equal(pyfd.decode(dc_only, PRESET), expected)
    blocks = pyfd.decode(dc_only, PRESET, mode="L").reshape(8, 8, 8, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_large_progressive_files_have_memory_of_their_own():
    """33 MB of coefficients, which come from elsewhere than those of small files."""
    pixels = np.tile(picture(400, 420, channels=1), (10, 10))
    baseline, progressive = (
        encode_with_pillow(pixels, progressive=progressive) for progressive in (False, True)
    )
    expected = pyfd.decode(baseline, "fd-2018")
    assert np.array_equal(pyfd.decode(progressive, "fd-2018"), expected)
    with pytest.warns(pyfd.JPEGWarning):  # the first scan ends: where nothing was read, all is 0
        cut = pyfd.decode(progressive[:2000], strict=False)
    assert (cut[2000:] == 128).all()


@pytest.mark.parametrize("metadata", [True, False])
def test_requantize_keeps_size_and_sampling(metadata):
    data = encode_with_pillow(picture(99, 55), subsampling=2, dpi=(300, 72))
    out = pyfd.requantize(data, PRESET, metadata=metadata)
    header = pyfd.probe(out)
    assert (header.width, header.height, header.subsampling) == (99, 55, "4:2:0")
    assert Image.open(io.BytesIO(out)).info.get("dpi") == ((300, 72) if metadata else None)


def test_cmyk_keeps_its_adobe_marker_or_its_absence():
    """Readers take CMYK as inverted where the marker stands."""
    with_marker = encode_with_pillow(picture(20, 20, channels=4))
    start = with_marker.index(b"\xff\xee")
    without = with_marker[:start] + with_marker[start + 16 :]
    assert b"Adobe" in pyfd.requantize(with_marker, PRESET)
    assert b"Adobe" not in pyfd.requantize(without, PRESET)


# ---- encoding --------------------------------------------------------------


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
    """Step 1 and the images with the largest coefficients: basis functions' signs."""
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


# ---- arguments -------------------------------------------------------------

SMALL = encode_with_pillow(picture(20, 12))


@pytest.mark.parametrize(
    ("call", "step"),
    [
        (lambda t: pyfd.encode(picture(8, 8), t), 256),
        (lambda t: pyfd.encode(picture(8, 8), t, baseline=False), 8192),
        (lambda t: pyfd.decode(SMALL, t), 32768),
        (lambda t: pyfd.requantize(SMALL, t), 256),
        (lambda t: pyfd.requantize(SMALL, t, baseline=False), 32768),
    ],
)
def test_steps_have_bounds(call, step):
    assert call(QTables.uniform(step - 1)) is not None
    with pytest.raises(ValueError, match=f"not {step}"):
        call(QTables.uniform(step))


def test_tables_in_all_forms():
    expected = pyfd.decode(SMALL, PRESET)
    table = QTables.preset(PRESET)[0]
    for form in (table, table.tolist(), [table], [table, table], QTables.preset(PRESET)):
        assert np.array_equal(pyfd.decode(SMALL, form), expected)


def test_sources_in_all_forms(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(SMALL)
    expected = pyfd.decode(SMALL)
    array = np.frombuffer(SMALL, np.uint8)
    for source in (bytearray(SMALL), memoryview(SMALL), array, path, str(path), io.BytesIO(SMALL)):
        assert np.array_equal(pyfd.decode(source), expected)
    with path.open("rb") as file:
        assert np.array_equal(pyfd.decode(file), expected)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert np.array_equal(pyfd.decode(mapped), expected)


@pytest.mark.parametrize("source", [None, 5, io.StringIO("text"), object()])
def test_other_sources_are_a_type_error(source):
    with pytest.raises(TypeError):
        pyfd.decode(source)


def test_non_contiguous_sources_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match="contiguous"):
        pyfd.decode(memoryview(SMALL * 2)[::2])
    with pytest.raises(FileNotFoundError):
        pyfd.decode(tmp_path / "none.jpg")


def test_out_receives_the_pixels():
    out = np.empty((12, 20, 3), np.uint8)
    assert pyfd.decode(SMALL, PRESET, out=out) is out
    assert np.array_equal(out, pyfd.decode(SMALL, PRESET))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((12, 20), np.uint8),
        np.empty((20, 12, 3), np.uint8),
        np.empty((12, 20, 3), np.int8),
        np.empty((12, 40, 3), np.uint8)[:, ::2],
        np.broadcast_to(np.empty((12, 20, 3), np.uint8), (12, 20, 3)),
        bytearray(720),
    ],
)
def test_out_must_fit(out):
    with pytest.raises(ValueError, match="out must"):
        pyfd.decode(SMALL, out=out)


@pytest.mark.parametrize("options", [{"mode": "RGBA"}, {"scale": 3}, {"scale": 0}, {"mode": "rgb"}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        pyfd.decode(SMALL, **options)


# ---- strict and lenient ----------------------------------------------------


def test_strict_refuses_and_lenient_warns_once():
    data = encode_with_pillow(picture(64, 64))[:-300]
    with pytest.raises(pyfd.CorruptJPEGError, match="truncated"):
        pyfd.decode(data)
    with pytest.warns(pyfd.JPEGWarning, match=r"\d+ decoder warnings?; the first: ") as caught:
        pixels = pyfd.decode(data, strict=False)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert pixels.shape == (64, 64, 3)


def test_bytes_after_the_end_are_no_error():
    assert np.array_equal(pyfd.decode(SMALL + b"\xff\xd8 more"), pyfd.decode(SMALL))
    assert pyfd.requantize(SMALL + bytes(99), PRESET) == pyfd.requantize(SMALL, PRESET)


def test_sequential_files_without_dht_use_the_standards_tables():
    data = SMALL
    while (start := data.find(b"\xff\xc4")) >= 0:
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        data = data[:start] + data[start + 2 + length :]
    assert np.array_equal(pyfd.decode(data), pyfd.decode(SMALL))


def test_a_component_without_a_scan_is_damage():
    data = encode_with_pillow(picture(32, 32), progressive=True)
    first = data.index(b"\xff\xda")
    # a first scan of Y alone, and no other: its DC codes are those of the joint scan's
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01" + bytes(64)
    broken = data[:first] + scan + b"\xff\xd9"
    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.decode(broken)
    with pytest.warns(pyfd.JPEGWarning):
        pyfd.decode(broken, strict=False)


@pytest.mark.parametrize("component", [0, 1, 2])
def test_a_scan_names_huffman_tables_that_exist(component):
    data = encode_with_pillow(picture(40, 40), quality=75)  # tables 0 and 1 of both kinds
    place = data.index(b"\xff\xda") + 6 + 2 * component
    for tables in range(256):
        broken = data[:place] + bytes([tables]) + data[place + 1 :]
        for strict in (True, False):
            if tables >> 4 > 1 or tables & 15 > 1:
                with pytest.raises(pyfd.CorruptJPEGError, match="Huffman table"):
                    pyfd.decode(broken, strict=strict)


def test_a_code_that_does_not_exist_is_reported_anywhere():
    data = encode_with_pillow(picture(200, 200), quality=95)
    for place in range(len(data) // 4, len(data) - 100, len(data) // 20):
        broken = data[:place] + b"\xff\x00" * 8 + data[place + 16 :]  # 64 ones
        with pytest.raises(pyfd.CorruptJPEGError, match="bad Huffman code"):
            pyfd.decode(broken)


@pytest.mark.parametrize("step", [1, 8, 40, 255])
@pytest.mark.parametrize("progressive", [False, True])
def test_nearly_empty_blocks_are_those_of_an_inverse_dct(step, progressive):
    blocks = np.zeros((32, 64, 8, 8), np.int16)
    blocks[..., 0, 0] = np.arange(-1024, 1024).reshape(32, 64).clip(-1023, 1023)
    blocks[::2, ..., 0, 1] = blocks[::2, ::-1, 0, 0]  # rows below the first stay empty
    coefficients = pyfd.Coefficients(
        (blocks,), pyfd.QTables.uniform(step), ((1, 1),), 512, 256, "L"
    )
    data = pyfd.write_coefficients(coefficients, progressive=progressive)
    for d in (1, 25, 255):
        tables = pyfd.QTables.uniform(d)
        requantized = pyfd.requantize(data, tables, progressive=progressive)
        assert np.array_equal(pyfd.decode(data, tables, mode="L"), decode_with_pillow(requantized))


# ---- many ------------------------------------------------------------------


def test_many_keeps_the_order_and_the_errors():
    files = [encode_with_pillow(picture(20 + n, 30), progressive=n % 2 == 0) for n in range(20)]
    files[7] = b"junk"
    files[11] = files[11][:100]
    results = pyfd.decode_many(iter(files), PRESET, workers=3, errors="return")
    for n, (file, result) in enumerate(zip(files, results, strict=True)):
        if n in (7, 11):
            assert isinstance(result, pyfd.CorruptJPEGError)
        else:
            assert np.array_equal(result, pyfd.decode(file, PRESET))
    with pytest.raises(pyfd.CorruptJPEGError, match="not a JPEG"):
        pyfd.decode_many(files, workers=2)


def test_many_takes_only_so_many_files_from_a_generator():
    read, furthest = 0, 0

    class Counted(io.BytesIO):
        def read(self, size=-1):
            nonlocal read
            read += self.tell() == 0
            return super().read(size)

    def sources():
        nonlocal furthest
        for taken in range(1, 101):
            furthest = max(furthest, taken - read)
            yield Counted(SMALL)

    assert len(pyfd.decode_many(sources(), workers=2)) == 100
    assert furthest <= 9

    def broken():
        yield b"junk"
        while True:
            yield SMALL

    with pytest.raises(pyfd.CorruptJPEGError):
        pyfd.decode_many(broken(), workers=2)


def test_many_passes_options_on():
    (gray,) = pyfd.decode_many([SMALL], mode="L", scale=2)
    assert np.array_equal(gray, pyfd.decode(SMALL, mode="L", scale=2))
    assert pyfd.decode_many([]) == []
    for bad in ({"out": None}, {"nonsense": 1}):
        with pytest.raises(TypeError, match="takes no option"):
            pyfd.decode_many([SMALL], **bad)
    with pytest.raises(ValueError, match="workers"):
        pyfd.decode_many([SMALL], workers=0)
    with pytest.raises(ValueError, match="errors"):
        pyfd.decode_many([SMALL], errors="ignore")


def test_many_share_one_memory_limit(monkeypatch):
    """With room for one progressive file at a time, never two are being decoded."""
    data = encode_with_pillow(picture(200, 200), progressive=True)
    needed = len(data) + 3 * 25 * 25 * 128 + 200 * 200 * 3
    active, most = 0, 0
    lock = threading.Lock()
    real = pyfd.codec.binding.decode

    def counting(*args, **kwargs):
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        real(*args, **kwargs)
        with lock:
            active -= 1

    monkeypatch.setattr(pyfd.codec.binding, "decode", counting)
    data = encode_with_pillow(picture(200, 200), progressive=True, subsampling=0)
    needed = len(data) + 3 * 25 * 25 * 128 + 200 * 200 * 3
    limits = pyfd.Limits(max_memory=needed)
    results = pyfd.decode_many([data] * 12, workers=4, limits=limits)
    assert len(results) == 12
    assert most == 1


def test_threads_agree_with_one_thread():
    files = [encode_with_pillow(picture(90, 60, seed=n)) for n in range(8)]
    expected = [pyfd.decode(file, PRESET) for file in files]
    results = pyfd.decode_many(files * 10, PRESET, workers=8)
    for n, result in enumerate(results):
        assert np.array_equal(result, expected[n % 8])


def test_the_gil_is_released():
    """Another thread runs Python code while a long decode goes on."""
    data = pyfd.encode(picture(4000, 3000), QTables.uniform(2))
    ticks = 0
    done = threading.Event()

    def count():
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=count)
    thread.start()
    pyfd.decode(data)
    done.set()
    thread.join()
    assert ticks > 5


def test_nothing_is_printed(capfd):
    for data in (SMALL[:50], SMALL[:-40], b"junk"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for strict in (True, False):
                with pytest.raises(pyfd.JPEGError):
                    pyfd.decode(data[:50], strict=strict)
    assert capfd.readouterr() == ("", "")


# ---- misuse ------------------------------------------------------------------


def test_memory_mapped_arrays_are_images(tmp_path):
    image = np.memmap(tmp_path / "x.raw", np.uint8, "w+", shape=(9, 9, 3))
    assert pyfd.encode(image, PRESET) == pyfd.encode(np.zeros((9, 9, 3), np.uint8), PRESET)


@pytest.mark.parametrize("workers", [float("nan"), 2.5, "2"])
def test_workers_are_whole(workers):
    with pytest.raises(TypeError):
        pyfd.decode_many([SMALL], workers=workers)


@pytest.mark.parametrize("limits", [None, 5])
def test_limits_are_limits(limits):
    for call in (pyfd.probe, pyfd.decode, pyfd.read_coefficients):
        with pytest.raises(TypeError, match="limits must be"):
            call(SMALL, limits=limits)
    for call in (pyfd.requantize, lambda x, t, limits: pyfd.decode_many([x], t, limits=limits)):
        with pytest.raises(TypeError, match="limits must be"):
            call(SMALL, PRESET, limits=limits)


def test_flags_may_be_any_truth():
    assert np.array_equal(pyfd.decode(SMALL, strict=2**40), pyfd.decode(SMALL))
    assert pyfd.encode(picture(8, 8), PRESET, progressive=-1) == pyfd.encode(
        picture(8, 8), PRESET, progressive=True
    )


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


def test_out_and_source_must_be_apart():
    memory = bytearray(4096)
    memory[: len(SMALL)] = SMALL
    out = np.frombuffer(memory, np.uint8)[1000 : 1000 + 720].reshape(12, 20, 3)
    with pytest.raises(ValueError, match="share memory"):
        pyfd.decode(memory, out=out)


def test_tables_changed_by_force_cannot_smuggle_steps_of_0():
    tables = QTables(np.ones((8, 8), int))
    object.__setattr__(tables, "array", np.zeros((1, 8, 8), np.uint16))
    with pytest.raises(ValueError, match="steps"):
        pyfd.requantize(SMALL, tables)


def test_ctrl_c_is_no_files_fault():
    class Interrupting(io.BytesIO):
        def read(self, _size=-1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyfd.decode_many([Interrupting()], errors="return")


def test_files_and_pixels_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match=r"goes to encode"):
        pyfd.decode(picture(9, 9))
    for file in ("photo.png", tmp_path / "photo.png", SMALL):
        with pytest.raises(TypeError, match="pixels"):
            pyfd.encode(file, PRESET)
    for one in ("photo.jpg", SMALL):
        with pytest.raises(TypeError, match="iterable of files"):
            pyfd.decode_many(one)
