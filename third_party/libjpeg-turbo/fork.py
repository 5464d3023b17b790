"""The fork of libjpeg-turbo: download the pinned release, patch it, and compile it.

`build.py` loads this module.  Every failure is a `BuildError`, which says what to
install or which variable to set.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path

FORK = Path(__file__).resolve().parent
PIN = json.loads((FORK / "pin.json").read_text())
SOURCE_NAME = f"{PIN['name']}-{PIN['version']}"
TARBALL_VARIABLE = "PYFD_LIBJPEG_TURBO_TARBALL"

# Limits of a download: bytes (also of the tar inside), seconds of silence, and in all
LARGEST, TIMEOUT, PATIENCE = 64 << 20, 30, 600

# The two series of patches: what pyfd needs and what is right, and what only makes it faster
CORE = ("core",)
CORE_AND_SPEED = ("core", "speed")

# "address,undefined", for `make asan` and the fuzz targets
SANITIZE = os.environ.get("PYFD_SANITIZE", "")
CHECKS = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


def accepts(flag: str) -> bool:
    """Return whether the C compiler knows a flag."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        return False
    command = [*compiler, flag, "-x", "c", "-fsyntax-only", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# For all C code of a build without sanitizers, from which FORTIFY_SOURCE would hide errors
HARDENING = [
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=3",
    # GCC 12 and clang 16 know the first, and only those for x86-64 the second (Intel's CET)
    *filter(accepts, ["-ftrivial-auto-var-init=zero", "-fcf-protection=full"]),
]
# Debian's startup files lack the mark of CET, and the libraries work without any.
# The table of symbols (-s) would name the assembly files with their folder.
HARDENED_LINK = ["-s", "-nostartfiles", "-Wl,-z,relro,-z,now,-z,noexecstack"]
# 2.1.5 ignores CMake's own option for hidden visibility (policy CMP0063)
STATIC_CFLAGS = ["-fvisibility=hidden", *(["-g", *CHECKS] if SANITIZE else HARDENING)]
SHARED_CFLAGS = HARDENING

CMAKE_OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",  # CMake 4 refuses 2.1.5 without it
    "-DWITH_TURBOJPEG=OFF",
]
# libjpeg.a, for the extension
STATIC_OPTIONS = [
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    "-DENABLE_SHARED=OFF",
    "-DWITH_ARITH_DEC=OFF",  # a kilobyte of file can take seconds to decode
    "-DWITH_ARITH_ENC=OFF",
]
# libjpeg.so.62, for other programs: the features and symbols of Debian's library
SHARED_OPTIONS = [
    "-DENABLE_STATIC=OFF",
    "-DPYFD_ENVIRONMENT=ON",
    "-DCMAKE_SKIP_RPATH=ON",
    f"-DCMAKE_SHARED_LINKER_FLAGS=-pthread {' '.join(HARDENED_LINK)}",
]


class BuildError(SystemExit):
    """A failure and its remedy; a `SystemExit`, so that pip prints only the text."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"\npyfd: {problem}\n      {remedy}\n")


def run_tool(command: list[str], purpose: str) -> None:
    """Run a command; raise an error with the end of its output if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        output = (result.stdout + result.stderr)[-4000:]
        raise BuildError(f"{purpose} failed:\n{output}", "The command was: " + " ".join(command))


# ---- the upstream release -------------------------------------------------


def is_pinned(tarball: Path) -> bool:
    """Return whether this is the pinned archive, or its tar in another compression."""
    data = tarball.read_bytes()
    if hashlib.sha256(data).hexdigest() == PIN["archive_sha256"]:
        return True
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, LARGEST)
        except zlib.error:
            return False
    return hashlib.sha256(data).hexdigest() == PIN["tar_sha256"]


def find_tarball(cache: Path) -> Path:
    """Return the pinned archive: named in the environment, beside the pin, or downloaded."""
    named = os.environ.get(TARBALL_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise BuildError(
                f"{TARBALL_VARIABLE} names {named}, which is not a file.",
                f"Set it to a pristine {SOURCE_NAME} source archive.",
            )
        candidates = [Path(named)]
    else:
        candidates = [FORK / PIN["archive"], cache / PIN["archive"]]
        if not any(path.is_file() for path in candidates):
            download(cache)
    tarball = next(path for path in candidates if path.is_file())
    if not is_pinned(tarball):
        raise BuildError(
            f"{tarball} is not the pinned {SOURCE_NAME}: its checksum differs.",
            f"Remove it, or set {TARBALL_VARIABLE} to a pristine archive "
            f"(SHA-256 {PIN['archive_sha256']}).",
        )
    return tarball


def source_lists(etc_apt: Path, suite: str) -> str:
    """Return the machine's own apt sources of this release as deb-src lines."""
    lines: list[str] = []
    for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
                lines += deb822_source_lines(stanza)
        elif path.suffix == ".list":
            for line in text.splitlines():
                if re.match(r"\s*deb\s", line):
                    lines.append("deb-src " + line.split(None, 1)[1])
    pattern = re.compile(rf"\s{re.escape(suite)}(-\S+)?\s")
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if pattern.search(line))


def deb822_source_lines(stanza: str) -> list[str]:
    """Translate one stanza of a .sources file into the one-line format."""
    fields = {
        key.lower(): " ".join(value.split())
        for key, value in re.findall(r"(?m)^(\S+?):[ \t]*((?:.*)(?:\n[ \t]+.*)*)", stanza)
    }
    if "deb" not in fields.get("types", "").split():
        return []
    key = fields.get("signed-by", "")
    option = f"[signed-by={key}] " if key.startswith("/") else ""
    return [
        f"deb-src {option}{uri} {suite} {fields.get('components', '')}"
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


def download(cache: Path) -> None:
    """Download the archive into the cache, from wherever it is to be had."""
    problems = []
    for way in (download_with_apt, download_release):
        problem = way(cache)
        if problem is None:
            return
        problems.append(problem)
    raise BuildError(
        f"cannot download the sources of {SOURCE_NAME}:\n      " + "\n      ".join(problems),
        f"Set {TARBALL_VARIABLE} to a pristine {SOURCE_NAME} source archive "
        f"(SHA-256 {PIN['archive_sha256']}).",
    )


def download_with_apt(cache: Path) -> str | None:
    """Download with apt, in folders of our own (no root needed), or return why that failed."""
    if not shutil.which("apt-get"):
        return "there is no apt-get."
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text()))
    suite = release.get("VERSION_CODENAME", "")
    apt = cache / "apt"
    for directory in ("lists/partial", "cache/archives/partial"):
        (apt / directory).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(source_lists(Path("/etc/apt"), suite))
    options = [
        f"Dir::Etc::sourcelist={apt}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={apt}/lists",
        f"Dir::Cache={apt}/cache",
        "APT::Sandbox::User=root",
    ]
    base = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    fetch = ["source", "--download-only", "--tar-only", "--only-source", PIN["name"]]
    subprocess.run([*base, "update"], cwd=apt, capture_output=True, check=False)
    result = subprocess.run([*base, *fetch], cwd=apt, capture_output=True, text=True, check=False)
    found = next(apt.glob(f"{PIN['name']}_{PIN['version']}*.orig.tar.*"), None)
    if found is None:
        reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        return (
            f"apt has no source package of it for '{suite}' "
            f"(Debian 12, 13 and Ubuntu 24.04 have): {''.join(reason)}"
        )
    found.replace(cache / PIN["archive"])
    return None


def download_release(cache: Path) -> str | None:
    """Download from the project's release address, or return why that failed."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as folder:
        found = Path(folder) / PIN["archive"]
        try:
            with urllib.request.urlopen(PIN["url"], timeout=TIMEOUT) as answer:
                found.write_bytes(read_answer(answer))
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"{PIN['url']}: {error}"
        if not is_pinned(found):
            return f"{PIN['url']} has another archive: its checksum differs."
        found.replace(cache / PIN["archive"])
    return None


def read_answer(answer: http.client.HTTPResponse) -> bytearray:
    """Return what a server sends, within limits."""
    data, end = bytearray(), time.monotonic() + PATIENCE
    while part := answer.read1(1 << 16):
        data += part
        if len(data) > LARGEST:
            raise OSError(f"it sends more than {LARGEST} bytes")
        if time.monotonic() > end:
            raise TimeoutError(f"it took more than {PATIENCE} seconds")
    if answer.length:
        raise OSError(f"it stopped {answer.length} bytes before the end")
    return data


# ---- the patches ----------------------------------------------------------


def read_series(parts: tuple[str, ...]) -> list[Path]:
    """Return the patches of some series in the order in which they are applied."""
    names = (FORK / "series").read_text().split()
    return [FORK / "patches" / name for name in names if name.split("/")[0] in parts]


def apply_series(source: Path, parts: tuple[str, ...]) -> None:
    """Patch an unpacked release."""
    for patch in read_series(parts):
        command = ["patch", "-p1", "--fuzz=0", "--batch", "--input", str(patch)]
        result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BuildError(
                f"{patch.name} does not apply to {SOURCE_NAME}:\n{result.stdout}",
                "Restore third_party/libjpeg-turbo, or refresh the patch (see its README).",
            )


def version(parts: tuple[str, ...] = CORE_AND_SPEED) -> str:
    """Return upstream's version and a digest of the pin and the patches.

    Example: ``2.1.5+pyfd.0a1b2c3d``.
    """
    digest = hashlib.sha256()
    for path in [FORK / "pin.json", FORK / "series", *read_series(parts)]:
        digest.update(path.read_bytes())
    return f"{PIN['version']}+pyfd.{digest.hexdigest()[:8]}"


# ---- the libraries --------------------------------------------------------


def check_system() -> None:
    """Raise an error on systems for which the build is not made."""
    if sys.platform != "linux":
        raise BuildError(
            f"pyfd is built on Linux only (x86-64 or arm64), and this is {platform.system()}.",
            "Build or install it in a Linux container or virtual machine.",
        )


def check_needs(cache: Path, headers: Path | None = None) -> None:
    """Raise one error that names everything that the build lacks, and how to install it.

    Args:
        cache: The folder of downloads and of trees that are built.
        headers: The folder of Python's headers, for an extension.
    """
    check_system()
    missing = missing_for_the_layer(headers)
    source = None
    if not all(place(cache, *tree).is_dir() for tree in TREES):
        missing |= missing_for_the_fork()
        try:
            find_tarball(cache)
        except BuildError as error:
            source = error
    if missing:
        packages = dict.fromkeys(" ".join(missing.values()).split())
        raise BuildError(
            f"the build needs what is missing here: {', '.join(missing)}.",
            f"On Debian and Ubuntu: apt-get install {' '.join(packages)}\n{source or ''}".rstrip(),
        )
    if source:
        raise source


def missing_for_the_layer(headers: Path | None) -> dict[str, str]:
    """Return what is missing to compile and link pyfd's own C code, with Debian's packages."""
    compiler = (os.environ.get("CC") or "cc").split()[0]
    missing = {}
    if not shutil.which(compiler):
        missing[f"a C compiler ({compiler}, or another one in CC)"] = "gcc libc6-dev"
    elif not accepts("-includestdio.h"):
        missing["the C library's headers (stdio.h)"] = "libc6-dev"
    if not all(map(shutil.which, ("ar", "as", "ld", "objcopy", "strip"))):
        missing["binutils (ar, as, ld, objcopy, strip)"] = "binutils"
    if headers and not (headers / "Python.h").is_file():
        debians = sys.base_prefix == "/usr"
        missing[f"Python's headers ({headers}/Python.h)"] = "python3-dev" if debians else ""
    return missing


def missing_for_the_fork() -> dict[str, str]:
    """Return the programs that are missing to patch and compile it, with Debian's packages."""
    programs = {"patch": "patch", "cmake": "cmake", "ninja": "ninja-build"}
    if platform.machine() in ("x86_64", "AMD64"):
        programs["nasm"] = "nasm"
    return {name: package for name, package in programs.items() if not shutil.which(name)}


STATIC = (CORE_AND_SPEED, "jpeg-static", STATIC_OPTIONS, STATIC_CFLAGS)
# Other people's programs load it, so it has only those patches without which it would not do
# its work, or would do it wrongly
DROP_IN = (CORE, "jpeg", SHARED_OPTIONS, SHARED_CFLAGS)
TREES = (STATIC,) if SANITIZE else (STATIC, DROP_IN)


def build_static(cache: Path, parts: tuple[str, ...] = CORE_AND_SPEED) -> Path:
    """Build libjpeg.a and return the folder that holds ``src/`` and ``build/``."""
    return build_tree(cache, parts, *STATIC[1:])


def build_drop_in(cache: Path) -> Path:
    """Build libjpeg.so.62 and return the folder that holds ``src/`` and ``build/``."""
    return build_tree(cache, *DROP_IN)


def build_tree(
    cache: Path, parts: tuple[str, ...], target: str, options: list[str], cflags: list[str]
) -> Path:
    """Build one target of the fork and return the folder that holds ``src/`` and ``build/``.

    A second build finds the result of the first one.
    """
    done = place(cache, parts, target, options, cflags)
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    check_needs(cache)
    tarball = find_tarball(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fork-") as scratch:
        work = Path(scratch) / "work"
        with tarfile.open(tarball) as archive:
            archive.extractall(work)  # trusted: its checksum is the pin's
        (work / SOURCE_NAME).rename(work / "src")
        apply_series(work / "src", parts)
        source, build, flags = str(work / "src"), str(work / "build"), all_options(options, cflags)
        run_tool(["cmake", "-G", "Ninja", "-S", source, "-B", build, *flags], "cmake")
        run_tool(["cmake", "--build", build, "--target", target], "compiling the fork")
        try:
            work.rename(done)
        except OSError:
            if not done.is_dir():  # otherwise, another build was faster
                raise
    return done


def all_options(options: list[str], cflags: list[str]) -> list[str]:
    """Return CMake's options, with those that all builds have."""
    simd = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")
    required = f"-DREQUIRE_SIMD={'ON' if simd else 'OFF'}"
    return [*CMAKE_OPTIONS, *options, required, f"-DCMAKE_C_FLAGS={' '.join(cflags)}"]


def place(
    cache: Path, parts: tuple[str, ...], _target: str, options: list[str], cflags: list[str]
) -> Path:
    """Return the folder of a build, whose name is a digest of everything that goes into it."""
    compiler = os.environ.get("CC", "cc")
    recipe = [version(parts), platform.machine(), compiler, *all_options(options, cflags)]
    stamp = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    return cache / f"{SOURCE_NAME}-{stamp}"
