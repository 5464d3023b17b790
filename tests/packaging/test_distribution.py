"""The sdist and the wheel: their names and contents, and the use of the sdist."""

import re
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from setuptools import Distribution, Extension

import pyfd
from tests.packaging.sources import (
    FORK,
    ROOT,
    copy_sources,
    find_tarball,
    load_build,
    made_once,
    python,
    share_fork,
    unpack,
)


class Built(NamedTuple):
    """The files that `python -m build` has made, and a folder with the contents of the sdist."""

    sdist: Path
    wheel: Path
    unpacked: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Built:
    """The sdist of a copy of this folder, and the wheel of the sdist's own folder."""
    folder = made_once(tmp_path_factory.getbasetemp(), "distribution", build)
    sdist, wheel = sorted((folder / "dist").iterdir(), key=lambda path: path.suffix)
    (unpacked,) = (folder / "unpacked").iterdir()
    return Built(sdist, wheel, unpacked)


def build(folder: Path) -> None:
    """Build both, as `python -m build` does: the wheel from the sdist.

    The C layer is compiled once, which takes ten seconds of CPU time. The wheel's build leaves in
    its folder what `pip install .` leaves there.
    """
    copy_sources(folder / "source")
    leave_earlier_build(folder / "source")
    options = ("--no-isolation", "--skip-dependency-check", "--outdir", folder / "dist")
    result = python(folder / "source", "-m", "build", "--sdist", *options)
    assert result.returncode == 0, result.stderr
    unpacked = unpack(next((folder / "dist").glob("*.tar.gz")), folder / "unpacked")
    share_fork(unpacked)
    leave_earlier_build(unpacked)
    result = python(unpacked, "-m", "build", "--wheel", *options)
    assert result.returncode == 0, result.stderr


def leave_earlier_build(folder: Path) -> None:
    """Create files as an earlier build leaves them, which must not be packed."""
    lib = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for name in (f"build/{lib}/pyfd/gone.py", "pyfd/native/gone.h", "pyfd/_core/_libpyfd.old.so"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("gone = True")


def names(built: Built) -> tuple[set[str], set[str]]:
    """Return the names of the files in the sdist and in the wheel."""
    with tarfile.open(built.sdist) as sdist, zipfile.ZipFile(built.wheel) as wheel:
        files = (member.name for member in sdist.getmembers() if member.isfile())
        return {name.partition("/")[2] for name in files}, set(wheel.namelist())


def test_the_distribution_is_pyfd_jpeg(built):
    assert version("pyfd-jpeg") == pyfd.__version__
    assert built.sdist.name == f"pyfd_jpeg-{pyfd.__version__}.tar.gz"
    assert built.wheel.name.startswith(f"pyfd_jpeg-{pyfd.__version__}-")
    with zipfile.ZipFile(built.wheel) as wheel:
        metadata = wheel.read(f"pyfd_jpeg-{pyfd.__version__}.dist-info/METADATA").decode()
    assert re.findall("^(?:Name|Version): (.*)", metadata, re.M) == ["pyfd-jpeg", pyfd.__version__]


def test_the_wheel_holds_the_package_and_nothing_else(built):
    wheel = {name for name in names(built)[1] if ".dist-info/" not in name}
    sources = {".py", ".pyi", ".html", ".typed"}
    ours = (path for path in (ROOT / "pyfd").rglob("*") if path.suffix in sources)
    assert {name for name in wheel if Path(name).suffix in sources} == {
        str(path.relative_to(ROOT)) for path in ours
    }
    assert {name.split("/")[0] for name in wheel} == {"pyfd"}
    assert len([name for name in wheel if "_libpyfd" in name]) == 2  # the extension and its stub
    native = {name.removeprefix("pyfd/native/") for name in wheel if "/native/" in name}
    assert {"include/pyfd.h", "lib/libjpeg.so.62", "lib/pkgconfig/pyfd.pc"} <= native
    assert not [name for name in wheel if "gone" in name or "old" in name]


def test_the_sdist_holds_the_sources_and_the_pinned_archive(built):
    sdist = names(built)[0]
    assert str(FORK / find_tarball().name) in sdist
    for folder in ("benchmarks", "csrc", "docs", "examples", "fuzz", "pyfd", "tests"):
        ours = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        expected = {str(path.relative_to(ROOT)) for path in ours if not is_made(path)}
        assert {name for name in sdist if name.startswith(f"{folder}/")} == expected
    assert not [name for name in sdist if is_made(Path(name))]
    assert {"Makefile", "SECURITY.md", "requirements-dev.txt", ".gitignore", ".ci/run"} <= sdist


def is_made(path: Path) -> bool:
    return path.suffix in (".so", ".stamp", ".pyc") or "pyfd/native/" in str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import pyfd, numpy; pyfd.encode(numpy.zeros((8, 8), 'uint8'), 'fd-2018')"),
        ("-m", "pyfd.config", "--cflags", "--libs"),
        ("-c", "import examples.service"),
        ("-m", "benchmarks.drop_in", "--help"),
    ],
    ids=lambda arguments: arguments[1],
)
def test_what_people_type_works_in_a_source_folder(built, arguments):
    """It works after `pip install .`, although Python imports the folder's own package."""
    result = python(built.unpacked, "-W", "error::RuntimeWarning", *arguments)
    assert result.returncode == 0, result.stderr
    assert str(built.unpacked / "pyfd" / "native") in result.stdout or arguments[1] != "pyfd.config"


def test_the_sdist_holds_what_its_tests_import(built):
    """Those that read files of other folders. The folders of tests are there as a whole."""
    options = ("--collect-only", "--quiet", "-p", "no:cacheprovider", "--assert=plain")
    folders = ("tests/packaging", "tests/docs", "tests/benchmarks")
    result = python(built.unpacked, "-m", "pytest", *options, *folders)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.usefixtures("build")
def test_the_version_is_read_without_importing_the_package(tmp_path):
    for file in ("README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    text = '__version__ = "9.8.7"\nraise SystemExit("imported")\n'
    (tmp_path / "pyfd" / "__init__.py").write_text(text)
    result = python(tmp_path, "setup.py", "--quiet", "--version")
    assert result.stdout.splitlines()[-1] == "9.8.7", result.stderr


# ---- one wheel for all of CPython, and one for each free-threaded CPython ----

WITH_GIL = [(f"3.{minor}", "", ("cp310", "abi3")) for minor in range(10, 15)]
WITHOUT = [(f"3.{minor}", "t", (f"cp3{minor}", f"cp3{minor}t")) for minor in (13, 14)]


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(("python", "threads", "tag"), [*WITH_GIL, *WITHOUT])
def test_the_tags_of_wheel_and_extension(monkeypatch, tmp_path, python, threads, tag):
    """They are those of the Python that builds, whose configuration is made up here."""
    soabi = f"cpython-{python.replace('.', '')}{threads}-x86_64-linux-gnu"
    made_up = {"VERSION": python, "SOABI": soabi, "Py_GIL_DISABLED": int(bool(threads))}
    for name, value in made_up.items():
        monkeypatch.setitem(sysconfig.get_config_vars(), name, value)
    module = load_build(tmp_path)
    extension = Extension(module.EXTENSION, [], py_limited_api=module.LIMITED_API)
    distribution = Distribution({"name": "pyfd-jpeg", "ext_modules": [extension]})
    wheel, extensions = module.BDistWheel(distribution), module.BuildExt(distribution)
    wheel.ensure_finalized()
    extensions.ensure_finalized()
    assert wheel.get_tag()[:2] == tag
    assert (".abi3." in extensions.get_ext_filename(module.EXTENSION)) == (not threads)
