"""`pyfd requantize`: its results, and the inputs that it refuses."""

from __future__ import annotations

import pytest

import pyfd
from tests.cli.samples import DEFAULT, cmyk_jpeg, exif, jpeg


def test_requantize_writes_what_the_library_writes(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(), comment="hello"))
    assert run_binary("requantize", path, "-o", "-").out == pyfd.requantize(path, DEFAULT)
    options = ("--progressive", "--optimize", "--no-metadata", "--restart-rows", "1", "-q", "16")
    assert run_binary("requantize", path, "-o", "-", *options).out == pyfd.requantize(
        path, [[16] * 8] * 8, progressive=True, optimize=True, metadata=False, restart_rows=1
    )
    assert run_binary("requantize", path, "-o", "-", "--restart-rows", "0").code == 2


def test_requantize_needs_leave_for_large_steps(run_binary, photo):
    assert run_binary("requantize", photo, "-o", "-", "-q", 256).code == 2
    outcome = run_binary("requantize", photo, "-o", "-", "-q", 256, "--no-baseline")
    assert pyfd.probe(outcome.out).qtables[0].max() == 256
    assert run_binary("requantize", photo, "-o", "-", "-q", 32768, "--no-baseline").code == 2


def test_certified_files(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(), comment="hello"))
    options = ("--radius", 2, "--radius-files", 1, "-q", "certified-files:3", "--optimize")
    outcome = run_binary("requantize", path, "-o", "-", *options, "--keep", "orientation")
    tables = pyfd.QTables.certified(3, files=True)
    radii = {"radius": 2, "radius_files": 1}
    expected = pyfd.requantize(path, tables, **radii, metadata={"orientation"}, optimize=True)
    assert outcome == (0, expected, "")
    assert pyfd.holds(pyfd.decode(outcome.out), tables, 2).all()


@pytest.mark.parametrize(("option", "orient"), [("exact", True), ("trim", "trim")])
def test_upright_certified_files(run_binary, tmp_path, option, orient):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif()))
    outcome = run_binary("requantize", path, "-o", "-", "--radius", 1, "--orient", option)
    assert outcome == (0, pyfd.requantize(path, DEFAULT, radius=1, orient=orient), "")
    assert pyfd.probe(outcome.out).width == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--radius", 5, "-q", 40), "it needs 81 or more. -q certified:5 holds it"),
        (("--radius-files", 3, "-q", 40), "-q certified-files:3 holds it"),
        (("--radius", -1), "-1 is not in the range 0<=x<=255"),
        (("--radius", 1, "-q", 9000, "--no-baseline"), "at most 8191 is allowed here"),
    ],
)
def test_radii_that_cannot_be(run_binary, photo, options, message):
    outcome = run_binary("requantize", photo, "-o", "-", *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert message in " ".join(outcome.err.split())


def test_a_file_that_cannot_have_a_radius_is_refused_alone(run_binary, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    cmyk_jpeg(source / "a.jpg")
    (source / "b.jpg").write_bytes(jpeg())
    outcome = run_binary("requantize", source, tmp_path / "out", "--radius", 1)
    assert outcome.code == 1
    (line,) = outcome.lines
    assert line.startswith(f"pyfd: {source / 'a.jpg'}: a CMYK image has no radius")
    written = (tmp_path / "out" / "b.jpg").read_bytes()
    assert written == pyfd.requantize(jpeg(), DEFAULT, radius=1)
