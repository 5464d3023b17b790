"""`pyfd requantize`: its results, and the inputs that it refuses."""

from __future__ import annotations

import pyfd
from tests.cli.samples import DEFAULT, exif, jpeg


def test_requantize_writes_what_the_library_writes(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(), comment="hello"))
    assert run_binary("requantize", path, "-o", "-").out == pyfd.requantize(path, DEFAULT)
    options = ("--progressive", "--optimize", "--no-metadata", "-q", "16")
    assert run_binary("requantize", path, "-o", "-", *options).out == pyfd.requantize(
        path, [[16] * 8] * 8, progressive=True, optimize=True, metadata=False
    )


def test_requantize_needs_leave_for_large_steps(run_binary, photo):
    assert run_binary("requantize", photo, "-o", "-", "-q", 256).code == 2
    outcome = run_binary("requantize", photo, "-o", "-", "-q", 256, "--no-baseline")
    assert pyfd.probe(outcome.out).qtables[0].max() == 256
    assert run_binary("requantize", photo, "-o", "-", "-q", 32768, "--no-baseline").code == 2
