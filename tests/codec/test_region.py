"""A region's pixels are those of the whole image, and little more than it is decoded."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import CorruptJPEGError, JPEGWarning, LimitExceededError, Limits, QTables
from pyfd._core.decoding import COMMON_MODES
from tests.attacks import ATTACKS
from tests.codec.test_smoothing import unfinished
from tests.damages import DAMAGES, files
from tests.jpegs import as_ycck, encode_with_pillow, picture, real_jpegs, tables

ROOT = Path(__file__).parents[2]
T = QTables.uniform(20)
Region = tuple[int, int, int, int]


def cut(pixels: np.ndarray, region: Region) -> np.ndarray:
    left, top, width, height = region
    return pixels[top : top + height, left : left + width]


def regions(width: int, height: int) -> list[Region]:
    """Return single pixels, rows and columns at all edges, and parts within."""
    found = [
        (x, y, w, h)
        for w in {1, width, width - width // 3}
        for h in {1, height, height - height // 3}
        for x in {0, (width - w) // 2, width - w}
        for y in {0, (height - h) // 2, height - h}
    ]
    around = [(x, y) for x in (7, 8, 15, 16, 17, 31, 32) for y in (7, 8, 15, 16, 17)]
    return found + [(x, y, 1, 2) for x, y in around if x < width and y + 1 < height]


def check(data: bytes, region_list: list[Region] | None = None, **options: object) -> None:
    """Compare regions with the same part of the whole image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JPEGWarning)
        whole = pyfd.decode(data, **options)
        for region in region_list or regions(*whole.shape[1::-1]):
            found = pyfd.decode(data, region=region, **options)
            assert np.array_equal(found, cut(whole, region)), (region, options)


@st.composite
def part_of(draw: st.DrawFn, width: int, height: int) -> Region:
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return left, top, draw(st.integers(1, width - left)), draw(st.integers(1, height - top))


# ---- files of all kinds ----------------------------------------------------------


@given(real_jpegs(), st.sampled_from([1, 2, 4, 8]), st.none() | tables(), st.data())
def test_a_region_is_a_part_of_the_whole(data, scale, qtables, draw):
    space = pyfd.probe(data).color_space
    mode = None
    if space in ("L", "YCbCr", "RGB"):
        mode = draw.draw(st.sampled_from([None, *COMMON_MODES]))
    elif draw.draw(st.booleans()):
        mode = "BGR"
    options = {"qtables": qtables, "mode": mode, "scale": scale}
    whole = pyfd.decode(data, **options)
    for _ in range(4):
        region = draw.draw(part_of(*whole.shape[1::-1]))
        assert np.array_equal(pyfd.decode(data, region=region, **options), cut(whole, region))


@given(real_jpegs("L YCbCr"), st.data())
def test_a_region_is_pillows_crop(data, draw):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    left, top, width, height = region = draw.draw(part_of(*image.size))
    expected = np.asarray(image.crop((left, top, left + width, top + height)))
    assert np.array_equal(pyfd.decode(data, region=region), expected)


def with_sampling(
    sampling: tuple[tuple[int, int], ...], space: str, size: tuple[int, int], progressive: bool
) -> bytes:
    """Return a file with any sampling factors, of random coefficients."""
    rng = np.random.default_rng(size)
    widest, highest = (max(factors) for factors in zip(*sampling, strict=True))
    components = []
    for h, v in sampling:
        shape = [
            -(-length // 8) for length in (-(-size[1] * v // highest), -(-size[0] * h // widest))
        ]
        blocks = np.zeros((*shape, 8, 8), np.int16)
        blocks[..., :3, :3] = rng.integers(-9, 10, (*shape, 3, 3))
        blocks[..., 0, 0] = rng.integers(-60, 61, shape)
        components.append(blocks)
    made = pyfd.Coefficients(tuple(components), QTables.uniform(9), sampling, *size, space)
    return pyfd.write_coefficients(made, progressive=progressive)


SAMPLINGS = [
    (((4, 1), (1, 1), (1, 1)), "YCbCr"),  # 4:1:1
    (((1, 2), (1, 1), (1, 1)), "YCbCr"),  # 4:4:0, which takes context rows
    (((1, 4), (1, 1), (1, 1)), "YCbCr"),
    (((3, 1), (1, 1), (1, 1)), "YCbCr"),
    (((1, 3), (1, 1), (1, 1)), "YCbCr"),
    (((2, 2), (2, 1), (1, 2)), "YCbCr"),
    (((1, 1), (2, 2), (2, 2)), "YCbCr"),  # luma is subsampled
    (((4, 2), (4, 4), (2, 4)), "YCbCr"),  # more than 10 blocks in an MCU: three scans
    (((4, 4), (2, 2), (1, 1)), "RGB"),
    (((2, 2), (1, 1), (1, 1), (2, 2)), "CMYK"),
    (((2, 1), (1, 1), (1, 1), (2, 1)), "YCCK"),
    (((2, 2),), "L"),
    (((1, 4),), "L"),
]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("sampling", "space"), SAMPLINGS)
def test_samplings(sampling, space, progressive):
    data = with_sampling(sampling, space, (75, 53), progressive)
    for scale in (1, 2, 4, 8):
        check(data, scale=scale)
    check(data, qtables=T)
    check(data, mode=None)


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_without_simd(variable):
    code = """
        from tests.codec.test_region import *
        for subsampling in (0, 1, 2):
            for options in ({}, {"progressive": True}, {"restart_marker_blocks": 3}):
                check(encode_with_pillow(picture(67, 51), subsampling=subsampling, **options))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(command, env={**os.environ, variable: "1"}, cwd=ROOT, check=True)


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]),
    st.integers(1, 5),
    st.sampled_from([0, 0.3, 0.8]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, T]),
)
@example((90, 70), "4:2:0", 1, 0, 1, None)
@example((90, 70), "4:4:4", 1, 0, 1, None)
def test_unfinished_progressive_files(size, subsampling, scans, part, scale, qtables):
    """Smoothing depends on two blocks beyond those that a region shows."""
    image = picture(*size, seed=3)
    data = pyfd.encode(image, QTables.annex_k(60), subsampling=subsampling, progressive=True)
    check(unfinished(data, scans, part), scale=scale, qtables=qtables, strict=False)


def test_every_column_of_a_smoothed_file():
    """A margin of two iMCUs is wrong in few places."""
    data = pyfd.encode(
        np.random.default_rng(0).integers(0, 256, (40, 160, 3), np.uint8),
        QTables.uniform(4),
        subsampling="4:2:0",
        progressive=True,
    )
    check(unfinished(data, 1, 0), [(x, 0, 1, 40) for x in range(160)], strict=False)


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d.lenient in ("whole", "part", "same")])
def test_damaged_files(damage):
    """A lenient call decodes everything above a region: its pixels are those of the whole."""
    for file in files():
        for _, data in list(damage.make(file))[::3]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", JPEGWarning)
                    height, width = pyfd.decode(data, strict=False).shape[:2]
            except ValueError:  # some damages are fatal in some files
                continue
            some = [(width // 3, height // 2, 1, 1), (width // 4, height // 3, width // 2, 3)]
            some += [(0, height - 1, width, 1), (0, 0, 1, height)]
            check(data, [r for r in some if r[1] + r[3] <= height], strict=False)


# ---- restart intervals -----------------------------------------------------------


@given(
    st.integers(1, 40),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.integers(0, 2),
    st.sampled_from([1, 3, 4]),
    st.data(),
)
def test_restart_intervals_of_any_length(interval, size, subsampling, channels, draw):
    image = picture(*size, channels=channels)
    data = encode_with_pillow(
        image, subsampling=subsampling, restart_marker_blocks=interval, quality=90
    )
    data = as_ycck(data) if channels == 4 and draw.draw(st.booleans()) else data
    scale = draw.draw(st.sampled_from([1, 2, 4, 8]))
    width, height = (-(-length // scale) for length in size)
    drawn = [draw.draw(part_of(width, height)) for _ in range(5)]
    for strict in (True, False):
        check(data, drawn, scale=scale, qtables=T, strict=strict, mode=None)


@pytest.mark.system
@given(st.sampled_from(SAMPLINGS), st.integers(1, 20), st.sampled_from([1, 2, 4, 8]))
def test_restart_intervals_with_any_sampling(sampling, interval, scale):
    program = shutil.which("jpegtran")
    assert program, "make system-test installs it"
    command = [program, "-restart", f"{interval}B"]
    data = with_sampling(*sampling, (75, 53), False)
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode == 0:  # it refuses some of the samplings
        check(done.stdout, scale=scale, mode=None)


def markers(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]


RESTARTS = encode_with_pillow(picture(64, 160), subsampling=2, restart_marker_rows=1)
BELOW = (3, 100, 20, 20)


def spoiled(data: bytes, place: int) -> bytes:
    """Return a file with bits that are no code, or too few, before a place."""
    return data[: place - 8] + b"\xfe" * 8 + data[place:]


def test_strict_passes_over_intervals_above_a_region():
    """What is in them does not matter, for better or worse."""
    data = spoiled(RESTARTS, markers(RESTARTS)[2])
    with pytest.raises(CorruptJPEGError):
        pyfd.decode(data)
    expected = cut(pyfd.decode(RESTARTS), BELOW)
    assert np.array_equal(pyfd.decode(data, region=BELOW), expected)


def test_lenient_passes_over_nothing():
    data = spoiled(RESTARTS, markers(RESTARTS)[2])
    with pytest.warns(JPEGWarning):
        pyfd.decode(data, region=BELOW, strict=False)
    check(data, strict=False)


@pytest.mark.parametrize("change", [1, 3, 7])
def test_strict_needs_the_markers_in_order(change):
    place = markers(RESTARTS)[2] + 1
    number = 0xD0 + (RESTARTS[place] - 0xD0 + change) % 8
    data = RESTARTS[:place] + bytes([number]) + RESTARTS[place + 1 :]
    with pytest.raises(CorruptJPEGError, match=r"found marker 0xd\d instead of RST2"):
        pyfd.decode(data, region=BELOW)
    check(data, strict=False)


def test_strict_needs_every_marker():
    place = markers(RESTARTS)[2]
    data = RESTARTS[:place] + RESTARTS[place + 2 :]
    with pytest.raises(CorruptJPEGError):
        pyfd.decode(data, region=BELOW)


def test_the_first_interval_that_matters_is_read():
    """4:2:0 takes a row of chroma above the region: that of its interval counts."""
    ends = markers(RESTARTS)
    top = 16 * 5
    for damaged, region in ((4, (0, top, 64, 1)), (5, (0, top + 1, 64, 1))):
        with pytest.raises(CorruptJPEGError):
            pyfd.decode(spoiled(RESTARTS, ends[damaged]), region=region)
    pyfd.decode(spoiled(RESTARTS, ends[3]), region=(0, top, 64, 1))
    pyfd.decode(spoiled(RESTARTS, ends[4]), region=(0, top + 1, 64, 1))


# ---- what is not read -------------------------------------------------------------


def test_strict_does_not_read_below_a_region():
    """The walk over the markers still sees the whole file."""
    data = encode_with_pillow(picture(64, 160), subsampling=0)
    damaged = spoiled(data, len(data) - 2)
    top = (0, 0, 64, 16)
    with pytest.raises(CorruptJPEGError):
        pyfd.decode(damaged)
    assert np.array_equal(pyfd.decode(damaged, region=top), cut(pyfd.decode(data), top))
    for broken in (data[:-2], data[: len(data) // 2], damaged[:-2] + b"\xff\x02" + damaged[-2:]):
        with pytest.raises(CorruptJPEGError):
            pyfd.decode(broken, region=top)


def test_strict_reads_a_file_to_its_end_with_its_last_row():
    data = encode_with_pillow(picture(64, 160), subsampling=0)
    data = data[:-2] + bytes(20) + data[-2:]
    pyfd.decode(data, region=(0, 0, 64, 100))
    with pytest.raises(CorruptJPEGError, match="extraneous"):
        pyfd.decode(data, region=(0, 159, 1, 1))


def test_strict_reads_all_scans_of_a_progressive_file():
    data = encode_with_pillow(picture(64, 160), progressive=True)
    with pytest.raises(CorruptJPEGError):
        pyfd.decode(spoiled(data, len(data) - 2), region=(0, 0, 1, 1))


# ---- limits and memory ------------------------------------------------------------


def test_memory_is_charged_for_the_region():
    data = encode_with_pillow(picture(400, 300), progressive=True)
    blocks = sum(c.size for c in pyfd.read_coefficients(data).components) * 2
    with pytest.raises(LimitExceededError) as caught:
        pyfd.decode(data, region=(5, 6, 7, 8), limits=Limits(max_memory=blocks))
    least = caught.value.needed
    assert least < blocks + blocks // 50 + len(data) + 7 * 8 * 3 + 1
    pyfd.decode(data, region=(5, 6, 7, 8), limits=Limits(max_memory=least))
    with pytest.raises(LimitExceededError, match="max_memory"):
        pyfd.decode(data, limits=Limits(max_memory=least))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attacks_meet_the_same_limits(attack):
    """Only damage in what is not read goes unnoticed."""
    raised, message = None, attack.says
    try:
        pyfd.decode(attack.make(), region=(0, 0, 1, 1))
    except pyfd.JPEGError as error:
        raised, message = type(error), str(error)
    unnoticed = raised is None and attack.error is CorruptJPEGError
    assert raised is attack.error or unnoticed
    assert attack.says in message


def test_max_pixels_is_about_the_file():
    data = encode_with_pillow(picture(40, 30))
    with pytest.raises(LimitExceededError, match="max_pixels"):
        pyfd.decode(data, region=(0, 0, 1, 1), limits=Limits(max_pixels=1199))


def test_a_small_region_of_a_large_file_takes_little_memory():
    """The image's pixels would take 137 MiB."""
    code = """
        import numpy as np, pyfd
        from benchmarks.memory import growth
        data = pyfd.encode(np.zeros((6000, 8000, 3), np.uint8), "fd-2018")
        pyfd.decode(data, region=(0, 0, 8, 8))
        print(growth(lambda: pyfd.decode(data, region=(4000, 3000, 100, 100)))[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 8


# ---- arguments --------------------------------------------------------------------


def test_out_receives_a_region():
    data = encode_with_pillow(picture(40, 30))
    out = np.full((8, 7, 3), 99, np.uint8)
    assert pyfd.decode(data, T, region=(5, 6, 7, 8), out=out) is out
    assert np.array_equal(out, pyfd.decode(data, T)[6:14, 5:12])
    with pytest.raises(ValueError, match=r"out must have the shape \(8, 7, 3\)"):
        pyfd.decode(data, T, region=(5, 6, 7, 8), out=np.empty((30, 40, 3), np.uint8))


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 21, 1),
        (0, 0, 1, 16),
        (20, 0, 1, 1),
        (0, 15, 1, 1),
        (2**32, 0, 1, 1),
        (0, 0, 2**32, 1),
    ],
)
def test_a_region_must_lie_within_the_scaled_image(region):
    data = encode_with_pillow(picture(40, 30))
    with pytest.raises(ValueError, match=r"inside the image, which is 20 pixels wide and 15 high"):
        pyfd.decode(data, scale=2, region=region)
    assert pyfd.decode(data, scale=2, region=(19, 14, 1, 1)).shape == (1, 1, 3)
