"""`write_file`: nothing is replaced that is not a file, and nothing is left half-written."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from pyfd._core import writing
from pyfd._core.writing import write_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_long_names(tmp_path):
    name = "é" * 125 + ".jpg"
    write_file(tmp_path / name, b"data")
    assert names(tmp_path) == [name]


@pytest.fixture
def old(tmp_path):
    """A file that is to be replaced."""
    path = tmp_path / "x.bin"
    path.write_bytes(b"old content")
    return path


def failing(name, code):
    """Return a function of `os` or `Path` that fails."""

    def fail(*_args, **_options):
        raise OSError(code, os.strerror(code), name)

    return fail


# ---- regular files ----------------------------------------------------------


def test_writes_whole_files(tmp_path):
    path = tmp_path / "x.bin"
    write_file(path, b"one")
    write_file(str(path), memoryview(b"two"))
    assert path.read_bytes() == b"two"
    write_file(path, b"")
    assert path.read_bytes() == b""
    assert names(tmp_path) == ["x.bin"]


def test_replaces_a_file_rather_than_writing_over_it(old):
    with old.open("rb") as before:
        write_file(old, b"new")
        assert before.read() == b"old content"


def test_leaves_nothing_behind_when_it_fails(old, tmp_path):
    with pytest.raises(TypeError):
        write_file(old, "text")  # type: ignore[arg-type]
    assert old.read_bytes() == b"old content"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write_file(tmp_path / "folder", b"data")
    with pytest.raises(FileNotFoundError, match=r"nowhere/x\.bin"):
        write_file(tmp_path / "nowhere" / "x.bin", b"data")
    with pytest.raises(NotADirectoryError, match=r"x\.bin/x"):
        write_file(old / "x", b"data")
    assert names(tmp_path) == ["folder", "x.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_write_that_fails_leaves_the_old_file(old, tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "write", failing("write", code))
    with pytest.raises(OSError, match=r"x\.bin") as caught:
        write_file(old, b"new")
    assert caught.value.errno == code
    assert old.read_bytes() == b"old content"
    with pytest.raises(OSError, match=r"y\.bin"):
        write_file(tmp_path / "y.bin", b"new")
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", ["open", "write", "fchmod", "close"])
def test_an_interrupted_write_leaves_the_old_file(old, tmp_path, monkeypatch, call, error):
    """A signal can arrive after each call."""
    real = getattr(os, call)

    def interrupted(*arguments):
        real(*arguments)
        raise error

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(error):
        write_file(old, b"new")
    assert old.read_bytes() == b"old content"
    assert names(tmp_path) == ["x.bin"]


def test_a_file_that_may_not_be_written_is_not_replaced(old, monkeypatch):
    old.chmod(0o444)
    real = os.open

    def deny(path, flags, *mode):
        """Deny access as the system does, but to root too."""
        if Path(path) == old:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", deny)
    monkeypatch.setattr(writing, "_writable", lambda _target: False)
    with pytest.raises(PermissionError, match=r"x\.bin"):
        write_file(old, b"new")
    assert old.read_bytes() == b"old content"
    assert names(old.parent) == ["x.bin"]


# ---- where no new file can be made --------------------------------------------


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EPERM, errno.EXDEV])
def test_a_mount_point_is_written_over(old, monkeypatch, code):
    """A rename onto a file that is bind-mounted fails with EBUSY."""
    monkeypatch.setattr(Path, "replace", failing("replace", code))
    identity = old.stat().st_ino
    for content in (b"longer than the old content", b"short", b""):
        write_file(old, content)
        assert (old.read_bytes(), old.stat().st_ino) == (content, identity)
    with pytest.raises(OSError, match="another"):
        write_file(old.with_name("another"), b"new")
    assert names(old.parent) == ["x.bin"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_file_in_a_folder_that_is_read_only_is_written_over(old, monkeypatch, code):
    real = os.open

    def deny(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", deny)
    write_file(old, b"new")
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_no_file_is_written_over_without_space_for_all(old, monkeypatch, code):
    monkeypatch.setattr(Path, "replace", failing("replace", errno.EBUSY))
    monkeypatch.setattr(os, "posix_fallocate", failing("fallocate", code))
    with pytest.raises(OSError, match=r"x\.bin") as caught:
        write_file(old, b"new " * 1000)
    assert caught.value.errno == code
    assert old.read_bytes() == b"old content"


def test_file_systems_that_cannot_reserve_space(old, monkeypatch):
    monkeypatch.setattr(Path, "replace", failing("replace", errno.EBUSY))
    monkeypatch.setattr(os, "posix_fallocate", failing("fallocate", errno.EOPNOTSUPP))
    write_file(old, b"new")
    assert old.read_bytes() == b"new"


def test_a_pipe_that_takes_a_mount_points_place_is_not_waited_for(old, monkeypatch):
    def replaced(_temporary, target):
        target.unlink()
        os.mkfifo(target)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", replaced)
    with pytest.raises(OSError, match=r"x\.bin"):
        write_file(old, b"new")
    assert old.is_fifo()


# ---- symbolic links -----------------------------------------------------------


def test_the_target_of_a_link_is_replaced(tmp_path, old, monkeypatch):
    (tmp_path / "far").mkdir()
    old.rename(tmp_path / "far" / "x.bin")
    (tmp_path / "middle").symlink_to("far/x.bin")
    (tmp_path / "far" / "link").symlink_to("../middle")
    monkeypatch.chdir(tmp_path)
    with Path("far/x.bin").open("rb") as before:
        write_file("far/link", b"new")
        assert before.read() == b"old content"  # a crash would have left it
    assert Path("far/x.bin").read_bytes() == b"new"
    assert Path("far/link").readlink() == Path("../middle")
    assert Path("middle").readlink() == Path("far/x.bin")
    assert names(tmp_path) == ["far", "middle"]
    assert names(tmp_path / "far") == ["link", "x.bin"]


def test_a_dangling_link(tmp_path):
    (tmp_path / "link").symlink_to("new")
    write_file(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() == b"data"
    (tmp_path / "lost").symlink_to("nowhere/new")
    with pytest.raises(FileNotFoundError, match="lost"):
        write_file(tmp_path / "lost", b"data")


@pytest.mark.parametrize("name", ["new/", "x.bin/", "link/"])
@pytest.mark.parametrize("through", [True, False])
def test_a_name_of_a_folder(old, name, through):
    (old.parent / "link").symlink_to("nothing")
    with pytest.raises(IsADirectoryError, match=name):
        write_file(f"{old.parent}/{name}", b"data", through=through)
    assert names(old.parent) == ["link", "x.bin"]
    assert old.read_bytes() == b"old content"


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as caught:
        write_file(tmp_path / "a", b"data")
    assert caught.value.errno == errno.ELOOP
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_whose_whole_name_is_too_long_for_the_system(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        for _ in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        for data in (b"new", b"newer"):
            write_file("x.bin", data)
            assert Path("x.bin").read_bytes() == data
    finally:
        subprocess.run(["rm", "-rf", tmp_path / ("d" * 200)], check=True)


def test_a_hard_link_is_separated(tmp_path, old):
    """Copies that share their content, as backups do, keep it."""
    (tmp_path / "backup").hardlink_to(old)
    write_file(old, b"new")
    assert (tmp_path / "backup").read_bytes() == b"old content"


# ---- pipes, devices and open files ----------------------------------------------


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_waited_for_and_stays(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    data = bytes(range(256)) * 1000  # more than a pipe holds
    target = tmp_path / ("link" if linked else "pipe")
    writer = threading.Thread(target=write_file, args=(target, data), daemon=True)
    writer.start()
    assert (tmp_path / "pipe").read_bytes() == data
    writer.join(60)
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["link", "pipe"]


def test_a_reader_that_leaves(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write_file(f"/dev/fd/{writer}", b"data")
    os.close(writer)


def test_devices(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    for target in ("/dev/null", tmp_path / "null"):
        write_file(target, b"data")
    with pytest.raises(OSError, match="/dev/full") as caught:
        write_file("/dev/full", b"data")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "null").is_symlink()
    assert Path("/dev/null").is_char_device()


def test_sockets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(OSError, match="a socket cannot be opened") as caught:
            write_file("socket", b"data")
    assert caught.value.errno == errno.ENXIO
    assert Path("socket").is_socket()


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"])
def test_own_descriptors_keep_their_place(old, folder):
    with old.open("r+b", buffering=0) as file:
        file.seek(4)
        write_file(f"{folder}/{file.fileno()}", b"new")
        file.write(b"!")
    assert old.read_bytes() == b"old new!ent"
    with old.open("ab", buffering=0) as file:
        write_file(f"{folder}/{file.fileno()}", b" and more")
        (old.parent / "link").symlink_to(f"{folder}/{file.fileno()}")
        write_file(old.parent / "link", b".")
    assert old.read_bytes() == b"old new!ent and more."
    assert names(old.parent) == ["link", "x.bin"]


@pytest.mark.parametrize("number", ["9" * 30, "\uff11", "+1", "1_0", "x"])
def test_names_that_are_no_descriptors(number):
    """Python takes some of them for whole numbers: a wide 1 is no name of stdout."""
    with pytest.raises(OSError, match=re.escape(number)):
        write_file(f"/dev/fd/{number}", b"data")


def test_own_descriptors_without_a_name(old):
    with old.open("wb", buffering=0) as file:
        old.unlink()
        write_file(f"/dev/fd/{file.fileno()}", b"data")
        assert os.fstat(file.fileno()).st_size == 4
    assert names(old.parent) == []
    here, there = socket.socketpair()
    with here, there:
        write_file(f"/dev/fd/{here.fileno()}", b"data")
        assert there.recv(10) == b"data"


def test_descriptors_that_cannot_be_written(old):
    with old.open("rb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        write_file(f"/dev/fd/{file.fileno()}", b"data")
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_file("/dev/fd/1000000", b"data")
    assert old.read_bytes() == b"old content"


def test_another_process_s_descriptor(old):
    with old.open("r+b") as file:
        child = subprocess.Popen(["sleep", "60"], stdout=file)
        try:
            write_file(f"/proc/{child.pid}/fd/1", b"data")
            file.seek(0)
            assert file.read() == b"data"  # the same file
        finally:
            child.kill()
            child.wait()


@pytest.mark.parametrize("kind", ["pipe", "link to pipe", "link", "device", "descriptor", "socket"])
def test_only_files_in_a_batch(tmp_path, old, kind):
    target = tmp_path / "target"
    with old.open("ab") as file, socket.socket(socket.AF_UNIX) as server:
        if kind == "pipe":
            os.mkfifo(target)
        elif kind == "link to pipe":
            os.mkfifo(tmp_path / "pipe")
            target.symlink_to("pipe")
        elif kind == "socket":
            server.bind(os.path.relpath(target))
        elif kind == "link":
            target.symlink_to(old)
        else:
            target.symlink_to("/dev/null" if kind == "device" else f"/dev/fd/{file.fileno()}")
        reason = "not a regular file" if kind in ("pipe", "socket") else "a symbolic link"
        with pytest.raises(OSError, match=reason):
            write_file(target, b"data", through=False)
    assert old.read_bytes() == b"old content"
    write_file(old, b"new", through=False)
    assert old.read_bytes() == b"new"


def test_a_link_that_takes_the_targets_place_is_replaced_not_followed(tmp_path, old, monkeypatch):
    lstat = Path.lstat

    def swapped(path):
        status = lstat(path)
        path.unlink()
        path.symlink_to(old)
        return status

    target = tmp_path / "target"
    target.write_bytes(b"mine")
    monkeypatch.setattr(Path, "lstat", swapped)
    write_file(target, b"data", through=False)
    monkeypatch.undo()
    assert old.read_bytes() == b"old content"
    assert (target.is_symlink(), target.read_bytes()) == (False, b"data")
