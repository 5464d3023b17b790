"""Build the fuzz targets with clang's libFuzzer and sanitizers.

    PYFD_SANITIZE=address,undefined,fuzzer-no-link CC=clang python fuzz/build.py FOLDER

build.py's functions compile the fork and the C layer, with the same checks.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("probe", "decode", "requantize", "coefficients", "snap", "certified")


def main() -> None:
    spec = importlib.util.spec_from_file_location("pyfd_build", ROOT / "build.py")
    build = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(build)  # type: ignore[union-attr]
    tree = build.fork.build_static(ROOT / "build")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        command = ["clang", *build.LAYER_CFLAGS, "-fsanitize=fuzzer"]
        command += [f'-DPYFD_LIBJPEG_TURBO="{build.fork.version()}"']
        command += [f"-I{path}" for path in (ROOT / "csrc", tree / "build", tree / "src")]
        command += [str(ROOT / "fuzz" / f"{target}.c")]
        command += [str(path) for path in sorted((ROOT / "csrc").glob("*.c"))]
        command += [str(tree / "build" / "libjpeg.a"), "-o", str(folder / target)]
        build.fork.run_tool(command, f"compiling the fuzz target {target}")


if __name__ == "__main__":
    main()
