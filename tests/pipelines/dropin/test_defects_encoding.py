"""Defects of 2.1.5 that corrupted written files or memory: the drop-in has none of them.

Each test fails without its patch, core/0111 to core/0115. defects.c makes the calls.
"""

from __future__ import annotations

import numpy as np
import pytest

import pyfd
from tests.pipelines.dropin.programs import attempt, call, needs_drop_in

pytestmark = needs_drop_in

MISSING = b"Missing Huffman code table entry\n"
OUT_OF_RANGE = b"DCT coefficient out of range\n"
SIDE = 256


def refused(*command: object) -> bytes:
    """Return the message of libjpeg's error, with which the program has to end."""
    result = attempt(*command)
    assert result.returncode == 1, result.stderr
    return result.stderr


# ---- Huffman tables -----------------------------------------------------------


@pytest.mark.parametrize("first", ["", "optimize", "progressive", "arithmetic", "gray"])
def test_a_compressor_can_be_used_again(programs, first):
    """What was written before does not change a file with default settings."""
    data = call(programs / "defects", "reuse", first)
    assert data == call(programs / "defects", "reuse", "new")
    assert pyfd.decode(data).std() > 10


def test_arithmetic_coding_after_a_progressive_image(programs):
    data = call(programs / "defects", "arithmetic-after-progressive")
    assert b"\xff\xc9" in data


def test_tables_of_another_image_are_used_only_where_they_suffice(programs):
    """An application may keep optimized tables. They lack what did not occur."""
    flat = call(programs / "defects", "keep-tables", 0)
    assert (pyfd.decode(flat) == 128).all()
    assert refused(programs / "defects", "keep-tables", 100) == MISSING


# ---- coefficients ---------------------------------------------------------------


@pytest.mark.parametrize("option", ["", "optimize"])
@pytest.mark.parametrize(
    ("dc", "ac"), [(0, (32767, -32768)), (0, (1024, 0)), (0, (0, -1024)), (-2048, (0, 0))]
)
def test_coefficients_that_no_code_represents_are_refused(programs, option, dc, ac):
    assert refused(programs / "defects", "coefficients", option, dc, *ac) == OUT_OF_RANGE


@pytest.mark.parametrize("option", ["", "optimize", "progressive"])
@pytest.mark.parametrize(("dc", "ac"), [(-2047, (1023, -1023)), (2047, (0, 0)), (0, (0, 1))])
def test_the_largest_coefficients_are_written(programs, option, dc, ac):
    data = call(programs / "defects", "coefficients", option, dc, *ac)
    blocks = pyfd.read_coefficients(data).components[0].reshape(2, 64)
    expected = np.zeros((2, 64), int)
    expected[0, 0], expected[0, 1::2], expected[0, 2::2] = dc, *ac
    assert np.array_equal(blocks, expected)


def test_a_malformed_file_is_not_transcoded_to_garbage(programs, tmp_path):
    """Arithmetic coding can hold coefficients of 16 bits, Huffman coding cannot."""
    path = tmp_path / "arithmetic.jpg"
    path.write_bytes(call(programs / "defects", "coefficients", "arithmetic", 0, 32767, -32768))
    for option in ([], ["-optimize"], ["-progressive"]):
        assert refused(programs / "jpegtran", *option, path).endswith(OUT_OF_RANGE)
    same = call(programs / "jpegtran", "-arithmetic", path)
    assert same == path.read_bytes()


def test_a_restart_interval_fits_its_marker(programs):
    data = call(programs / "defects", "restarts")
    marker = data.index(b"\xff\xdd\x00\x04")
    assert data[marker + 4 : marker + 6] == b"\xff\xff"
    assert pyfd.decode(data).shape == (SIDE, SIDE, 3)


# ---- the buffer of jpeg_mem_dest() -------------------------------------------------


def test_after_an_error_the_buffer_is_the_applications(programs):
    """It frees the pointer that it has: the first, smaller buffer was freed twice."""
    assert call(programs / "defects", "fail-in-memory") == b"1"


def test_a_buffer_that_was_freed_is_not_written_to(programs):
    data = call(programs / "defects", "forget-buffer", MALLOC_PERTURB_="165")
    assert data == call(programs / "defects", "reuse", "new")


# ---- calls at the wrong time --------------------------------------------------------


@pytest.mark.parametrize("order", [("", "merged"), ("quantized", "merged"), ("merged", "")])
def test_a_decompressor_can_be_used_again(programs, order):
    """Skipping lines used the color converter and the quantizer of the previous image."""
    alone = [call(programs / "defects", "read", option) for option in order]
    together = call(programs / "defects", "read", *order, MALLOC_PERTURB_="165")
    assert together == b"".join(alone)


STATE = "Improper call to JPEG library in state "


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("m_byte", STATE + "100"),
        ("copy", STATE + "200"),
        ("destroyed-dest", STATE + "0"),
        ("destroyed-src", STATE + "0"),
        ("destroyed-tables", STATE + "0"),
        ("destroyed-markers", STATE + "0"),
        ("destroyed-processor", STATE + "0"),
        ("components", "Too many color components: 715827883, max 10"),
        ("codes", "Bogus Huffman table definition"),
        ("profile", "Bogus marker length"),
        ("crop", "Image too wide for this implementation"),
        ("crop-raw", "Requested features are incompatible"),
        ("late-pixels", "Invalid color quantization mode change"),
        ("late-colors", "Invalid color quantization mode change"),
    ],
)
def test_misuse_is_an_error(programs, what, message):
    assert refused(programs / "defects", "misuse", what).decode() == message + "\n"


def test_no_more_lines_are_skipped_than_there_are(programs):
    """2^32 - 1 lines after the first one are 2^32, which is 0."""
    assert call(programs / "defects", "misuse", "skip") == str(SIDE - 1).encode()
