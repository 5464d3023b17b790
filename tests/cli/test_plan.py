"""The choice of the files to read and of the files to write."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import pyfd
from tests.cli.samples import DEFAULT, files, jpeg, opened, picture

# ---- pipes --------------------------------------------------------------


def test_pipes(run_binary, png, photo):
    encoded = run_binary("encode", "-", stdin=png.read_bytes())
    assert encoded == (0, pyfd.encode(picture(), DEFAULT), "")
    again = run_binary("requantize", "-", "-q", 40, stdin=encoded.out)
    assert again.out == pyfd.requantize(encoded.out, pyfd.QTables.uniform(40))
    decoded = run_binary("decode", "-", "-o", "-", stdin=again.out)
    assert np.array_equal(np.asarray(opened(decoded.out)), pyfd.decode(again.out, DEFAULT))
    shown = run_binary("inspect", "-", stdin=photo.read_bytes())
    assert shown.code == 0
    assert shown.out.startswith(b"-\n  size         56 x 40 pixels")


def test_pipes_that_are_refused(run_binary):
    outcome = run_binary("decode", "-", stdin=b"words")
    assert outcome[:2] == (1, b"")
    assert outcome.err.startswith("pyfd: -: not a JPEG file")


def test_standard_input_goes_alone(run_binary, photo, tmp_path):
    for target in (tmp_path / "out", tmp_path, "-"):
        assert run_binary("decode", photo, "-", "-o", target).code == 2
    assert run_binary("decode", "-", "-o", tmp_path).code == 2


def test_no_image_on_a_terminal(run_binary, photo, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    outcome = run_binary("decode", photo, "-o", "-")
    assert outcome.code == 2
    assert "No image is written to a terminal" in outcome.err


# ---- directories --------------------------------------------------------


def test_directories_are_mirrored_and_the_damaged_file_named(run_binary, tree, tmp_path):
    out = tmp_path / "deeper" / "out"
    outcome = run_binary("decode", tree, "-o", out)
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.err.startswith(f"pyfd: {tree / 'deep' / 'bad.jpg'}: ")
    assert files(out) == ["a.png", "deep/b.png"]
    expected = pyfd.decode(tree / "a.jpg", DEFAULT)
    assert np.array_equal(np.asarray(opened((out / "a.png").read_bytes())), expected)


def test_directories_keep_names_that_say_the_same(run_binary, tree, tmp_path):
    assert run_binary("requantize", tree, "-o", tmp_path / "out").code == 1
    assert files(tmp_path / "out") == ["a.jpg", "deep/b.JPEG"]
    assert run_binary("encode", tree, "-o", tmp_path / "two").code == 1
    assert files(tmp_path / "two") == ["a.jpg", "deep/b.JPEG"]


def test_several_files_go_into_a_directory(run_binary, tree, photo, tmp_path):
    missing = tmp_path / "missing.jpg"
    out = tmp_path / "out"
    outcome = run_binary("decode", photo, missing, tree / "a.jpg", "-o", out, "--format", "ppm")
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {missing}: No such file or directory"]
    assert files(out) == ["a.ppm", "photo.ppm"]


def test_one_file_goes_into_a_directory(run_binary, photo, tmp_path):
    assert run_binary("decode", photo, "-o", f"{tmp_path / 'new'}{os.sep}").code == 0
    assert files(tmp_path / "new") == ["photo.png"]


def test_two_inputs_never_share_an_output(run_binary, photo, png, tmp_path):
    out = tmp_path / "out"
    outcome = run_binary("encode", photo, png, "-o", out)
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {png}: {photo} is already written to {out / 'photo.jpg'}"]
    assert (out / "photo.jpg").read_bytes() == pyfd.encode(pyfd.decode(photo), DEFAULT)


def test_an_output_directory_inside_the_input_is_left_alone(run_binary, tree):
    (tree / "deep" / "bad.jpg").unlink()
    for _ in range(2):
        assert run_binary("requantize", tree, "-o", tree / "out").code == 0
    assert files(tree / "out") == ["a.jpg", "deep/b.JPEG"]


def test_directory_without_images(run_binary, tmp_path):
    (tmp_path / "in").mkdir()
    outcome = run_binary("decode", tmp_path / "in", "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "no files in it that end in .jfif, .jpe, .jpeg, .jpg" in outcome.err


def test_what_is_not_a_file_is_refused(run_binary, tree, tmp_path):
    os.mkfifo(tree / "pipe.jpg")
    (tree / "dangling.jpg").symlink_to("nowhere")
    (tree / "deep" / "bad.jpg").unlink()
    outcome = run_binary("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert sorted(outcome.lines) == [
        f"pyfd: {tree / 'dangling.jpg'}: No such file or directory",
        f"pyfd: {tree / 'pipe.jpg'}: not a regular file",
    ]
    assert files(tmp_path / "out") == ["a.png", "deep/b.png"]


def test_empty_names(run_binary, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_binary("decode", photo, "-o", "").code == 2
    assert run_binary("decode", "", "-o", "out.png").code == 2
    assert run_binary("inspect", "").code == 2
    assert files(tmp_path) == ["photo.jpg"]


def test_names_that_are_too_long(run_binary, photo, tmp_path):
    name = tmp_path / ("x" * 300)
    for outcome in (
        run_binary("decode", name, "-o", "-"),
        run_binary("decode", photo, "-o", f"{name}.png"),
    ):
        assert (outcome.code, len(outcome.lines)) == (1, 1)
        assert "File name too long" in outcome.err
    assert run_binary("decode", photo, "-o", "-", "-q", name).code == 2
    assert run_binary("inspect", name).code == 1


def test_a_directory_called_like_a_pipe(run_binary, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").mkdir()
    assert run_binary("requantize", "-", "-o", "-", stdin=photo.read_bytes()).code == 0
    assert files(tmp_path) == ["photo.jpg"]


def test_directories_that_cannot_be_searched(run_binary, tree, tmp_path, monkeypatch):
    scandir = os.scandir

    def deny(path):
        """Deny access as the system does, but to root too."""
        if Path(path) == tree / "deep":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    outcome = run_binary("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {tree / 'deep'}: Permission denied"]
    assert files(tmp_path / "out") == ["a.png"]


# ---- an input is never overwritten --------------------------------------


def test_overwriting_an_input_is_a_usage_error(run_binary, photo, tree, tmp_path):
    before = photo.read_bytes()
    (tmp_path / "link.jpg").symlink_to(photo)
    (tmp_path / "hard.jpg").hardlink_to(photo)
    for target in (photo, tmp_path / "link.jpg", tmp_path / "hard.jpg", tmp_path):
        outcome = run_binary("requantize", photo, "-o", target)
        assert outcome.code == 2
        assert "would overwrite the input" in outcome.err
    (tmp_path / "same").symlink_to(tree)
    for target in (tree, tmp_path / "same", tree / "deep" / ".."):
        outcome = run_binary("requantize", tree, "-o", target)
        assert outcome.code == 2
        assert "is both input and output" in outcome.err
    assert photo.read_bytes() == before


def test_standard_input_is_not_overwritten(photo):
    with photo.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pyfd", "requantize", "-", "-o", photo],
            stdin=file,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 2
    assert b"would overwrite the input -" in done.stderr
    assert photo.read_bytes() == jpeg()


def test_other_files_are_replaced(run_binary, photo, tmp_path):
    target = tmp_path / "out.jpg"
    target.write_text("old")
    assert run_binary("requantize", photo, "-o", target).code == 0
    assert target.read_bytes() == pyfd.requantize(photo, DEFAULT)


def test_devices_are_written_to_not_replaced(run_binary, photo, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run_binary("requantize", photo, "-o", pipe).code == 0
        assert os.read(reader, 1 << 16) == pyfd.requantize(photo, DEFAULT)
    finally:
        os.close(reader)
    assert pipe.is_fifo()
