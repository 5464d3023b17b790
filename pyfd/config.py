"""Compiler and linker flags for C programs: ``python -m pyfd.config --cflags --libs``.

The headers and libraries lie in the package. Beside "pyfd", the C layer of pyfd.h,
there is "libjpeg": the fork with its own functions in jrequant.h. For pkg-config,
put ``$(python -m pyfd.config --pkgconfigdir)`` into PKG_CONFIG_PATH; the modules
are called pyfd and pyfd-libjpeg.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
"""The folder with include/ and lib/."""

_INCLUDE = {"pyfd": NATIVE / "include", "libjpeg": NATIVE / "include" / "libjpeg"}
_SHARED = {"pyfd": "libpyfd.so.0", "libjpeg": "libjpeg.so.62"}
_STATIC = {"pyfd": "libpyfd.a", "libjpeg": "libjpeg-pyfd.a"}


def cflags(library: str = "pyfd") -> list[str]:
    """What a compiler must be told.

    Args:
        library: "pyfd" or "libjpeg".
    """
    return [f"-I{_INCLUDE[library]}"]


def libs(library: str = "pyfd", *, static: bool = False) -> list[str]:
    """What a linker must be told.

    Args:
        library: "pyfd" or "libjpeg".
        static: Put the library into the program. Otherwise the program looks for
            it where it is now, by an rpath.
    """
    folder = NATIVE / "lib"
    if static:
        return [str(folder / _STATIC[library])]
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", f"-l:{_SHARED[library]}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pyfd.config", description="Flags for C programs that use pyfd."
    )
    parser.add_argument("library", nargs="?", choices=sorted(_SHARED), default="pyfd")
    parser.add_argument("--cflags", action="store_true", help="for the compiler")
    parser.add_argument("--libs", action="store_true", help="for the linker")
    parser.add_argument("--static", action="store_true", help="link the library into the program")
    parser.add_argument(
        "--pkgconfigdir", action="store_true", help="the folder for PKG_CONFIG_PATH"
    )
    chosen = parser.parse_args(arguments)
    if not (chosen.cflags or chosen.libs or chosen.pkgconfigdir):
        parser.error("say --cflags, --libs or --pkgconfigdir")
    if not NATIVE.is_dir():
        print("this build of pyfd has no libraries for C programs", file=sys.stderr)
        return 1
    words = cflags(chosen.library) if chosen.cflags else []
    words += libs(chosen.library, static=chosen.static) if chosen.libs else []
    words += [str(NATIVE / "lib" / "pkgconfig")] if chosen.pkgconfigdir else []
    print(shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
