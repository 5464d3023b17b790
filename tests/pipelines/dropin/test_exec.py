"""`pyfd exec`, which preloads the drop-in into programs that are not linked with it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyfd
from pyfd import QTables
from pyfd._core.native import DROP_IN
from tests.jpegs import picture
from tests.pipelines.dropin.programs import DECODE, PRESET, ROOT, needs_drop_in, pixels

pytestmark = needs_drop_in


def pyfd_exec(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyfd", "exec", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT, **options)  # type: ignore[call-overload]


SHOW = "import sys, PIL.Image as i; sys.stdout.buffer.write(i.open(sys.argv[1]).tobytes())"


def test_exec_reaches_a_program(programs, photo):
    result = pyfd_exec("-q", PRESET, "--", programs / "djpeg", photo)
    assert result.returncode == 0, result.stderr
    assert np.array_equal(pixels(result.stdout), pyfd.decode(photo, PRESET))


@pytest.mark.parametrize("name", ["x" * 300_000, "\ud800"])
def test_exec_takes_tables_of_any_name(programs, photo, tmp_path, name):
    QTables(QTables.preset(PRESET).array, name).save(tmp_path / "t.json")
    result = pyfd_exec("-q", tmp_path / "t.json", "--", programs / "djpeg", photo)
    assert result.returncode == 0, result.stderr
    assert np.array_equal(pixels(result.stdout), pyfd.decode(photo, PRESET))


def test_exec_reaches_the_library_inside_pillows_wheel(photo):
    """The wheel's library has another name, but Pillow needs the same symbols."""
    result = pyfd_exec("-q", PRESET, sys.executable, "-c", SHOW, photo)
    assert result.returncode == 0, result.stderr
    assert result.stdout == pyfd.decode(photo, PRESET).tobytes()


def test_exec_reaches_what_a_program_starts(programs, photo):
    result = pyfd_exec("-q", "16", "sh", "-c", f"'{programs / 'djpeg'}' '{photo}'; exit 7")
    assert np.array_equal(pixels(result.stdout), pyfd.decode(photo, 16 * np.ones((8, 8), int)))
    assert result.returncode == 7


def test_exec_leaves_pyfd_itself_alone(photo):
    code = "import sys, pyfd; sys.stdout.buffer.write(pyfd.decode(sys.argv[1]).tobytes())"
    result = pyfd_exec("-q", "32", sys.executable, "-c", code, photo)
    assert result.stdout == pyfd.decode(photo).tobytes()


def test_exec_with_tables_for_the_encoder(programs):
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    command = ("--encode-qtables", PRESET, "--", programs / "cjpeg", "-quality", "5")
    data = pyfd_exec(*command, input=ppm).stdout
    assert all((table == QTables.preset(PRESET)[0]).all() for table in pyfd.probe(data).qtables)


def test_exec_takes_its_files_away(tmp_path):
    show = f'cat "${DECODE}"; echo "${DECODE}" >&2; ls "$PYFD_REPORT" >/dev/null'
    result = pyfd_exec(
        *("-q", "fd-2018", "sh", "-c", show), env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert QTables.from_text(result.stdout.decode()) == QTables.preset("fd-2018")
    path = Path(result.stderr.decode().splitlines()[0])
    assert path.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exec_keeps_what_was_preloaded():
    environment = {**os.environ, "LD_PRELOAD": "libm.so.6"}
    result = pyfd_exec("-q", "16", "sh", "-c", "echo $LD_PRELOAD", env=environment)
    assert result.stdout.decode().strip() == f"{DROP_IN}:libm.so.6"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-q", "16", "no-such-program"], 127, "no-such-program: not found"),
        (["-q", "16", "/dev/null"], 126, "/dev/null: cannot be run"),
        (["-q", "16"], 2, "Missing argument 'PROGRAM...'"),
        (["true"], 2, "Give --qtables, --encode-qtables or both."),
        (["-q", "nothing", "true"], 2, "neither a preset"),
        (["-q", "32768", "true"], 2, "at most 32767 is allowed"),
        (["--encode-qtables", "256", "true"], 2, "--no-baseline allows more"),
        (["--encode-qtables", "8192", "--no-baseline", "true"], 2, "at most 8191 is allowed"),
        (["-q", "16", "sh", "-c", "kill -9 $$"], 137, ""),
    ],
)
def test_exec_says_what_is_wrong(run, words, code, said):
    exit_code, out, err = run("exec", *words)
    assert (exit_code, out) == (code, "")
    assert said in err


def test_exec_of_a_program_in_no_format_that_runs(tmp_path):
    (tmp_path / "program").write_bytes(b"\x7fELF and nothing else")
    (tmp_path / "program").chmod(0o755)
    result = pyfd_exec("-q", "16", tmp_path / "program")
    assert result.returncode == 126
    assert b"Exec format error" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.so", "has no libjpeg.so.62"),
        ("a b.so", "no space, colon or $"),
        ("bad.so", "bad.so: file too short"),
    ],
)
def test_exec_without_a_library_that_can_be_preloaded(run, monkeypatch, tmp_path, name, said):
    from pyfd.cli import exec as cli_exec

    (tmp_path / "a b.so").touch()
    (tmp_path / "bad.so").touch()
    monkeypatch.setattr(cli_exec, "DROP_IN", tmp_path / name)
    code, out, err = run("exec", "-q", "16", "true")
    assert (code, out) == (1, "")
    assert said in err


def test_exec_warns_of_programs_with_raised_privileges(run, monkeypatch, tmp_path):
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o4755)
    code, _, err = run("exec", "-q", "16", tmp_path / "program")
    assert code == 0
    assert "it runs without the tables" not in err  # our own file, so no privileges are raised
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    code, _, err = run("exec", "-q", "16", tmp_path / "program")
    assert code == 0
    assert "it runs without the tables" in err


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_exec_passes_signals_on(tmp_path, name):
    ready = tmp_path / "ready"
    script = f'trap "exit 9" {name}; touch "{ready}"; while :; do sleep 0.05; done'
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", "sh", "-c", script]
    signum = getattr(signal, f"SIG{name}")

    def heed() -> None:
        signal.signal(signum, signal.SIG_DFL)  # a shell's background jobs ignore SIGINT

    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, preexec_fn=heed)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signum)
        assert process.wait(30) == 9
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_exec_leaves_ignored_signals_ignored():
    """nohup relies on this."""
    program = ["sh", "-c", "kill -HUP $$; echo on"]
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", *program]
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command]
    result = subprocess.run(ignoring, capture_output=True, cwd=ROOT, check=False)
    assert result.stdout == b"on\n"


COUNT = """
import signal, time
caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(1))
print("ready", flush=True)
time.sleep(1)
print("caught", len(caught), flush=True)
"""


def test_ctrl_c_reaches_the_program_once():
    """The terminal sends the signal to the program too, so pyfd must not pass it on."""
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", sys.executable, "-c", COUNT]
    terminal = ["script", "-qec", shlex.join(command), "/dev/null"]
    pipe = subprocess.PIPE
    with subprocess.Popen(terminal, stdin=pipe, stdout=pipe, bufsize=0, cwd=ROOT) as process:
        next(line for line in process.stdout if b"ready" in line)
        for _ in range(4):
            process.stdin.write(b"\x03")
            time.sleep(0.1)
        caught = re.search(rb"caught (\d+)", process.stdout.read())
        assert 1 <= int(caught[1]) <= 4  # on a busy machine two may arrive as one


def test_exec_hands_open_files_over(tmp_path):
    with (tmp_path / "x").open("w") as file:
        fd = file.fileno()
        pyfd_exec("-q", "16", "sh", "-c", f"echo here >/dev/fd/{fd}", pass_fds=[fd])
    assert (tmp_path / "x").read_text() == "here\n"


# ---- programs that need a newer libjpeg ---------------------------------------

NEWER = "int jpeg12_read_scanlines(void) { return 3; } int jpeg_quality_scaling(void) { return 4; }"
NEEDS = {
    "newer": "int jpeg12_read_scanlines(void); int main(void) { return jpeg12_read_scanlines(); }",
    "plain": "int jpeg_quality_scaling(int); int main(void) { return jpeg_quality_scaling(50); }",
    "lacking": "int nowhere(void); int main(void) { return nowhere(); }",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Path:
    """A folder with a libjpeg.so.62 like that of libjpeg-turbo 3.x, and programs linked with it."""
    folder = tmp_path_factory.mktemp("system")
    (folder / "newer.map").write_text("LIBJPEG_6.2 { global: jpeg*; };\n")

    def cc(name: str, text: str, *options: str) -> None:
        (folder / "source.c").write_text(text)
        command = ["cc", "-w", "source.c", "-o", name, *options]
        subprocess.run(command, check=True, cwd=folder)

    shared = ("-shared", "-fPIC", "-Wl,--version-script=newer.map")
    cc("libjpeg.so.62", NEWER, *shared, "-Wl,-soname,libjpeg.so.62")
    cc("libother.so", "int nowhere(void) { return 5; }", "-shared", "-fPIC")
    for name, text in NEEDS.items():
        cc(name, text, "./libjpeg.so.62", "-L.", "-lother", "-Wl,-z,now", "-Wl,-rpath,$ORIGIN")
    cc("libother.so", "int other;", "-shared", "-fPIC")
    cc("static", "int main(void) { return 7; }", "-static")
    (folder / "cut").write_bytes((folder / "newer").read_bytes()[:4000])
    (folder / "script").write_text(f"#!/bin/sh\nexec {folder / 'plain'}\n")
    for name in ("cut", "script"):
        (folder / name).chmod(0o755)
    return folder


def test_exec_refuses_a_program_that_needs_a_newer_libjpeg(system):
    assert subprocess.run([system / "newer"], check=False).returncode == 3
    result = pyfd_exec("-q", "16", system / "newer")
    assert result.returncode == 2
    assert result.stderr.decode() == (
        f"pyfd: {system / 'newer'}: needs jpeg12_read_scanlines, which the system's libjpeg has "
        "and pyfd's, of libjpeg-turbo 2.1.5, does not: see docs/pipelines/drop-in.md\n"
    )


@pytest.mark.parametrize(("name", "code"), [("plain", 100), ("static", 7), ("script", 100)])
def test_exec_runs_what_does_not_need_a_newer_libjpeg(system, name, code):
    """With our library, plain returns what libjpeg does: a factor of 100 for quality 50."""
    result = pyfd_exec("-q", "16", system / name)
    assert (result.returncode, without_the_report(result.stderr)) == (code, b"")


def without_the_report(stderr: bytes) -> bytes:
    """Return what stands before the last line, in which `pyfd exec` says what did not happen."""
    *others, last = stderr.splitlines(keepends=True)
    assert last.startswith(b"pyfd: ")
    assert b" a JPEG file" in last
    return b"".join(others)


def shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code


@pytest.mark.parametrize("name", ["lacking", "cut"])
def test_exec_does_not_mind_what_fails_anyway(system, name):
    """What a program lacks without pyfd too, and files that crash a loader, are not our concern."""
    alone = subprocess.run([system / name], capture_output=True, check=False)
    result = pyfd_exec("-q", "16", system / name)
    assert result.returncode == shell_code(alone.returncode)
    assert without_the_report(result.stderr) == alone.stderr


def test_exec_does_not_run_the_program_to_look(monkeypatch, tmp_path):
    from pyfd.cli import exec as cli_exec

    text = b'#include <stdlib.h>\nint main(void) { return system("touch ran"); }'
    command = ["cc", "-x", "c", "-", "-o", "program"]
    subprocess.run(command, input=text, check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli_exec._undefined_functions("program", str(DROP_IN)) == set()
    assert not (tmp_path / "ran").exists()
    subprocess.run([tmp_path / "program"], check=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("failure", [OSError(), subprocess.TimeoutExpired("ld.so", 10)])
def test_exec_when_the_loader_does_not_answer(run, monkeypatch, failure):
    from pyfd.cli import exec as cli_exec

    def ask(*_: object) -> None:
        raise failure

    monkeypatch.setattr(cli_exec, "_ask", ask)
    code, out, err = run("exec", "-q", "16", "true")
    assert (code, out, without_the_report(err.encode())) == (0, "", b"")
