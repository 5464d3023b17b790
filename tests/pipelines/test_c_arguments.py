"""pyfd.h's functions check every argument themselves: programs do not go through Python.

arguments.c makes the calls.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyfd
from pyfd import Coefficients, QTables
from pyfd._core._libpyfd import lib
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.dropin.programs import needs_drop_in

pytestmark = needs_drop_in  # and the libraries beside it

SIZE = 3 * 61 * 45
ARGUMENT = f"{lib.PYFD_ARGUMENT}: "


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    built = tmp_path_factory.mktemp("program") / "arguments"
    command = [sys.executable, "-m", "pyfd.config", "--cflags", "--libs", "pyfd-static"]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    source = Path(__file__).with_name("arguments.c")
    command = ["cc", "-Wall", "-Werror", str(source), *shlex.split(words), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    image = picture(61, 45, seed=3)
    cmyk = np.dstack([image, image[..., :1]])
    return {"color": encode_with_pillow(image), "cmyk": encode_with_pillow(cmyk)}


def run(program: Path, data: bytes, *arguments: object) -> tuple[bytes, str]:
    """Return the file that is written, and the code and the message."""
    words = [str(word) for word in arguments]
    done = subprocess.run([program, *words], input=data, check=True, capture_output=True)
    return done.stdout, done.stderr.decode()


FRAME = "no file has this color space and number of components"
SEGMENTS = "segments must be whole APPn and COM segments"
SHAPE = "no image has this shape"
WITHIN = "does not lie within"
SMALL = "a plane is smaller than its rows and columns"
SHORT = "a plane's stride is shorter than its rows"
COLOR = "pixels of 1 channel are gray, and those of 3 are RGB, BGR or YCbCr"

WRONG = [
    # coefficients that no code represents, each in three kinds of files
    *[
        (f"write {value} {kind}=1", message)
        for value, message in {
            "ac=1024": "component 2 has an AC coefficient beyond +-1023",
            "ac=-1024": "component 2 has an AC coefficient beyond +-1023",
            "ac=-32768": "component 2 has an AC coefficient beyond +-1023",
            "dc=1024": "component 0 has a DC coefficient beyond -1024...1023",
            "dc=-1025": "component 0 has a DC coefficient beyond -1024...1023",
            "dc=32767": "component 0 has a DC coefficient beyond -1024...1023",
        }.items()
        for kind in ("optimize", "progressive", "other")
    ],
    # what the frame header says
    ("write header.width=0", "sides must be 1 to 65500"),
    ("write header.height=65501", "sides must be 1 to 65500"),
    ("write header.width=4294967295", "sides must be 1 to 65500"),
    ("write header.components=0", FRAME),
    ("write header.components=1", FRAME),
    ("write header.components=2 header.color=6", FRAME),
    ("write header.components=5", FRAME),
    ("write header.color=0", FRAME),
    ("write header.color=3", FRAME),
    ("write header.color=5", FRAME),
    ("write header.color=99", FRAME),
    ("write header.h=0", "sampling factors must be 1 to 4"),
    ("write header.v=5", "sampling factors must be 1 to 4"),
    ("write count=320", "the coefficients do not fit the image"),
    ("write count=385", "the coefficients do not fit the image"),
    ("write header.width=17", "the coefficients do not fit the image"),
    # steps
    ("write last-step=0", "steps must be 1 to 65535"),
    ("encode step=0", "steps must be 1 to 8191"),
    ("encode step=8192", "steps must be 1 to 8191"),
    ("encode last-step=0 tables=3", "steps must be 1 to 8191"),
    ("yuv step=0", "steps must be 1 to 8191"),
    ("yuv step=8192", "steps must be 1 to 8191"),
    ("snap step=8192", "steps must be 1 to 8191"),
    ("certify step=0", "steps must be 1 to 8191"),
    ("radii step=0", "steps must be 1 to 8191"),
    ("decode step=0", "steps must be 1 to 32767"),
    ("decode step=32768", "steps must be 1 to 32767"),
    ("requantize step=0", "steps must be 1 to 32767"),
    ("requantize step=32768", "steps must be 1 to 32767"),
    ("requantize step=8192 radius=1", "steps must be 1 to 8191"),
    ("requantize tables=5 radius=1", "tables must be 1 to 4"),
    ("requantize radius=257", "a radius is at most 256"),
    ("requantize radius=2", "no image has this radius with these tables"),
    ("requantize radius=1 marker=217", SEGMENTS),
    # numbers of tables
    *[
        (f"{function} tables={number}", f"tables must be {least} to 4")
        for function, least in [("decode", 0)]
        + [(name, 1) for name in ("encode", "yuv", "snap", "certify", "radii", "requantize")]
        for number in (least - 1, -2147483648, 5)
    ],
    # planes
    *[(f"yuv planes={number}", "planes must be 1 or 3") for number in (-1, 0, 2, 4)],
    *[(f"yuv {name}", "a plane is NULL") for name in ("no-planes=1", "y.from=-1", "cr.from=-1")],
    *[
        (f"yuv {argument}", SMALL)
        for argument in (
            "y.size=0",
            "y.size=255",
            "cr.size=255",
            "cr.step=-1",
            "height=17",
            "y.stride=17",
            "cr.stride=-17",
            f"y.stride={2**63 - 1}",
            f"cr.stride={-(2**63)}",
            "width=65500",
            "h=2 v=2 cr.size=119",
        )
    ],
    *[
        (f"yuv {argument}", SHORT)
        for argument in ("y.stride=15", "y.stride=-15", "y.step=2", "cr.stride=0", "width=17")
    ],
    ("yuv y.step=0", "a plane's step must be 1 or more"),
    ("yuv cb.step=0 height=1 width=1", "a plane's step must be 1 or more"),
    *[
        (f"yuv {name}=1", "planes cannot be certified: a radius takes pixels")
        for name in ("radius", "file-radius")
    ],
    *[
        (f"yuv {name}", "sides must be 1 to 65500")
        for name in ("width=0", "height=0", "width=65501", "height=4294967295")
    ],
    *[
        (f"yuv {name}", "sampling factors must be 1 to 4")
        for name in ("h=0", "v=5", "h=-1", "h=2147483647")
    ],
    *[
        (f"yuv {name}", "three planes are YCbCr, and one is gray")
        for name in ("writing.color=2", "writing.color=99", "planes=1 writing.color=1")
    ],
    ("yuv h=4 v=4", "Sampling factors too large for interleaved scan"),
    # images
    *[
        (f"{function} {argument}", SHAPE)
        for function in ("encode", "certify", "radii")
        for argument in ("width=0", "height=65501", "channels=0", "channels=2", "channels=4")
    ],
    ("encode h=0", "Bogus sampling factors"),
    ("encode v=5", "Bogus sampling factors"),
    ("encode h=4 v=4", "Sampling factors too large for interleaved scan"),
    ("certify h=3", "sampling must be 1 or 2"),
    ("encode radius=257", "a radius is at most 256"),
    *[
        (f"encode {argument}", COLOR)
        for argument in [
            *(f"writing.color={color}" for color in (3, 4, 6, 4294967295)),
            *(f"writing.color={color} channels=1" for color in (1, 2, 5, 6)),
        ]
    ],
    # segments
    *[
        (f"{function} {argument}", SEGMENTS)
        for function in ("encode", "yuv", "write", "requantize")
        for argument in ("marker=217", "length=1", "length=3", "length=5", "segments=5")
    ],
    # the output
    ("decode color=4", "Unsupported color conversion request"),
    ("decode color=99", "Unsupported color conversion request"),
    ("decode scale=3", "scale must be 1, 2, 4 or 8"),
    ("decode scale=0", "scale must be 1, 2, 4 or 8"),
    ("decode orientation=9", "orientation must be 0 to 8"),
    ("requantize orientation=4294967295", "orientation must be 0 to 8"),
    ("decode out=8234", "the buffer does not fit the image"),
    # the region
    ("decode left=1", "a region needs a width"),
    ("decode top=1", "a region needs a width"),
    ("decode region.height=45", "a region needs a width"),
    ("decode region.width=5", f"the region (0, 0, 5, 0) {WITHIN} 61x45 pixels"),
    *[
        (
            f"decode left={left} top={top} region.width={width} region.height={height}",
            f"the region ({left}, {top}, {width}, {height}) {WITHIN} 61x45 pixels",
        )
        for left, top, width, height in [
            (57, 0, 5, 5),
            (0, 41, 5, 5),
            (61, 0, 1, 1),
            (0, 45, 1, 1),
            (0, 0, 62, 1),
            (0, 0, 1, 46),
            (4294967295, 0, 5, 5),
            (0, 4294967292, 5, 5),
            (1, 1, 4294967295, 1),
            (1, 1, 1, 4294967295),
        ]
    ],
    (
        "decode scale=2 left=27 region.width=5 region.height=5",
        f"the region (27, 0, 5, 5) {WITHIN} 31x23 pixels",
    ),
    ("decode region.width=5 region.height=5", "the buffer does not fit the image"),
    ("decode region.width=5 region.height=5 out=74", "the buffer does not fit the image"),
    ("snap out=8236", "the buffer does not fit the image"),
    ("certify count=1", "the buffer does not fit"),
    ("radii count=1", "the buffer does not fit"),
    ("why count=0", "why must have a byte or more"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[call for call, _ in WRONG])
def test_wrong_arguments_are_refused(program, files, call, message):
    out, outcome = run(program, files["color"], *_with_size(call))
    assert (out, outcome) == (b"", ARGUMENT + message)


@pytest.mark.parametrize("color", [0, 1, 4, 6])
def test_four_components_have_few_modes(program, files, color):
    """They were decoded to RGB, whatever was asked for."""
    _, outcome = run(program, files["cmyk"], "decode", f"color={color}", f"out={SIZE}")
    assert outcome == ARGUMENT + "four components are decoded to CMYK, RGB or BGR"


def test_four_components_have_no_radius(program, files):
    _, outcome = run(program, files["cmyk"], "requantize", "radius=1")
    assert outcome == ARGUMENT + "four components cannot be certified"


@pytest.mark.parametrize(
    "call",
    [
        "encode", "encode tables=4", "encode channels=1", "encode writing.color=1",
        "encode writing.color=2", "encode writing.color=5 radius=1",
        "encode writing.color=1 radius=1", "encode h=4 v=1", "encode segments=0", "write",
        "write ac=1023 dc=-1024", "write last-step=65535", "write progressive=1 ac=-1023 dc=1023",
        "requantize step=32767", "requantize radius=1", "decode", "decode tables=0", "snap",
        "radii count=4",
        "certify count=12", "why count=1",
        "decode left=56 top=40 region.width=5 region.height=5 out=75", "yuv",
        "yuv planes=1 h=5 cr.from=-1", "yuv h=4 v=1", "yuv h=2 v=2 cr.size=120",
        "yuv y.from=240 y.stride=-16 progressive=1", "yuv segments=0",
        "yuv writing.color=1",
        "yuv height=1 y.stride=0 cr.stride=1", "yuv cr.from=1 cr.step=2 cr.stride=32 h=2 v=2",
    ],
)  # fmt: skip
def test_right_arguments_are_not(program, files, call):
    out, outcome = run(program, files["color"], *_with_size(call))
    assert outcome == "0: "
    if call.split()[0] in ("encode", "yuv", "write", "requantize"):
        assert pyfd.decode(out).ndim == 3


def _with_size(call: str) -> list[str]:
    function, *arguments = call.split()
    return [function, f"out={SIZE}", *arguments]


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((0, 0, 0, 0), 1024, "component 1 has a DC coefficient beyond −1024...1023"),
        ((0, 0, 7, 7), -1024, "component 1 has an AC coefficient beyond ±1023"),
        ((0, 0, 0, 1), -32768, "component 1 has an AC coefficient beyond ±1023"),
    ],
)
def test_python_has_messages_of_its_own(dtype, place, value, message):
    shapes = (2, 2, 8, 8), (1, 1, 8, 8), (1, 1, 8, 8)
    components = [np.zeros(shape, dtype) for shape in shapes]
    components[1][place] = value
    sampling = (2, 2), (1, 1), (1, 1)
    given = Coefficients(components, QTables.uniform(9), sampling, 16, 16, "YCbCr")
    with pytest.raises(ValueError, match="component") as error:
        pyfd.write_coefficients(given)
    assert str(error.value) == message


def test_turned_files(program, files):
    """61 by 45 pixels in 4:2:0: of a rotated file, 45 % 16 columns have to be dropped."""
    out, outcome = run(program, files["color"], "requantize", "orientation=6")
    assert out == b""
    assert outcome.startswith(f"{lib.PYFD_UNSUPPORTED}: the last 13 rows of 45 cannot move")
    out, _ = run(program, files["color"], "requantize", "orientation=6", "trim=1", "segments=0")
    header = pyfd.probe(out)
    assert (header.width, header.height) == (32, 61)
