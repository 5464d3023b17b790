"""The log of refused files: one record for each, with attributes, and nothing of an attacker's."""

import io
import logging
import os
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageFile

import pyfd
import pyfd.opencv
import pyfd.pillow
from pyfd import Limits
from pyfd._core.refusals import log_refusal
from tests.attacks import ATTACKS
from tests.jpegs import encode_with_pillow, gray, picture
from tests.pipelines.pillow.files import frames_of, several

PRESET = "fd-cvpr2019"
PHOTO = encode_with_pillow(picture(60, 40))
PRINTABLE = set(string.printable) - set("\t\n\r\x0b\x0c")


@pytest.fixture(autouse=True)
def pillows_own():
    yield
    pyfd.pillow.unregister()


def with_pillow(data: bytes, **options: object) -> None:
    with pyfd.pillow.defended(PRESET, **options):
        image = Image.open(io.BytesIO(data))
    image.load()


def with_opencv(data: bytes, **options: object) -> None:
    if pyfd.opencv.imdecode(data, 1, PRESET, **options) is None:
        raise OSError("None")


ENTRY_POINTS = pytest.mark.parametrize("read", [with_pillow, with_opencv])
NAMED = {attack.name: attack.make for attack in ATTACKS}
REFUSED = [
    (PHOTO[: len(PHOTO) // 2], {}, "CorruptJPEGError", None),
    (PHOTO[:40], {}, "CorruptJPEGError", None),
    (NAMED["two SOF"](), {}, "CorruptJPEGError", None),
    (NAMED["arithmetic SOF9"](), {}, "UnsupportedJPEGError", None),
    (NAMED["color 65500² progressive"](), {}, "LimitExceededError", "max_pixels"),
    (gray(30, 30), {"limits": Limits(max_pixels=899)}, "LimitExceededError", "max_pixels"),
    (PHOTO, {"limits": Limits(max_bytes=300)}, "LimitExceededError", "max_bytes"),
]


@ENTRY_POINTS
@pytest.mark.parametrize(("data", "options", "error", "limit"), REFUSED)
def test_a_refusal_is_one_record(read, data, options, error, limit, caplog):
    with pytest.raises((OSError, Image.DecompressionBombError)):
        read(data, **options)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("pyfd", "WARNING")
    assert (record.source, record.error, record.limit) == (read.__name__[5:], error, limit)
    if limit:
        assert record.needed > record.allowed > 0
        assert str(record.allowed) in record.getMessage()
    else:
        assert (record.allowed, record.needed) == (None, None)
    assert error in record.getMessage()


@ENTRY_POINTS
def test_good_files_leave_no_record(read, caplog):
    read(PHOTO)
    read(encode_with_pillow(picture(60, 40), progressive=True))
    assert caplog.records == []


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"hello", b"\xff\xd8\x00"])
def test_what_opencv_cannot_defend_is_logged(data, caplog):
    assert pyfd.opencv.imdecode(data, 1, PRESET) is None
    assert len(caplog.records) == 1


def test_what_is_left_to_opencv_is_not_logged(caplog):
    assert pyfd.opencv.imdecode(b"hello") is None
    assert caplog.records == []


def test_frames_and_each_call_of_load(caplog):
    """A frame is refused by itself, and a load that is tried again is refused again."""
    mpo = several(picture(60, 40), picture(60, 40, seed=1))
    first = frames_of(mpo)[0]
    with pyfd.pillow.defended(PRESET):
        image = Image.open(io.BytesIO(mpo[: len(first) + 100]))
    image.load()
    with pytest.raises(OSError, match="frame 1"):
        image.seek(1)
    assert [record.source for record in caplog.records] == ["pillow"]
    with pyfd.pillow.defended(PRESET):
        image = Image.open(io.BytesIO(PHOTO[:-50]))
    for calls in (2, 3):
        with pytest.raises(OSError, match="truncated"):
            image.load()
        assert len(caplog.records) == calls


def fed(data: bytes, **options: object) -> Image.Image:
    """Open a file in pieces, as Django does to learn an upload's size."""
    parser = ImageFile.Parser()
    with pyfd.pillow.defended(PRESET, **options):
        for start in range(0, len(data), 64):
            parser.feed(data[start : start + 64])
        return parser.close()


def test_a_file_in_pieces_is_no_refusal_before_it_is_whole(caplog):
    assert np.array_equal(np.asarray(fed(PHOTO)), pyfd.decode(PHOTO, PRESET))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (PHOTO[:-50], {}, OSError),
        (PHOTO, {"limits": Limits(max_pixels=99)}, Image.DecompressionBombError),
    ],
)
def test_a_file_in_pieces_that_is_refused_is_one_record(data, options, error, caplog):
    with pytest.raises(error):
        fed(data, **options)
    assert [record.source for record in caplog.records] == ["pillow"]


def test_a_file_that_changes_after_it_was_opened(caplog):
    file = io.BytesIO(PHOTO)
    with pyfd.pillow.defended(PRESET):
        image = Image.open(file)
    file.seek(0)
    file.truncate()
    file.write(gray(8, 8))
    with pytest.raises(OSError, match="changed"):
        image.load()
    assert [record.error for record in caplog.records] == ["ValueError"]


# ---- text that an attacker chose ---------------------------------------------


NAMES = [b"a\nroot: login", b"\x1b[2J\r", b"\xff\xfe", "\u202egpj.exe".encode(), b"%s%n"]


@pytest.mark.parametrize("cut", [40, -50], ids=["open", "load"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Pillow leaves the file open
def test_names_of_files_stay_on_their_line(cut, name, tmp_path, caplog):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH118
    Path(path).write_bytes(PHOTO[:cut])
    with pyfd.pillow.defended(PRESET), pytest.raises(OSError, match=r"past the end|truncated"):
        Image.open(path).load()
    (record,) = caplog.records
    text = record.getMessage()
    assert set(text) <= PRINTABLE
    assert ascii(os.fsdecode(name))[1:-1] in text


@example("a\nb", "\x1b[0m\u2028")
@example("'\"\n", "\"'\r")
@given(st.text(), st.text())
def test_a_record_is_a_short_line_of_printable_text(name, message):
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    logger = logging.getLogger("pyfd")
    logger.addHandler(handler)
    try:
        log_refusal("pillow", pyfd.CorruptJPEGError(message * 1000), name * 1000)
    finally:
        logger.removeHandler(handler)
    (record,) = seen
    text = record.getMessage()
    assert set(text) <= PRINTABLE
    assert len(text) < 5000
    assert text.startswith("pillow refused a file: ") == (not name)


@pytest.mark.parametrize("name", [None, 3, io.BytesIO(), "", b"", [1]])
def test_no_name(name, caplog):
    log_refusal("pillow", pyfd.CorruptJPEGError("it ends"), name)
    assert caplog.messages == ["pillow refused a file: CorruptJPEGError: it ends"]


def test_descriptors_are_no_names(caplog):
    """A temporary file without a name has a number, and an upload's spool has None."""
    for kind in (tempfile.TemporaryFile, tempfile.SpooledTemporaryFile):
        with kind() as file:
            file.write(PHOTO[:40])
            file.seek(0)
            with pyfd.pillow.defended(PRESET), pytest.raises(OSError, match="cannot identify"):
                Image.open(file)
    assert all("refused a file" in message for message in caplog.messages)
    assert len(caplog.messages) == 2


# ---- what a program does without asking for a log ---------------------------------


def test_nothing_is_printed_or_configured_unasked():
    code = (
        "import logging, pyfd.opencv\n"
        "logging.getLogger('pyfd').warning('a record of the program')\n"
        "assert pyfd.opencv.imdecode(b'x', 1, 'fd-2018') is None\n"
        "assert not logging.getLogger().handlers\n"
        "logger = logging.getLogger('pyfd')\n"
        "assert logger.level == logging.NOTSET and logger.propagate and not logger.disabled\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_log_can_be_switched_off(caplog):
    caplog.set_level(logging.ERROR, "pyfd")
    assert pyfd.opencv.imdecode(np.zeros(9, np.uint8), 1, PRESET) is None
    assert caplog.records == []
