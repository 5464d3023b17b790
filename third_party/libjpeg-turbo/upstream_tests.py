"""Run upstream's own tests on the patched trees, with every instruction set.

Usage: python third_party/libjpeg-turbo/upstream_tests.py [--quick] (or `make test-upstream`).
A test that fails must fail on the pristine release too, or expect a result that the core
series corrects, or else the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import fork

CACHE = fork.FORK.parents[1] / "build"
PRISTINE: tuple[str, ...] = ()
OPTIONS = [*fork.CMAKE_OPTIONS, "-DPYFD_ENVIRONMENT=ON", "-DREQUIRE_SIMD=ON"]
# Upstream's tests of TurboJPEG, too, and each test with both kinds of library; or neither
FULL, QUICK = ["-DWITH_TURBOJPEG=ON"], ["-DENABLE_SHARED=OFF"]
# What the processor has comes first; then what a variable of upstream's leaves of it
FORCED = {"x86_64": ["JSIMD_FORCESSE2", "JSIMD_FORCENONE"], "aarch64": ["JSIMD_FORCENONE"]}
# Tests whose expected result is wrong, because the release that made it had the defect
CORRECTED = {"420m-ifast-ari": "expects rows that were skipped wrongly (core/0104)"}
RESULT = re.compile(r"(?m)^ *\d+/\d+ Test +#\d+: (\S+) \.+ *(?:\*\*\*)?(\S+)")


def build(parts: tuple[str, ...], options: list[str], folder: Path) -> Path:
    """Unpack, patch and compile a tree with upstream's programs; return the build's folder."""
    with tarfile.open(fork.find_tarball(CACHE)) as archive:
        archive.extractall(folder)  # trusted: its checksum is the pin's
    source, built = folder / fork.SOURCE_NAME, folder / "build"
    fork.apply_series(source, parts)
    command = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(built), *OPTIONS, *options]
    fork.run_tool(command, "cmake")
    fork.run_tool(["cmake", "--build", str(built)], "compiling the fork")
    return built


def run(built: Path, variable: str) -> dict[str, bool]:
    """Run the tests, with a variable set if one is named; return which of them pass."""
    variables = ("JSIMD_", "PYFD_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(variables)}
    if variable:
        environment[variable] = "1"
    result = subprocess.run(
        ["ctest"], cwd=built, env=environment, capture_output=True, text=True, check=False
    )
    results = {name: word == "Passed" for name, word in RESULT.findall(result.stdout)}
    if not results or all(results.values()) != (result.returncode == 0):
        raise fork.BuildError(f"ctest failed:\n{result.stdout[-4000:]}", "See the output above.")
    return results


def check(built: dict[tuple[str, ...], Path], parts: tuple[str, ...], variable: str) -> bool:
    """Run the tests of a tree, print the outcome, and return whether it is the pristine one's."""
    results = run(built[parts], variable)
    failed = {name for name, passed in results.items() if not passed}
    label = f"{' + '.join(parts)}, {variable or 'all instructions'}"
    print(f"{label}: {len(results) - len(failed)} of {len(results)} pass", flush=True)
    if not failed:
        return True
    pristine = run(built[PRISTINE], variable)
    reasons = {name: reason(name, pristine) for name in sorted(failed)}
    for name, text in reasons.items():
        print(f"  {name}: {text or 'FAILS'}", flush=True)
    return all(reasons.values())


def reason(name: str, pristine: dict[str, bool]) -> str:
    """Return why a test may fail, or "" if it may not."""
    if not pristine[name]:
        return "fails as pristine does"
    return next((text for part, text in CORRECTED.items() if f"-{part}-" in name), "")


def main() -> None:
    """Read the command line, build the trees, and run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    help_ = "only the static library, and not TurboJPEG: a minute instead of ten"
    parser.add_argument("--quick", action="store_true", help=help_)
    options = QUICK if parser.parse_args().quick else FULL
    fork.check_needs(CACHE)
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="upstream-") as scratch:
        trees = (PRISTINE, fork.CORE, fork.CORE_AND_SPEED)
        built = {parts: build(parts, options, Path(scratch, *parts, "tree")) for parts in trees}
        good = [
            check(built, parts, variable)
            for parts in (fork.CORE, fork.CORE_AND_SPEED)
            for variable in ("", *FORCED.get(platform.machine(), []))
        ]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
