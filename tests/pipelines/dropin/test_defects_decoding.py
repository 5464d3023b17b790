"""Defects of 2.1.5 in decoding that the drop-in does not have: one section for each patch."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd._core.native import DROP_IN
from tests.jpegs import encode_with_pillow, gray, picture, segment
from tests.pipelines.dropin.programs import (
    attempt,
    call,
    compile_program,
    needs_drop_in,
    pixels,
)

pytestmark = needs_drop_in


@pytest.fixture(scope="module")
def decoding(tmp_path_factory):
    """Return a function that runs decoding.c, linked with the drop-in, on a file."""
    folder = tmp_path_factory.mktemp("decoding")
    compile_program("decoding", folder, DROP_IN)

    def run(mode: str, data: bytes, *words: object, **variables: str):
        (folder / "x.jpg").write_bytes(data)
        program = ["timeout", 60, folder / "decoding"]  # some of it did not end
        return attempt(*program, mode, folder / "x.jpg", *words, **variables)

    return run


def sampled(programs, sampling: str, *options: str, size: tuple[int, int] = (100, 90)) -> bytes:
    """Return a file that cjpeg has made, with sampling factors such as "4x2,1x1,1x1"."""
    buffer = io.BytesIO()
    Image.fromarray(picture(*size)).save(buffer, "PPM")
    return call(programs / "cjpeg", "-sample", sampling, *options, data=buffer.getvalue())


def comment(text: str) -> bytes:
    return segment(0xFE, text.encode())


# ---- 0101: saved markers --------------------------------------------------


def first_and_rest(first: list[str], rest: list[str]) -> tuple[bytes, int]:
    """Return a file with two groups of comments, and the place between the groups."""
    before = b"".join(map(comment, first))
    return gray(before=before + b"".join(map(comment, rest))), 2 + len(before)


def test_markers_are_appended_without_a_walk_through_the_list(decoding):
    """The link from the first marker to the second is invalid meanwhile."""
    data, place = first_and_rest(list("abc"), list("defgh"))
    result = decoding("markers", data, place, "hide")
    assert result.returncode == 0, result
    assert result.stdout.decode().split() == list("abcdefgh")


@pytest.mark.parametrize(
    ("change", "saved"),
    [
        ("nothing", "a b c d e"),
        ("clear", "d e"),
        ("drop first", "b c d e"),
        ("prepend", "new a b c d e"),
        ("append", "a b c new d e"),
        ("replace", "new d e"),
    ],
)
def test_applications_may_change_the_list_of_markers(decoding, change, saved):
    data, place = first_and_rest(list("abc"), list("de"))
    result = decoding("markers", data, place, change)
    assert result.returncode == 0, result
    assert result.stdout.decode().split() == saved.split()


def test_jpegtran_copies_fifty_thousand_markers(programs):
    data = gray(before=comment("") * 50_000)
    copy = call(programs / "jpegtran", "-copy", "all", data=data)
    assert copy.count(comment("")) == 50_000


# ---- 0102: steps of 0 -----------------------------------------------------


def with_steps_of_zero(data: bytes) -> bytes:
    """Return a file whose first table has steps of 0 in its last row."""
    place = data.index(b"\xff\xdb") + 5
    return data[: place + 60] + bytes(4) + data[place + 64 :]


@pytest.mark.parametrize("dct", [0, 1, 2])
def test_compressing_with_steps_of_zero_is_an_error(decoding, dct):
    data = encode_with_pillow(picture(16, 16))
    assert decoding("compress", data, dct).returncode == 0
    result = decoding("compress", with_steps_of_zero(data), dct)
    assert result.returncode == 1
    assert b"Quantization step 0 is not in 1...65535" in result.stderr


def test_files_with_steps_of_zero_are_shown_and_copied(programs):
    """Their coefficients are multiplied by 0, and lost only for those who compress again."""
    data = with_steps_of_zero(encode_with_pillow(picture(16, 16)))
    assert pixels(call(programs / "djpeg", data=data)).shape == (16, 16, 3)
    copy = call(programs / "jpegtran", "-optimize", data=data)
    assert np.array_equal(
        pixels(call(programs / "djpeg", data=copy)), pixels(call(programs / "djpeg", data=data))
    )


# ---- 0103 and 0104: jpeg_crop_scanline() and jpeg_skip_scanlines() --------


def read_rows(decoding, data, scale=8, fancy=0, x=0, width=0, lines=(1,), **variables):
    """Return the first column, the height of the image, and the rows that were read."""
    result = decoding("rows", data, scale, fancy, x, width, *lines, **variables)
    assert result.returncode == 0, result.stderr
    head, _, rest = result.stdout.partition(b"\n")
    x, width, height, components = map(int, head.split())
    return x, height, np.frombuffer(rest, np.uint8).reshape(-1, width, components)


def places(lines: tuple[int, ...], height: int) -> list[int]:
    """Return the rows that are read if numbers of rows are read and skipped in turn."""
    rows: list[int] = []
    numbers = itertools.cycle(lines)
    y = 0
    while y < height:
        n = next(numbers)
        rows += range(y, min(y + n, height))
        y += abs(n)
    return rows


def check(decoding, data, *, scale=8, fancy=0, x=0, width=0, lines=(1,), **variables):
    """Compare what is cropped and skipped with the same part of the whole image.

    With fancy upsampling, the columns at a new edge have lost a neighbor.
    """
    whole = read_rows(decoding, data, scale, fancy, **variables)[2]
    left, height, part = read_rows(decoding, data, scale, fancy, x, width, lines, **variables)
    expected = whole[places(lines, height), left : left + part.shape[1]]
    edge = 2 * fancy if width else 0
    assert part.size
    assert part.shape == expected.shape
    inner = slice(edge, part.shape[1] - edge)
    assert np.array_equal(part[:, inner], expected[:, inner])


@pytest.mark.parametrize("options", [(), ("-progressive",)])
@pytest.mark.parametrize("fancy", [0, 1])
@pytest.mark.parametrize("sampling", ["1x1", "2x1", "2x2", "4x1", "4x2", "2x4", "1x4"])
def test_a_scaled_image_can_be_cropped(programs, decoding, sampling, fancy, options):
    data = sampled(programs, f"{sampling},1x1,1x1", *options)
    for scale in (1, 2, 3, 4, 6, 8, 12, 16):
        width = 100 * scale // 8
        check(decoding, data, scale=scale, fancy=fancy, x=width // 3, width=width // 2)


@pytest.mark.parametrize("subsampling", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_merged_upsampling_is_right_in_narrow_crops(decoding, subsampling, width):
    """The table for Cr was overwritten at low values, which only code without SIMD reads."""
    cyan = np.linspace(0, 1, 128)[:, None, None] * [-128, 127, 127] + 128
    image = np.broadcast_to(cyan.astype(np.uint8), (128, 64, 3))
    data = encode_with_pillow(image, subsampling=subsampling, quality=100)
    for variables in ({}, {"JSIMD_FORCENONE": "1"}):
        check(decoding, data, x=32, width=width, **variables)


def test_cropping_the_colors_of_two_passes_is_an_error(decoding):
    data = encode_with_pillow(picture(80, 60))
    assert len(decoding("palette", data, 0).stdout) == 80 * 60
    result = decoding("palette", data, 32)
    assert result.returncode == 1
    assert result.stderr == b"Requested features are incompatible\n"


SKIPS = [(-5, -1, -3, 1), (29, -2, 32), (1, -2, -28, 3), (-1, 1), (3, -7), (-6, 2, -17, -3, 1)]


@pytest.mark.parametrize("options", [(), ("-progressive",)])
@pytest.mark.parametrize("fancy", [0, 1])
@pytest.mark.parametrize("sampling", ["1x1", "2x1", "1x2", "2x2", "1x4", "4x2"])
def test_skipping_leads_to_the_right_rows(programs, decoding, sampling, fancy, options):
    data = sampled(programs, f"{sampling},1x1,1x1", *options)
    for lines, scale in itertools.product(SKIPS, (3, 8)):
        check(decoding, data, scale=scale, fancy=fancy, lines=lines)


@pytest.mark.parametrize("lines", [(-28, -1, 11, 1, -7, -21, 4, 5), (1, 1, -3, -4)])
def test_skipping_ends_with_context_rows_of_four_lines(programs, decoding, lines):
    """The image is read to its end before the test's time is over."""
    data = sampled(programs, "1x4,1x2,2x2", size=(11, 141))
    for scale in (2, 8, 11):
        check(decoding, data, scale=scale, fancy=1, lines=lines)


@pytest.mark.parametrize(
    ("sampling", "height", "lines"),
    [("1x2", 41, (9, -4)), ("1x4", 62, (8, -4)), ("2x4", 62, (8, -4))],
)
def test_skipping_within_a_strip_leaves_no_rows_below_the_image(
    programs, decoding, sampling, height, lines
):
    data = sampled(programs, f"{sampling},1x1,1x1", size=(40, height))
    check(decoding, data, scale=8, lines=lines)


@pytest.mark.parametrize("options", [(), ("-progressive",)])
def test_skipping_to_the_bottom_leaves_the_file_to_the_next_pass(programs, decoding, options):
    data = sampled(programs, "2x2,1x1,1x1", *options)
    result = decoding("again", data)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout) == 100 * 90 * 3


# ---- 0105: color quantization ---------------------------------------------


def test_colors_of_ycbcr_are_the_nearest_ones(decoding):
    data = encode_with_pillow(picture(50, 40), subsampling=0, quality=95)
    result = decoding("colors", data, 3)
    assert result.returncode == 0, result.stderr
    indices = np.frombuffer(result.stdout, np.uint8).reshape(40, 50)
    # The library looks colors up with 5, 6 and 5 bits
    shifts = np.array([3, 2, 3])
    cells = (pyfd.decode(data, mode="YCbCr") >> shifts << shifts) + (1 << shifts >> 1)
    levels = np.array([40, 128, 215])
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(27, 3)
    distances = ((cells[:, :, None] - colors) ** 2).sum(-1)
    chosen = np.take_along_axis(distances, indices[:, :, None].astype(int), 2)[:, :, 0]
    assert np.array_equal(chosen, distances.min(2))


def test_colors_of_packed_pixels_are_refused(decoding):
    result = decoding("colors", encode_with_pillow(picture(50, 40)), 16)
    assert result.returncode == 1
    assert result.stderr == b"Requested features are incompatible\n"


# ---- 0106: smoothing (tests/codec/test_smoothing.py has the other cases) --


@pytest.mark.parametrize("scale", [1, 4, 8])
def test_unfinished_images_are_smoothed_as_in_newer_libraries(programs, scale):
    data = encode_with_pillow(picture(90, 70), progressive=True, quality=60)
    end = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    unfinished = data[:end] + b"\xff\xd9"
    image = Image.open(io.BytesIO(unfinished))
    image.draft("RGB", (90 * scale // 8, 70 * scale // 8))
    ours = call(programs / "djpeg", "-dct", "int", "-scale", f"{scale}/8", data=unfinished)
    assert np.array_equal(pixels(ours), np.asarray(image))


# ---- 0107: a second frame header ------------------------------------------


def test_a_second_frame_header_changes_nothing(decoding):
    """The source suspends in the middle of the second header."""
    data = encode_with_pillow(picture(40, 30), progressive=True)
    frame = data.index(b"\xff\xc2")
    second = data[frame : frame + 5] + (999).to_bytes(2, "big") + data[frame + 7 : frame + 19]
    place = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    data = data[:place] + second + data[place:]
    result = decoding("header", data, place + 9)
    assert result.returncode == 1
    assert b"two SOF markers" in result.stderr
