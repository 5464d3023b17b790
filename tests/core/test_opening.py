"""Files that are opened only if they are regular, and the folders above files."""

import os
import pickle
import subprocess
import threading
from pathlib import Path

import pytest

import pyfd
from pyfd._core.files import NotRegularError, RegularFile, open_regular, read_source
from pyfd._core.writing import make_parents

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
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("pipe", "link", "null"):
        with pytest.raises(NotRegularError, match="not a regular file") as caught:
            open_regular(tmp_path / name, flags)
        assert caught.value.filename == str(tmp_path / name)
    with pytest.raises(NotRegularError if flags == os.O_RDONLY else IsADirectoryError):
        open_regular(tmp_path, flags)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


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


def test_a_source_that_has_no_data_now_and_does_not_wait():
    """A part of a file is never taken for all of it."""
    here, there = os.pipe()
    os.set_blocking(here, False)
    with os.fdopen(here, "rb") as reader, os.fdopen(there, "wb", buffering=0) as writer:
        for data in (b"", b"a part"):
            writer.write(data)
            with pytest.raises(BlockingIOError, match="temporarily unavailable"):
                read_source(reader, pyfd.Limits())


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
