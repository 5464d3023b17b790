"""Headers, libraries and pkg-config files for programs that do not use Python.

    python3 csrc/native.py --prefix /usr/local

compiles the C layer and the fork, and installs them (`make c-install`).  That needs
nothing from Python but its standard library.  build.py puts the same files into the
package.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load(path: str) -> ModuleType:
    """Import a file of the source folder that is not on the import path."""
    spec = importlib.util.spec_from_file_location(f"pyfd_build_{Path(path).stem}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fork = load("third_party/libjpeg-turbo/fork.py")

if fork.SANITIZE:
    LAYER_CFLAGS = [*fork.STATIC_CFLAGS, "-O1"]
    LAYER_LDFLAGS = fork.CHECKS[:1]
else:
    LAYER_CFLAGS = [*fork.STATIC_CFLAGS, "-O3"]
    LAYER_LDFLAGS = fork.HARDENED_LINK
LAYER_LDFLAGS = [*LAYER_LDFLAGS, "-Wl,--exclude-libs,ALL"]

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


def declarations(header: str) -> str:
    """Return the part of a header of csrc between its two cffi lines, without comments."""
    text = (ROOT / "csrc" / header).read_text()
    text = text.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


# ---- the files ------------------------------------------------------------


def write_files(folder: Path, cache: Path, version: str, drop_in: str = "lib") -> None:
    """Write the files into a new folder, with the drop-in library in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    if fork.SANITIZE:  # other programs cannot load sanitized libraries
        return
    tree, include, lib = fork.build_static(cache), folder / "include", folder / "lib"
    for made in (include / "libjpeg", lib / "pkgconfig", folder / drop_in):
        made.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "csrc" / "pyfd.h", include)
    for header in HEADERS:
        shutil.copy(tree / header, include / "libjpeg")
    # CMake makes a symbolic link of this name; copying it gives the file itself
    shutil.copy(fork.build_drop_in(cache) / "build" / "libjpeg.so.62", folder / drop_in)
    strip(tree / "build" / "libjpeg.a", lib / "libjpeg-pyfd.a")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        link_layer(layer_object(tree, Path(scratch)), lib)
    for module, (description, headers, library) in MODULES.items():
        place = drop_in if library == "libjpeg.so.62" else "lib"
        text = (
            f"prefix=${{pcfiledir}}/../..\n\nName: {module}\nDescription: {description}\n"
            f"Version: {version}\nCflags: -I${{prefix}}/{headers}\n"
            f"Libs: {linking(f'${{prefix}}/{place}', library)}\n"
        )
        (lib / "pkgconfig" / f"{module}.pc").write_text(text)


def linking(folder: str, library: str) -> str:
    """Return the linker's options for one library, in pkg-config's form."""
    if library.endswith(".a"):
        return f"{folder}/{library}"
    return f"-L{folder} -Wl,-rpath,{folder} -l:{library}"


def strip(built: Path, target: Path) -> None:
    """Copy a library without the names of the files that it was made from."""
    fork.run_tool(["strip", "--strip-debug", "-o", str(target), str(built)], "strip")


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
    names = re.findall(r"(pyfd_\w+)\(", declarations("pyfd.h"))
    keep = [f"--keep-global-symbol={name}" for name in names]
    fork.run_tool(["objcopy", "--strip-debug", *keep, str(whole)], "objcopy")
    return whole


def link_layer(whole: Path, lib: Path) -> None:
    """Make libpyfd.a and libpyfd.so.0 from the object."""
    compiler = os.environ.get("CC", "cc").split()
    archive, shared = lib / "libpyfd.a", lib / "libpyfd.so.0"
    archive.unlink(missing_ok=True)
    fork.run_tool(["ar", "rcs", str(archive), str(whole)], "ar")
    soname = f"-Wl,-soname,{shared.name}"
    command = [*compiler, "-shared", soname, *LAYER_LDFLAGS, str(whole), "-o", str(shared)]
    fork.run_tool(command, "linking libpyfd")


# ---- make c-install -------------------------------------------------------


def install(prefix: Path) -> None:
    """Install the files; programs that use older ones keep those until they end.

    The drop-in gets a folder of its own: in ``lib``, the loader would give it to every
    program of the system.
    """
    cache = ROOT / "build"
    fork.check_needs(cache)
    (prefix / "lib" / "pyfd").mkdir(parents=True, exist_ok=True)  # fails before a minute's work
    cache.mkdir(exist_ok=True)
    version = re.findall('^__version__ = "(.*)"', (ROOT / "pyfd/__init__.py").read_text(), re.M)[0]
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = Path(scratch) / "native"
        write_files(made, cache, version, drop_in="lib/pyfd")
        for path in sorted(made.rglob("*")):
            if path.is_file():
                replace(path, prefix / path.relative_to(made))
    link = prefix / "lib" / "libpyfd.so"
    link.unlink(missing_ok=True)
    link.symlink_to("libpyfd.so.0")


def replace(source: Path, target: Path) -> None:
    """Put a copy in the place of a file, in one step, and readable for all users."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, new)
    new.chmod(0o755 if ".so" in target.suffixes else 0o644)
    new.replace(target)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prefix", required=True, help="an absolute path, such as /usr/local")
    parser.add_argument("--destdir", default="", help="a folder that stands for /, for packages")
    chosen = parser.parse_args(arguments)
    if not Path(chosen.prefix).is_absolute():
        parser.error(f"--prefix must be an absolute path, not {chosen.prefix!r}")
    if fork.SANITIZE:
        parser.error("other programs cannot load sanitized libraries: unset PYFD_SANITIZE")
    try:
        install(Path(chosen.destdir + chosen.prefix))
    except OSError as error:  # such as a folder that only root may write
        problem = f"cannot install: {error}"
        raise fork.BuildError(problem, "Set PREFIX or DESTDIR to another folder.") from error


if __name__ == "__main__":
    main()
