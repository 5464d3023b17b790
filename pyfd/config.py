"""Compiler and linker flags for C programs: ``python -m pyfd.config --cflags --libs``.

The headers and libraries are in the package. The modules are "pyfd", the C layer of
pyfd.h, and "pyfd-libjpeg", the fork with its own functions in jrequant.h. "-static"
appended to a name selects the static library. Each module has a file for pkg-config, in
the folder that ``--pkgconfigdir`` prints; the flags are read from these files, so that
neither pkg-config nor a second list is needed.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pyfd._core.native import FOLDER

#: The modules that a program can use.
MODULES = ("pyfd", "pyfd-static", "pyfd-libjpeg", "pyfd-libjpeg-static")


def cflags(module: str = "pyfd") -> list[str]:
    """Return the compiler's flags for one of `MODULES`.

    Raises:
        FileNotFoundError: This build of pyfd has no libraries.
    """
    return _words(module, "Cflags")


def libs(module: str = "pyfd") -> list[str]:
    """Return the linker's flags for one of `MODULES`.

    A program that is linked to a shared library looks for it at the library's present path.

    Raises:
        FileNotFoundError: This build of pyfd has no libraries.
    """
    return _words(module, "Libs")


def pkgconfigdir() -> Path:
    """Return the folder for ``PKG_CONFIG_PATH``."""
    return FOLDER / "lib" / "pkgconfig"


def _words(module: str, field: str) -> list[str]:
    text = (pkgconfigdir() / f"{module}.pc").read_text()
    (line,) = re.findall(rf"^{field}: (.*)$", text, re.MULTILINE)
    return [word.replace("${prefix}", str(FOLDER)) for word in line.split()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pyfd.config", description="Flags for C programs that use pyfd."
    )
    parser.add_argument("module", nargs="?", choices=MODULES, default="pyfd")
    parser.add_argument("--cflags", action="store_true", help="for the compiler")
    parser.add_argument("--libs", action="store_true", help="for the linker")
    parser.add_argument("--pkgconfigdir", action="store_true", help="for PKG_CONFIG_PATH")
    chosen = parser.parse_args(arguments)
    if not (chosen.cflags or chosen.libs or chosen.pkgconfigdir):
        parser.error("give --cflags, --libs or --pkgconfigdir")
    try:
        words = cflags(chosen.module) if chosen.cflags else []
        words += libs(chosen.module) if chosen.libs else []
    except FileNotFoundError:
        print("pyfd.config: this build of pyfd has no libraries for C programs", file=sys.stderr)
        return 1
    words += [str(pkgconfigdir())] if chosen.pkgconfigdir else []
    print(shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
