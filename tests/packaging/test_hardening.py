"""What is compiled: its protections, and that it tells nothing of the machine it was made on."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pyfd._core import _libpyfd, native
from tests.packaging.sources import ROOT

EXTENSION = Path(_libpyfd.__file__)
LIB = native.FOLDER / "lib"
SHARED = [EXTENSION, LIB / "libpyfd.so.0", LIB / "libjpeg.so.62"]
STATIC = [LIB / "libpyfd.a", LIB / "libjpeg-pyfd.a"]
X86_64 = platform.machine() == "x86_64"


def shown(*command: object) -> str:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True
    ).stdout


def readelf(path: Path, option: str) -> str:
    return shown("readelf", "-W", option, path)


def undefined(path: Path) -> set[str]:
    """Return the functions that a library takes from elsewhere."""
    options = ["-D"] if path in SHARED else []
    lines = shown("nm", *options, "--undefined-only", path).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if " U " in line}


@pytest.fixture(params=SHARED, ids=lambda path: path.name)
def library(request) -> Path:
    return request.param


@pytest.fixture(params=[*SHARED, *STATIC], ids=lambda path: path.name)
def file(request) -> Path:
    return request.param


def test_nothing_compiled_is_left_out():
    found = {path for path in native.FOLDER.rglob("*") if re.search(r"\.(so|a)\b", path.name)}
    assert found | {EXTENSION} == {*SHARED, *STATIC}


def test_it_runs_with_an_old_glibc(library):
    """So that auditwheel gives a wheel the tag manylinux_2_17, wherever it was built."""
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", readelf(library, "--version-info"))
    assert max((int(major), int(minor)) for major, minor in versions) <= (2, 17)


def test_the_loader_finds_nothing_to_change_later(library):
    """It has full RELRO, no executable stack, and no text relocations."""
    segments, dynamic = readelf(library, "--segments"), readelf(library, "--dynamic")
    assert "GNU_RELRO" in segments
    assert "BIND_NOW" in dynamic
    assert "TEXTREL" not in dynamic
    (stack,) = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack


def test_the_code_of_libjpeg_is_fortified(file):
    """Of all the code, only libjpeg's jerror.c calls fprintf()."""
    assert not [path for path in (ROOT / "csrc").glob("*.[ch]") if "fprintf" in path.read_text()]
    assert {"__fprintf_chk", "__stack_chk_fail"} <= undefined(file)
    assert "fprintf" not in undefined(file)


def test_functions_of_libjpeg_that_read_files_are_fortified():
    members = shown("nm", "-A", "--undefined-only", LIB / "libjpeg-pyfd.a").splitlines()
    checked = {line.split(":")[1] for line in members if line.endswith(("cpy_chk", "set_chk"))}
    assert "jdmarker.c.o" in checked


@pytest.mark.skipif(not X86_64, reason="CET is Intel's")
def test_the_library_is_marked_for_cet(library):
    assert "x86 feature: IBT, SHSTK" in readelf(library, "--notes")


@pytest.mark.skipif(not X86_64, reason="CET is Intel's")
@pytest.mark.parametrize("archive", STATIC, ids=lambda path: path.name)
def test_the_mark_is_true(archive):
    """Indirect calls may reach each function that another file calls, so it has an endbr64."""
    names = set(re.findall(r" T (\w+)$", shown("nm", archive), re.M))
    code = shown("objdump", "--disassemble", "--no-show-raw-insn", archive)
    first = dict(re.findall(r"^[0-9a-f]+ <(\w+)>:\n +[0-9a-f]+:\t(\S+)", code, re.M))
    assert names
    assert {name for name in names if first[name] != "endbr64"} == set()


@pytest.mark.skipif(not X86_64, reason="CET is Intel's")
def test_the_assembly_is_among_the_marked():
    members = shown("readelf", "-W", "--notes", LIB / "libjpeg-pyfd.a")
    marked = re.findall(r"^File: .*\((.*)\)\n+Displaying.*\n.*\n.*IBT, SHSTK", members, re.M)
    assert sorted(marked) == sorted(shown("ar", "t", LIB / "libjpeg-pyfd.a").split())
    assert "jidctint-avx2.asm.o" in marked


def test_the_loader_looks_for_libraries_in_no_place_of_ours(library):
    assert not re.search("RPATH|RUNPATH", readelf(library, "--dynamic"))


def test_nothing_names_a_folder_of_this_machine():
    folders = {ROOT, Path.home(), Path(sys.prefix), Path(sys.base_prefix), EXTENSION.parent}
    folders |= {Path(tempfile.gettempdir()), Path("/usr/include"), Path("/build")}
    files = [EXTENSION, *(path for path in native.FOLDER.rglob("*") if path.is_file())]
    for path in files:
        data = path.read_bytes()
        assert [folder for folder in folders if f"{folder}/".encode() in data] == [], path
