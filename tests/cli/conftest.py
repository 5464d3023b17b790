"""The command line in this process, and files for it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from pyfd.cli import cli
from tests import jpegs
from tests.cli.samples import Outcome, Run, jpeg, picture


@pytest.fixture
def run_binary(capsysbinary, monkeypatch) -> Run:
    """The command line in this process, with bytes for stdin and stdout."""

    def call(*args: object, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            cli.main([str(arg) for arg in args], prog_name="pyfd")
        captured = capsysbinary.readouterr()
        return Outcome(stop.value.code, captured.out, captured.err.decode())

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg())
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture()).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with two good files, a damaged one, and one that is not a picture."""
    top = tmp_path / "in"
    (top / "deep").mkdir(parents=True)
    (top / "a.jpg").write_bytes(jpeg())
    (top / "deep" / "b.JPEG").write_bytes(jpeg())
    (top / "deep" / "bad.jpg").write_bytes(jpeg()[:500])
    (top / "notes.txt").write_text("not a picture")
    return top


@pytest.fixture
def photos_here(tmp_path: Path) -> Path:
    """A directory with three photographs, one of them gray, and a damaged one."""
    top = tmp_path / "photos"
    (top / "deep").mkdir(parents=True)
    for n, channels in enumerate((3, 3, 1)):
        data = jpegs.encode_with_pillow(jpegs.picture(64, 48, n, channels), quality=90)
        (top / "deep" / f"{n}.jpg").write_bytes(data)
    return top
