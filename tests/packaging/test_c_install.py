"""`make c-install`: the libraries for C and C++, without a Python extension or package."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyfd
from tests.jpegs import encode_with_pillow, picture
from tests.packaging.sources import ROOT, made_once
from tests.pipelines.test_config import LIBJPEG_PROGRAM, ppm

#: A Python that sees no package, such as setuptools, cffi or numpy
BARE = f"{sys.executable} -E -S"
FILES = {
    *("include/pyfd.h", "include/libjpeg/jpeglib.h", "include/libjpeg/jmorecfg.h"),
    *("include/libjpeg/jerror.h", "include/libjpeg/jrequant.h", "include/libjpeg/jconfig.h"),
    *("lib/libpyfd.so", "lib/libpyfd.so.0", "lib/libpyfd.a", "lib/libjpeg-pyfd.a"),
    *("lib/pyfd/libjpeg.so.62", "lib/pkgconfig/pyfd.pc", "lib/pkgconfig/pyfd-static.pc"),
    *("lib/pkgconfig/pyfd-libjpeg.pc", "lib/pkgconfig/pyfd-libjpeg-static.pc"),
}


def make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(ROOT), "c-install", f"PYTHON={BARE}", *words]
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The folder of a package, in which an older version was installed before."""
    return made_once(tmp_path_factory.getbasetemp(), "c-install", install)


@pytest.fixture
def packed(installed) -> Path:
    """The prefix /opt/pyfd below that folder."""
    return installed / "opt" / "pyfd"


def install(folder: Path) -> None:
    """Install over older files, which are in use, and note what is left of them.

    Compiling takes seconds of CPU time, so that this is done once.
    """
    lib = folder / "opt" / "pyfd" / "lib"
    lib.mkdir(parents=True)
    (lib / "libpyfd.so.0").write_text("old")
    (lib / "libpyfd.so").symlink_to("libpyfd.so.0")
    (lib / "other").write_text("not ours")
    with (lib / "libpyfd.so.0").open() as used:
        result = make("PREFIX=/opt/pyfd", f"DESTDIR={folder}")
        assert result.returncode == 0, result.stderr
        (folder / "used").write_text(used.read())
    (lib / "other").rename(folder / "other")


@pytest.fixture(params=["in place", "moved"])
def prefix(request, packed, tmp_path) -> Path:
    if request.param == "in place":
        return packed
    return shutil.copytree(packed, tmp_path / "some where else", symlinks=True)


def flags(prefix: Path, module: str) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    command = ["pkg-config", "--cflags", "--libs", module]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return shlex.split(shown.stdout)


def compiled(source: Path, compiler: str, prefix: Path, module: str, target: Path) -> Path:
    language = ["-x", "c++"] if compiler == "c++" else ["-std=c99"]
    command = [compiler, "-Wall", "-Wextra", "-Werror", *language, str(source)]
    subprocess.run([*command, "-x", "none", *flags(prefix, module), "-o", str(target)], check=True)
    return target


def test_what_is_installed(packed):
    files = {path for path in packed.rglob("*") if not path.is_dir()}
    assert {str(path.relative_to(packed)) for path in files} == FILES
    assert (packed / "lib/libpyfd.so").readlink() == Path("libpyfd.so.0")
    for path in files - {packed / "lib/libpyfd.so"}:
        assert path.stat().st_mode & 0o777 == (0o755 if ".so" in path.suffixes else 0o644)
        if path.suffix == ".pc":
            assert str(packed.parent) not in path.read_text()
            assert "/opt/pyfd" not in path.read_text()


@pytest.mark.parametrize("module", ["pyfd", "pyfd-static"])
@pytest.mark.parametrize("compiler", ["cc", "c++"])
def test_a_program_encodes_frames(prefix, compiler, module, tmp_path):
    program = compiled(
        ROOT / "examples" / "camera.c", compiler, prefix, module, tmp_path / "camera"
    )
    for width, height, stride in ((64, 48, 64), (61, 45, 62), (61, 45, 64), (1, 1, 2)):
        rows = height + (height + 1) // 2
        frame = picture(stride, rows, seed=width, channels=1)
        call = [program, str(width), str(height), *([str(stride)] if stride == 64 else [])]
        made = subprocess.run(call, input=frame.tobytes(), capture_output=True, check=True)
        planes = frame[:height, :width], frame[height:, : width + width % 2]
        expected = pyfd.encode(planes, "fd-cvpr2019", mode="YCbCr", subsampling="4:2:0")
        assert made.stdout == expected


@pytest.mark.parametrize("module", ["pyfd-libjpeg", "pyfd-libjpeg-static"])
@pytest.mark.parametrize("compiler", ["cc", "c++"])
def test_a_program_uses_the_forks_libjpeg(prefix, compiler, module, tmp_path):
    source = tmp_path / "x.c"
    source.write_text(LIBJPEG_PROGRAM)
    program = compiled(source, compiler, prefix, module, tmp_path / "x")
    photo = encode_with_pillow(picture(61, 45, seed=3))
    assert np.array_equal(ppm(program, photo), pyfd.decode(photo, pyfd.QTables.uniform(30)))


def test_an_older_installation_is_replaced_while_it_is_used(installed, packed):
    assert (installed / "used").read_text() == "old"
    assert (installed / "other").read_text() == "not ours"
    assert (packed / "lib" / "libpyfd.so").resolve().read_bytes()[:4] == b"\x7fELF"


def test_a_prefix_must_be_absolute():
    result = make("PREFIX=here")
    assert result.returncode != 0
    assert "--prefix must be an absolute path, not 'here'" in result.stderr


def test_a_folder_that_cannot_be_written_is_named_at_once():
    result = make("PREFIX=/dev/null/pyfd")
    assert result.returncode != 0
    assert "pyfd: cannot install: " in result.stderr
    assert "'/dev/null/pyfd/lib/pyfd'" in result.stderr
    assert "Traceback" not in result.stderr


def test_sanitized_libraries_are_not_installed(tmp_path):
    result = make(f"PREFIX={tmp_path}", PYFD_SANITIZE="address")
    assert result.returncode != 0
    assert "unset PYFD_SANITIZE" in result.stderr
    assert list(tmp_path.iterdir()) == []
