"""The limits that the drop-in takes from variables, and that `pyfd exec` sets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import pyfd
from pyfd import Limits
from pyfd._core.native import DROP_IN, FOLDER
from tests import attacks
from tests.jpegs import encode_with_pillow, picture, segment
from tests.pipelines.dropin.programs import ROOT, attempt, call, needs_drop_in, pixels, tables_file

pytestmark = needs_drop_in

PIXELS, SCANS, VISITS, MEMORY, NO_ARITHMETIC = VARIABLES = (
    "PYFD_MAX_PIXELS",
    "PYFD_MAX_SCANS",
    "PYFD_MAX_VISITS",
    "PYFD_MAX_MEMORY",
    "PYFD_NO_ARITHMETIC",
)
MOST = str(2**64 - 1)
# Ways to read a file: programs of the fixture, and their options
READERS = {
    "djpeg": ("djpeg",),
    "rows": ("dropin", "rows"),
    "buffered": ("dropin", "buffered"),
    "coefficients": ("dropin", "coefficients"),
    "jpegtran": ("jpegtran", "-copy", "all"),
}


@pytest.fixture
def progressive(tmp_path):
    path = tmp_path / "progressive.jpg"
    path.write_bytes(encode_with_pillow(picture(83, 61), progressive=True, subsampling=0))
    return path


def scans(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield each scan's number of components, the ends of its band, and its refined bit."""
    place = data.find(b"\xff\xda")
    while place >= 0:
        count = data[place + 4]
        start, end, approximation = data[place + 5 + 2 * count : place + 8 + 2 * count]
        yield count, start, end, approximation >> 4
        place = data.find(b"\xff\xda", place + 2)


def work(data: bytes, blocks: int) -> int:
    """Return how often the scans of a progressive file visit a component's blocks."""
    visits = 0
    for count, start, end, high in scans(data):
        visits += blocks * count
        visits += blocks * (end - start) // 8 if high else 0
    return visits


def refused(result: subprocess.CompletedProcess[bytes], text: str) -> None:
    assert result.returncode != 0
    assert f"A limit is exceeded: {text}\n" in result.stderr.decode()


# ---- each limit, at its edge -------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_pixels(programs, photo, progressive, reader):
    name, *options = READERS[reader]
    for path in (photo, progressive):
        plain = call(programs / name, *options, path)
        assert call(programs / name, *options, path, **{PIXELS: "5063"}) == plain
        result = attempt(programs / name, *options, path, **{PIXELS: "5062"})
        refused(result, "5063 pixels, but PYFD_MAX_PIXELS is 5062")


@pytest.mark.parametrize("reader", READERS)
def test_scans(programs, progressive, reader):
    name, *options = READERS[reader]
    plain = call(programs / name, *options, progressive)
    most = len(list(scans(progressive.read_bytes())))
    assert most == 10
    assert call(programs / name, *options, progressive, **{SCANS: str(most)}) == plain
    for fewer in (0, 1, most - 1):
        result = attempt(programs / name, *options, progressive, **{SCANS: str(fewer)})
        refused(result, f"{fewer + 1} scans, but PYFD_MAX_SCANS is {fewer}")


@pytest.mark.parametrize("reader", READERS)
def test_work(programs, progressive, reader):
    name, *options = READERS[reader]
    plain = call(programs / name, *options, progressive)
    needed = work(progressive.read_bytes(), 11 * 8)
    assert call(programs / name, *options, progressive, **{VISITS: str(needed)}) == plain
    result = attempt(programs / name, *options, progressive, **{VISITS: str(needed - 1)})
    refused(result, f"{needed} block visits, but PYFD_MAX_VISITS is {needed - 1}")


def test_the_work_of_sequential_scans(programs, photo):
    """Their blocks take longer: each counts three times."""
    most = 3 * 11 * 8 * 3
    assert attempt(programs / "djpeg", photo, **{VISITS: str(most)}).returncode == 0
    result = attempt(programs / "djpeg", photo, **{VISITS: str(most - 1)})
    refused(result, f"{most} block visits, but PYFD_MAX_VISITS is {most - 1}")


def test_work_starts_again_with_each_image_of_an_object(programs, photo, progressive):
    for path, needed in (
        (photo, 3 * 11 * 8 * 3),
        (progressive, work(progressive.read_bytes(), 88)),
    ):
        plain = call(programs / "dropin", "twice", path)
        assert call(programs / "dropin", "twice", path, **{VISITS: str(needed)}) == plain


@pytest.mark.parametrize("reader", READERS)
def test_memory_of_coefficients(programs, tmp_path, reader):
    """Those of a progressive file are in memory all at once."""
    name, *options = READERS[reader]
    path = tmp_path / "large.jpg"
    path.write_bytes(encode_with_pillow(picture(640, 480), progressive=True, subsampling=0))
    coefficients = 640 * 480 * 3 * 2
    plain = call(programs / name, *options, path)
    assert call(programs / name, *options, path, **{MEMORY: str(2 * coefficients)}) == plain
    result = attempt(programs / name, *options, path, **{MEMORY: str(coefficients)})
    assert result.returncode != 0
    assert f" bytes of memory, but PYFD_MAX_MEMORY is {coefficients}\n" in result.stderr.decode()


def test_memory_of_a_baseline_file_is_that_of_a_few_rows(programs, tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encode_with_pillow(picture(640, 480), subsampling=0))
    call(programs / "djpeg", path, **{MEMORY: "300000"})


def test_memory_of_markers(programs, photo, tmp_path):
    """jpegtran keeps them all."""
    data = photo.read_bytes()
    path = tmp_path / "markers.jpg"
    path.write_bytes(data[:2] + segment(0xE5, bytes(65000)) * 20 + data[2:])
    call(programs / "djpeg", path, **{MEMORY: "1000000"})
    call(programs / "jpegtran", "-copy", "all", path, **{MEMORY: "3000000"})
    result = attempt(programs / "jpegtran", "-copy", "all", path, **{MEMORY: "1000000"})
    assert b"but PYFD_MAX_MEMORY is 1000000" in result.stderr


def test_no_memory_at_all_is_an_error_for_each_image(programs, photo):
    """The object itself is created: not all programs are prepared for an error there."""
    for reader in READERS.values():
        result = attempt(programs / reader[0], *reader[1:], photo, **{MEMORY: "0"})
        assert result.returncode == 1
        assert b"but PYFD_MAX_MEMORY is 0" in result.stderr


@pytest.mark.parametrize("reader", READERS)
def test_arithmetic_coding(programs, photo, tmp_path, reader):
    name, *options = READERS[reader]
    path = tmp_path / "arithmetic.jpg"
    for kind in ([], ["-progressive"]):
        path.write_bytes(call(programs / "jpegtran", "-arithmetic", *kind, photo))
        plain = call(programs / name, *options, path)
        assert call(programs / name, *options, path, **{NO_ARITHMETIC: "0"}) == plain
        result = attempt(programs / name, *options, path, **{NO_ARITHMETIC: "1"})
        refused(result, "arithmetic coding, but PYFD_NO_ARITHMETIC is 1")
    call(programs / name, *options, photo, **{NO_ARITHMETIC: "1"})


# ---- what limits leave alone ------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_within_the_limits_nothing_changes(programs, photo, progressive, reader):
    name, *options = READERS[reader]
    for path in (photo, progressive):
        plain = call(programs / name, *options, path)
        for value in (MOST, "10000000", "0010000000"):
            variables = {variable: value for variable in VARIABLES if variable != NO_ARITHMETIC}
            assert call(programs / name, *options, path, **variables) == plain


def test_limits_hold_for_defended_pixels_too(programs, progressive, tmp_path):
    tables = {"PYFD_DECODE_QTABLES": tables_file(tmp_path)}
    out = call(programs / "djpeg", progressive, **tables, **{SCANS: "10"})
    assert np.array_equal(pixels(out), pyfd.decode(progressive, "fd-cvpr2019"))
    refused(
        attempt(programs / "djpeg", progressive, **tables, **{SCANS: "9"}),
        "10 scans, but PYFD_MAX_SCANS is 9",
    )


def test_encoders_have_no_limits(programs):
    """What they write is not a stranger's."""
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    strict = {PIXELS: "1", SCANS: "1", VISITS: "1", MEMORY: "0", NO_ARITHMETIC: "1"}
    for options in ([], ["-progressive"], ["-optimize"], ["-arithmetic"]):
        plain = call(programs / "cjpeg", *options, data=ppm)
        assert call(programs / "cjpeg", *options, data=ppm, **strict) == plain


STRICT_PYFD = """
import sys, pyfd
pyfd.decode(sys.argv[1])
pyfd.requantize(sys.argv[1], "fd-2018")
"""


def test_pyfds_own_functions_do_not_read_the_variables(progressive):
    """They have `pyfd.Limits`."""
    for value in ("1", "nonsense"):
        environment = {**os.environ, **dict.fromkeys(VARIABLES, value)}
        command = [sys.executable, "-c", STRICT_PYFD, str(progressive)]
        subprocess.run(command, env=environment, check=True, cwd=ROOT)
    libraries = [path for path in FOLDER.glob("lib/*") if path.is_file()]
    libraries += (ROOT / "pyfd" / "_core").glob("*.so")
    readers = {path.name for path in libraries if PIXELS.encode() in path.read_bytes()}
    assert readers == {DROP_IN.name}


# ---- bad values -------------------------------------------------------------------


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("value", ["", "x", "-1", "+1", " 1", "1 ", "1e6", "0x10", "1_0", "2" * 20])
def test_a_bad_value_is_an_error_and_no_image(programs, photo, variable, value):
    result = attempt(programs / "djpeg", photo, **{variable: value})
    assert (result.returncode, result.stdout) == (1, b"")
    most = "1" if variable == NO_ARITHMETIC else MOST
    assert result.stderr.decode() == (
        f"pyfd's libjpeg: {variable} is '{value}', which is not in 0...{most}\n"
        f"The value of {variable} is bad\n"
    )


def test_the_largest_values(programs, photo):
    assert attempt(programs / "djpeg", photo, **{PIXELS: MOST}).returncode == 0
    assert attempt(programs / "djpeg", photo, **{PIXELS: str(2**64)}).returncode == 1
    assert attempt(programs / "djpeg", photo, **{NO_ARITHMETIC: "2"}).returncode == 1


def test_a_bad_value_is_said_once_and_fails_in_every_thread(programs, photo):
    result = attempt(programs / "dropin", "threads", photo, **{SCANS: "many"})
    assert result.returncode == 1
    assert result.stderr.count(b"PYFD_MAX_SCANS is 'many'") == 1


# ---- pyfd exec ----------------------------------------------------------------------


def pyfd_exec(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", *map(str, words)]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, capture_output=True, check=False, cwd=ROOT, env=environment, text=True
    )


def limits_of(*words: object, **variables: str) -> dict[str, str]:
    """Return the limits that a program gets."""
    show = "for name in ('PYFD_MAX_PIXELS', 'PYFD_MAX_SCANS', 'PYFD_MAX_VISITS', 'PYFD_MAX_MEMORY',"
    show += " 'PYFD_NO_ARITHMETIC'): print(name, os.environ[name])"
    result = pyfd_exec(*words, "--", sys.executable, "-c", f"import os\n{show}", **variables)
    assert result.returncode == 0, result.stderr
    return dict(line.split() for line in result.stdout.splitlines())


DEFAULTS = {
    PIXELS: str(Limits.max_pixels),
    SCANS: str(Limits.max_scans),
    VISITS: str(1 << 26),
    MEMORY: str(Limits.max_memory),
    NO_ARITHMETIC: "1",
}
NONE = {**dict.fromkeys(VARIABLES, MOST), NO_ARITHMETIC: "0"}


@pytest.mark.parametrize(
    ("words", "environment", "differs"),
    [
        ([], {}, {}),
        (["--max-pixels", "5"], {}, {PIXELS: "5"}),
        (["--max-scans", "5", "--max-visits", "6"], {}, {SCANS: "5", VISITS: "6"}),
        (["--max-memory", "5", "--arithmetic"], {}, {MEMORY: "5", NO_ARITHMETIC: "0"}),
        ([], {PIXELS: "7", VISITS: "8"}, {PIXELS: "7", VISITS: "8"}),
        ([], {NO_ARITHMETIC: "0"}, {NO_ARITHMETIC: "0"}),
        ([], {**dict.fromkeys(VARIABLES, ""), NO_ARITHMETIC: ""}, {}),
        (["--arithmetic"], {NO_ARITHMETIC: "2"}, {NO_ARITHMETIC: "0"}),
        (
            ["--max-pixels", "5", "--max-visits", "6"],
            {PIXELS: "7", VISITS: "8"},
            {PIXELS: "5", VISITS: "6"},
        ),
        (["--no-limits"], {}, NONE),
        (["--no-limits"], {**dict.fromkeys(VARIABLES, "1")}, NONE),
        (["--no-limits", "--max-scans", "5"], {SCANS: "7"}, {**NONE, SCANS: "5"}),
        (["--no-limits", "--max-visits", "5"], {VISITS: "7"}, {**NONE, VISITS: "5"}),
    ],
)
def test_options_override_the_environment_and_that_the_defaults(words, environment, differs):
    assert limits_of(*words, **environment) == {**DEFAULTS, **differs}


def test_bad_values_are_refused_before_the_program_runs(tmp_path):
    touch = ("--", "touch", tmp_path / "ran")
    for words, variables in (
        (["--max-pixels", "-1"], {}),
        (["--max-visits", "-1"], {}),
        ([], {PIXELS: "many"}),
        ([], {VISITS: "many"}),
        (["--max-visits", 2**64], {}),
        ([], {VISITS: str(2**64)}),
        ([], {NO_ARITHMETIC: "2"}),
        ([], {NO_ARITHMETIC: "yes"}),
    ):
        result = pyfd_exec(*words, *touch, **variables)
        assert result.returncode == 2
        assert re.search("max[-_]|NO_ARITHMETIC", result.stderr)
        assert not (tmp_path / "ran").exists()


BOMBS = {
    "2,000 empty scans": lambda: attacks.eob_runs(8192, 2000),
    "2,000 scans without data": lambda: attacks.scans_without_data(8192, 2000),
    "100 refinements": lambda: attacks.refinements(8192, 100),
    "three components": lambda: attacks.color_refinements(8192),
    "a baseline component again and again": lambda: attacks.repeated_baseline_scans(8192, 100),
}
SHOW = "import sys, PIL.Image as i; i.MAX_IMAGE_PIXELS = None; i.open(sys.argv[1]).load()"


@pytest.mark.parametrize("name", BOMBS)
def test_scan_bombs_are_refused_under_the_defaults(programs, tmp_path, name):
    path = tmp_path / "bomb.jpg"
    path.write_bytes(BOMBS[name]())
    result = pyfd_exec("--", programs / "djpeg", path)
    assert result.returncode == 1
    assert "but PYFD_MAX_VISITS is 67108864" in result.stderr.splitlines()[-2]


def test_a_program_that_drops_the_message_of_a_refusal(tmp_path):
    """Pillow drops libjpeg's, so pyfd tells it."""
    path = tmp_path / "bomb.jpg"
    path.write_bytes(BOMBS["2,000 scans without data"]())
    result = pyfd_exec("--", sys.executable, "-c", SHOW, path)
    assert result.returncode == 1
    assert "OSError: broken data stream" in result.stderr
    assert "has refused a file: " in result.stderr.splitlines()[-1]
    assert "but PYFD_MAX_VISITS is 67108864" in result.stderr.splitlines()[-1]


def test_a_kilobyte_of_arithmetic_coding_is_refused_under_the_defaults(programs, tmp_path):
    (tmp_path / "x.jpg").write_bytes(attacks.arithmetic(0xCA))
    result = pyfd_exec("--", programs / "djpeg", tmp_path / "x.jpg")
    assert result.returncode == 1
    assert "arithmetic coding" in result.stderr


def test_the_largest_progressive_file_is_within_the_defaults(progressive):
    """With the scans of cjpeg and Pillow, without subsampling, at the limit of pixels."""
    assert 40e6 < work(progressive.read_bytes(), Limits.max_pixels // 64) < 1 << 26
