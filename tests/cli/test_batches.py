"""What others put into a batch's directories while it runs: the batch neither waits nor obeys."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pyfd
from pyfd.cli import plan
from tests.cli.samples import DEFAULT, files, jpeg

JOURNAL = ".pyfd-requantize.jsonl"

Change = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _never_waits() -> Iterator[None]:
    """Fail, instead of waiting for ever, if a command waits for the other end of a pipe."""

    def fail(*_: object) -> None:
        raise AssertionError("the command waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(50)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.jpg").write_bytes(jpeg())
    return tmp_path / "in"


# ---- sources ------------------------------------------------------------------


def by_link_to(target: str) -> Change:
    return lambda path: path.symlink_to(target)


def by_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


NOT_REGULAR = "not a regular file"
SWAPS = {
    "a pipe": (os.mkfifo, NOT_REGULAR),
    "a link to a pipe": (by_link_to("../pipe"), NOT_REGULAR),
    "an endless device": (by_link_to("/dev/zero"), NOT_REGULAR),
    "an empty device": (by_link_to("/dev/null"), NOT_REGULAR),
    "a socket": (by_socket, "No such device or address"),
    "a directory": (Path.mkdir, "Is a directory"),
    "a link to itself": (by_link_to("b.jpg"), "Too many levels of symbolic links"),
    "nothing": (lambda _: None, "No such file or directory"),
}
COMMANDS = [
    "requantize in -o out",
    "decode in -o out",
    "encode in -o out",
    "certify in",
    "inspect in",
    "calibrate in -o out.json --workers 1",
    "tables compare 16 --on in",
    "decode in/a.jpg in/b.jpg in/c.jpg -o out",  # as a shell makes them of in/*.jpg
]


@pytest.fixture
def after_the_search(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen between the search for files and their turns."""

    def arrange(happen: Callable[[], object]) -> None:
        collect = plan.collect

        def collected(*args, **options):
            found = collect(*args, **options)
            happen()
            return found

        for module in list(sys.modules.values()):
            if getattr(module, "collect", None) is collect:
                monkeypatch.setattr(module, "collect", collected)

    return arrange


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("swap", SWAPS)
def test_sources_that_others_swap(run, tmp_path, monkeypatch, after_the_search, command, swap):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    change, reason = SWAPS[swap]

    def happen() -> None:
        Path("in/b.jpg").unlink()
        change(Path("in/b.jpg"))

    after_the_search(happen)
    code, out, err = run(*command.split())
    assert (code, err) == (1, f"pyfd: in/b.jpg: {reason}\n")
    assert len(files(tmp_path / "out")) == 2 or out  # the others are done


def test_a_source_that_grows_without_end(run, source, tmp_path, monkeypatch):
    """It is read up to max_bytes, whatever its size was when it was opened."""
    real = os.fstat
    grown = (source / "b.jpg").stat().st_ino

    def smaller(descriptor):
        status = real(descriptor)
        if status.st_ino == grown:
            return os.stat_result((*status[:6], 10, *status[7:]))
        return status

    (source / "b.jpg").write_bytes(jpeg() + bytes(5_000_000))
    monkeypatch.setattr(os, "fstat", smaller)
    code, _, err = run("requantize", source, "-o", tmp_path / "out", "--max-bytes", 1_000_000)
    assert code == 1
    assert err == (
        f"pyfd: {source / 'b.jpg'}: max_bytes is 1000000, but the file has at least 1000001\n"
    )
    assert files(tmp_path / "out") == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("decode <(cat in/a.jpg) -o x.png", {"x.png"}),
        ("requantize <(cat in/a.jpg) in/b.jpg -o out", {"out"}),
        ("decode /dev/stdin -o x.png < in/a.jpg", {"x.png"}),
        ("inspect <(cat in/a.jpg)", set()),
        ("calibrate <(cat in/a.jpg) -o x.json", {"x.json"}),
    ],
)
def test_a_pipe_that_the_user_names_is_read(source, tmp_path, arguments, expected):
    line = f"{sys.executable} -m pyfd {arguments}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert {path.name for path in tmp_path.iterdir()} == {source.name} | expected


# ---- targets ------------------------------------------------------------------


@pytest.mark.parametrize("command", ["requantize", "decode", "encode"])
def test_targets_that_others_have_put_there(run, source, tmp_path, command):
    """Nothing is written through a link or into a pipe that waits in an output directory."""
    out = tmp_path / "out"
    out.mkdir()
    suffix = ".png" if command == "decode" else ".jpg"
    precious = tmp_path / "bashrc"
    precious.write_text("precious")
    (source / "d.jpg").write_bytes(jpeg())
    (out / f"a{suffix}").symlink_to(precious)
    (out / f"b{suffix}").symlink_to(tmp_path / "new")
    os.mkfifo(out / f"c{suffix}")
    for _ in range(2):
        code, _, err = run(command, source, "-o", out)
        assert code == 1
        lines = [line for line in err.splitlines() if "are done already" not in line]
        assert lines == [
            f"pyfd: {source / 'a.jpg'}: cannot write {out / f'a{suffix}'}: a symbolic link",
            f"pyfd: {source / 'b.jpg'}: cannot write {out / f'b{suffix}'}: a symbolic link",
            f"pyfd: {source / 'c.jpg'}: cannot write {out / f'c{suffix}'}: not a regular file",
        ]
    assert precious.read_text() == "precious"
    assert not (tmp_path / "new").exists()
    assert (out / f"d{suffix}").is_file()
    assert (out / f"c{suffix}").is_fifo()


def test_a_target_in_a_directory_that_is_named_for_one_file(run, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").symlink_to(tmp_path / "elsewhere")
    code, _, err = run("requantize", source / "a.jpg", "-o", tmp_path / "out")
    assert code == 1
    assert err.endswith(": a symbolic link\n")
    assert not (tmp_path / "elsewhere").exists()


# ---- the journal ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (os.mkfifo, "is not a journal of this pyfd: it is not a regular file."),
        (by_socket, ": No such device or address"),
        (by_link_to("/dev/zero"), "is not a journal of this pyfd: it is not a regular file."),
        (by_link_to("../pipe"), "is not a journal of this pyfd: it is not a regular file."),
        (by_link_to("../notes"), "its first line is not the header of a log."),
        (by_link_to(JOURNAL), ": Too many levels of symbolic links"),
        (by_link_to("nowhere"), ": No such file or directory"),
        (Path.mkdir, ": Is a directory"),
    ],
)
@pytest.mark.parametrize("engine", [[], ["--verify"]])
def test_what_is_no_journal_is_refused_at_once(run, source, tmp_path, put, reason, engine):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "notes").write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    put(out / JOURNAL)
    code, _, err = run("requantize", source, "-o", out, *engine)
    (line,) = err.splitlines()
    assert code == 1
    assert line.startswith(f"pyfd: {out}: ")
    assert str(out / JOURNAL) in line
    assert reason in line
    assert (tmp_path / "notes").read_text() == "precious"
    assert not files(out)


def test_a_link_to_an_empty_file_is_replaced_not_followed(run, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "empty").touch()
    (out / JOURNAL).symlink_to(tmp_path / "empty")
    assert run("requantize", source, "-o", out)[0] == 0
    assert (tmp_path / "empty").read_bytes() == b""
    assert not (out / JOURNAL).is_symlink()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 << 30)


def endless_line(path: Path) -> None:
    path.write_bytes(b"[" * 20_000_000)


def state(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another one; reading may change its time of access."""
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_blocks, found.st_mtime_ns)


@pytest.mark.parametrize("put", [sparse, endless_line])
def test_a_huge_file_is_no_journal(run, source, tmp_path, put):
    out = tmp_path / "out"
    out.mkdir()
    put(out / JOURNAL)
    before = state(out / JOURNAL)
    code, _, err = run("requantize", source, "-o", out)
    assert code == 1
    assert "Move it away or delete it" in err
    assert state(out / JOURNAL) == before


def test_outputs_are_what_one_run_makes_if_two_run_at_once(run, source, tmp_path):
    """Both may write a file; the journal has each run's lines, and a third run agrees."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pyfd", "requantize", source, "-o", out]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    runs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=50) and process.returncode for process in runs] == [0] * 3
    code, _, err = run("requantize", source, "-o", out, "--verify")
    assert (code, err) == (0, f"pyfd: {out}: 3 of 3 are done already\n")
    assert (out / "a.jpg").read_bytes() == pyfd.requantize(jpeg(), DEFAULT)
    assert files(out) == ["a.jpg", "b.jpg", "c.jpg"]
