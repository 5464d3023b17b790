"""build.py: the files for other programs, and what a build leaves in the source folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import Distribution

from pyfd._core import checkout
from tests.packaging.sources import ROOT, copy_sources, python


def test_a_sanitized_build_has_no_drop_in(build, monkeypatch, tmp_path):
    """Other programs could not load it, and the one of an earlier build is removed."""
    (tmp_path / "native/lib").mkdir(parents=True)
    monkeypatch.setattr(build.fork, "SANITIZE", "address")
    build.native.write_files(tmp_path / "native", tmp_path / "cache", "0.1.0")
    assert not (tmp_path / "native").exists()


@pytest.mark.parametrize(
    ("header", "name"), [("pyfd.h", "pyfd_requantize"), ("binding.h", "pyfd_found")]
)
def test_the_declarations_are_the_headers(build, header, name):
    declarations = build.native.declarations(header)
    assert name in declarations
    assert "/*" not in declarations
    assert "#include" not in declarations


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_other_systems_are_told_what_is_supported(build, monkeypatch, system):
    """They are told at once, before anything is downloaded or compiled."""
    monkeypatch.setattr(build.fork.sys, "platform", system)
    monkeypatch.setattr(build.fork.subprocess, "run", lambda *_, **__: pytest.fail("ran a program"))
    command = build.BuildExt(Distribution({"ext_modules": []}))
    for call in (command.run, build.check_needs):
        with pytest.raises(build.fork.BuildError, match=r"Linux only \(x86-64 or arm64\)"):
            call()


def test_a_flag_that_the_compiler_does_not_know_is_left_out(build, monkeypatch):
    assert build.fork.accepts("-O2")
    assert not build.fork.accepts("-fno-such-flag")
    monkeypatch.setenv("CC", "gcc-of-nobody")
    assert not build.fork.accepts("-O2")


def test_pythons_own_run_time_folder_is_left_out(build):
    """Python's LDSHARED has it where Python is built as a shared library, as by pyenv."""
    command = ["gcc", "-shared", "-L/opt/py/lib", "-Wl,-rpath,/opt/py/lib", "-Wl,-O1"]
    assert build.without_rpath(command) == ["gcc", "-shared", "-L/opt/py/lib", "-Wl,-O1"]


# ---- the source folder ----------------------------------------------------


@pytest.fixture
def built(tmp_path) -> tuple[Path, Path]:
    """Stand-ins for the results of a build: an extension, and pyfd/native."""
    extension, native = tmp_path / "made" / "_libpyfd.abi3.so", tmp_path / "made" / "native"
    (native / "lib").mkdir(parents=True)
    extension.write_text("new extension")
    (native / "lib" / "libjpeg.so.62").write_text("new library")
    return extension, native


def leftovers(package: Path) -> dict[str, str]:
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".py")
    return {str(path.relative_to(package)): path.read_text() for path in files}


def test_the_result_is_left_in_the_source_folder(build, built, tmp_path):
    build.leave_in_source(*built)
    assert leftovers(tmp_path / "pyfd") == {
        "_core/_libpyfd.abi3.so": "new extension",
        "_core/_libpyfd.stamp": checkout.digest_sources(tmp_path),
        "native/lib/libjpeg.so.62": "new library",
    }


def test_programs_keep_the_files_that_they_use(build, built, tmp_path):
    """The old file is replaced instead of written to, so nobody sees half of the new one."""
    used = [tmp_path / "pyfd" / "_core" / built[0].name]
    used.append(tmp_path / "pyfd" / "native" / "lib" / "libjpeg.so.62")
    used[1].parent.mkdir(parents=True)
    for path in used:
        path.write_text("old")
    with used[0].open() as extension, used[1].open() as library:
        build.leave_in_source(*built)
        assert [extension.read(), library.read()] == ["old", "old"]
    assert [path.read_text() for path in used] == ["new extension", "new library"]


def test_files_of_an_earlier_build_are_removed(build, built, tmp_path):
    core, native = tmp_path / "pyfd" / "_core", tmp_path / "pyfd" / "native"
    native.mkdir()
    for old in (core / "_libpyfd.cpython-314t-x86_64-linux-gnu.so", native / "old.h"):
        old.write_text("old")
    build.leave_in_source(*built)
    assert len(leftovers(tmp_path / "pyfd")) == 3


def test_a_failure_leaves_the_earlier_build(build, built, monkeypatch, tmp_path):
    build.leave_in_source(*built)
    before = leftovers(tmp_path / "pyfd")
    built[0].write_text("newer extension")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(build.shutil, "copytree", fail)
    with pytest.raises(OSError, match="no space"):
        build.leave_in_source(*built)
    assert leftovers(tmp_path / "pyfd") == before


@pytest.mark.parametrize("case", ["plain", "in place", "sanitized", "read-only"])
def test_which_builds_leave_their_result(build, monkeypatch, case):
    left = []
    monkeypatch.setattr(build.build_ext, "run", lambda _: None)
    monkeypatch.setattr(build, "leave_in_source", lambda *paths: left.append(paths))
    monkeypatch.setattr(build.fork, "SANITIZE", "address" if case == "sanitized" else "")
    monkeypatch.setattr(build.os, "access", lambda *_: case != "read-only")
    command = build.BuildExt(Distribution({"ext_modules": []}))
    command.inplace = case == "in place"  # in which case setuptools copies
    command.build_lib, command.ext_map = "made", {}
    command.run()
    assert len(left) == (case == "plain")


# ---- an extension that is missing or out of date --------------------------


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of this folder with no extension in it."""
    copy_sources(tmp_path / "source")
    return tmp_path / "source"


def test_a_missing_extension(source):
    result = python(source, "-c", "import pyfd")
    assert f"ImportError: pyfd is not built in {source} for this Python" in result.stderr
    assert "pip install ." in result.stderr


def test_a_missing_library_of_the_extension(monkeypatch):
    """Only a missing extension has that remedy."""

    def absent(_: str) -> None:
        raise ModuleNotFoundError("No module named '_cffi_backend'", name="_cffi_backend")

    monkeypatch.setattr(checkout.importlib, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match="_cffi_backend"):
        checkout.check_extension()


def test_changed_sources(monkeypatch, source):
    """Changes of files on which the extension does not depend do not matter."""
    stamp = source / "pyfd" / "_core" / "_libpyfd.stamp"
    stamp.write_text(checkout.digest_sources(source))
    monkeypatch.setattr(checkout, "ROOT", source)
    monkeypatch.setattr(checkout, "STAMP", stamp)
    (source / "pyfd" / "codec.py").write_text("# changed")
    checkout.check_extension()
    for changed in ("csrc/decode.c", "build.py", "third_party/libjpeg-turbo/series"):
        with (source / changed).open("a") as file:
            file.write("\n")
        with pytest.warns(RuntimeWarning, match="have changed since it was built: run 'pip"):
            checkout.check_extension()
        stamp.write_text(checkout.digest_sources(source))


# ---- run as a program -----------------------------------------------------


def test_without_pypas_build_it_says_what_to_install():
    """It does not need setuptools either: a new virtual environment has neither."""
    command = [sys.executable, "-E", "-S", str(ROOT / "build.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("pyfd: PyPA's build is not installed: run 'pip install build'")
