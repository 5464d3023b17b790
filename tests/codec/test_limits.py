"""Every limit on every entry point that it applies to, with the smallest file that exceeds it."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pyfd
from pyfd import Limits
from pyfd._core import binding
from pyfd._core.files import read_source
from pyfd._core.reading import Reading
from tests.jpegs import (
    EOI,
    SOI,
    dqt,
    encode_with_pillow,
    gray,
    picture,
    progressive_gray,
    segment,
    sof,
    sos,
)

TABLES = "fd-cvpr2019"


def decode_many(data, limits):
    pyfd.decode_many([data], TABLES, limits=limits)


def statistics(data, limits):
    reading = Reading(limits=limits)
    binding.gather_statistics(read_source(data, limits), reading)


ALL = {
    "probe": lambda data, limits: pyfd.probe(data, limits=limits),
    "decode": lambda data, limits: pyfd.decode(data, limits=limits),
    "defended decode": lambda data, limits: pyfd.decode(data, TABLES, limits=limits),
    "lenient decode": lambda data, limits: pyfd.decode(data, strict=False, limits=limits),
    "decode_many": decode_many,
    "requantize": lambda data, limits: pyfd.requantize(data, TABLES, limits=limits),
    "whole requantize": lambda data, limits: pyfd.requantize(
        data, TABLES, optimize=True, limits=limits
    ),
    "statistics": statistics,
    "read_coefficients": lambda data, limits: pyfd.read_coefficients(data, limits=limits),
    "snap": lambda data, limits: pyfd.snap(data, TABLES, limits=limits),
    "why_uncovered": lambda data, limits: pyfd.why_uncovered(data, limits=limits),
}
WITHOUT_PROBE = sorted(set(ALL) - {"probe"})


def check(call, data, name, enough):
    """With `enough` the file is accepted; with one less, the error names the limit."""
    ALL[call](data, dataclasses.replace(Limits(), **{name: enough}))
    with pytest.raises(
        pyfd.LimitExceededError, match=rf"^{name} is {enough - 1}, but the file"
    ) as caught:
        ALL[call](data, dataclasses.replace(Limits(), **{name: enough - 1}))
    assert told(caught) == (name, enough - 1, enough)


def told(caught):
    """Return the error's attributes."""
    return caught.value.limit, caught.value.allowed, caught.value.needed


@pytest.mark.parametrize("call", ALL)
def test_max_bytes(call, tmp_path):
    data = gray()
    check(call, data, "max_bytes", len(data))
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    check(call, path, "max_bytes", len(data))


@pytest.mark.parametrize("call", ALL)
def test_max_bytes_of_a_stream_that_never_ends(call):
    with Path("/dev/zero").open("rb") as file:
        for source in (file, "/dev/zero"):
            with pytest.raises(pyfd.LimitExceededError, match=r"at least 1048577$") as caught:
                ALL[call](source, Limits(max_bytes=1 << 20))
            assert told(caught) == ("max_bytes", 1 << 20, (1 << 20) + 1)


@pytest.mark.parametrize("call", ALL)
def test_max_pixels(call):
    check(call, gray(40, 30), "max_pixels", 1200)


@pytest.mark.parametrize("call", WITHOUT_PROBE)
def test_max_scans(call):
    check(call, progressive_gray(8, 8, 5), "max_scans", 5)


@pytest.mark.parametrize("call", ALL)
def test_max_segments(call):
    data = gray(before=segment(0xE5, b"") * 10)
    check(call, data, "max_segments", 13)


@pytest.mark.parametrize("call", WITHOUT_PROBE)
def test_max_segments_between_scans(call):
    data = progressive_gray(8, 8, 1)
    data = data[:-2] + segment(0xE5, b"") * 10 + EOI
    check(call, data, "max_segments", 14)


@pytest.mark.parametrize("call", ALL)
def test_max_metadata(call):
    data = gray(before=segment(0xE5, bytes(1000)) + segment(0xFE, bytes(234)))
    check(call, data, "max_metadata", 1234)


@pytest.mark.parametrize("call", WITHOUT_PROBE)
def test_max_work(call):
    """A block counts in every scan, and 12 more if it is smoothed; so do bytes and markers."""
    data = progressive_gray(64, 40, 5)
    blocks, markers = 8 * 5, 4 + 5
    scan = blocks + blocks // 8 + 1
    check(call, data, "max_work", 5 * scan + markers + 12 * blocks)


def test_max_work_of_a_damaged_file():
    """What follows the damage is not read, and does not count."""
    start = gray(64, 40)[:-2]
    data = start + sof(64, 40) + b"\0" * 1000 + EOI
    enough = 8 * 5 + 30 + 4
    with pytest.warns(pyfd.JPEGWarning, match="two frame headers"):
        pyfd.decode(data, strict=False, limits=Limits(max_work=enough))
    with pytest.raises(pyfd.LimitExceededError, match=f"max_work is {enough - 1}"):
        pyfd.decode(data, strict=False, limits=Limits(max_work=enough - 1))


def test_probe_does_no_work():
    pyfd.probe(gray(800, 800), limits=Limits(max_work=0))


@pytest.mark.parametrize(
    ("kind", "scans"),
    [({"optimize": True}, [1, 1, 1]), ({"progressive": True}, [6, 4, 4])],
    ids=["optimized", "progressive"],
)
def test_max_work_of_the_output_of_requantize(kind, scans):
    """In every scan of its component, a block counts 2 and a nonzero coefficient 1/16."""
    data, tables = pyfd.encode(picture(120, 80), pyfd.QTables.uniform(255)), "fd-cvpr2019"
    written = pyfd.read_coefficients(pyfd.requantize(data, tables, **kind)).components
    enough = sum(
        times * (2 * part.shape[0] * part.shape[1] + int(np.count_nonzero(part)) // 16)
        for times, part in zip(scans, written, strict=True)
    )
    too_little = Limits(max_work=enough - 1)
    pyfd.requantize(data, tables, **kind, limits=Limits(max_work=enough))
    pyfd.requantize(data, tables, limits=too_little)  # reading is less work
    with pytest.raises(
        pyfd.LimitExceededError, match=r"^max_work is \d+, but the file needs for its output \d+"
    ) as caught:
        pyfd.requantize(data, tables, **kind, limits=too_little)
    assert told(caught) == ("max_work", enough - 1, enough)


@pytest.mark.parametrize("call", WITHOUT_PROBE)
def test_max_memory_of_a_progressive_file(call):
    width, height = 64, 40
    data = progressive_gray(width, height, 1)
    coefficients = 8 * 5 * 128
    result = {"read_coefficients": coefficients, "statistics": 0, "why_uncovered": 0}.get(
        call, width * height * 3
    )
    enough = len(data) + coefficients + result
    if "requantize" in call:  # the output grows; too little left for it is refused later
        enough = len(data) + coefficients
        ALL[call](data, Limits(max_memory=enough + 100_000))
        with pytest.raises(pyfd.LimitExceededError, match=r"^max_memory is") as caught:
            ALL[call](data, Limits(max_memory=enough - 1))
        assert told(caught) == ("max_memory", enough - 1, enough)
    else:
        check(call, data, "max_memory", enough)


@pytest.mark.parametrize(
    ("optimize", "coefficients"),
    [(True, 3 * 113 * 88 * 128), (False, 0)],
    ids=["whole", "streamed"],
)
def test_max_memory_covers_the_output_of_requantize(optimize, coefficients):
    data = pyfd.encode(picture(900, 700), pyfd.QTables.uniform(40))
    fine = pyfd.QTables.uniform(1)
    large = pyfd.requantize(data, fine, optimize=optimize)
    enough = len(data) + coefficients + len(large)
    assert len(large) > 65536
    pyfd.requantize(data, fine, optimize=optimize, limits=Limits(max_memory=enough))
    with pytest.raises(pyfd.LimitExceededError, match=r"max_memory.*output") as caught:
        pyfd.requantize(data, fine, optimize=optimize, limits=Limits(max_memory=enough - 1))
    assert told(caught) == ("max_memory", enough - 1, enough)


def test_the_output_of_requantize_that_fills_its_first_buffer():
    """What is needed so far counts all that has been written, not one byte beyond the limit."""
    data = pyfd.encode(picture(900, 700), pyfd.QTables.uniform(40))
    with pytest.raises(pyfd.LimitExceededError, match=r"and the output need at least") as caught:
        pyfd.requantize(data, pyfd.QTables.uniform(1), limits=Limits(max_memory=len(data) + 9))
    assert told(caught) == ("max_memory", len(data) + 9, len(data) + 65536)


def test_max_memory_covers_the_input_of_requantize():
    data = gray(80, 80)
    with pytest.raises(
        pyfd.LimitExceededError, match=f"max_memory is 99.*needs {len(data)}"
    ) as caught:
        pyfd.requantize(data, TABLES, limits=Limits(max_memory=99))
    assert told(caught) == ("max_memory", 99, len(data))


@pytest.mark.parametrize("call", [ALL["read_coefficients"], ALL["whole requantize"]])
def test_max_memory_of_a_baseline_file(call):
    data = gray(800, 800)
    with pytest.raises(pyfd.LimitExceededError, match="max_memory"):
        call(data, Limits(max_memory=100 * 100 * 128))
    call(data, Limits())


def test_a_single_scan_decode_needs_no_coefficients():
    pyfd.decode(gray(800, 800), limits=Limits(max_memory=0))


def test_4_4_4_progressive_files_cost_more_than_their_pixels():
    data = encode_with_pillow(picture(80, 80), progressive=True, subsampling=0)
    pixels, coefficients = 80 * 80 * 3, 3 * 100 * 128
    assert coefficients > pixels
    with pytest.raises(pyfd.LimitExceededError, match=f"needs {len(data) + pixels + coefficients}"):
        pyfd.decode(data, limits=Limits(max_memory=0))


@pytest.mark.parametrize("marker", [0xC0, 0xC2])
@pytest.mark.parametrize("sampling", [(0x11,), (0x11, 0x11, 0x11)])
@pytest.mark.parametrize("call", ALL)
def test_giant_sizes_in_under_200_bytes(call, sampling, marker):
    scan = sos(tuple(range(1, len(sampling) + 1)), end=63 if marker == 0xC0 else 0)
    data = SOI + dqt() + sof(65500, 65500, sampling, marker) + scan + b"\0" + EOI
    assert len(data) < 200
    with pytest.raises(pyfd.LimitExceededError, match=r"max_pixels is 67108864.*4290250000"):
        ALL[call](data, Limits())


def run_with_address_space(megabytes: int, code: str) -> str:
    """Run Python code in a process that can allocate very little memory."""
    program = f"""
        import resource, sys
        import numpy, pyfd
        from tests.jpegs import *
        from pyfd import Limits
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        bound = used + {megabytes} * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    """
    script = textwrap.dedent(program) + textwrap.dedent(code)
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "call",
    [
        "pyfd.decode(data)",
        "pyfd.decode(data, scale=8)",
        "pyfd.requantize(data, 'fd-2018')",
        "pyfd.read_coefficients(data)",
        "pyfd.decode_many([data], workers=1)",
        "pyfd.snap(data, 'fd-2018')",
        "pyfd.why_uncovered(data)",
    ],
)
def test_memory_is_not_spent_before_the_limits_speak(call):
    """65500×1000 progressive 4:4:4: 196 MB of pixels, 375 MB of coefficients."""
    output = run_with_address_space(
        48,
        f"""
        scan = sos((1, 2, 3), end=0)
        head = SOI + dqt() + sof(65500, 1000, (0x11, 0x11, 0x11), 0xC2)
        data = head + scan + b"\\0" + EOI
        limits = Limits(max_memory=32 * 2**20)
        try:
            {call[:-1]}, limits=limits)
        except pyfd.LimitExceededError as error:
            print(error)
        """,
    )
    assert output.startswith("max_memory is 33554432, but the file needs ")


def test_without_memory_it_is_a_memory_error():
    output = run_with_address_space(
        48,
        """
        scan = sos((1, 2, 3), end=0)
        head = SOI + dqt() + sof(65500, 1000, (0x11, 0x11, 0x11), 0xC2)
        data = head + scan + b"\\0" + EOI
        for call in (pyfd.decode, pyfd.read_coefficients, lambda d: pyfd.requantize(d, "fd-2018")):
            try:
                call(data)
            except MemoryError:
                print("MemoryError")
        """,
    )
    assert output == "MemoryError\n" * 3


def test_requantize_streams_a_baseline_file():
    """64 megapixels have 128 MB of coefficients, but a tenth of that must be enough."""
    output = run_with_address_space(
        16 + 12,  # 12 for the file and the code that builds it
        """
        data = gray(8000, 8000)
        print(len(pyfd.requantize(data, "fd-2018")) > len(data) - 1000)
        """,
    )
    assert output == "True\n"


def test_probe_allocates_nothing_of_the_images_size():
    output = run_with_address_space(
        8,
        """
        data = SOI + dqt() + sof(65500, 65500) + sos() + b"\\0" + EOI
        print(pyfd.probe(data, limits=Limits.unlimited()).width)
        """,
    )
    assert output == "65500\n"


def test_unlimited_takes_what_the_defaults_refuse():
    data = gray(8, 8, before=segment(0xE5, b"") * 5000)
    with pytest.raises(pyfd.LimitExceededError):
        pyfd.decode(data)
    assert pyfd.decode(data, limits=Limits.unlimited()).shape == (8, 8, 3)


def test_defaults_are_the_documented_ones():
    assert Limits() == Limits(
        max_bytes=64 << 20,
        max_pixels=67_108_864,
        max_memory=768 << 20,
        max_scans=100,
        max_segments=4096,
        max_metadata=16 << 20,
        max_work=100_000_000,
    )


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (2**64, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_limits_are_checked(value, error):
    with pytest.raises(error, match="max_scans"):
        Limits(max_scans=value)


def test_limits_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_scans = 3


def test_the_environment_sets_no_limit():
    """libjpeg reads JPEGMEM, and would refuse files of several scans beyond it."""
    script = """
import sys, pyfd
data = sys.stdin.buffer.read()
pixels = pyfd.decode(data, "fd-cvpr2019")
pyfd.snap(data, "fd-cvpr2019")
pyfd.read_coefficients(data)
pyfd.requantize(data, "fd-cvpr2019")
pyfd.encode(pixels, "fd-cvpr2019", progressive=True)
"""
    data = encode_with_pillow(picture(200, 200), progressive=True)
    subprocess.run(
        [sys.executable, "-c", script],
        input=data,
        env={**os.environ, "JPEGMEM": "1"},
        check=True,
    )
