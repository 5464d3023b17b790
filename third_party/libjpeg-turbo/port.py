"""Say, patch by patch, which hunks of the series apply to another release of libjpeg-turbo.

Usage: python third_party/libjpeg-turbo/port.py TARBALL (or `make fork-port TARBALL=...`).
The exit code is 0 if all of them apply.
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import fork

REMEDY = "Give a source archive: make fork-port TARBALL=libjpeg-turbo-3.1.3.tar.gz"
LARGEST = 1 << 30
FAILED = re.compile(r"^Hunk #(\d+) FAILED", re.MULTILINE)


class Change(NamedTuple):
    """What a patch does to one file."""

    path: str
    creates: bool
    lines: list[int]
    """The first line of each hunk, in the file as the patch expects it."""
    text: str


def unpack(tarball: Path, scratch: Path) -> Path:
    """Unpack a release and return the folder that holds its CMakeLists.txt.

    Nothing but plain files is written, none outside of `scratch`, and no more in all than
    LARGEST bytes.  (tarfile's own filters would do, but Debian 12's Python lacks them.)
    """
    left = LARGEST
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise tarfile.TarError(f"{member.name!a} leaves the folder")
                left -= member.size
                if left < 0:
                    raise tarfile.TarError(f"it holds more than {LARGEST} bytes")
                if member.isfile():
                    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                    (scratch / path).write_bytes(archive.extractfile(member).read())
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise fork.BuildError(f"{tarball} cannot be unpacked: {error}", REMEDY) from error
    for header in sorted(scratch.rglob("jpeglib.h"), key=lambda path: (len(path.parts), path)):
        for folder in (header.parent, header.parent.parent):
            if (folder / "CMakeLists.txt").is_file():
                return folder
    raise fork.BuildError(
        f"{tarball} holds no sources of libjpeg-turbo: no jpeglib.h with a CMakeLists.txt.", REMEDY
    )


def read_changes(patch: Path) -> list[Change]:
    """Split a patch into what it does to each file."""
    changes = []
    for text in re.split(r"(?m)^(?=diff --git )", patch.read_text())[1:]:
        path = text.split(maxsplit=4)[2].removeprefix("a/")
        lines = [int(line) for line in re.findall(r"(?m)^@@ -(\d+)", text)]
        changes.append(Change(path, "\n--- /dev/null\n" in text, lines, text))
    if not any(change.lines for change in changes):
        raise fork.BuildError(f"{patch} changes nothing.", "Restore it, or take it off the series.")
    return changes


def locate(release: Path, change: Change) -> str | None:
    """Return where the release keeps a file, which is in `src/` since 3.1; None if nowhere."""
    moved = f"src/{change.path}"
    for path in (change.path, moved):
        if (release / path).is_file():
            return path
    if not change.creates:
        return None
    in_src = "/" not in change.path and (release / "src").is_dir()
    return moved if in_src else change.path


def apply(release: Path, change: Change) -> list[str]:
    """Apply the hunks that can be applied; return where each of the others belongs."""
    target = locate(release, change)
    if target is None:
        return [f"{change.path}:{line} (the release has no such file)" for line in change.lines]
    (release / target).parent.mkdir(parents=True, exist_ok=True)
    # --force: a hunk that looks as if it had been applied already fails like any other
    options = ["--force", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"]
    result = subprocess.run(
        ["patch", *options, "--", target],
        input=change.text,
        cwd=release,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    failed = [int(number) for number in FAILED.findall(result.stdout)]
    if result.returncode and not failed:  # a malformed patch
        reason = (result.stdout + result.stderr).strip().splitlines()
        return [f"{target}:{line} ({''.join(reason[-1:])})" for line in change.lines]
    return [f"{target}:{change.lines[number - 1]}" for number in failed]


def report(release: Path) -> bool:
    """Apply the series to a release, print what applies, and return whether all does."""
    print(re.sub(r"[^\w.+-]", "?", release.name) + ":")  # the archive's own word
    totals = dict.fromkeys(fork.CORE_AND_SPEED, (0, 0))
    for patch in fork.read_series(fork.CORE_AND_SPEED):
        changes = read_changes(patch)
        count = sum(len(change.lines) for change in changes)
        failures = [failure for change in changes for failure in apply(release, change)]
        part = patch.parent.name
        print(f"  {part}/{patch.stem}: {count - len(failures)} of {count} hunks apply")
        for failure in failures:
            print(f"    {failure}")
        applied, all_ = totals[part]
        totals[part] = (applied + count - len(failures), all_ + count)
    for part, (applied, all_) in totals.items():
        print(f"{part}: {applied} of {all_} hunks apply")
    return all(applied == all_ for applied, all_ in totals.values())


def main() -> int:
    """Read the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tarball", type=Path, help="a source archive of libjpeg-turbo")
    tarball = parser.parse_args().tarball
    if not tarball.is_file():
        raise fork.BuildError(f"'{tarball}' is not a file.", REMEDY)
    if not shutil.which("patch"):
        raise fork.BuildError("the program 'patch' is missing.", "apt-get install patch")
    with tempfile.TemporaryDirectory(prefix="pyfd-port-") as scratch:
        return 0 if report(unpack(tarball, Path(scratch) / "release")) else 1


if __name__ == "__main__":
    sys.exit(main())
