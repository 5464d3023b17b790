"""The peak memory of calls, in fresh processes: no writer holds its output twice."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLACK = 12  # mebibytes: rows of pixels, the interpreter

#: A picture of noise, whose file is large; its coefficients take 69 MiB.
PREPARE = """
    import numpy as np
    import pyfd
    from benchmarks.memory import growth
    from tests.attacks import eob_runs
    from tests.jpegs import gray

    fine = pyfd.QTables.uniform(1)
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    small = image[:16, :16]
    data = pyfd.encode(image, fine)
    tiny = pyfd.encode(small, fine)
    coefficients = 3 * 3000 * 4000 * 2
"""
WRITERS = {
    "encode": ("pyfd.encode({image}, fine)", 0),
    "encode progressive": ("pyfd.encode({image}, fine, progressive=True)", 1),
    "requantize": ("pyfd.requantize({data}, fine)", 0),
    "requantize optimized": ("pyfd.requantize({data}, fine, optimize=True)", 1),
    "write_coefficients": ("pyfd.write_coefficients({read})", 2),  # its checked copy, and C's
}


def printed(code: str) -> list[int]:
    command = [sys.executable, "-c", textwrap.dedent(PREPARE) + textwrap.dedent(code)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [int(word) for word in result.stdout.split()]


@pytest.mark.parametrize("writer", WRITERS)
def test_writers_hold_their_output_once(writer):
    """Before, it was in C's memory and in Python's: 45 MiB more."""
    call, copies = WRITERS[writer]
    large = call.format(image="image", data="data", read="read")
    first = call.format(image="small", data="tiny", read="pyfd.read_coefficients(tiny)")
    grown, size, coefficients = printed(f"""
        read = pyfd.read_coefficients(data) if "read" in {large!r} else None
        {first}
        grown, file = growth(lambda: {large})
        print(round(grown), len(file) >> 20, coefficients >> 20)
    """)
    assert size > 2 * SLACK
    assert grown < size + copies * coefficients + SLACK


def test_long_files_are_moved_whole():
    """They arrive in pieces, of which the last is shorter."""
    (equal,) = printed("""
        again = pyfd.requantize(data, fine, metadata=False)
        written = pyfd.write_coefficients(pyfd.read_coefficients(data))
        print(int(again == data == written and len(data) % 2**20 > 0))
    """)
    assert equal


def test_inspect_stays_within_max_memory(tmp_path):
    """It reads the coefficients once, and compares them row by row."""
    path = str(tmp_path / "x.jpg")
    grown, coefficients = printed(f"""
        from click.testing import CliRunner
        from pathlib import Path
        from pyfd.cli import cli

        def inspect(data):
            Path({path!r}).write_bytes(data)
            result = CliRunner().invoke(cli, ["inspect", "-q", "fd-2018", {path!r}])
            assert result.exit_code == 0
            return result.stdout_bytes

        large = eob_runs(4096, 4, 3)
        inspect(gray())
        grown, _ = growth(lambda: inspect(large))
        print(round(grown), (3 * 4096 * 4096 * 2) >> 20)
    """)
    assert grown < 2 * coefficients + SLACK
