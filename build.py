"""Build pyfd: fetch and patch libjpeg-turbo, compile it, bind it with cffi.

This is the build backend that pyproject.toml names: setuptools' own, plus the
commands below.  Every failure says what to install or set.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zlib
from pathlib import Path

from setuptools import Extension
from setuptools.build_meta import *  # noqa: F403  the PEP 517 and 660 hooks
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
FORK = ROOT / "third_party" / "libjpeg-turbo"
PIN = json.loads((FORK / "pin.json").read_text())
SOURCE_NAME = f"{PIN['name']}-{PIN['version']}"
TARBALL_VARIABLE = "PYFD_LIBJPEG_TURBO_TARBALL"
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")

CMAKE_OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",  # CMake 4 refuses 2.1.5 without it
    "-DWITH_TURBOJPEG=OFF",
]
# libjpeg.a, for the extension
STATIC_OPTIONS = [
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    "-DENABLE_SHARED=OFF",
    "-DWITH_ARITH_DEC=OFF",  # seconds of decoding in a kilobyte of file
    "-DWITH_ARITH_ENC=OFF",
]
# libjpeg.so.62, for programs of others: what Debian's can do, and its symbols
SHARED_OPTIONS = [
    "-DENABLE_STATIC=OFF",
    "-DPYFD_ENVIRONMENT=ON",
    "-DCMAKE_SKIP_RPATH=ON",
    "-DCMAKE_SHARED_LINKER_FLAGS=-pthread -Wl,-z,relro,-z,now,-z,noexecstack,-s",
]
# CMake's own hidden visibility is ignored by 2.1.5 (policy CMP0063)
PROTECTION = ["-fstack-protector-strong", "-fstack-clash-protection"]
HARDENING = ["-fvisibility=hidden", *PROTECTION]
SHARED_CFLAGS = [*PROTECTION, "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
# "address,undefined", for `make asan` and the fuzz targets; FORTIFY_SOURCE would hide errors
SANITIZE = os.environ.get("PYFD_SANITIZE", "")
if SANITIZE:
    CHECKS = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    FORK_CFLAGS = ["-fvisibility=hidden", "-g", *CHECKS]
    LAYER_CFLAGS = [*FORK_CFLAGS, "-O1"]
    LAYER_LDFLAGS = CHECKS[:1]
else:
    FORK_CFLAGS = HARDENING
    LAYER_CFLAGS = [*HARDENING, "-O3", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"]
    LAYER_LDFLAGS = ["-Wl,-z,relro,-z,now,-z,noexecstack"]
LAYER_LDFLAGS.append("-Wl,--exclude-libs,ALL")


class BuildError(SystemExit):
    """A failure with its remedy; a SystemExit, so that pip shows the text alone."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"\npyfd: {problem}\n      {remedy}\n")


# ---- the upstream release -------------------------------------------------


def is_pinned(tarball: Path) -> bool:
    """Is this the pinned archive, or the pinned tar in another compression?"""
    data = tarball.read_bytes()
    if hashlib.sha256(data).hexdigest() == PIN["archive_sha256"]:
        return True
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompress(data, wbits=31)
        except zlib.error:
            return False
    return hashlib.sha256(data).hexdigest() == PIN["tar_sha256"]


def find_tarball(cache: Path) -> Path:
    """The pinned archive: from the environment, beside the pin, or through apt."""
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
            download_with_apt(cache)
    tarball = next(path for path in candidates if path.is_file())
    if not is_pinned(tarball):
        raise BuildError(
            f"{tarball} is not the pinned {SOURCE_NAME}: its checksum differs.",
            f"Remove it, or set {TARBALL_VARIABLE} to a pristine archive "
            f"(SHA-256 {PIN['archive_sha256']}).",
        )
    return tarball


def source_lists(etc_apt: Path, suite: str) -> str:
    """The machine's own apt sources of this release, as deb-src lines."""
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
    """One stanza of a .sources file in the one-line format."""
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


def download_with_apt(cache: Path) -> None:
    """Fetch the source archive with apt, in directories of our own: no root needed."""
    remedy = (
        f"Set {TARBALL_VARIABLE} to a pristine {SOURCE_NAME} source archive "
        f"(SHA-256 {PIN['archive_sha256']})."
    )
    if not shutil.which("apt-get"):
        raise BuildError(f"no {SOURCE_NAME} sources, and no apt-get to fetch them.", remedy)
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
        raise BuildError(
            f"apt has no {SOURCE_NAME} source package for '{suite}' "
            f"(Debian 12, 13 and Ubuntu 24.04 have): {''.join(reason)}",
            remedy,
        )
    found.replace(cache / PIN["archive"])


def read_series() -> list[Path]:
    return [FORK / "patches" / name for name in (FORK / "series").read_text().split()]


def apply_series(source: Path) -> None:
    if not shutil.which("patch"):
        raise BuildError("the program 'patch' is missing.", "apt-get install patch")
    for patch in read_series():
        command = ["patch", "-p1", "--fuzz=0", "--batch", "--input", str(patch)]
        result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BuildError(
                f"{patch.name} does not apply to {SOURCE_NAME}:\n{result.stdout}",
                "Restore third_party/libjpeg-turbo, or refresh the patch (see its README).",
            )


# ---- the fork -------------------------------------------------------------


def fork_version() -> str:
    """The upstream version and a digest of all that makes the fork: '2.1.5+pyfd.0a1b2c3d'."""
    digest = hashlib.sha256()
    for path in [FORK / "pin.json", FORK / "series", *read_series()]:
        digest.update(path.read_bytes())
    return f"{PIN['version']}+pyfd.{digest.hexdigest()[:8]}"


def check_tools() -> None:
    compiler = (os.environ.get("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        raise BuildError(f"no C compiler ({compiler}).", "apt-get install gcc libc6-dev, or set CC")
    if platform.machine() in ("x86_64", "AMD64") and not shutil.which("nasm"):
        raise BuildError("the assembler 'nasm' is missing.", "apt-get install nasm")
    for tool in ("cmake", "ninja"):
        if not shutil.which(tool):
            raise BuildError(f"the program '{tool}' is missing.", f"pip install {tool}")


def run_tool(command: list[str], purpose: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        output = (result.stdout + result.stderr)[-4000:]
        raise BuildError(f"{purpose} failed:\n{output}", "The command was: " + " ".join(command))


def build_fork(cache: Path) -> Path:
    """Build libjpeg.a; returns the directory with src/ and build/ in it."""
    return build_tree(cache, "jpeg-static", STATIC_OPTIONS, FORK_CFLAGS)


def build_drop_in(cache: Path) -> Path:
    """Build libjpeg.so.62; returns the directory with src/ and build/ in it."""
    return build_tree(cache, "jpeg", SHARED_OPTIONS, SHARED_CFLAGS)


def build_tree(cache: Path, target: str, options: list[str], cflags: list[str]) -> Path:
    """Build one target of the fork; returns the directory with src/ and build/ in it.

    The directory's name is a digest of all that went in, so that a second
    build finds the first one's result.
    """
    simd = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")
    options = [
        *CMAKE_OPTIONS,
        *options,
        f"-DREQUIRE_SIMD={'ON' if simd else 'OFF'}",
        f"-DCMAKE_C_FLAGS={' '.join(cflags)}",
    ]
    recipe = [fork_version(), platform.machine(), os.environ.get("CC", "cc"), *options]
    stamp = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    done = cache / f"{SOURCE_NAME}-{stamp}"
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    check_tools()
    tarball = find_tarball(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fork-") as scratch:
        work = Path(scratch) / "work"
        with tarfile.open(tarball) as archive:
            archive.extractall(work)  # trusted: its checksum is the pin's
        (work / SOURCE_NAME).rename(work / "src")
        apply_series(work / "src")
        source, build = str(work / "src"), str(work / "build")
        run_tool(["cmake", "-G", "Ninja", "-S", source, "-B", build, *options], "cmake")
        run_tool(["cmake", "--build", build, "--target", target], "compiling the fork")
        try:
            work.rename(done)
        except OSError:
            if not done.is_dir():  # else another build has won the race
                raise
    return done


# ---- the extension --------------------------------------------------------


def cffi_declarations() -> str:
    """What csrc/pyfd.h has between its two cffi lines, without the prose."""
    text = (ROOT / "csrc" / "pyfd.h").read_text()
    text = text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


# What pyfd/_core/binding.py has C fill in, in one piece each: small images feel every
# allocation. An array of one is a pointer to C.
BINDING_TYPES = """
typedef struct {
  pyfd_status status[1];
  pyfd_header header[1];
  pyfd_segment segments[16]; /* nearly every file has no more */
} pyfd_found;
typedef struct { pyfd_status status[1]; uint8_t *data[1]; size_t size[1]; } pyfd_made;
typedef struct {
  int64_t sums[192]; /* 3 components of 64 coefficients */
  uint64_t squares[192], blocks[3];
  pyfd_status status[1];
} pyfd_counted;
"""


def write_binding(path: Path) -> None:
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(cffi_declarations() + BINDING_TYPES)
    ffi.set_source("pyfd._core._libpyfd", '#include "pyfd.h"' + BINDING_TYPES)
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(path))


# ---- for programs other than Python ---------------------------------------

HEADERS = ["src/jpeglib.h", "src/jmorecfg.h", "src/jerror.h", "src/jrequant.h", "build/jconfig.h"]
# module: description, headers, what to link
MODULES = {
    "pyfd": ("JPEG as a defence against adversarial examples", "include", "libpyfd.so.0"),
    "pyfd-libjpeg": ("libjpeg-turbo with table injection", "include/libjpeg", "libjpeg.so.62"),
    "pyfd-static": ("pyfd, to be linked into a program", "include", "libpyfd.a"),
    "pyfd-libjpeg-static": (
        "libjpeg-turbo with table injection, to be linked into a program",
        "include/libjpeg",
        "libjpeg-pyfd.a",
    ),
}


def install_native(folder: Path, cache: Path, version: str) -> None:
    """Lay out the drop-in, and headers, libraries and pkg-config's files for C programs."""
    shutil.rmtree(folder, ignore_errors=True)
    if SANITIZE:  # libraries that no program of others could load
        return
    fork, include, lib = build_fork(cache), folder / "include", folder / "lib"
    for made in (include / "libjpeg", lib / "pkgconfig"):
        made.mkdir(parents=True)
    shutil.copy(ROOT / "csrc" / "pyfd.h", include)
    for header in HEADERS:
        shutil.copy(fork / header, include / "libjpeg")
    # The file itself, under the name that it is loaded by
    shutil.copy(build_drop_in(cache) / "build" / "libjpeg.so.62", lib)
    shutil.copy(fork / "build" / "libjpeg.a", lib / "libjpeg-pyfd.a")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        link_layer(layer_object(fork, Path(scratch)), lib)
    for module, (description, headers, library) in MODULES.items():
        text = (
            f"prefix=${{pcfiledir}}/../..\n\nName: {module}\nDescription: {description}\n"
            f"Version: {version}\nCflags: -I${{prefix}}/{headers}\nLibs: {linking(library)}\n"
        )
        (lib / "pkgconfig" / f"{module}.pc").write_text(text)


def linking(library: str) -> str:
    folder = "${prefix}/lib"
    if library.endswith(".a"):
        return f"{folder}/{library}"
    return f"-L{folder} -Wl,-rpath,{folder} -l:{library}"


def layer_object(fork: Path, scratch: Path) -> Path:
    """The C layer and what it needs of the fork as one object, which shows pyfd.h's names alone."""
    whole = scratch / "pyfd.o"
    compiler = os.environ.get("CC", "cc").split()
    flags = [flag for flag in LAYER_CFLAGS if flag != "-fvisibility=hidden"]
    flags += [f'-DPYFD_LIBJPEG_TURBO="{fork_version()}"', "-fPIC"]
    flags += [f"-I{folder}" for folder in (ROOT / "csrc", fork / "build", fork / "src")]
    objects = []
    for source in sorted((ROOT / "csrc").glob("*.c")):
        objects.append(str(scratch / f"{source.stem}.o"))
        run_tool([*compiler, *flags, "-c", str(source), "-o", objects[-1]], "compiling the layer")
    archive = str(fork / "build" / "libjpeg.a")
    run_tool([*compiler, "-nostdlib", "-r", *objects, archive, "-o", str(whole)], "ld -r")
    names = re.findall(r"(pyfd_\w+)\(", cffi_declarations())
    run_tool(
        ["objcopy", *(f"--keep-global-symbol={name}" for name in names), str(whole)], "objcopy"
    )
    return whole


def link_layer(whole: Path, lib: Path) -> None:
    compiler = os.environ.get("CC", "cc").split()
    archive, shared = lib / "libpyfd.a", lib / "libpyfd.so.0"
    archive.unlink(missing_ok=True)
    run_tool(["ar", "rcs", str(archive), str(whole)], "ar")
    soname = f"-Wl,-soname,{shared.name}"
    command = [*compiler, "-shared", "-s", soname, *LAYER_LDFLAGS, str(whole), "-o", str(shared)]
    run_tool(command, "linking libpyfd")


class BuildExt(build_ext):
    """Build the fork, then the C layer and its cffi binding on top of it."""

    def build_extension(self, ext: Extension) -> None:
        if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
            raise BuildError("Python's headers are missing.", "apt-get install python3-dev")
        self.force = True  # setuptools does not see when the fork alone has changed
        fork = build_fork(ROOT / "build")
        binding = Path(self.build_temp) / "_libpyfd.c"
        write_binding(binding)
        ext.sources = [*ext.sources, str(binding)]
        ext.include_dirs += [str(ROOT / "csrc"), str(fork / "build"), str(fork / "src")]
        ext.define_macros.append(("PYFD_LIBJPEG_TURBO", f'"{fork_version()}"'))
        ext.extra_objects.append(str(fork / "build" / "libjpeg.a"))
        ext.extra_compile_args += LAYER_CFLAGS
        ext.extra_link_args += LAYER_LDFLAGS
        ext.py_limited_api = LIMITED_API
        if LIMITED_API:
            ext.define_macros.append(("Py_LIMITED_API", "0x030a0000"))
        super().build_extension(ext)
        install_native(self.native_folder(), ROOT / "build", self.distribution.get_version())

    def native_folder(self) -> Path:
        return Path(self.build_lib) / "pyfd" / "native"

    def copy_extensions_to_source(self) -> None:
        """For editable installations, which run from the source folder."""
        super().copy_extensions_to_source()
        target = ROOT / "pyfd" / "native"
        shutil.rmtree(target, ignore_errors=True)  # never written over: it may be in use
        if self.native_folder().is_dir():
            shutil.copytree(self.native_folder(), target)


class BDistWheel(bdist_wheel):
    """One wheel for every CPython with a GIL; a free-threaded one gets its own."""

    def finalize_options(self) -> None:
        if LIMITED_API:
            self.py_limited_api = "cp310"
        super().finalize_options()


class SDist(sdist):
    """The source distribution carries the upstream archive, so it builds offline."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        cache = ROOT / "build"
        cache.mkdir(exist_ok=True)
        target = Path(base_dir) / FORK.relative_to(ROOT) / PIN["archive"]
        target.unlink(missing_ok=True)
        shutil.copyfile(find_tarball(cache), target)


if __name__ == "__main__":
    sys.exit("This is a build backend: run 'pip install .' or 'pip wheel .'")
