"""C programs of the tests, compiled together with `csrc` under ThreadSanitizer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.packaging.sources import ROOT, load_build


def compile_program(source: Path, target: Path, macros: Mapping[str, int] | None = None) -> None:
    """Compile a program with all of `csrc`.

    Args:
        source: The program.
        target: The path of what is compiled.
        macros: Macros to define, with their values.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        for name in ("PYFD_SANITIZE", "LD_PRELOAD"):  # of `make asan`
            patch.delenv(name, raising=False)
        fork = load_build(ROOT).fork
        tree = fork.build_static(ROOT / "build")
    command = ["cc", "-O1", "-g", "-fsanitize=thread", "-pthread", '-DPYFD_LIBJPEG_TURBO=""']
    command += [f"-D{name}={value}" for name, value in (macros or {}).items()]
    command += [f"-I{path}" for path in (ROOT / "csrc", tree / "build", tree / "src")]
    command += [str(source), *map(str, ROOT.glob("csrc/*.c"))]
    fork.run_tool([*command, str(tree / "build/libjpeg.a"), "-o", str(target)], "compiling")
