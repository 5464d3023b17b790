"""Where the commands write: pipes, devices, links, and files whose permissions stay."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import pyfd
from tests.cli.samples import DEFAULT, files, jpeg, picture, start


class Writer(NamedTuple):
    """A command that writes a file."""

    arguments: tuple[object, ...]
    """The last of them is the option that names the file."""
    suffix: str
    begins: bytes
    """How the file begins."""


WRITERS = {
    "encode": Writer(("encode", "{png}", "-o"), ".jpg", b"\xff\xd8"),
    "decode": Writer(("decode", "{photo}", "-o"), ".png", b"\x89PNG"),
    "requantize": Writer(("requantize", "{photo}", "-o"), ".jpg", b"\xff\xd8"),
    "calibrate": Writer(("calibrate", "{photo}", "-o"), ".json", b"{"),
    "calibrate --plot": Writer(
        ("calibrate", "{photo}", "-o", "{tmp}/stats.json", "--plot"), ".svg", b"<?xml"
    ),
    "certify --plot": Writer(("certify", "{photo}", "--plot"), ".png", b"\x89PNG"),
    "tables make": Writer(("tables", "make", "--step", "16", "-o"), ".txt", b"# "),
    "tables convert": Writer(("tables", "convert", "fd-2018"), ".json", b"{"),
    "tables show --plot": Writer(("tables", "show", "fd-2018", "--plot"), ".svg", b"<?xml"),
}


@pytest.fixture(params=WRITERS)
def writer(request, photo, png, tmp_path, monkeypatch) -> Writer:
    arguments, suffix, begins = WRITERS[request.param]
    if "--plot" in arguments:
        plots, figure = pytest.importorskip("pyfd.plots"), pytest.importorskip("matplotlib.figure")
        for draw in ("of_certificate", "of_statistics", "of_tables"):  # here, any figure will do
            monkeypatch.setattr(plots, draw, lambda *_: figure.Figure(figsize=(1, 1)))
    names = {"photo": photo, "png": png, "tmp": tmp_path}
    return Writer(tuple(str(a).format(**names) for a in arguments), suffix, begins)


@pytest.fixture
def target(tmp_path, writer) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / f"target{writer.suffix}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def reading(pipe: Path) -> Callable[[], bytes]:
    """Start to read a pipe; return a function that returns what came."""
    came = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_bytes()), daemon=True)
    reader.start()

    def result() -> bytes:
        reader.join(60)
        return came[0]

    return result


def test_pipes(run_binary, writer, target):
    os.mkfifo(target)
    result = reading(target)
    assert run_binary(*writer.arguments, target).code == 0
    assert result().startswith(writer.begins)
    assert target.is_fifo()
    assert names(target.parent) == [target.name]


def test_links_stay_and_permissions_too(run_binary, writer, target):
    (target.parent / "far").mkdir()
    end = target.parent / "far" / "end"
    target.symlink_to("far/end")
    for permissions in (None, 0o600):
        if permissions is not None:
            end.write_bytes(b"old")
            end.chmod(permissions)
        assert run_binary(*writer.arguments, target).code == 0
        assert end.read_bytes().startswith(writer.begins)
        assert target.readlink() == Path("far/end")
        assert names(end.parent) == ["end"]
    assert stat.S_IMODE(end.stat().st_mode) == 0o600


def test_devices(run_binary, writer, target):
    target.symlink_to("/dev/null")
    assert run_binary(*writer.arguments, target).code == 0
    target.unlink()
    target.symlink_to("/dev/full")
    outcome = run_binary(*writer.arguments, target)
    assert outcome.code == 1
    assert outcome.lines[-1].endswith(f"cannot write {target}: No space left on device")
    assert target.is_symlink()


def test_descriptors(run_binary, writer, target):
    with (target.parent / "log").open("w+b") as file:
        file.write(b"before ")
        file.flush()
        target.symlink_to(f"/dev/fd/{file.fileno()}")
        assert run_binary(*writer.arguments, target).code == 0
        file.seek(0)
        assert file.read().startswith(b"before " + writer.begins)
    assert target.is_symlink()


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's name must be short


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere/x"), "No such file or directory"),
        (bind, "a socket"),
    ],
)
def test_what_cannot_be_written(run_binary, writer, target, monkeypatch, make, reason):
    monkeypatch.chdir(target.parent)
    make(target)
    before = target.lstat()
    outcome = run_binary(*writer.arguments, target)
    assert outcome.code == 1
    assert f"cannot write {target}: {reason}" in outcome.lines[-1]
    assert names(target.parent) == [target.name]
    assert target.lstat().st_ino == before.st_ino


def test_a_folder_that_is_not_there(run_binary, writer, target):
    """Of one input, encode and its like make a folder of that name."""
    outcome = run_binary(*writer.arguments, f"{target}/")
    if outcome.code:
        assert f"cannot write {target}/: Is a directory" in outcome.lines[-1]
        assert names(target.parent) == []
    else:
        assert target.is_dir()


# ---- /dev/stdout ------------------------------------------------------------------

TO_STDOUT = {
    "encode": ("encode", "{png}", "-o"),
    "decode": ("decode", "{photo}", "-o"),
    "requantize": ("requantize", "{photo}", "-o"),
    "calibrate": ("calibrate", "{photo}", "-o"),
    "tables make": ("tables", "make", "--step", "16", "-o"),
    "tables convert": ("tables", "convert", "fd-2018"),
}


@pytest.mark.parametrize("command", TO_STDOUT)
def test_standard_output_by_its_name(photo, png, tmp_path, command):
    """A link of the folder's owner, root: that is how the device was replaced."""
    arguments = [part.format(photo=photo, png=png) for part in TO_STDOUT[command]]
    link = tmp_path / "stdout"
    link.symlink_to("/dev/stdout")

    def written(target, **options) -> bytes:
        with start(*arguments, target, **options) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert err.decode().startswith("1 images, " if command == "calibrate" else "")
        assert len(err.splitlines()) == (command == "calibrate")
        return out

    expected = written("-")
    assert expected
    names = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")  # for the one writer that all have
    for target in (link, *(names if command == "requantize" else ())):
        assert written(target) == expected
    assert link.is_symlink()
    assert Path("/dev/stdout").is_symlink()


def test_standard_output_that_is_a_file(photo, tmp_path):
    """What others have written there stays."""
    path = tmp_path / "all"
    command = f"{sys.executable} -m pyfd requantize {photo} -o /dev/stdout"
    subprocess.run(f"{{ echo a; {command}; echo b; }} > {path}", shell=True, check=True)
    expected = pyfd.requantize(photo, DEFAULT)
    assert path.read_bytes() == b"a\n" + expected + b"b\n"
    subprocess.run(f"{command} >> {path}", shell=True, check=True)
    assert path.read_bytes() == b"a\n" + expected + b"b\n" + expected


# ---- directories --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["encode", "decode", "requantize"])
def test_a_pipe_in_an_output_directory_is_refused_without_a_wait(
    run_binary, tree, tmp_path, command
):
    (tree / "deep" / "bad.jpg").unlink()
    out = tmp_path / "out"
    out.mkdir()
    name = "a.png" if command == "decode" else "a.jpg"
    os.mkfifo(out / name)
    outcome = run_binary(command, tree, "-o", out)
    assert outcome.code == 1
    (line,) = outcome.lines
    assert line.startswith(f"pyfd: {tree / 'a.jpg'}: cannot write {out / name}: ")
    assert line.endswith("not a regular file")
    assert (out / name).is_fifo()
    assert len(files(out)) == 1  # the other input's


# ---- signals ------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_pipe_is_written(tmp_path, signum):
    source, pipe = tmp_path / "x.jpg", tmp_path / "x.bmp"
    source.write_bytes(pyfd.encode(np.tile(picture(), (20, 20, 1)), DEFAULT))
    os.mkfifo(pipe)

    def heed() -> None:
        signal.signal(signum, signal.SIG_DFL)

    # the pipe opens once the command has opened its end
    child = start("decode", source, "-o", pipe, preexec_fn=heed)
    with child as process, pipe.open("rb") as file:
        assert file.read(2) == b"BM"
        process.send_signal(signum)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signum, b"")
    assert files(tmp_path) == ["x.jpg"]


def test_nohup(tmp_path):
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    os.mkfifo(tmp_path / "pipe")
    command = ("requantize", tmp_path / "pipe", "-o", tmp_path / "x.jpg")
    with start(*command, preexec_fn=ignore) as process:
        file = (tmp_path / "pipe").open("wb")
        process.send_signal(signal.SIGHUP)
        file.write(jpeg())
        file.close()
        process.communicate(timeout=60)
    assert process.returncode == 0


# ---- an input is never overwritten ------------------------------------------------------


def test_inputs_by_any_name(run_binary, photo, tmp_path):
    before = photo.read_bytes()
    (tmp_path / "hard.jpg").hardlink_to(photo)
    (tmp_path / "link.jpg").symlink_to("hard.jpg")
    with photo.open("r+b") as file:
        others = ("hard.jpg", "link.jpg", f"../{tmp_path.name}/photo.jpg")
        for name in (*(tmp_path / other for other in others), f"/dev/fd/{file.fileno()}"):
            for source, target in ((photo, name), (name, photo)):
                outcome = run_binary("requantize", source, "-o", target)
                assert outcome.code == 2
                assert f"{target} would overwrite the input {source}" in outcome.err
    assert photo.read_bytes() == before


def test_standard_output_that_is_the_input(photo):
    before = photo.read_bytes()
    for target in ("-", "/dev/stdout"):
        with photo.open("ab") as file:
            command = [sys.executable, "-m", "pyfd", "requantize", photo, "-o", target]
            done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 2
        assert f"{target} would overwrite the input {photo}" in done.stderr.decode()
    assert photo.read_bytes() == before


MAKE = ("tables", "make", "--step", "9", "--protected", "5")


@pytest.mark.parametrize(
    "arguments",
    [
        ("calibrate", "{photo}", "-o", "{photo}"),
        ("calibrate", "{photo}", "-o", "{tmp}/s.json", "--plot", "{png}", "{png}"),
        ("certify", "{png}", "--plot", "{png}"),
        ("encode", "{png}", "-q", "{tables}", "-o", "{tables}"),
        ("requantize", "{photo}", "-q", "{tables}", "-o", "{tables}"),
        ("decode", "{photo}", "-q", "{tables}", "--format", "png", "-o", "{tables}"),
        ("tables", "convert", "{tables}", "{tables}"),
        (*MAKE, "--statistics", "{stats}", "-o", "{stats}"),
        ("tables", "show", "{odd}", "--plot", "{odd}"),
    ],
)
def test_no_command_overwrites_what_it_reads(run_binary, photo, png, tmp_path, arguments):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    tables, stats, odd = (tmp_path / name for name in ("t.json", "s.json", "t.svg"))
    DEFAULT.save(tables)
    DEFAULT.save(odd)
    pyfd.calibrate([photo]).save(stats)
    names = {"photo": photo, "png": png, "tables": tables, "stats": stats, "odd": odd}
    before = {path: path.read_bytes() for path in names.values()}
    outcome = run_binary(*(part.format(**names, tmp=tmp_path) for part in arguments))
    assert outcome.code == 2
    assert "would overwrite the input" in outcome.err
    assert {path: path.read_bytes() for path in names.values()} == before


def test_two_outputs_with_one_name(run_binary, photo, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "link.png").symlink_to("x.png")
    command = ("calibrate", photo, "-o", tmp_path / "x.png", "--plot", tmp_path / "link.png")
    outcome = run_binary(*command)
    assert outcome.code == 2
    assert "is both --output and --plot" in outcome.err
    assert not (tmp_path / "x.png").exists()


# ---- the library's writers ---------------------------------------------------------------


def test_save(photo, tmp_path):
    plots = pytest.importorskip("pyfd.plots")
    found, figure = pyfd.calibrate([photo]), pytest.importorskip("matplotlib.figure").Figure()
    for save, name in (
        (DEFAULT.save, "t.json"),
        (found.save, "s.json"),
        (lambda path: plots.save(figure, path), "p.png"),
    ):
        save(tmp_path / name)
        expected = (tmp_path / name).read_bytes()
        (tmp_path / name).chmod(0o600)
        (tmp_path / f"link-{name}").symlink_to(name)
        save(tmp_path / f"link-{name}")
        assert (tmp_path / name).read_bytes() == expected
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        pipe = tmp_path / f"pipe-{name}"
        os.mkfifo(pipe)
        result = reading(pipe)
        save(pipe)
        assert result() == expected
        assert pipe.is_fifo()


def test_evaluation_reports_do_not_wait_for_a_reader(tmp_path):
    """The folder is named, not the files in it."""
    run = pytest.importorskip("pyfd.evaluation.run")
    from pyfd.evaluation import BrokenCertificateError

    os.mkfifo(tmp_path / "broken-certificate.npz")
    pixels = {"original": np.asarray(Image.fromarray(picture()))}
    with (
        pytest.raises(OSError, match="not a regular file"),
        run._reported(tmp_path / "broken-certificate.npz"),
    ):
        raise BrokenCertificateError("broken", pixels=pixels)
