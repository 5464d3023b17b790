"""Build pyfd: compile the C layer on top of the fork of libjpeg-turbo, and bind it with cffi.

This is the build backend that pyproject.toml names: setuptools' own, with the commands
below.  third_party/libjpeg-turbo/fork.py downloads, patches and compiles the fork itself,
and csrc/native.py makes the libraries for other programs.
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
import shutil
import sysconfig
import tempfile

from setuptools import Extension, build_meta
from setuptools.build_meta import *  # noqa: F403  the PEP 517 and 660 hooks
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
EXTENSION = "pyfd._core._libpyfd"
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")

_spec = importlib.util.spec_from_file_location("pyfd_build_native", ROOT / "csrc" / "native.py")
native = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(native)
fork = native.fork
checkout = native.load("pyfd/_core/checkout.py")
LAYER_CFLAGS, LAYER_LDFLAGS = native.LAYER_CFLAGS, native.LAYER_LDFLAGS


# ---- the hooks that pip calls ---------------------------------------------


def check_needs() -> None:
    """Raise an error that names everything that is missing to build the extension."""
    fork.check_needs(ROOT / "build", Path(sysconfig.get_path("include")))


def build_wheel(*arguments: object) -> str:
    """Build a wheel; if something is missing, say so before setuptools says what it does."""
    check_needs()
    return build_meta.build_wheel(*arguments)


def build_editable(*arguments: object) -> str:
    """Build the wheel of an editable installation in the same way."""
    check_needs()
    return build_meta.build_editable(*arguments)


# ---- the extension --------------------------------------------------------


def write_binding(path: Path) -> None:
    """Write the C source of the cffi binding."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(native.declarations("pyfd.h") + native.declarations("binding.h"))
    ffi.cdef('extern "Python" void pyfd_ask_threads(void *, pyfd_work *, uint32_t);')
    ffi.set_source(EXTENSION, '#include "binding.h"')
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(path))


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


def without_rpath(command: list[str]) -> list[str]:
    """Return a linker's command without the folders for libraries at run time."""
    return [word for word in command if not word.startswith(("-Wl,-rpath", "-Wl,-R", "-R"))]


class BuildExt(build_ext):
    """The command that builds the fork, and on top of it the C layer and its cffi binding."""

    def run(self) -> None:
        """Build the extension; `pip install .` leaves the result in the source folder too.

        Python prefers that folder to the installed package when it is started there.
        """
        fork.check_system()
        super().run()
        writable = all(os.access(ROOT / path, os.W_OK) for path in ("pyfd", "pyfd/_core"))
        if writable and not self.inplace and not fork.SANITIZE:
            self.copy_extensions_to_source()

    def build_extension(self, ext: Extension) -> None:
        """Compile the extension, and write pyfd/native beside it."""
        check_needs()
        self.force = True  # setuptools does not see when only the fork has changed
        tree = fork.build_static(ROOT / "build")
        binding = Path(self.build_temp) / "_libpyfd.c"
        write_binding(binding)
        ext.sources = [*ext.sources, str(binding)]
        ext.include_dirs += [str(ROOT / "csrc"), str(tree / "build"), str(tree / "src")]
        ext.define_macros.append(("PYFD_LIBJPEG_TURBO", f'"{fork.version()}"'))
        ext.extra_objects.append(str(tree / "build" / "libjpeg.a"))
        # Python's own flags ask for debugging information, and for its folder as RUNPATH;
        # both would tell of this machine
        ext.extra_compile_args += LAYER_CFLAGS if fork.SANITIZE else [*LAYER_CFLAGS, "-g0"]
        ext.extra_link_args += LAYER_LDFLAGS
        self.compiler.linker_so = without_rpath(self.compiler.linker_so)
        ext.py_limited_api = LIMITED_API
        if LIMITED_API:
            ext.define_macros.append(("Py_LIMITED_API", "0x030a0000"))
        super().build_extension(ext)
        native.write_files(self.native_folder(), ROOT / "build", self.distribution.get_version())

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
