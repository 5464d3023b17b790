"""Directories that commands search: links, loops, depth, odd names, and what is no file."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyfd
from tests.cli.samples import EVIL, files, jpeg

SKIPPED = "a linked folder, which is skipped"
COUNT = "pyfd: {} skipped; --follow-links takes them"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A directory with a file of its own, and a link to a folder with another one."""
    for name in ("in/own.jpg", "elsewhere/other.jpg"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(jpeg())
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "in"


#: Every command that searches directories.
COMMANDS = [
    "requantize in -o out",
    "requantize in out",
    "decode in -o out",
    "encode in -o out",
    "certify in",
    "inspect in",
    "calibrate in -o out.json",
    "tables compare 16 --on in",
]


@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize("command", COMMANDS)
def test_linked_folders_are_named_or_followed(run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, without, err = run(*command.split())
    lines = [f"pyfd: in/link: {SKIPPED}", COUNT.format("1 linked folder was")]
    assert (code, err.splitlines()) == (0, lines)
    code, followed, err = run(*command.split(), "--follow-links")
    assert code == 0
    assert "link" not in err
    if (tmp_path / "out").exists():
        assert [Path(name).stem for name in files(tmp_path / "out")] == ["other", "own"]
    else:  # a report, which is about one more file
        assert followed != without


def test_a_tree_of_nothing_but_links(run, linked, tmp_path):
    (linked / "own.jpg").unlink()
    (linked / "more").symlink_to(linked)
    code, _, err = run("decode", linked, "-o", tmp_path / "out")
    assert code == 1
    assert err.splitlines() == [
        f"pyfd: {linked / 'link'}: {SKIPPED}",
        f"pyfd: {linked / 'more'}: {SKIPPED}",
        f"pyfd: {linked}: no files in it that end in .jfif, .jpe, .jpeg, .jpg",
        COUNT.format("2 linked folders were"),
    ]


def test_a_linked_input_and_linked_files_are_taken(run, linked, tmp_path):
    (tmp_path / "top").symlink_to(linked)
    (linked / "file.jpg").symlink_to(tmp_path / "elsewhere" / "other.jpg")
    (linked / "link").unlink()
    assert run("requantize", tmp_path / "top", "-o", tmp_path / "out") == (0, "", "")
    assert files(tmp_path / "out") == ["file.jpg", "own.jpg"]


def test_loops_are_found_and_named(run, tmp_path):
    top = tmp_path / "in"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "x.jpg").write_bytes(jpeg())
    (tmp_path / "outside").mkdir()
    (top / "a" / "b" / "up").symlink_to(top / "a")
    (top / "a" / "b" / "here").symlink_to(".")
    (top / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "back").symlink_to(tmp_path)  # which has `in`
    (top / "self").symlink_to("self")  # a link that leads nowhere
    code, _, err = run("requantize", top, "-o", tmp_path / "results", "--follow-links")
    assert code == 0
    loop = "a loop: it leads back to"
    assert err.splitlines() == [
        f"pyfd: {top / 'a/b/here'}: {loop} {top / 'a/b'}",
        f"pyfd: {top / 'a/b/up'}: {loop} {top / 'a'}",
        f"pyfd: {top / 'out/back/in'}: {loop} {top}",
        f"pyfd: {top / 'out/back/outside'}: {loop} {top / 'out'}",
    ]
    assert files(tmp_path / "results") == ["a/b/x.jpg"]


def test_a_folder_with_two_ways_to_it_is_searched_once(run, linked, tmp_path):
    """Its real place comes first, and then the links in their order."""
    (linked / "z" / "deep").mkdir(parents=True)
    (linked / "z" / "deep" / "x.jpg").write_bytes(jpeg())
    (linked / "a").symlink_to(linked / "z" / "deep")
    (linked / "m").symlink_to(tmp_path / "elsewhere")
    code, _, err = run("decode", linked, "-o", tmp_path / "out", "--follow-links")
    assert code == 0
    assert err.splitlines() == [
        f"pyfd: {linked / 'a'}: it leads to {linked / 'z/deep'}, which is searched already",
        f"pyfd: {linked / 'm'}: it leads to {linked / 'link'}, which is searched already",
    ]
    assert files(tmp_path / "out") == ["link/other.png", "own.png", "z/deep/x.png"]


def test_a_web_of_links_does_not_multiply(run, tmp_path):
    """Thirty folders with two links each to the next would be a thousand million ways."""
    for level in range(31):
        (tmp_path / f"{level}").mkdir()
        for name in ("left", "right"):
            (tmp_path / f"{level}" / name).symlink_to(tmp_path / f"{level + 1}")
    (tmp_path / "30" / "x.jpg").write_bytes(jpeg())
    code, _, err = run("decode", tmp_path / "0", "-o", tmp_path / "out", "--follow-links")
    assert code == 0
    assert files(tmp_path / "out") == ["/".join(["left"] * 30 + ["x.png"])]
    assert len(err.splitlines()) == 30


def test_the_output_is_no_input_by_a_link(run, linked, tmp_path):
    (linked / "results").symlink_to(tmp_path / "out")
    for _ in range(2):
        assert run("encode", linked, "-o", tmp_path / "out", "--follow-links") == (0, "", "")
    assert files(tmp_path / "out") == ["link/other.jpg", "own.jpg"]
    _, _, err = run("encode", linked, "-o", tmp_path / "out")
    assert "results" not in err


# ---- depth ------------------------------------------------------------------


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A directory for trees that Python's own functions cannot delete."""
    (tmp_path / "in").mkdir()
    yield tmp_path / "in"
    subprocess.run(["rm", "-rf", tmp_path / "in", tmp_path / "out"], check=True)


def dig(top: Path, levels: int) -> None:
    """Make a chain of folders called "d", as long as no path could name it."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def bury(top: Path, level: int) -> None:
    """Put a file on a level of the chain, and one beside it."""
    folder = Path(top, *["d"] * level)
    (folder / "good.jpg").write_bytes(jpeg())
    (folder / "z").mkdir()
    (folder / "z" / "beside.jpg").write_bytes(jpeg())


@pytest.mark.parametrize("command", ["requantize", "decode", "encode"])
def test_a_tree_of_1100_levels(run, deep, tmp_path, command):
    dig(deep, 1100)
    for level in (3, 1100):
        bury(deep, level)
    assert run(command, deep, "-o", tmp_path / "out") == (0, "", "")
    found = subprocess.run(
        ["find", tmp_path / "out", "-name", "*.[jp][pn]g"], capture_output=True, text=True
    ).stdout.split()
    assert [
        len(Path(name).relative_to(tmp_path / "out").parents) for name in sorted(found, key=len)
    ] == [4, 5, 1101, 1102]


def test_paths_that_are_too_long_for_the_system(run, deep, tmp_path):
    """The folder from which on nothing has a name is refused, and the rest is done."""
    dig(deep, 5000)
    for level in (3, 1500):
        bury(deep, level)
    code, out, err = run("inspect", deep, "--json")
    assert code == 1
    assert len(out.splitlines()) == 4
    (line,) = err.splitlines()
    assert line.endswith("/d: File name too long")
    code, _, err = run("requantize", deep, "-o", tmp_path / "out" / ("long" * 60) / ("x" * 200))
    assert code == 1
    assert all(line.endswith("File name too long") for line in err.splitlines())


def test_outputs_whose_paths_are_too_long(run, deep, tmp_path):
    """A file is refused for itself, in an output directory with a longer name."""
    dig(deep, 1900)
    for level in (3, 1900):
        bury(deep, level)
    out = tmp_path / "out" / ("a" * 250) / ("b" * 250)
    code, _, err = run("requantize", deep, "-o", out)
    assert code == 1
    assert len(err.splitlines()) == 2
    assert all(
        "good.jpg: cannot write" in line or "beside.jpg: cannot write" in line
        for line in err.splitlines()
    )
    assert (out / "d/d/d/good.jpg").is_file()


# ---- names, and what is no file -----------------------------------------------


@pytest.mark.parametrize("command", ["requantize", "decode", "inspect", "certify"])
def test_names_that_no_terminal_should_see(run, tmp_path, command):
    top = tmp_path / "in"
    names = [EVIL.replace("\0", ""), os.fsdecode(b"\xff\xfe"), "a\nb", "-o", " "]
    for name in names:
        (top / name).mkdir(parents=True)
        (top / name / f"{name}.jpg").write_bytes(jpeg())
        (top / name / f"{name}-bad.jpg").write_bytes(b"bad")
        (top / f"{name}-link").symlink_to(top)
    options = ["-o", tmp_path / "out"] if command in ("requantize", "decode") else []
    code, out, err = run(command, top, *options)
    assert code == 1
    assert (out + err).replace("\n", "").isprintable()
    assert len(err.splitlines()) == 2 * len(names) + 1
    if options:
        done = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".jpg", ".png")]
        assert len(done) == len(names)


@pytest.mark.parametrize(
    "command", [("decode", "-o", "out"), ("inspect",), ("certify",), ("calibrate", "-o", "out")]
)
def test_pipes_sockets_and_devices_are_named(run, linked, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(linked / "pipe.jpg")
    os.mkfifo(linked / "pipe.txt")  # nobody wants it, like any other .txt
    os.mknod("in/socket.jpg", stat.S_IFSOCK | 0o600)
    (linked / "zero.jpg").symlink_to("/dev/zero")
    (linked / "link").unlink()
    (linked / "round.jpg").symlink_to("round.jpg")
    code, _, err = run(command[0], "in", *command[1:])
    assert code == 1
    assert sorted(err.splitlines()) == [
        "pyfd: in/pipe.jpg: not a regular file",
        "pyfd: in/round.jpg: Too many levels of symbolic links",
        "pyfd: in/socket.jpg: not a regular file",
        "pyfd: in/zero.jpg: not a regular file",
    ]


def test_folders_that_become_links_while_others_are_searched(linked, tmp_path):
    """They are not searched as if they were folders of the tree."""
    from pyfd._core.search import Omitted, search

    (linked / "z").mkdir()
    found = search(str(linked), lambda name: name.endswith(".jpg"))
    assert next(found) == str(linked / "own.jpg")
    (linked / "z").rmdir()
    (linked / "z").symlink_to(tmp_path / "elsewhere")
    *_, last = found
    assert isinstance(last, Omitted)
    assert (last.path, last.reason) == (str(linked / "z"), "Not a directory")


def test_a_file_that_is_gone_by_its_turn(run, linked, tmp_path, monkeypatch):
    (linked / "link").unlink()
    (linked / "gone.jpg").write_bytes(jpeg())
    requantize = pyfd.requantize

    def work(data, **options):
        (linked / "own.jpg").unlink(missing_ok=True)
        return requantize(data, **options)

    monkeypatch.setattr(pyfd, "requantize", work)
    # One thread: with two, own.jpg may be read before it is gone
    code, _, err = run("requantize", linked, "-o", tmp_path / "out", "--workers", 1)
    assert (code, err) == (1, f"pyfd: {linked / 'own.jpg'}: No such file or directory\n")
    assert files(tmp_path / "out") == ["gone.jpg"]
