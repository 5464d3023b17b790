"""Fixtures for the tests of the drop-in: programs and a photograph."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyfd._core.native import DROP_IN
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.dropin.programs import SOURCES, compile_program


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    """Compile cjpeg, djpeg, jpegtran, dropin and defects into a folder, with the drop-in."""
    folder = tmp_path_factory.mktemp("programs")
    for name in (*SOURCES, "dropin", "defects"):
        compile_program(name, folder, DROP_IN)
    return folder


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode_with_pillow(picture(83, 61), quality=90, subsampling=0))
    return path
