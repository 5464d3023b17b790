"""What the build says if something is missing: all of it at once, and one line that installs it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.sources import FORK, ROOT, find_tarball

# What can be missing: the words that name it, and Debian's packages
NEEDS = {
    "cc": ("a C compiler (cc", ["gcc", "libc6-dev"]),
    "strip": ("binutils", ["binutils"]),
    "Python.h": ("Python's headers", ["python3-dev"]),
    "patch": ("patch", ["patch"]),
    "cmake": ("cmake", ["cmake"]),
    "ninja": ("ninja", ["ninja-build"]),
    "nasm": ("nasm", ["nasm"]),
    "source": ("cannot download the sources", []),
}
HIDDEN = [
    hidden for count in range(len(NEEDS) + 1) for hidden in itertools.combinations(NEEDS, count)
]


@pytest.fixture
def tools(fork, monkeypatch, tmp_path) -> Path:
    """A folder that is all of PATH, on an x86-64 with Debian's Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(fork.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(fork.sys, "base_prefix", "/usr")
    monkeypatch.delenv("CC", raising=False)
    return folder


def fill(folder: Path, hidden: tuple[str, ...] = ()) -> None:
    """Put all programs but some into the folder of PATH."""
    for program in ("ar", "as", "cc", "ld", "objcopy", "strip", "patch", "cmake", "ninja", "nasm"):
        if program not in hidden:
            (folder / program).symlink_to("/bin/true")


def message(fork: ModuleType, cache: Path, headers: Path | None = None) -> str:
    """Return what the build says, or "" if it lacks nothing."""
    try:
        fork.check_needs(cache, headers)
    except fork.BuildError as error:
        return str(error)
    return ""


def test_everything_that_is_missing_is_named_at_once(fork, tools, monkeypatch, tmp_path):
    headers = tmp_path / "headers"
    headers.mkdir()
    for hidden in HIDDEN:
        shutil.rmtree(tools)
        tools.mkdir()
        fill(tools, hidden)
        (headers / "Python.h").unlink(missing_ok=True)
        if "Python.h" not in hidden:
            (headers / "Python.h").touch()
        archive = "" if "source" in hidden else str(find_tarball())
        monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", archive)
        said = message(fork, tmp_path / "cache", headers)
        assert bool(said) == bool(hidden)
        for name, (words, _) in NEEDS.items():
            assert (words in said.replace("libjpeg-turbo", "")) == (name in hidden), (hidden, said)
        wanted = [package for name in NEEDS if name in hidden for package in NEEDS[name][1]]
        lines = [line for line in said.splitlines() if "apt-get install" in line]
        assert len(lines) == bool(wanted)
        for line in lines:
            assert sorted(line.partition("apt-get install ")[2].split()) == sorted(wanted)


def test_headers_of_the_c_library(fork, tools, tmp_path):
    """A compiler without them is what `apt-get install --no-install-recommends gcc` gives."""
    fill(tools, ("cc",))
    (tools / "cc").symlink_to("/bin/false")
    said = message(fork, tmp_path)
    assert "the C library's headers (stdio.h)" in said
    assert "libc6-dev" in said


def test_the_compiler_that_is_named(fork, tools, monkeypatch, tmp_path):
    fill(tools)
    monkeypatch.setenv("CC", "gcc-of-nobody -m64")
    assert "a C compiler (gcc-of-nobody, or another one in CC)" in message(fork, tmp_path)


def test_a_processor_without_assembly_needs_no_nasm(fork, tools, monkeypatch, tmp_path):
    fill(tools, ("nasm", "patch"))
    monkeypatch.setattr(fork.platform, "machine", lambda: "aarch64")
    assert "missing here: patch." in message(fork, tmp_path)


def test_headers_of_another_python_are_no_package_of_debians(fork, tools, monkeypatch, tmp_path):
    fill(tools, ("patch",))
    monkeypatch.setattr(fork.sys, "base_prefix", "/opt/python")
    said = message(fork, tmp_path, tmp_path)
    assert f"Python's headers ({tmp_path}/Python.h)" in said
    assert "python3-dev" not in said


def test_what_is_built_needs_no_programs_of_the_fork(fork, tools, tmp_path):
    fill(tools, ("patch", "cmake", "ninja", "nasm"))
    for tree in fork.TREES:
        fork.place(tmp_path / "cache", *tree).mkdir(parents=True)
    assert message(fork, tmp_path / "cache") == ""


# ---- as it is seen -----------------------------------------------------------


@pytest.mark.usefixtures("build")  # a copy of the sources in tmp_path
@pytest.mark.parametrize(
    "command",
    [
        ["csrc/native.py", "--prefix", "/nowhere"],
        ["setup.py", "build_ext"],
        ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--target=site", "."],
        ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--target=site", "-e", "."],
    ],
    ids=["c-install", "setup.py", "pip", "editable"],
)
def test_there_is_no_traceback(command, tmp_path):
    """There are only a few lines, among them what is missing, and how to install it."""
    (tmp_path / "bin").mkdir()
    for file in ("README.md", "LICENSE", "pyfd/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    shutil.copy(find_tarball(), tmp_path / FORK)
    environment = {**os.environ, "PATH": str(tmp_path / "bin"), "PIP_CONFIG_FILE": os.devnull}
    result = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "apt-get install gcc libc6-dev binutils patch cmake ninja-build" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 30, said
