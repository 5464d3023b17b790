"""port.py: which hunks of a series apply to another release, shown with made-up releases."""

import difflib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.packaging.sources import FORK, ROOT

OLD = "".join(f"line {number}\n" for number in range(1, 61))
NEW = OLD.replace("line 10\n", "line ten\n").replace("line 50\n", "line fifty\n")
CMAKE = "project(example)\n"
RELEASE = {"jpeglib.h": "/* the API */\n", "CMakeLists.txt": CMAKE, "jmade.c": OLD}


def diff(path: str, old: str | None, new: str) -> str:
    before = "/dev/null" if old is None else f"a/{path}"
    lines = difflib.unified_diff(
        (old or "").splitlines(True), new.splitlines(True), before, f"b/{path}"
    )
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


def pack(path: Path, files: dict[str, str], top: str = "libjpeg-turbo-9.9/") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def port(tmp_path):
    """Run a copy of port.py on a series of two patches."""
    folder = tmp_path / "fork"
    patches = {
        "core/0001-two-hunks.patch": diff("jmade.c", OLD, NEW)
        + diff("jnew.c", None, "one\ntwo\n")
        + diff("CMakeLists.txt", CMAKE, CMAKE + "# more\n"),
        "speed/0001-on-top.patch": diff("jnew.c", "one\ntwo\n", "one\ntwo\nthree\n")
        + diff("jmade.c", NEW, NEW.replace("line ten\n", "line 10, faster\n")),
    }
    for name, text in patches.items():
        (folder / "patches" / name).parent.mkdir(parents=True)
        (folder / "patches" / name).write_text(f"Description: an example\n---\n{text}")
    (folder / "series").write_text("\n".join(patches))
    for name in ("port.py", "fork.py", "pin.json"):
        shutil.copy(ROOT / FORK / name, folder)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, folder / "port.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_a_release_to_which_everything_applies(port, tmp_path):
    result = port(pack(tmp_path / "same.tar.gz", RELEASE))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "libjpeg-turbo-9.9:",
        "  core/0001-two-hunks: 4 of 4 hunks apply",
        "  speed/0001-on-top: 2 of 2 hunks apply",
        "core: 4 of 4 hunks apply",
        "speed: 2 of 2 hunks apply",
    ]


def test_a_release_that_has_moved_its_files_to_src(port, tmp_path):
    moved = {name if name == "CMakeLists.txt" else f"src/{name}": RELEASE[name] for name in RELEASE}
    result = port(pack(tmp_path / "moved.tar.gz", moved))
    assert result.returncode == 0, result.stdout
    assert "speed: 2 of 2 hunks apply" in result.stdout


def test_a_hunk_that_fails_is_named_and_the_others_apply(port, tmp_path):
    changed = {**RELEASE, "jmade.c": OLD.replace("line 11\n", "line eleven\n")}
    result = port(pack(tmp_path / "changed.tar.gz", changed))
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "libjpeg-turbo-9.9:",
        "  core/0001-two-hunks: 3 of 4 hunks apply",
        "    jmade.c:7",
        "  speed/0001-on-top: 1 of 2 hunks apply",  # builds on the hunk that failed
        "    jmade.c:7",
        "core: 3 of 4 hunks apply",
        "speed: 1 of 2 hunks apply",
    ]


def test_no_fuzz_and_no_reversal(port, tmp_path):
    """Context that differs is a failure, and so is a change that the release has already."""
    fuzzy = {**RELEASE, "jmade.c": OLD.replace("line 7\n", "line seven\n")}
    assert "core: 3 of 4" in port(pack(tmp_path / "fuzzy.tar.gz", fuzzy)).stdout
    already = {**RELEASE, "jmade.c": NEW}
    result = port(pack(tmp_path / "already.tar.gz", already))
    assert "    jmade.c:7\n    jmade.c:47\n" in result.stdout
    assert "speed: 2 of 2" in result.stdout


def test_a_hunk_that_has_shifted_applies(port, tmp_path):
    shifted = {**RELEASE, "jmade.c": "first\n" * 30 + OLD}
    assert port(pack(tmp_path / "shifted.tar.gz", shifted)).returncode == 0


def test_files_that_are_missing_or_already_there(port, tmp_path):
    files = {**RELEASE, "jnew.c": "the release's own\n"}
    del files["jmade.c"]
    result = port(pack(tmp_path / "other.tar.gz", files))
    assert result.returncode == 1
    assert "    jmade.c:7 (the release has no such file)" in result.stdout
    assert "    jnew.c:0\n" in result.stdout
    assert "core: 1 of 4 hunks apply" in result.stdout


def test_a_patch_without_hunks_is_an_error(port, tmp_path):
    (tmp_path / "fork/patches/speed/0001-on-top.patch").write_text("Description: nothing\n---\n")
    result = port(pack(tmp_path / "same.tar.gz", RELEASE))
    assert result.returncode == 1
    assert "0001-on-top.patch changes nothing" in result.stderr


def test_sources_deep_inside_another_package(port, tmp_path):
    result = port(pack(tmp_path / "deep.tar.gz", RELEASE, "package-1/third_party/j\x1bpeg/"))
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("j?peg:\n")


def test_a_malformed_patch_applies_nowhere(port, tmp_path):
    patch = tmp_path / "fork/patches/speed/0001-on-top.patch"
    patch.write_text(patch.read_text().replace("+line 10, faster\n", ""))
    result = port(pack(tmp_path / "same.tar.gz", RELEASE))
    assert result.returncode == 1
    assert "  speed/0001-on-top: 1 of 2 hunks apply\n    jmade.c:7 (" in result.stdout
    assert "malformed patch" in result.stdout


@pytest.mark.parametrize("name", ["../out\x1b[31mside.c", "FOLDER/outside.c", "a/../../outside.c"])
def test_a_hostile_name_is_refused(port, tmp_path, name):
    name = name.replace("FOLDER", str(tmp_path))
    result = port(pack(tmp_path / "hostile.tar.gz", {name: "evil\n", **RELEASE}, top=""))
    assert result.returncode == 1
    assert "leaves the folder" in result.stderr
    assert "\x1b" not in result.stderr
    assert not list(tmp_path.rglob("*side.c"))


def test_an_archive_that_is_too_large_is_refused(port, tmp_path):
    """Its header alone says so: nothing of the file is read."""
    member = tarfile.TarInfo("libjpeg-turbo-9.9/large")
    member.size = 200 << 30
    (tmp_path / "large.tar").write_bytes(member.tobuf())
    result = port(tmp_path / "large.tar")
    assert result.returncode == 1
    assert "it holds more than 1073741824 bytes" in result.stderr


def test_links_are_not_unpacked(port, tmp_path):
    """A patch to a link would change what the link names."""
    target = tmp_path / "target.c"
    target.write_text(OLD)
    tarball = tmp_path / "links.tar.gz"
    with tarfile.open(tarball, "w:gz") as archive:
        for name in ("jpeglib.h", "CMakeLists.txt"):
            member = tarfile.TarInfo(name)
            member.size = len(RELEASE[name])
            archive.addfile(member, io.BytesIO(RELEASE[name].encode()))
        link = tarfile.TarInfo("jmade.c")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        archive.addfile(link)
    result = port(tarball)
    assert "jmade.c:7 (the release has no such file)" in result.stdout
    assert target.read_text() == OLD


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be unpacked"),
        (b"not a tar file", "cannot be unpacked"),
        (b"\x1f\x8bjunk", "cannot be unpacked"),
    ],
)
def test_a_file_that_is_no_archive(port, tmp_path, content, said):
    (tmp_path / "bad.tar.gz").write_bytes(content)
    result = port(tmp_path / "bad.tar.gz")
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_an_archive_that_was_cut(port, tmp_path):
    whole = pack(tmp_path / "whole.tar.gz", {**RELEASE, "jmade.c": OLD * 1000}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    result = port(tmp_path / "cut.tar.gz")
    assert result.returncode == 1
    assert "cannot be unpacked" in result.stderr


def test_an_archive_of_something_else(port, tmp_path):
    result = port(pack(tmp_path / "else.tar.gz", {"README": "hello\n"}))
    assert "holds no sources of libjpeg-turbo" in result.stderr
    assert "is not a file" in port(tmp_path / "none.tar.gz").stderr


def test_the_pinned_release_takes_the_whole_series(tarball):
    command = [sys.executable, ROOT / FORK / "port.py", tarball]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    hunks = {"core/00": 0, "core/01": 0, "speed/0": 0}
    for patch, count in re.findall(r"(\S+): (\d+) of \2 hunks apply", result.stdout):
        if "/" in patch:
            hunks[patch[:7]] += int(count)
    row = " | ".join(f"{count} of {count}" for count in hunks.values())
    assert f"| 2.1.5 | the pin | {row} |" in (ROOT / "docs/fork-upstream.md").read_text()


def test_the_page_on_upstreams_fixes_names_patches_of_the_series():
    page = (ROOT / "docs/fork-upstream.md").read_text()
    series = (ROOT / FORK / "series").read_text().split()
    named = set(re.findall(r"core/\d{4}", page))
    assert len(named) > 10
    assert named <= {name[: len("core/0000")] for name in series}
