"""The table files that the variables name: valid ones, and errors for all others."""

from __future__ import annotations

import os
import subprocess

import pytest

import pyfd
from pyfd import QTables
from tests.jpegs import picture
from tests.pipelines.dropin.programs import (
    DECODE,
    ENCODE,
    PRESET,
    attempt,
    call,
    call_as_nobody,
    djpeg_for_all,
    needs_drop_in,
    needs_root,
)

pytestmark = needs_drop_in


WRONG = {
    "nothing": ("", "1 to 4 tables of 64 steps"),
    "comments alone": ("# 1 2 3\n", "1 to 4 tables of 64 steps"),
    "63 steps": ("9 " * 63, "1 to 4 tables of 64 steps"),
    "65 steps": ("9 " * 65, "1 to 4 tables of 64 steps"),
    "five tables": ("9 " * 320, "more than 4 tables"),
    "a step of 0": ("9 " * 63 + "0", "a step is not in 1..."),
    "a step too large": ("9 " * 63 + "32768", "a step is not in 1..."),
    "a step far too large": ("9 " * 63 + "9" * 60, "a step is not in 1..."),
    "six digits": ("9 " * 63 + "000009", "a step is not in 1..."),
    "a sign": ("9 " * 63 + "-9", "not a step"),
    "a fraction": ("9 " * 63 + "9.5", "not a step"),
    "a word": ("9 " * 63 + "9nine", "not a step"),
    "a comma": ("9," * 64, "not a step"),
    "a zero byte": ("9 " * 63 + "9\0", "not a step"),
    "a byte order mark": ("\ufeff" + "9 " * 64, "not a step"),
    "JSON": (QTables.preset(PRESET).to_json(), "not a step"),
    "too large": ("9 " * 64 + " " * 16384, "too large"),
}


def refused(result: subprocess.CompletedProcess[bytes], variable: str, why: str) -> None:
    said = result.stderr.decode()
    assert result.returncode == 1
    assert result.stdout == b""
    assert f"{variable} names" in said
    assert why in said
    assert f"The file that {variable} names is missing or bad" in said  # printed by the program


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_file_is_an_error_and_no_image(programs, photo, tmp_path, name):
    text, why = WRONG[name]
    (tmp_path / "bad.txt").write_bytes(text.encode())
    bad = str(tmp_path / "bad.txt")
    refused(attempt(programs / "djpeg", photo, **{DECODE: bad}), DECODE, why)
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    refused(attempt(programs / "cjpeg", data=ppm, **{ENCODE: bad}), ENCODE, why)


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\r\n" + "9\t" * 63 + "9\r\n# the end",
        "9\n" * 63 + "9#at once",
        "#" + "9 " * 40 + "\r" + "00009 \v\f" * 64,
    ],
)
def test_the_text_form_is_read_as_from_text_does(programs, photo, tmp_path, text):
    (tmp_path / "tables.txt").write_text(text, newline="")
    tables = QTables.from_text((tmp_path / "tables.txt").read_text())
    assert tables == QTables.uniform(9)
    raw = call(programs / "dropin", "rows", photo, **{DECODE: str(tmp_path / "tables.txt")})
    assert raw == pyfd.decode(photo, tables).tobytes()


def test_what_is_no_file_is_an_error(programs, photo, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it, but the program must not wait
    for name, why in (
        (tmp_path / "none.txt", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "too large"),
        ("", "No such file"),
    ):
        refused(attempt(programs / "djpeg", photo, **{DECODE: str(name)}), DECODE, why)


def test_a_bad_file_is_said_once_and_fails_in_every_thread(programs, photo):
    result = attempt(programs / "dropin", "threads", photo, **{DECODE: "/no/such/file"})
    assert result.returncode == 1
    assert result.stderr.count(b"names '/no/such/file'") == 1


def test_a_file_that_is_not_needed_is_not_read(programs, photo):
    """A decoder does not read the encoder's tables."""
    plain = call(programs / "djpeg", photo)
    assert call(programs / "djpeg", photo, **{ENCODE: "/no/such/file"}) == plain


@needs_root
def test_programs_with_raised_privileges_do_not_look(photo):
    """A user must not choose a file that a program with root's privileges opens."""
    with djpeg_for_all(photo) as command:
        for mode, looks in ((0o755, True), (0o4755, False)):
            result = call_as_nobody(command, mode, **{DECODE: "/no/such/file"})
            assert (result.returncode != 0) == looks, result.stderr
            assert (b"/no/such/file" in result.stderr) == looks
