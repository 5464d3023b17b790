"""A copy of the build, for tests that change the files that it finds."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.sources import FORK, ROOT, find_tarball, load_build


@pytest.fixture
def build(tmp_path, monkeypatch) -> ModuleType:
    """A copy of build.py in `tmp_path`, with the files that it loads and no archive."""
    for folder in ("third_party", "csrc"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "pyfd" / "_core").mkdir(parents=True)
    for file in ("build.py", "setup.py", "pyproject.toml", "pyfd/_core/checkout.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    for archive in (tmp_path / FORK).glob("*.tar.*"):
        archive.unlink()
    monkeypatch.delenv("PYFD_LIBJPEG_TURBO_TARBALL", raising=False)
    module = load_build(tmp_path)
    module.fork.PIN["url"] = "http://127.0.0.1:9/"  # where nobody listens
    return module


@pytest.fixture
def fork(build) -> ModuleType:
    """The fork.py of the copy."""
    return build.fork


@pytest.fixture(scope="session")
def tarball() -> Path:
    """The pinned archive that this installation was built from."""
    return find_tarball()
