"""Planes of YCbCr, against libjpeg's raw-data interface.

raw_data.c calls it in the libjpeg-turbo that Pillow brings, which is not ours.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import pyfd
from pyfd import QTables
from pyfd._core import yuv
from pyfd.header import SUBSAMPLING
from tests.jpegs import tables
from tests.packaging.sources import ROOT, load_build

PRESET = "fd-cvpr2019"
LIBC, NO_ACCESS = ctypes.CDLL(None), 0


# ---- the oracle ---------------------------------------------------------------


@pytest.fixture(scope="module")
def raw_data(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("raw-data") / "raw_data"
    fork = load_build(ROOT).fork
    tree = fork.build_static(ROOT / "build")
    brought = sorted((Path(PIL.__file__).parents[1] / "pillow.libs").glob("libjpeg-*.so*"))
    library = [str(brought[0]), f"-Wl,-rpath,{brought[0].parent}"] if brought else ["-ljpeg"]
    command = ["cc", "-O1", f"-I{tree / 'build'}", f"-I{tree / 'src'}"]
    command += [str(Path(__file__).with_name("raw_data.c")), *library, "-o", str(program)]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)
        subprocess.run(command, check=True)
    return program


def expected(
    program: Path,
    planes: list[np.ndarray],
    qtables: QTables,
    subsampling: str,
    *,
    progressive: bool = False,
    optimize: bool = False,
) -> bytes:
    """Return the file that libjpeg makes of planes that numpy has padded to whole MCUs."""
    height, width = planes[0].shape
    h, v = SUBSAMPLING[subsampling]
    used = list(qtables)[: len(planes)]
    numbers = width, height, len(planes), h, v, progressive, optimize, len(used)
    request = struct.pack("8I", *numbers) + np.array(used, np.uint16).tobytes()
    across, down = -(-width // (8 * h)), -(-height // (8 * v))
    for plane, (high, wide) in zip(planes, [(v, h), (1, 1), (1, 1)], strict=False):
        more = 8 * down * high - plane.shape[0], 8 * across * wide - plane.shape[1]
        request += np.pad(plane, ((0, more[0]), (0, more[1])), "edge").tobytes()
    return subprocess.run([program], input=request, capture_output=True, check=True).stdout


# ---- planes in memory ---------------------------------------------------------


def samples(width: int, height: int, subsampling: str, seed: int = 0) -> list[np.ndarray]:
    """Return Y, Cb and Cr that are noise: no row or column is like another one."""
    h, v = SUBSAMPLING[subsampling]
    noise = np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8)
    return [noise[0], noise[1, ::v, ::h], noise[2, ::v, ::h]]


def guarded(size: int, before: bool) -> np.ndarray:
    """Return bytes that begin or end next to a page that cannot be read."""
    whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, whole + mmap.PAGESIZE), np.uint8)
    guard = memory.ctypes.data + (0 if before else whole)
    assert LIBC.mprotect(ctypes.c_void_p(guard), mmap.PAGESIZE, NO_ACCESS) == 0
    return memory[mmap.PAGESIZE :][:size] if before else memory[whole - size : whole]


@st.composite
def placed(draw: st.DrawFn, array: np.ndarray) -> np.ndarray:
    """Put rows of samples, or of pairs of them, into memory of just their size."""
    step = draw(st.sampled_from([1, 1, 2, 3, 4]))
    rows, columns, pair = (*array.shape, 1)[:3]
    row = (columns * pair - 1) * step + 1
    stride = row + draw(st.sampled_from([0, 0, 1, 5, 64]))
    memory = guarded((rows - 1) * stride + row, draw(st.booleans()))
    if draw(st.booleans()):  # bottom up
        memory, stride = memory[(rows - 1) * stride :], -stride
    strides = (stride, step * pair, step)[: array.ndim]
    view = as_strided(memory, array.shape, strides)
    view[...] = array
    return view


@st.composite
def laid_out(draw: st.DrawFn, planes: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the planes as they are, as NV12, or as NV12 with the pairs in rows."""
    y, *chroma = planes
    layout = draw(st.sampled_from(["planar", "NV12", "NV12 in rows"]))
    if layout != "planar":
        chroma = [np.stack(chroma, axis=-1)]
    if layout == "NV12 in rows":
        chroma = [chroma[0].reshape(len(chroma[0]), -1)]
    return tuple(draw(placed(plane)) for plane in (y, *chroma))


# ---- bit for bit --------------------------------------------------------------


@given(
    st.data(),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(list(SUBSAMPLING)),
    tables(),
    st.booleans(),
    st.booleans(),
)
def test_is_libjpegs_file(
    raw_data, data, width, height, subsampling, qtables, progressive, optimize
):
    """Whatever the strides are, and nothing beyond the planes is read."""
    planes = samples(width, height, subsampling, seed=width)
    options = {"progressive": progressive, "optimize": optimize}
    given_planes = data.draw(laid_out(planes))
    made = pyfd.encode(given_planes, qtables, mode="YCbCr", subsampling=subsampling, **options)
    assert made == expected(raw_data, planes, qtables, subsampling, **options)


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
@pytest.mark.parametrize("size", [(65500, 1), (1, 65500), (640, 480), (641, 479)])
def test_long_and_usual_sides(raw_data, size, subsampling):
    planes = samples(*size, subsampling)
    made = pyfd.encode(tuple(planes), PRESET, mode="YCbCr", subsampling=subsampling)
    assert made == expected(raw_data, planes, QTables.preset(PRESET), subsampling)


@pytest.mark.parametrize(("subsampling", "size"), [("4:4:4", (37, 23)), ("4:2:0", (62, 46))])
def test_is_simplejpegs_file(subsampling, size):
    """It takes whole samples of chroma, and has the accurate DCT from quality 96 on."""
    planes = samples(*size, subsampling)
    theirs = simplejpeg.encode_jpeg_yuv_planes(*map(np.ascontiguousarray, planes), quality=97)
    tables = QTables.annex_k(97)
    assert pyfd.encode(tuple(planes), tables, mode="YCbCr", subsampling=subsampling) == theirs


def test_takes_the_orders_of_other_formats(raw_data):
    """NV21 and YUYV need no copy: they are the same samples in other places."""
    y, cb, cr = samples(46, 31, "4:2:2")
    expected_file = expected(raw_data, [y, cb, cr], QTables.preset(PRESET), "4:2:2")
    crcb = np.stack([cr, cb], axis=-1)
    yuyv = np.empty((31, 46, 2), np.uint8)
    yuyv[:, :, 0], yuyv[:, ::2, 1], yuyv[:, 1::2, 1] = y, cb, cr
    for planes in (
        (y, crcb[:, :, ::-1]),
        (y, crcb[:, :, 1], crcb[:, :, 0]),
        (yuyv[:, :, 0], yuyv[:, ::2, 1], yuyv[:, 1::2, 1]),
    ):
        made = pyfd.encode(planes, PRESET, mode="YCbCr", subsampling="4:2:2")
        assert made == expected_file


def test_options_of_a_file():
    planes = tuple(samples(40, 30, "4:2:0"))
    made = pyfd.encode(
        planes, PRESET, mode="YCbCr", subsampling="4:2:0", comment="made", icc_profile=b"profile"
    )
    header = pyfd.probe(made)
    assert (header.comment, header.icc_profile) == (b"made", b"profile")
    assert (header.color_space, header.subsampling) == ("YCbCr", "4:2:0")
    coarse = QTables.uniform(300)
    with pytest.raises(ValueError, match="baseline"):
        pyfd.encode(planes, coarse, mode="YCbCr", subsampling="4:2:0")
    pyfd.encode(planes, coarse, mode="YCbCr", subsampling="4:2:0", baseline=False)


# ---- copies -------------------------------------------------------------------


def test_copies_only_what_has_no_step():
    y, cb, cr = samples(32, 32, "4:2:0")
    pairs = np.stack([cb, cr], axis=-1)
    padded = np.zeros((32, 40), np.uint8)[:, :32]
    for planes in ((y, pairs), (y[::-1], pairs[::-1]), (padded, cb, cr)):
        for given_plane, used in zip(
            (planes[0], planes[1], planes[-1]), yuv.samples_of(planes, "4:2:0", (2, 2)), strict=True
        ):
            assert np.shares_memory(given_plane, used.array)
    flat = np.broadcast_to(np.uint8(128), (16, 16))  # gray: all samples are one byte
    used = yuv.samples_of((y[:, ::-1], flat, flat), "4:2:0", (2, 2))
    assert [plane.step for plane in used] == [1, 1, 1]
    made = pyfd.encode((y[:, ::-1], flat, flat), PRESET, mode="YCbCr", subsampling="4:2:0")
    whole = (np.ascontiguousarray(y[:, ::-1]), np.full((16, 16), 128, np.uint8))
    again = pyfd.encode((*whole, whole[1]), PRESET, mode="YCbCr", subsampling="4:2:0")
    assert made == again


def test_a_copy_is_made_of_rows_that_overlap(raw_data):
    y, cb, cr = (np.ascontiguousarray(plane) for plane in samples(16, 16, "4:4:4"))
    planes = y.T, as_strided(cb, (16, 16), (1, 1)), as_strided(cr, (16, 16), (0, 1))
    assert [plane.array is planes[0] for plane in yuv.samples_of(planes, "", (1, 1))] == [False] * 3
    made = pyfd.encode(planes, PRESET, mode="YCbCr")
    assert made == expected(raw_data, list(planes), QTables.preset(PRESET), "4:4:4")


# ---- what does not fit --------------------------------------------------------

Y = np.zeros((17, 23), np.uint8)
HALF, PAIRS = np.zeros((9, 12), np.uint8), np.zeros((9, 12, 2), np.uint8)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((Y, HALF[:8], HALF[:8]), r"4:2:0 with Y of \(17, 23\) takes Cb and Cr of \(9, 12\) each"),
        ((Y, HALF, HALF[:, :11]), r"not \(9, 12\) and \(9, 11\)"),
        ((Y, Y, Y), r"not \(17, 23\) and \(17, 23\)"),
        ((Y, PAIRS[:, :11]), r"takes CbCr of \(9, 12, 2\) or \(9, 24\), not \(9, 11, 2\)"),
        ((Y, PAIRS[:, :, :1]), r"not \(9, 12, 1\)"),
        ((Y, HALF), r"not \(9, 12\)"),
        ((Y, PAIRS.reshape(9, 24)[:, :23]), r"not \(9, 23\)"),
        ((Y, PAIRS, PAIRS), r"not \(9, 12, 2\) and \(9, 12, 2\)"),
        ((Y[:, :, None], HALF, HALF), r"Y must be H×W .*, not \(17, 23, 1\)"),
        ((Y[:0], HALF[:0], HALF[:0]), r"Y must be H×W with sides in 1...65500, not \(0, 23\)"),
        ((np.zeros((1, 65501), np.uint8), HALF, HALF), r"not \(1, 65501\)"),
        ((Y,), r"is \(Y, Cb, Cr\) or \(Y, CbCr\), not 1 of them"),
        ((), "not 0 of them"),
        ((Y, HALF, HALF, HALF), "not 4 of them"),
        ((Y.astype(float), HALF, HALF), "planes must be uint8 in 0...255, not float64"),
        ((Y, HALF.astype(np.int8), HALF), "planes must be uint8 in 0...255, not int8"),
        ((Y, HALF, None), "planes must be uint8 in 0...255, not object"),
    ],
)
def test_planes_must_fit(planes, message):
    with pytest.raises(ValueError, match=message):
        pyfd.encode(planes, PRESET, mode="YCbCr", subsampling="4:2:0")


def test_tensors_that_numpy_cannot_read():
    tensor = torch.zeros(8, 8, dtype=torch.uint8)
    for wrong, error, message in (
        (torch.zeros(8, 8, requires_grad=True), ValueError, "not float32 that requires grad"),
        (tensor.to("meta"), ValueError, r"the tensor is on meta.*use .cpu\(\)"),
        (tensor.to_sparse(), TypeError, "no pixels can be read from Tensor"),
    ):
        planes = (tensor, tensor, wrong)
        with pytest.raises(error, match=message):
            pyfd.encode(planes, PRESET, mode="YCbCr")
        (found,) = pyfd.encode_many([planes], PRESET, mode="YCbCr", errors="return")
        assert isinstance(found, error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": None}, 'a tuple is planes, which take mode="YCbCr"'),
        ({"mode": "RGB"}, 'a tuple is planes, which take mode="YCbCr"'),
        ({"layout": "CHW"}, "no layout"),
        ({"radius": 0}, "a radius takes pixels, not planes"),
        ({"radius_files": 1}, "a radius takes pixels, not planes"),
        ({"subsampling": "4:1:1"}, "subsampling must be one of"),
    ],
)
def test_options_must_fit_planes(options, message):
    given_options = {"mode": "YCbCr", "subsampling": "4:2:0", **options}
    with pytest.raises(ValueError, match=message):
        pyfd.encode((Y, PAIRS), PRESET, **given_options)
