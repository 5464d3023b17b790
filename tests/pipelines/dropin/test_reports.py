"""Whether `pyfd exec` was obeyed: what the drop-in reports, and what is said at the end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from pyfd.cli.reports import DECODED, ENCODED, LOADED, REFUSED, REPORT, Report, missing
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.dropin.programs import (
    DECODE,
    ENCODE,
    ROOT,
    attempt,
    call,
    call_as_nobody,
    djpeg_for_all,
    needs_drop_in,
    needs_root,
    tables_file,
)

pytestmark = needs_drop_in

NOT_LOADED = "has not loaded pyfd's libjpeg"
PILLOW = "import sys, PIL.Image as i; i.open(sys.argv[1]).load()"
OPENCV = "import sys, cv2; assert cv2.imread(sys.argv[1]) is not None"
SIMPLEJPEG = "import sys, simplejpeg; simplejpeg.decode_jpeg(open(sys.argv[1], 'rb').read())"


def pyfd_exec(*words: object, **options: object) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote to stderr."""
    command = [sys.executable, "-m", "pyfd", "exec", *map(str, words)]
    result = subprocess.run(  # type: ignore[call-overload]
        command, capture_output=True, check=False, cwd=ROOT, **options
    )
    return result.returncode, result.stderr.decode()


def python(code: str, *words: object) -> list[object]:
    return [sys.executable, "-c", code, *words]


@pytest.fixture
def report(tmp_path) -> Report:
    """Pipes in the folder `tmp_path`, which is to be named by PYFD_REPORT."""
    return Report(tmp_path)


# ---- programs that are reached --------------------------------------------------

CLOSED = f"import os; os.closerange(0, 4096); {PILLOW}"
CLOSED_AND_AWAY = f"import os; os.closerange(0, 4096); os.chdir('/'); os.setsid(); {PILLOW}"
IN_A_THREAD = """
import sys, threading, PIL.Image as i
threads = [threading.Thread(target=lambda: i.open(sys.argv[1]).load()) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
IN_A_FORK = f"""
import os
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
{PILLOW}
"""
KILLED = f"{PILLOW}; import os; os.kill(os.getpid(), 9)"


@pytest.mark.parametrize(
    ("code", "ends_with"),
    [
        (PILLOW, 0),
        (CLOSED, 0),
        (CLOSED_AND_AWAY, 0),
        (IN_A_THREAD, 0),
        (IN_A_FORK, 0),
        (KILLED, 137),
        (f"{PILLOW}; {OPENCV}", 0),  # some decodes past the tables cannot be known of
        (f"{PILLOW}; sys.exit(3)", 3),
    ],
)
def test_nothing_is_said_of_a_program_that_was_reached(photo, code, ends_with):
    assert pyfd_exec("-q", "16", "--require", *python(code, photo)) == (ends_with, "")


def test_what_a_program_starts_counts(programs, photo):
    pipeline = f"cat '{photo}' | env '{programs / 'djpeg'}' | '{programs / 'cjpeg'}' >/dev/null"
    words = ("-q", "16", "--encode-qtables", "16", "--require", "sh", "-c", pipeline)
    assert pyfd_exec(*words) == (0, "")


def test_an_image_that_is_refused_or_damaged_has_been_reached(programs, photo, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:700])
    code, err = pyfd_exec("-q", "16", "--require", "--", programs / "djpeg", tmp_path / "cut.jpg")
    assert code == 2  # djpeg's, for warnings
    assert "pyfd:" not in err
    words = ("-q", "16", "--require", "--max-pixels", "5062", programs / "djpeg", photo)
    code, err = pyfd_exec(*words)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"pyfd: {programs / 'djpeg'}: pyfd's libjpeg has refused a file: 5063 pixels, but "
        "PYFD_MAX_PIXELS is 5062 (--no-limits accepts it)"
    )
    assert " a JPEG file" not in err


def test_pyfd_exec_inside_pyfd_exec(programs, photo):
    inner = [sys.executable, "-m", "pyfd", "exec", "-q", "9", programs / "djpeg", photo]
    assert pyfd_exec("-q", "16", "--require", "--", *inner) == (0, "")
    code, err = pyfd_exec("-q", "16", "--require", *inner[:4], "-q", "9", "true")
    assert code == 125
    assert err.count("has not decoded") == 2


# ---- programs that are not --------------------------------------------------------


@pytest.mark.parametrize("code", [OPENCV, SIMPLEJPEG], ids=["OpenCV", "simplejpeg"])
def test_a_decoder_of_the_programs_own_is_noticed(photo, code):
    for options, ends_with in (([], 0), (["--require"], 125)):
        found, err = pyfd_exec("-q", "16", *options, *python(code, photo))
        assert found == ends_with
        assert err == (
            f"pyfd: {sys.executable}: has not decoded a JPEG file with pyfd's libjpeg; if it has "
            "decoded one, then with a library of its own and without the tables: see "
            "docs/pipelines/drop-in.md\n"
        )


def test_an_encoder_of_the_programs_own_is_noticed(photo, tmp_path):
    code = "import sys, cv2; cv2.imwrite(sys.argv[2], cv2.imread(sys.argv[1]))"
    words = ("--encode-qtables", "16", "--require", *python(code, photo, tmp_path / "x.jpg"))
    found, err = pyfd_exec(*words)
    assert found == 125
    assert "has not written a JPEG file" in err
    assert "decoded" not in err


@pytest.mark.parametrize("words", [["true"], ["cat", "/dev/null"], ["sh", "-c", "exit 3"]])
def test_a_program_that_has_nothing_to_do_with_files_is_told_of_too(words):
    code, err = pyfd_exec("-q", "16", *words)
    assert code == (3 if "exit 3" in words else 0)
    assert err.count("\n") == 1
    assert "has not decoded a JPEG file" in err
    assert pyfd_exec("-q", "16", "--require", *words) == (125, err)


def test_each_of_two_kinds_of_tables_has_to_meet_an_image(programs, photo):
    both = ("-q", "16", "--encode-qtables", "16", "--require")
    code, err = pyfd_exec(*both, programs / "djpeg", photo)
    assert code == 125
    assert "has not written a JPEG file" in err
    code, err = pyfd_exec(*both, "true")
    assert "has not decoded or written a JPEG file" in err


def test_copies_of_coefficients_do_not_meet_the_tables(programs, photo):
    code, err = pyfd_exec("-q", "16", "--require", programs / "jpegtran", photo)
    assert code == 125
    assert "has not decoded a JPEG file" in err


def test_a_program_that_forgets_the_variable_is_noticed(photo):
    """Its decode is a plain one, because it removes the names of the tables too."""
    code, err = pyfd_exec("-q", "16", *python(f"import os; os.environ.clear(); {PILLOW}", photo))
    assert code == 0
    assert "has not decoded a JPEG file" in err


def test_a_program_that_cannot_load_a_library_is_noticed(tmp_path):
    command = ["cc", "-static", "-x", "c", "-", "-o", "static"]
    subprocess.run(command, input=b"int main(void) { return 0; }", check=True, cwd=tmp_path)
    code, err = pyfd_exec("-q", "16", tmp_path / "static")
    assert code == 0
    assert NOT_LOADED in err
    assert err.count("\n") == 1


def test_nothing_is_said_of_a_program_that_did_not_run(tmp_path):
    (tmp_path / "program").write_bytes(b"\x7fELF and nothing else")
    (tmp_path / "program").chmod(0o755)
    code, err = pyfd_exec("-q", "16", "--require", tmp_path / "program")
    assert code == 126
    assert " a JPEG file" not in err


def test_a_file_system_without_pipes(run, monkeypatch, tmp_path):
    def mkfifo(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mkfifo", mkfifo)
    code, _, err = run("exec", "-q", "16", "touch", tmp_path / "ran")
    assert code == 1
    assert "Operation not permitted; TMPDIR can name" in err
    assert not (tmp_path / "ran").exists()


def test_what_is_missing():
    assert missing([LOADED, DECODED], [DECODED]) is None
    assert missing([LOADED, REFUSED], [DECODED]) is None
    assert "has not written a" in (missing([LOADED, REFUSED], [DECODED, ENCODED]) or "")
    assert NOT_LOADED in (missing([], [DECODED, ENCODED]) or "")


# ---- how the library reports ----------------------------------------------------------


def test_a_process_reports_an_event_once(programs, photo, report, tmp_path):
    variables = {DECODE: tables_file(tmp_path), "PYFD_REPORT": str(tmp_path)}
    call(programs / "dropin", "threads", photo, **variables)
    assert report.read() == {LOADED: "yes", DECODED: "yes"}


def test_an_encoder_reports(programs, report, tmp_path):
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    variables = {ENCODE: tables_file(tmp_path), "PYFD_REPORT": str(tmp_path)}
    call(programs / "cjpeg", data=ppm, **variables)
    assert report.read() == {LOADED: "yes", ENCODED: "yes"}


def test_without_tables_there_is_nothing_to_report(programs, photo, report, tmp_path):
    call(programs / "djpeg", photo, PYFD_REPORT=str(tmp_path))
    assert report.read() == {LOADED: "yes"}


def test_many_refused_images_are_reported_once(programs, photo, report, tmp_path):
    variables = {"PYFD_MAX_PIXELS": "1", "PYFD_REPORT": str(tmp_path)}
    attempt(programs / "dropin", "threads", photo, **variables)
    assert report.read() == {LOADED: "yes", REFUSED: "5063 pixels, but PYFD_MAX_PIXELS is 1"}


@pytest.mark.parametrize("kind", ["file", "link", "folder", "nothing", "too long"])
def test_nothing_but_a_pipe_is_written_to(programs, photo, tmp_path, kind):
    """The variable must not make a program write where its user does not expect it."""
    folder = tmp_path / "report"
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    for event in (LOADED, DECODED):
        if kind == "file":
            (folder / event).write_text("precious")
        elif kind == "link":
            (folder / event).symlink_to(tmp_path / "precious")
        elif kind == "folder":
            (folder / event).mkdir()
    name = str(folder) if kind != "too long" else str(folder) + "/." * 4000
    call(programs / "djpeg", photo, **{DECODE: tables_file(tmp_path), "PYFD_REPORT": name})
    assert (tmp_path / "precious").read_text() == "precious"
    assert {path.name for path in folder.iterdir()} <= {LOADED, DECODED}
    assert all(path.read_text() == "precious" for path in folder.iterdir() if path.is_file())


def test_a_pipe_that_is_full_or_read_by_nobody_does_not_stop_a_program(programs, photo, tmp_path):
    variables = {DECODE: tables_file(tmp_path), "PYFD_REPORT": str(tmp_path)}
    os.mkfifo(tmp_path / LOADED)
    os.mkfifo(tmp_path / DECODED)
    expected = call(programs / "djpeg", photo, **{DECODE: variables[DECODE]})
    assert call(programs / "djpeg", photo, **variables) == expected
    pipe = os.open(tmp_path / DECODED, os.O_RDWR | os.O_NONBLOCK)
    while select.select([], [pipe], [], 0)[1]:
        os.write(pipe, bytes(4096))
    assert call(programs / "djpeg", photo, **variables) == expected
    os.close(pipe)


def test_a_program_gets_no_descriptor_of_ours():
    listing = "import os; print(len(os.listdir('/proc/self/fd')))"
    command = [sys.executable, "-c", listing]
    wrapped = [sys.executable, "-m", "pyfd", "exec", "-q", "16", *command]
    alone = subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout
    assert subprocess.run(wrapped, capture_output=True, check=True, cwd=ROOT).stdout == alone


@needs_root
def test_programs_with_raised_privileges_do_not_report(photo):
    with djpeg_for_all(photo) as command:
        folder = Path(command[0]).with_name("report")
        folder.mkdir()
        variables = {REPORT: str(folder), "PYFD_MAX_PIXELS": "1"}
        for mode, reports in ((0o755, True), (0o4755, False)):
            report = Report(folder)
            for path in folder.iterdir():
                path.chmod(0o666)
            result = call_as_nobody(command, mode, **variables)
            assert (result.returncode != 0) == reports
            assert set(report.read()) == ({LOADED, REFUSED} if reports else set())
            for path in folder.iterdir():
                path.unlink()


def test_the_report_of_a_photo_that_only_pyfd_decodes(tmp_path):
    """pyfd's own functions do not use the drop-in, and so are not reported as it."""
    (tmp_path / "x.jpg").write_bytes(encode_with_pillow(picture(40, 30)))
    code = "import sys, pyfd; pyfd.decode(sys.argv[1])"
    assert pyfd_exec("-q", "16", "--require", *python(code, tmp_path / "x.jpg"))[0] == 125
