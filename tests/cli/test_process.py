"""The command line as a process: signals, pipes, and refusals by the system."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import pyfd
from tests.cli.samples import DEFAULT, files, jpeg, picture, start


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path, signum, code):
    source, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(source)

    def heed() -> None:
        """Restore the handling of Ctrl-C, which tests in the background may inherit as ignored."""
        signal.signal(signum, signal.SIG_DFL)

    # the pipe opens once the child has opened its end
    child = start("requantize", source, "-o", out / "x.jpg", preexec_fn=heed)
    with child as process, source.open("wb") as file:
        file.write(jpeg()[:100])
        file.flush()
        time.sleep(0.3)  # until it waits for more
        process.send_signal(signum)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == b""
    assert not out.exists()


def test_a_failing_write_leaves_the_old_file_and_nothing_else(photo, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.png").write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with start("decode", photo, "-o", out, preexec_fn=small_files) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.decode() == f"pyfd: {photo}: cannot write {out / 'photo.png'}: File too large\n"
    assert files(out) == ["photo.png"]
    assert (out / "photo.png").read_text() == "old"


def test_output_that_cannot_be_written(run_binary, photo, tree, tmp_path):
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    (tree / "deep" / "bad.jpg").unlink()
    outcome = run_binary("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert f"{tree / 'a.jpg'}: cannot write {tmp_path / 'out' / 'a.png'}" in outcome.err
    assert files(tmp_path / "out") == ["deep/b.png"]
    outcome = run_binary("decode", photo, "-o", photo / "x.png")
    assert (outcome.code, len(outcome.lines)) == (1, 1)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves(tmp_path, unbuffered):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(np.tile(picture(), (20, 20, 1)), DEFAULT))
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with start("decode", path, "-o", "-", "--format", "bmp", env=environment) as process:
        process.stdout.read(10)
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("package", ["click", "tqdm", "PIL"])
def test_missing_packages(package, tree, tmp_path):
    """A fake terminal is used, so that a progress bar is shown."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.stderr.isatty = lambda: True;"
        "from pyfd.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code, "decode", tree, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"pyfd: {package} is missing: pip install 'pyfd-jpeg[cli]'")


def test_a_broken_package_is_not_called_missing():
    code = (
        "import sys, types; sys.modules['PIL'] = types.ModuleType('PIL');"
        "from pyfd.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("pyfd: cannot import name 'Image' from 'PIL'")


def test_the_start_loads_no_library_that_it_does_not_need():
    code = "import pyfd.cli, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    assert {"click", "numpy", "PIL"} <= set(loaded)
    unwanted = {"PIL.ImageDraw", "art", "cv2", "foolbox", "matplotlib", "ray", "torch", "tqdm"}
    assert not unwanted & set(loaded)


def test_letters_that_the_terminal_lacks(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(comment="\u65e5\u672c"))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    with start("inspect", path, env=environment) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert rb'"\u65e5\u672c"' in out


# ---- standard files that are full or closed -----------------------------------

REDIRECTIONS = {
    ">/dev/full": "No space left on device",
    ">&-": "Bad file descriptor",
}


#: Commands, and whether Python may hold back what they write. Bytes and text are written in two
#: ways, and each is tried both with and without a buffer.
WRITING = {
    "--help": ("", "1"),
    "inspect {photo}": ("", "1"),
    "certify {photo}": ("",),
    "calibrate {photo} -o {tmp}/stats.json": ("",),
    "requantize {photo} -o -": ("", "1"),
    "requantize {photo} -o /dev/stdout": ("", "1"),
    "tables show 16": ("",),
    "tables compare 16 40": ("",),
    "tables make --step 16 -o -": ("",),
}


@pytest.mark.parametrize("redirection", REDIRECTIONS)
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [(command, unbuffered) for command, buffers in WRITING.items() for unbuffered in buffers],
)
def test_a_stdout_that_takes_nothing(photo, tmp_path, command, redirection, unbuffered):
    """One line, exit code 1, and neither a traceback nor Python's own complaint at the end."""
    arguments = command.format(photo=photo, tmp=tmp_path)
    done = subprocess.run(
        f"{sys.executable} -m pyfd {arguments} {redirection}",
        shell=True,
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("pyfd: ")
    assert line.endswith(REDIRECTIONS[redirection])
    assert done.returncode == 1


def test_closed_files_need_not_be_there(photo, tmp_path):
    def run(arguments: str) -> int:
        command = f"{sys.executable} -m pyfd {arguments} <&- >&- 2>&-"
        return subprocess.run(command, shell=True, check=False).returncode

    assert run(f"requantize {photo} {photo} -o {tmp_path / 'out'}") == 1  # the same name twice
    assert files(tmp_path / "out") == ["photo.jpg"]
    assert run(f"requantize - -o {tmp_path / 'x.jpg'}") == 1
    assert not (tmp_path / "x.jpg").exists()


def test_a_stdin_that_does_not_wait(photo):
    """Some programs hand on a pipe like that. The inputs after it are still read."""
    here, there = os.pipe()
    os.set_blocking(here, False)
    command = [sys.executable, "-m", "pyfd", "inspect", "-", photo, "--json"]
    done = subprocess.run(command, stdin=here, capture_output=True, check=False, text=True)
    os.close(there)
    os.close(here)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert done.stderr == "pyfd: -: Resource temporarily unavailable\n"
