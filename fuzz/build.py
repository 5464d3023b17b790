"""Build the fuzz targets with clang's libFuzzer and sanitizers.

    PYFD_SANITIZE=address,undefined,fuzzer-no-link CC=clang python fuzz/build.py FOLDER

build.py's functions compile the fork and the C layer, with the same checks.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
# Of the C layer, as the extension has it
LAYER_TARGETS = ("probe", "decode", "requantize", "coefficients", "snap", "certified", "yuv")
# Small inputs are to be read on several threads, too: in strips of one row of MCUs, and in
# stages with a ring of few MCUs, which wait until the helper comes
SMALL_PARTS = ["-DPYFD_STRIP_PIXELS=64", "-DPYFD_STRIP_ROWS=1"]
SMALL_PARTS += ["-DPYFD_STAGE_PIXELS=64", "-DPYFD_PATIENCE=1000000000000"]
SMALL_PARTS += ["-DPYFD_CHUNK_BLOCKS=20", "-DPYFD_RING_CHUNKS=4", "-DPYFD_CHUNKS_AT_ONCE=2"]
# Of libjpeg's interface, as the drop-in has it
LIBJPEG_TARGETS = ("djpeg", "cjpeg", "jpegtran")


def main() -> None:
    spec = importlib.util.spec_from_file_location("pyfd_build", ROOT / "build.py")
    build = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(build)  # type: ignore[union-attr]
    fork, cache = build.fork, ROOT / "build"
    layer = sorted((ROOT / "csrc").glob("*.c"))
    tree = fork.build_static(cache)
    for target in LAYER_TARGETS:
        compile_target(build, target, tree, layer)
    # with arithmetic coding and limits, which the extension leaves out
    options = ["-DENABLE_SHARED=OFF", "-DPYFD_ENVIRONMENT=ON"]
    tree = fork.build_tree(cache, fork.CORE, "jpeg-static", options, fork.STATIC_CFLAGS)
    for target in LIBJPEG_TARGETS:
        upstreams = [tree / "src" / "transupp.c"] if target == "jpegtran" else []
        compile_target(build, target, tree, upstreams)


def compile_target(build: ModuleType, target: str, tree: Path, sources: list[Path]) -> None:
    """Compile a target and other sources, and link them with a tree's library."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    command = ["clang", *build.LAYER_CFLAGS, *SMALL_PARTS, "-fsanitize=fuzzer"]
    command += [f'-DPYFD_LIBJPEG_TURBO="{build.fork.version()}"']
    command += [f"-I{path}" for path in (ROOT / "csrc", tree / "build", tree / "src")]
    command += [str(ROOT / "fuzz" / f"{target}.c"), *map(str, sources)]
    command += [str(tree / "build" / "libjpeg.a"), "-o", str(folder / target)]
    build.fork.run_tool(command, f"compiling the fuzz target {target}")


if __name__ == "__main__":
    main()
