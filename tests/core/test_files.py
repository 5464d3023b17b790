"""`write_file`: whole files, and nothing left behind."""

import pytest

from pyfd._core.files import write_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_whole_files(tmp_path):
    path = tmp_path / "x.bin"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["x.bin"]


def test_leaves_nothing_behind_when_it_fails(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_file(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", b"data")
    assert names(tmp_path) == ["folder", "x.bin"]


def test_long_names(tmp_path):
    name = "é" * 125 + ".jpg"
    write_file(tmp_path / name, b"data")
    assert names(tmp_path) == [name]
