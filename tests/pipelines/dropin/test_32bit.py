"""The fork and the C layer on 32-bit x86: they give what they give on 64 bits.

`make test-system` installs the compiler's 32-bit libraries.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.jpegs import encode_with_pillow, picture
from tests.packaging.sources import load_build
from tests.pipelines.dropin.programs import ROOT, needs_drop_in

pytestmark = [
    pytest.mark.system,
    needs_drop_in,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 has a 32-bit mode"),
]

HERE = Path(__file__).parent
# Linux's headers are the same, and only gcc-multilib puts them where -m32 looks
FLAGS = {64: ["-m64"], 32: ["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"]}
I386 = ["-DCMAKE_SYSTEM_PROCESSOR=i386", "-DCMAKE_ASM_NASM_OBJECT_FORMAT=elf32"]
SIMD = {"SIMD": {}, "C": {"JSIMD_FORCENONE": "1"}}


def files() -> dict[str, bytes]:
    image = picture(123, 77, seed=1)
    noise = np.random.default_rng(1).integers(0, 256, (77, 123, 3), np.uint8)
    white = np.full((77, 123, 3), 255, np.uint8)  # its codes contain bytes of FF
    options = {
        "4:2:0": {},
        "4:4:4": {"subsampling": 0, "quality": 100},
        "optimized": {"optimize": True},
        "restarts": {"restart_marker_blocks": 3},
        "progressive": {"progressive": True},
    }
    return {
        f"{kind} {name}": encode_with_pillow(pixels, **how)
        for kind, pixels in (("picture", image), ("noise", noise), ("white", white))
        for name, how in options.items()
    }


@pytest.fixture(scope="module")
def trees() -> dict[int, Path]:
    """Build both series for 64 and for 32 bits."""
    fork = load_build(ROOT).fork
    cache = ROOT / "build"
    options = [*fork.STATIC_OPTIONS, *I386]
    flags = [*fork.STATIC_CFLAGS, *FLAGS[32]]
    narrow = fork.build_tree(cache, fork.CORE_AND_SPEED, "jpeg-static", options, flags)
    return {64: fork.build_static(cache), 32: narrow}


@pytest.fixture(scope="module")
def programs(trees, tmp_path_factory) -> dict[tuple[str, int], Path]:
    folder = tmp_path_factory.mktemp("programs")
    layer = ['-DPYFD_LIBJPEG_TURBO="32 or 64"', f"-I{ROOT / 'csrc'}"]
    layer += map(str, sorted((ROOT / "csrc").glob("*.c")))
    built = {}
    for bits, tree in trees.items():
        command = ["cc", "-w", "-O1", "-pthread", *FLAGS[bits]]
        command += [f"-I{tree / 'build'}", f"-I{tree / 'src'}"]
        library = str(tree / "build" / "libjpeg.a")
        for source, more in (
            (HERE / "dropin.c", []),
            (HERE / "defects.c", []),
            (HERE.parent / "arguments.c", layer),
        ):
            program = folder / f"{source.stem}{bits}"
            names = [str(source), *more, library, "-o", str(program)]
            subprocess.run([*command, *names, "-Wl,-z,notext"], check=True)
            built[source.stem, bits] = program
    return built


def outcomes(programs, name: str, *arguments: object, data: bytes = b"", **variables: str):
    """Return what the program of 64 bits does, and that of 32."""
    words = [str(word) for word in arguments]
    done = [
        subprocess.run(
            [programs[name, bits], *words], input=data, capture_output=True, env=variables
        )
        for bits in (64, 32)
    ]
    return [(run.returncode, run.stdout, run.stderr) for run in done]


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("mode", ["rows", "own", "transcode", "crop"])
def test_files_are_decoded_and_transcoded_alike(programs, tmp_path, mode, simd):
    """speed/0003 once kept 63 bits in a buffer of 32."""
    decoded = 0
    for name, data in files().items():
        path = tmp_path / "file.jpg"
        path.write_bytes(data)
        wide, narrow = outcomes(programs, "dropin", mode, path, **SIMD[simd])
        assert wide == narrow, name
        decoded += wide[0] == 0
    assert decoded >= 6  # streams are not transcoded from progressive files, for example


@pytest.mark.parametrize("simd", SIMD)
def test_files_are_written_alike(programs, simd):
    for option in ("new", "optimize", "progressive", "gray"):
        wide, narrow = outcomes(programs, "defects", "reuse", option, **SIMD[simd])
        assert wide == narrow
        assert wide[0] == 0


@pytest.mark.parametrize(
    "call",
    [
        "requantize step=3",
        "requantize progressive=1",
        "encode",
        "encode radius=2 steps=60",
        "write ac=99",
    ],
)
def test_the_c_layer_works_alike(programs, call):
    for name, data in files().items():
        wide, narrow = outcomes(programs, "arguments", *call.split(), data=data)
        assert wide == narrow, name
        assert wide[2] == b"0: "


def test_sizes_beyond_32_bits_are_refused(programs):
    """3 · 8102 · 2761 blocks of 64 coefficients are 2^32 + 128 coefficients."""
    sides = [f"header.width={8 * 8102}", f"header.height={8 * 2761}", "header.h=1"]
    more = ["header.v1=1", "count=128"]
    wide, narrow = outcomes(programs, "arguments", "write", *sides, *more)
    assert wide == narrow
    assert wide[2] == b"4: the coefficients do not fit the image"
