"""The list of the studies' photographs, and the check of a folder against it."""

from __future__ import annotations

import hashlib
import sys

import pytest

from benchmarks import photographs
from benchmarks.photographs import Photograph, differences, listed


def test_the_list_is_one_of_labelled_photographs():
    found = listed()
    assert len(found) == 400
    assert len({photograph.file for photograph in found}) == 400
    assert len({photograph.label for photograph in found}) == 400  # one of each class
    assert all(0 <= photograph.label < 1000 for photograph in found)
    assert all(len(bytes.fromhex(photograph.sha256)) == 32 for photograph in found)


@pytest.fixture
def photos(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return [
        Photograph(name, n, hashlib.sha256(name.encode()).hexdigest())
        for n, name in enumerate(("a.jpg", "b.jpg", "c.jpg"))
    ]


def test_a_folder_with_the_photographs(tmp_path, photos):
    (tmp_path / "other.jpg").write_bytes(b"more")
    assert list(differences(tmp_path, photos)) == []


def test_a_folder_with_other_photographs(tmp_path, photos):
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "c.jpg").write_bytes(b"C.jpg")
    assert list(differences(tmp_path, photos)) == [
        f"{tmp_path / 'a.jpg'}: missing",
        f"{tmp_path / 'c.jpg'}: another file than in the list",
    ]


def test_the_command(tmp_path, photos, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "listed", lambda: photos)
    monkeypatch.setattr(sys, "argv", ["photographs", str(tmp_path)])
    for code, count in ((0, 3), (1, 2)):
        with pytest.raises(SystemExit) as stop:
            photographs.main()
        assert stop.value.code == code
        assert f"{count} of 3 photographs" in capsys.readouterr().out
        (tmp_path / "b.jpg").write_bytes(b"")
