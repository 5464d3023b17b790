"""Build pyfd: compile the C layer on top of the fork of libjpeg-turbo, and bind it with cffi.

This is the build backend that pyproject.toml names: setuptools' own, with the commands
below.  third_party/libjpeg-turbo/fork.py downloads, patches and compiles the fork itself.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":  # `python -m build` means PyPA's build, but finds this file first
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    found = importlib.util.find_spec("build")
    if found is None or found.origin is None:  # nothing, or a mere folder of that name
        sys.exit("pyfd: PyPA's build is not installed: run 'pip install build', or 'pip wheel .'")
    runpy.run_module("build", run_name="__main__", alter_sys=True)
    sys.exit()

import os
import re
import shutil
import sysconfig
import tempfile
from types import ModuleType

from setuptools import Extension
from setuptools.build_meta import *  # noqa: F403  the PEP 517 and 660 hooks
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
EXTENSION = "pyfd._core._libpyfd"
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")


def load(path: str) -> ModuleType:
    """Import a file of this folder that is not on the import path."""
    spec = importlib.util.spec_from_file_location(f"pyfd_build_{Path(path).stem}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fork = load("third_party/libjpeg-turbo/fork.py")
checkout = load("pyfd/_core/checkout.py")

if fork.SANITIZE:
    LAYER_CFLAGS = [*fork.STATIC_CFLAGS, "-O1"]
    LAYER_LDFLAGS = fork.CHECKS[:1]
else:
    LAYER_CFLAGS = [*fork.HARDENING, "-O3", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"]
    LAYER_LDFLAGS = ["-Wl,-z,relro,-z,now,-z,noexecstack"]
LAYER_LDFLAGS = [*LAYER_LDFLAGS, "-Wl,--exclude-libs,ALL"]


# ---- the extension --------------------------------------------------------


def cffi_declarations(header: str) -> str:
    """Return the part of a header of csrc between its two cffi lines, without comments."""
    text = (ROOT / "csrc" / header).read_text()
    text = text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def write_binding(path: Path) -> None:
    """Write the C source of the cffi binding."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(cffi_declarations("pyfd.h") + cffi_declarations("binding.h"))
    ffi.set_source(EXTENSION, '#include "binding.h"')
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(path))


# ---- for programs other than Python ---------------------------------------

HEADERS = ["src/jpeglib.h", "src/jmorecfg.h", "src/jerror.h", "src/jrequant.h", "build/jconfig.h"]
# module: description, headers, library
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
    """Write the drop-in library, and headers, libraries and pkg-config files for C programs."""
    shutil.rmtree(folder, ignore_errors=True)
    if fork.SANITIZE:  # other programs cannot load sanitized libraries
        return
    tree, include, lib = fork.build_static(cache), folder / "include", folder / "lib"
    for made in (include / "libjpeg", lib / "pkgconfig"):
        made.mkdir(parents=True)
    shutil.copy(ROOT / "csrc" / "pyfd.h", include)
    for header in HEADERS:
        shutil.copy(tree / header, include / "libjpeg")
    # CMake makes a symbolic link of this name; copying it gives the file itself
    shutil.copy(fork.build_drop_in(cache) / "build" / "libjpeg.so.62", lib)
    shutil.copy(tree / "build" / "libjpeg.a", lib / "libjpeg-pyfd.a")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        link_layer(layer_object(tree, Path(scratch)), lib)
    for module, (description, headers, library) in MODULES.items():
        text = (
            f"prefix=${{pcfiledir}}/../..\n\nName: {module}\nDescription: {description}\n"
            f"Version: {version}\nCflags: -I${{prefix}}/{headers}\nLibs: {linking(library)}\n"
        )
        (lib / "pkgconfig" / f"{module}.pc").write_text(text)


def linking(library: str) -> str:
    """Return the linker's options for one library, in pkg-config's form."""
    folder = "${prefix}/lib"
    if library.endswith(".a"):
        return f"{folder}/{library}"
    return f"-L{folder} -Wl,-rpath,{folder} -l:{library}"


def layer_object(tree: Path, scratch: Path) -> Path:
    """Link the C layer and the fork into one object that exports only pyfd.h's functions."""
    whole = scratch / "pyfd.o"
    compiler = os.environ.get("CC", "cc").split()
    flags = [flag for flag in LAYER_CFLAGS if flag != "-fvisibility=hidden"]
    flags += [f'-DPYFD_LIBJPEG_TURBO="{fork.version()}"', "-fPIC"]
    flags += [f"-I{folder}" for folder in (ROOT / "csrc", tree / "build", tree / "src")]
    objects = []
    for source in sorted((ROOT / "csrc").glob("*.c")):
        objects.append(str(scratch / f"{source.stem}.o"))
        command = [*compiler, *flags, "-c", str(source), "-o", objects[-1]]
        fork.run_tool(command, "compiling the layer")
    archive = str(tree / "build" / "libjpeg.a")
    fork.run_tool([*compiler, "-nostdlib", "-r", *objects, archive, "-o", str(whole)], "ld -r")
    names = re.findall(r"(pyfd_\w+)\(", cffi_declarations("pyfd.h"))
    keep = [f"--keep-global-symbol={name}" for name in names]
    fork.run_tool(["objcopy", *keep, str(whole)], "objcopy")
    return whole


def link_layer(whole: Path, lib: Path) -> None:
    """Make libpyfd.a and libpyfd.so.0 from the object."""
    compiler = os.environ.get("CC", "cc").split()
    archive, shared = lib / "libpyfd.a", lib / "libpyfd.so.0"
    archive.unlink(missing_ok=True)
    fork.run_tool(["ar", "rcs", str(archive), str(whole)], "ar")
    soname = f"-Wl,-soname,{shared.name}"
    command = [*compiler, "-shared", "-s", soname, *LAYER_LDFLAGS, str(whole), "-o", str(shared)]
    fork.run_tool(command, "linking libpyfd")


# ---- the source folder ----------------------------------------------------


def leave_in_source(built: Path, native: Path) -> None:
    """Put the extension and pyfd/native into the source folder, where `import pyfd` finds them.

    Each file is replaced in one step, because programs may be using the old one. Files of
    an earlier build that this one lacks, such as an extension for another Python, are
    removed, because nothing would tell whether they fit the sources.
    """
    package = ROOT / "pyfd"
    with tempfile.TemporaryDirectory(dir=package, prefix=".new-") as folder:
        new = Path(folder)
        (new / "_core").mkdir()
        shutil.copy(built, new / "_core")
        if native.is_dir():
            shutil.copytree(native, new / "native")
        names = sorted(path.relative_to(new) for path in new.rglob("*") if path.is_file())
        for name in names:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).replace(package / name)
        stamp = new / checkout.STAMP.name
        stamp.write_text(checkout.digest_sources(ROOT))
        stamp.replace(checkout.STAMP)
    extensions = (package / "_core").glob("_libpyfd*.so")
    for path in [*extensions, *(package / "native").rglob("*")]:
        if path.is_file() and path.relative_to(package) not in names:
            path.unlink()


# ---- setuptools' commands -------------------------------------------------


class BuildExt(build_ext):
    """The command that builds the fork, and on top of it the C layer and its cffi binding."""

    def run(self) -> None:
        """Build the extension; `pip install .` leaves the result in the source folder too.

        Python prefers that folder to the installed package when it is started there.
        """
        super().run()
        writable = all(os.access(ROOT / path, os.W_OK) for path in ("pyfd", "pyfd/_core"))
        if writable and not self.inplace and not fork.SANITIZE:
            self.copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        """Compile the extension, and write pyfd/native beside it."""
        if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
            raise fork.BuildError("Python's headers are missing.", "apt-get install python3-dev")
        self.force = True  # setuptools does not see when only the fork has changed
        tree = fork.build_static(ROOT / "build")
        binding = Path(self.build_temp) / "_libpyfd.c"
        write_binding(binding)
        ext.sources = [*ext.sources, str(binding)]
        ext.include_dirs += [str(ROOT / "csrc"), str(tree / "build"), str(tree / "src")]
        ext.define_macros.append(("PYFD_LIBJPEG_TURBO", f'"{fork.version()}"'))
        ext.extra_objects.append(str(tree / "build" / "libjpeg.a"))
        ext.extra_compile_args += LAYER_CFLAGS
        ext.extra_link_args += LAYER_LDFLAGS
        ext.py_limited_api = LIMITED_API
        if LIMITED_API:
            ext.define_macros.append(("Py_LIMITED_API", "0x030a0000"))
        super().build_extension(ext)
        install_native(self.native_folder(), ROOT / "build", self.distribution.get_version())

    def native_folder(self) -> Path:
        """Return the folder of the package that holds the files for other programs."""
        return Path(self.build_lib) / "pyfd" / "native"

    def copy_extensions_to_source(self) -> None:
        """Replace setuptools' copying, for editable installations and ``--inplace``."""
        built = Path(self.build_lib, self.get_ext_filename(EXTENSION))
        leave_in_source(built, self.native_folder())


class BDistWheel(bdist_wheel):
    """The command that builds one wheel for every CPython with a GIL.

    A free-threaded CPython gets its own wheel.
    """

    def finalize_options(self) -> None:
        """Tag the wheel with the oldest Python that it works on."""
        if LIMITED_API:
            self.py_limited_api = "cp310"
        super().finalize_options()

    def run(self) -> None:
        """Build in a new folder; setuptools would pack modules of earlier builds from its own."""
        with tempfile.TemporaryDirectory() as folder:
            self.get_finalized_command("build").build_lib = folder
            super().run()


class SDist(sdist):
    """The command that adds the upstream archive to the source distribution, to build offline."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Add the archive to the files."""
        super().make_release_tree(base_dir, files)
        cache = ROOT / "build"
        cache.mkdir(exist_ok=True)
        target = Path(base_dir) / fork.FORK.relative_to(ROOT) / fork.PIN["archive"]
        target.unlink(missing_ok=True)
        shutil.copyfile(fork.find_tarball(cache), target)
