"""A buffer that another thread changes during a call: wrong results, but never unsafe ones."""

import random
import subprocess
import threading
from pathlib import Path

import pytest

import pyfd
from tests.jpegs import encode_with_pillow, picture

ROOT = Path(__file__).parents[2]
CALLS = 2_000_000
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]


def header_alone(**options: object) -> bytes:
    """Return a file up to the end of its first scan header, where reading beyond it is near."""
    data = encode_with_pillow(picture(40, 40), **options)
    scan = data.index(b"\xff\xda")
    return data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]


def test_a_header_that_changes_is_never_read_beyond_its_end(tmp_path):
    program, file = tmp_path / "changing_input", tmp_path / "header.jpg"
    names = ("kinds", "markers", "options", "segments", "status", "tables")
    walk = [ROOT / "csrc" / f"{name}.c" for name in names]
    source = Path(__file__).with_name("changing_input.c")
    command = ["cc", *SANITIZERS, "-pthread", f"-I{ROOT / 'csrc'}", *walk, source, "-o", program]
    subprocess.run(command, check=True)
    for options in ({}, {"progressive": True}):
        file.write_bytes(header_alone(**options))
        environment = {"ASAN_OPTIONS": "detect_leaks=0"}  # without a preloaded sanitizer
        done = subprocess.run(
            [program, file, str(CALLS // 2)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        good, bad = map(int, done.stdout.split())
        assert good > 0
        assert bad > 0  # some calls have met a change


CALLS_OF = {
    "decode": lambda data: pyfd.decode(data, "fd-cvpr2019", strict=False),
    "probe": pyfd.probe,
    "requantize": lambda data: pyfd.requantize(data, "fd-cvpr2019", strict=False),
    "coefficients": lambda data: pyfd.read_coefficients(data, strict=False),
    "snap": lambda data: pyfd.snap(data, "fd-cvpr2019", strict=False),
    "certificate": pyfd.why_uncovered,
}


@pytest.mark.filterwarnings("ignore::pyfd.JPEGWarning")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("name", CALLS_OF)
def test_a_file_that_changes_gives_a_result_or_an_error_of_ours(name, progressive):
    original = encode_with_pillow(picture(64, 48), progressive=progressive)
    data, done = bytearray(original), threading.Event()

    def change() -> None:
        order = random.Random(0)
        while not done.is_set():
            place = order.randrange(2, len(data))
            data[place] = order.choice((0, 255, order.randrange(256)))
            data[place] = original[place]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            try:
                CALLS_OF[name](data)
            except (pyfd.JPEGError, ValueError):
                continue
    finally:
        done.set()
        thread.join()
