"""The messages about inputs, and where they appear."""

from __future__ import annotations

import sys

import pyfd
from pyfd.cli.messages import Messages, printable
from tests.cli.samples import EVIL, jpeg


def test_printable():
    assert printable("é a\n\x1b\udce9") == "é a\\n\\x1b\\udce9"


def test_nothing_in_a_name_reaches_the_terminal(run_binary, tmp_path):
    path = tmp_path / f"{EVIL[:-1]}.jpg"
    path.write_bytes(b"words")
    outcome = run_binary("decode", path, "-o", tmp_path / "x.png")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.lines[0].isprintable()
    path.write_bytes(jpeg())
    text = run_binary("inspect", path).out.decode()
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    outcome = run_binary("decode", path, "-o", path)
    assert outcome.code == 2
    assert "\x1b" not in outcome.err


def test_memory_that_runs_out_is_an_input_refused(run_binary, photo, monkeypatch):
    def fail(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(pyfd, "decode", fail)
    outcome = run_binary("decode", photo, "-o", "-")
    assert (outcome.code, outcome.err) == (1, f"pyfd: {photo}: not enough memory\n")


def test_progress_goes_to_a_terminal_only(run_binary, tree, tmp_path, monkeypatch):
    quiet = run_binary("decode", tree, "-o", tmp_path / "one")
    assert "file/s" not in quiet.err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = run_binary("decode", tree, "-o", tmp_path / "two")
    assert "3/3" in shown.err
    assert f"pyfd: {tree / 'deep' / 'bad.jpg'}: " in shown.err


def test_lines_are_written_above_the_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    messages = Messages()
    for thing in messages.progress("abc", 3, unit="letter"):
        messages.write(f"result {thing}")
        messages.note("name", f"note {thing}")
    messages.write("the end")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["result a", "result b", "result c", "the end"]
    assert "3/3" in err
    notes = [line.rpartition("\r")[2] for line in err.splitlines() if "pyfd" in line]
    assert notes == [f"pyfd: name: note {thing}" for thing in "abc"]


def test_one_input_has_no_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(Messages().progress(["only"], 1)) == ["only"]
    assert capsys.readouterr() == ("", "")
