"""What a process knows of its CPU: one variable for all threads, which do not race for it.

The files of all kinds of CPUs are plain C, so this machine's compiler takes them.
"""

import subprocess
from pathlib import Path

import pytest

from tests.packaging.sources import find_tarball, unpack

KINDS = ("x86_64", "i386", "arm/aarch64", "arm/aarch32", "mips", "mips64", "powerpc")
PROGRAM = Path(__file__).with_name("simd_state.c")
CONFIGURATION = {
    "jconfig.h": "#define JPEG_LIB_VERSION 62\n#define BITS_IN_JSAMPLE 8\n#define WITH_SIMD\n",
    "jconfigint.h": "#define INLINE inline\n#define THREAD_LOCAL\n#define SIZEOF_SIZE_T 8\n",
    "neon-compat.h": "",
}


@pytest.fixture
def source(fork, tmp_path) -> Path:
    """The patched release, configured as far as these files need it."""
    source = unpack(find_tarball(), tmp_path / "unpacked")
    fork.apply_series(source, fork.CORE)
    for name, text in CONFIGURATION.items():
        (source / name).write_text(text)
    return source


def test_threads_do_not_race_for_it(source, tmp_path):
    for kind in KINDS:
        program = tmp_path / kind.replace("/", "-")
        command = ["cc", "-w", "-O1", "-fsanitize=thread", "-pthread", "-no-pie"]
        command += ["-DNEON_INTRINSICS", f"-I{source}", str(PROGRAM)]
        command += [f"{source}/simd/{kind}/jsimd.c", "-Wl,--unresolved-symbols=ignore-all"]
        subprocess.run([*command, "-o", program], check=True)
        # without the random addresses that old ThreadSanitizers do not expect
        ran = subprocess.run(["setarch", "-R", program], capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, ""), kind


def test_no_thread_has_one_of_its_own(source):
    files = sorted(source.glob("simd/**/jsimd.c"))
    assert len(files) == len(KINDS)
    for file in files:
        assert "THREAD_LOCAL" not in file.read_text(), file
