"""build.py: where sources come from, and what is said when something is amiss."""

import gzip
import importlib.util
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(tmp_path, monkeypatch) -> ModuleType:
    """A copy of build.py with the fork's files and an empty cache of its own."""
    shutil.copytree(ROOT / "third_party", tmp_path / "third_party")
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copy(ROOT / "build.py", tmp_path)
    for tarball in (tmp_path / "third_party/libjpeg-turbo").glob("*.tar.*"):
        tarball.unlink()
    monkeypatch.delenv("PYFD_LIBJPEG_TURBO_TARBALL", raising=False)
    spec = importlib.util.spec_from_file_location("pyfd_build_copy", tmp_path / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tarball() -> Path:
    """The pinned archive that this installation was built from."""
    for folder in (ROOT / "third_party/libjpeg-turbo", ROOT / "build"):
        found = list(folder.glob("libjpeg-turbo_2.1.5.orig.tar.gz"))
        if found:
            return found[0]
    raise AssertionError("build/ has no archive: install pyfd from this folder first")


def fail(build: ModuleType, call, *args) -> str:
    with pytest.raises(build.BuildError) as caught:
        call(*args)
    return str(caught.value)


def test_the_named_tarball_is_taken(build, tarball, monkeypatch, tmp_path):
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(tarball))
    assert build.find_tarball(tmp_path / "cache") == tarball


def test_the_tarball_beside_the_pin_is_taken(build, tarball, tmp_path):
    beside = tmp_path / "third_party/libjpeg-turbo" / tarball.name
    shutil.copy(tarball, beside)
    assert build.find_tarball(tmp_path / "cache") == beside


def test_another_compression_of_the_same_tar_is_taken(build, tarball, tmp_path):
    plain = gzip.decompress(tarball.read_bytes())
    for name, data in (("again.tar.gz", gzip.compress(plain, 1)), ("plain.tar", plain)):
        (tmp_path / name).write_bytes(data)
        assert build.is_pinned(tmp_path / name)


def test_a_missing_tarball(build, monkeypatch, tmp_path):
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(tmp_path / "none.tar.gz"))
    message = fail(build, build.find_tarball, tmp_path)
    assert "none.tar.gz, which is not a file" in message
    assert "pristine libjpeg-turbo-2.1.5" in message


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1f\x8bjunk"])
def test_a_wrong_checksum(build, monkeypatch, tmp_path, content):
    wrong = tmp_path / "wrong.tar.gz"
    wrong.write_bytes(content)
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(wrong))
    message = fail(build, build.find_tarball, tmp_path)
    assert "checksum differs" in message
    assert "254f3642b04e309f" in message


def test_no_source_and_no_apt(build, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = fail(build, build.find_tarball, tmp_path / "cache")
    assert "no apt-get" in message
    assert "PYFD_LIBJPEG_TURBO_TARBALL" in message


def test_apt_without_the_package(build, monkeypatch, tmp_path):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "apt-get").write_text(
        "#!/bin/sh\necho 'E: Unable to find a source package' >&2\nexit 1\n"
    )
    (bin_ / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/bin")
    message = fail(build, build.find_tarball, tmp_path / "cache")
    assert "Unable to find a source package" in message
    assert "PYFD_LIBJPEG_TURBO_TARBALL" in message


def unpack(tarball: Path, target: Path) -> Path:
    with tarfile.open(tarball) as archive:
        archive.extractall(target, filter="data")
    return target / "libjpeg-turbo-2.1.5"


def test_a_patch_that_does_not_apply(build, tarball, tmp_path):
    source = unpack(tarball, tmp_path)
    (source / "jddctmgr.c").write_text("something else\n")
    message = fail(build, build.apply_series, source)
    assert "0001-requantize-on-decode.patch does not apply to libjpeg-turbo-2.1.5" in message


def test_the_series_applies_without_fuzz(build, tarball, tmp_path):
    source = unpack(tarball, tmp_path)
    build.apply_series(source)
    assert (source / "jrequant.h").is_file()
    assert not list(source.rglob("*.orig"))


@pytest.mark.parametrize("tool", ["nasm", "cmake", "ninja", "gcc-of-nobody", "patch"])
def test_a_missing_tool(build, monkeypatch, tmp_path, tool):
    real = shutil.which
    monkeypatch.setenv("CC", "gcc-of-nobody" if tool == "gcc-of-nobody" else "true")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build.shutil, "which", lambda name: None if name == tool else real("true"))
    call = (build.apply_series, tmp_path) if tool == "patch" else (build.check_tools,)
    message = fail(build, *call)
    assert tool in message
    assert "install" in message


def test_a_compiler_that_fails(build):
    message = fail(build, build.run_tool, ["sh", "-c", "echo wrong >&2; exit 3"], "compiling")
    assert "compiling failed" in message
    assert "wrong" in message


def test_a_sanitized_build_has_no_drop_in(build, monkeypatch, tmp_path):
    """What an earlier build left is taken away: no program of others could load it."""
    (tmp_path / "native/lib").mkdir(parents=True)
    monkeypatch.setattr(build, "SANITIZE", "address")
    build.install_native(tmp_path / "native", tmp_path / "cache", "0.1.0")
    assert not (tmp_path / "native").exists()


def test_apt_sources_of_both_formats(build, tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://a/debian bookworm main\n"
        "deb [signed-by=/k.gpg] http://b/debian bookworm main contrib\n"
        "deb http://other/ stable main\n"
        "deb-src http://c/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://d/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian.gpg\n\n"
        "Types: deb\nURIs: http://e/node\nSuites: nodistro\nComponents: main\n"
    )
    assert build.source_lists(tmp_path, "bookworm").splitlines() == [
        "deb-src [signed-by=/k.gpg] http://b/debian bookworm main contrib",
        "deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://d/debian bookworm main",
        "deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://d/debian bookworm-updates main",
    ]


def test_the_declarations_are_the_headers(build):
    declarations = build.cffi_declarations()
    assert "pyfd_requantize" in declarations
    assert "/*" not in declarations
    assert "#include" not in declarations


def test_run_as_a_program_it_says_what_to_do():
    result = subprocess.run(
        ["python3", str(ROOT / "build.py")], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "pip" in result.stderr or "setuptools" in result.stderr
