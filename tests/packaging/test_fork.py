"""fork.py: the source of the release, the patches, and the errors that people see."""

import gzip
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.sources import FORK, ROOT, unpack


def fail(fork: ModuleType, call, *args) -> str:
    with pytest.raises(fork.BuildError) as caught:
        call(*args)
    return str(caught.value)


def test_the_named_tarball_is_taken(fork, tarball, monkeypatch, tmp_path):
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(tarball))
    assert fork.find_tarball(tmp_path / "cache") == tarball


def test_the_tarball_beside_the_pin_is_taken(fork, tarball, tmp_path):
    beside = tmp_path / FORK / tarball.name
    shutil.copy(tarball, beside)
    assert fork.find_tarball(tmp_path / "cache") == beside


def test_another_compression_of_the_same_tar_is_taken(fork, tarball, tmp_path):
    plain = gzip.decompress(tarball.read_bytes())
    for name, data in (("again.tar.gz", gzip.compress(plain, 1)), ("plain.tar", plain)):
        (tmp_path / name).write_bytes(data)
        assert fork.is_pinned(tmp_path / name)


def test_a_missing_tarball(fork, monkeypatch, tmp_path):
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(tmp_path / "none.tar.gz"))
    message = fail(fork, fork.find_tarball, tmp_path)
    assert "none.tar.gz, which is not a file" in message
    assert "pristine libjpeg-turbo-2.1.5" in message


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1f\x8bjunk"])
def test_a_wrong_checksum(fork, monkeypatch, tmp_path, content):
    wrong = tmp_path / "wrong.tar.gz"
    wrong.write_bytes(content)
    monkeypatch.setenv("PYFD_LIBJPEG_TURBO_TARBALL", str(wrong))
    message = fail(fork, fork.find_tarball, tmp_path)
    assert "checksum differs" in message
    assert "254f3642b04e309f" in message


def test_no_source_and_no_apt(fork, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = fail(fork, fork.find_tarball, tmp_path / "cache")
    assert "no apt-get" in message
    assert "PYFD_LIBJPEG_TURBO_TARBALL" in message


def test_apt_without_the_package(fork, monkeypatch, tmp_path):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "apt-get").write_text(
        "#!/bin/sh\necho 'E: Unable to find a source package' >&2\nexit 1\n"
    )
    (bin_ / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/bin")
    message = fail(fork, fork.find_tarball, tmp_path / "cache")
    assert "Unable to find a source package" in message
    assert "PYFD_LIBJPEG_TURBO_TARBALL" in message


def test_a_patch_that_does_not_apply(fork, tarball, tmp_path):
    source = unpack(tarball, tmp_path / "unpacked")
    (source / "jddctmgr.c").write_text("something else\n")
    message = fail(fork, fork.apply_series, source, fork.CORE)
    assert "0001-requantize-on-decode.patch does not apply to libjpeg-turbo-2.1.5" in message


def test_the_series_applies_without_fuzz(fork, tarball, tmp_path):
    source = unpack(tarball, tmp_path / "unpacked")
    fork.apply_series(source, fork.CORE_AND_SPEED)
    assert (source / "jrequant.h").is_file()
    assert not list(source.rglob("*.orig"))


def test_every_patch_is_in_the_series_and_says_why():
    folder = ROOT / FORK
    series = (folder / "series").read_text().split()
    patches = folder / "patches"
    assert sorted(series) == sorted(str(path.relative_to(patches)) for path in patches.glob("*/*"))
    assert sorted(series) == series
    for name in series:
        head = (folder / "patches" / name).read_text().partition("\n---\n")[0]
        assert head.startswith("Description: ")
        assert "Touched:" in head
        assert "Forwarded:" in head


def changes_of(name: str) -> list[str]:
    """Return the part of a patch for each file, from the file's name on."""
    return (ROOT / FORK / "patches" / name).read_text().split("\ndiff --git a/")[1:]


def series() -> list[str]:
    return (ROOT / FORK / "series").read_text().split()


def test_every_patch_names_the_files_that_it_touches():
    """The licenses require that changes are indicated, and the heads of the patches do that."""
    for name in series():
        head = (ROOT / FORK / "patches" / name).read_text().partition("\n---\n")[0]
        for change in changes_of(name):
            path = Path(change.split()[0])
            assert path.name in head, (name, path)


def test_no_patch_touches_a_copyright_line_of_upstreams():
    """Such lines change with nearly every release, so a hunk there would soon not apply."""
    created = set()
    for name in series():
        for change in changes_of(name):
            path = change.split()[0]
            if "\n--- /dev/null\n" in change:
                created.add(path)
            lines = [line for line in change.splitlines() if line.startswith(("+", "-"))]
            if path not in created:
                assert not [line for line in lines if "copyright" in line.lower()], (name, path)


def test_nothing_of_upstreams_is_here():
    """Except for the archive, which a source distribution includes and git ignores."""
    files = {str(path.relative_to(ROOT / FORK)) for path in (ROOT / FORK).rglob("*.*")}
    ours = {name for name in files if not name.endswith((".tar.gz", ".pyc", "__pycache__"))}
    patches = {name for name in ours if name.startswith(("patches/core/0", "patches/speed/0"))}
    programs = {"fork.py", "port.py", "upstream_tests.py"}
    assert ours - patches == {"README.md", "pin.json", *programs}
    assert {Path(name).suffix for name in patches} == {".patch"}
    assert "third_party/libjpeg-turbo/*.tar.*" in (ROOT / ".gitignore").read_text()


def test_a_compiler_that_fails(fork):
    message = fail(fork, fork.run_tool, ["sh", "-c", "echo wrong >&2; exit 3"], "compiling")
    assert "compiling failed" in message
    assert "wrong" in message


def test_apt_sources_of_both_formats(fork, tmp_path):
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
    assert fork.source_lists(tmp_path, "bookworm").splitlines() == [
        "deb-src [signed-by=/k.gpg] http://b/debian bookworm main contrib",
        "deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://d/debian bookworm main",
        "deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://d/debian bookworm-updates main",
    ]
