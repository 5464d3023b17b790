"""The fork with and without the patches that make it faster: everything must be the same.

two_builds.c is linked with the core series, of which the drop-in is built, and with both
series, of which the extension is built.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from tests import attacks, jpegs
from tests.conftest import photographs
from tests.packaging.sources import ROOT, load_build

PROGRAM = Path(__file__).with_name("two_builds.c")
INSTRUCTIONS = ["", "JSIMD_FORCESSE2", "JSIMD_FORCENONE"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> list[Path]:
    """The program, linked with core and with core + speed."""
    folder = tmp_path_factory.mktemp("two-builds")
    fork = load_build(ROOT).fork
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        patch.delenv("LD_PRELOAD", raising=False)  # `make asan` is for the program, not for cmake
        return [compile_program(fork, parts, folder) for parts in (fork.CORE, fork.CORE_AND_SPEED)]


def compile_program(fork, parts: tuple[str, ...], folder: Path) -> Path:
    program = folder / "-".join(parts)
    tree = fork.build_static(ROOT / "build", parts)
    command = ["cc", "-O1", "-g", *(fork.CHECKS if fork.SANITIZE else [])]
    command += [f"-I{tree / 'build'}", f"-I{tree / 'src'}", str(PROGRAM)]
    fork.run_tool([*command, str(tree / "build/libjpeg.a"), "-o", str(program)], "compiling")
    return program


def run(program: Path, listed: Path, variable: str = "") -> list[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JSIMD_")}
    environment |= {variable: "1"} if variable else {}
    command = [str(program), str(listed)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files and a list of them."""
    names = {name.replace("/", "-"): data for name, data in files.items()}
    for name, data in names.items():
        (folder / name).write_bytes(data)
    listed = folder / "list.txt"
    listed.write_text("".join(f"{folder / name}\n" for name in names))
    return listed


def compare(programs: list[Path], listed: Path, variable: str = "") -> list[str]:
    """Fail at the first line that is not the same; return the lines."""
    core, both = (
        [line for line in run(program, listed, variable) if not line.startswith("  excepted")]
        for program in programs
    )
    file = ""
    for a, b in zip_longest(core, both, fillvalue=""):
        file = a if not a.startswith(" ") else file
        assert a == b, file
    return core


# ---- files ------------------------------------------------------------------


def seeds() -> dict[str, bytes]:
    """Return the small JPEGs that the fuzz targets start from."""
    spec = importlib.util.spec_from_file_location("pyfd_seeds", ROOT / "fuzz" / "seeds.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.files()


def damaged(data: bytes, seed: int) -> bytes:
    """Return a file with some bytes replaced, and now and then cut off."""
    rng = np.random.default_rng(seed)
    bytes_ = bytearray(data)
    start = data.index(b"\xff\xda") if rng.random() < 0.7 else 2  # mostly in the scans
    for _ in range(rng.integers(1, 4)):
        bytes_[rng.integers(start, len(data))] = rng.choice([0, 0xFF, *rng.integers(0, 256, 6)])
    return bytes(bytes_[: rng.integers(start, len(data))] if rng.random() < 0.2 else bytes_)


def pictures() -> dict[str, bytes]:
    """Return whole files of every kind, of pictures without extreme values."""
    made = {}
    for number, (progressive, subsampling, restarts, optimize, size) in enumerate(
        [
            (False, 0, 0, False, (97, 61)),
            (False, 2, 0, True, (130, 75)),
            (False, 1, 3, False, (64, 64)),
            (True, 2, 0, False, (97, 61)),
            (True, 0, 5, False, (40, 130)),
            (True, 1, 0, False, (1, 1)),
            (False, 2, 0, False, (7, 200)),
        ]
    ):
        made[f"picture-{number}"] = jpegs.encode_with_pillow(
            jpegs.picture(*size, seed=number),
            quality=30 + 10 * number,
            progressive=progressive,
            subsampling=subsampling,
            restart_marker_blocks=restarts,
            optimize=optimize,
        )
    for channels, name in ((1, "gray"), (4, "cmyk")):
        pixels = jpegs.picture(90, 70, channels=channels)
        made[name] = jpegs.encode_with_pillow(pixels)
        made[f"{name}-progressive"] = jpegs.encode_with_pillow(pixels, progressive=True)
    made["ycck"] = jpegs.as_ycck(made["cmyk"])
    return made


def hostile() -> dict[str, bytes]:
    """Return the attacks, and smaller forms of those that two_builds.c finds too large."""
    made = {
        "refinements": attacks.refinements(512, 14),
        "refinements-in-disorder": attacks.refinements(512, 60),
        "color-refinements": attacks.color_refinements(256),
        "dc-differences": attacks.dc_differences(1024),
        "restarts": attacks.orderly_restarts(512),
        "wrong-restarts": attacks.restarts(512),
        "scans-without-data": attacks.scans_without_data(512, 100),
        "baseline-scans": attacks.repeated_baseline_scans(500, 40),
    }
    return made | {attack.name: attack.make() for attack in attacks.ATTACKS}


# ---- tests ------------------------------------------------------------------


@pytest.mark.parametrize("variable", INSTRUCTIONS)
def test_pictures(programs, tmp_path, variable):
    """Decoding onto tables also gives the pixels of the re-quantized file."""
    listed = write(tmp_path, pictures())
    lines = compare(programs, listed, variable)
    exact = [line for line in lines if line.startswith("  exact")]
    assert exact == ["  exact: yes"] * len(pictures())


def test_no_instructions_change_a_picture(programs, tmp_path):
    listed = write(tmp_path, pictures())
    for program in programs:
        results = [
            [line for line in run(program, listed, variable) if "float" not in line]
            for variable in INSTRUCTIONS
        ]
        assert results[0] == results[1] == results[2]


def test_hostile_files(programs, tmp_path):
    lines = compare(programs, write(tmp_path, hostile()))
    assert sum("warnings" in line and " 0 warnings" not in line for line in lines) > 50


@pytest.mark.parametrize("variable", INSTRUCTIONS)
def test_damaged_files(programs, tmp_path, variable):
    made = {
        f"{name}-{seed}": damaged(data, seed)
        for name, data in (seeds() | pictures()).items()
        for seed in range(15)
    }
    lines = compare(programs, write(tmp_path, seeds() | made), variable)
    assert sum(" 0 warnings" not in line and "warnings" in line for line in lines) > 1000


def test_codes_that_do_not_exist(programs, tmp_path):
    """Upstream's fast path says nothing of them; the results are the same."""
    rng = np.random.default_rng(0)
    table = jpegs.dht({3: [0], 9: [3]}) + jpegs.dht({3: [0], 9: [0x11]}, ac=True)
    data = rng.integers(0, 255, 4000, dtype=np.uint8).tobytes()
    file = jpegs.SOI + jpegs.dqt() + jpegs.sof(64, 64) + table + jpegs.sos() + data + jpegs.EOI
    listed = write(tmp_path, {"codes": file})
    compare(programs, listed)
    core, both = (run(program, listed) for program in programs)
    assert core != both  # the warnings


def test_extraneous_bytes(programs, tmp_path):
    """Both notice the same ones; of sequential files all, wherever the buffer has read to."""
    picture = jpegs.picture(40, 40)
    made = {}
    for progressive, restarts in itertools.product((False, True), (0, 1)):
        options = {"progressive": progressive, "restart_marker_blocks": restarts}
        data = jpegs.encode_with_pillow(picture, **options)
        scan = data.index(b"\xff\xda")
        ends = [m.start() for m in re.finditer(rb"\xff[\xd0-\xd9\xda\xc4]", data[scan + 2 :])]
        for end, extra in itertools.product(ends[:9], (b"\0", b"\xff\0", b"\x12\x34", bytes(9))):
            place = scan + 2 + end
            name = f"{progressive}-{restarts}-{end}-{extra.hex()}"
            made[name] = data[:place] + extra + data[place:]
    lines = compare(programs, write(tmp_path, made))
    decoded = [line for line in lines if line.startswith("  decoded, plain:")]
    assert len(decoded) == len(made)
    sequential = [line for name, line in zip(made, decoded, strict=True) if "False" in name]
    assert len(sequential) > 20
    assert not [line for line in sequential if " 0 warnings" in line]


def test_fill_bytes_before_a_stuffed_zero(programs, tmp_path):
    """Upstream's fast path, which is used far from the end, leaves coefficients behind."""
    data = jpegs.encode_with_pillow(jpegs.picture(200, 200), quality=90)
    places = [
        m.start() for m in re.finditer(b"\xff\0", data) if m.start() > data.index(b"\xff\xda")
    ]
    made = {f"{place}": data[:place] + b"\xff" + data[place:] for place in places[:60]}
    lines = compare(programs, write(tmp_path, {"whole": data, **made}))
    plain = [line for line in lines if line.startswith("  decoded, plain:")]
    assert len(plain) == 61
    assert len(set(plain)) == 1


def test_photographs(programs, tmp_path, photos):
    chosen = photos[::20] if photographs() else photos
    lines = compare(programs, write(tmp_path, {f"{i}": data for i, data in enumerate(chosen)}))
    assert lines.count("  exact: yes") == len(chosen)
