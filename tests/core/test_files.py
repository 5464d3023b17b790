"""Files that are opened only if they are regular; whole files, and nothing left behind."""

import os
import pickle
import subprocess
import threading
from pathlib import Path

import pytest

import pyfd
from pyfd._core.files import (
    NotRegularError,
    RegularFile,
    make_parents,
    open_regular,
    read_source,
    write_atomically,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_whole_files(tmp_path):
    path = tmp_path / "x.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["x.bin"]


def test_leaves_nothing_behind_when_it_fails(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"data")
    assert names(tmp_path) == ["folder", "x.bin"]


def test_long_names(tmp_path):
    name = "é" * 125 + ".jpg"
    write_atomically(tmp_path / name, b"data")
    assert names(tmp_path) == [name]


# ---- what is opened -----------------------------------------------------------


def test_a_regular_file_is_read_like_any_other_path(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"content")
    (tmp_path / "link").symlink_to(path)
    for name in (path, tmp_path / "link"):
        found = pickle.loads(pickle.dumps(RegularFile(str(name))))
        assert os.fspath(found) == str(name)
        assert read_source(found, pyfd.Limits()) == b"content"
        with pytest.raises(pyfd.LimitExceededError):
            read_source(found, pyfd.Limits(max_bytes=6))


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_what_is_not_regular_is_neither_waited_for_nor_left_open(tmp_path, flags):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    before = len(names(Path("/proc/self/fd")))
    for name in ("pipe", "link", "null"):
        with pytest.raises(NotRegularError, match="not a regular file") as caught:
            open_regular(tmp_path / name, flags)
        assert caught.value.filename == str(tmp_path / name)
    with pytest.raises(NotRegularError if flags == os.O_RDONLY else IsADirectoryError):
        open_regular(tmp_path, flags)
    assert len(names(Path("/proc/self/fd"))) == before


def test_a_pipe_that_a_caller_names_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(
        target=lambda: found.append(read_source(tmp_path / "pipe", pyfd.Limits()))
    )
    reader.start()
    (tmp_path / "pipe").write_bytes(b"late")  # waits for the reader, as the reader for it
    reader.join(timeout=50)
    assert found == [b"late"]


# ---- folders --------------------------------------------------------------------


def test_parents_are_made_however_deep(tmp_path):
    path = tmp_path.joinpath("new", *["d"] * 1500, "x.jpg")
    try:
        for _ in range(2):
            make_parents(path)
            assert path.parent.is_dir()
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "new"], check=True)


def test_parents_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in (
        "file/below/x.jpg",
        "dangling/x.jpg",
        "dangling/below/x.jpg",
        f"{'a' * 300}/x.jpg",
    ):
        with pytest.raises(OSError, match=name.partition("/")[0]):
            make_parents(tmp_path / name)
    make_parents(tmp_path / "file" / "x.jpg")  # writing it will say that "file" is no folder
