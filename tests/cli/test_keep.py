"""`pyfd requantize --keep`, and its line about metadata that are left out."""

from __future__ import annotations

import io
import json

import pytest

import pyfd
from tests.cli.samples import DEFAULT, jpeg
from tests.metadata import SRGB, block

MAKE, TURNED = (0x010F, 2, b"Maker\0"), (0x0112, 3, b"\6\0")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.jpg"
    exif = block([MAKE, TURNED], gps=[(1, 2, b"N\0")])
    path.write_bytes(jpeg(exif=exif, icc_profile=SRGB, comment="words"))
    return path


@pytest.mark.parametrize(
    "text", ["icc", "icc,orientation", "orientation, icc", "icc,icc", "exif,gps,iptc,xmp,comment"]
)
def test_names(run_binary, path, text):
    outcome = run_binary("requantize", path, "-o", "-", "--keep", text)
    names = {name.strip() for name in text.split(",")}
    assert outcome == (0, pyfd.requantize(path, DEFAULT, metadata=names), "")


def test_all_and_nothing(run_binary, path):
    everything = ",".join(("icc", "orientation", "exif", "gps", "iptc", "xmp", "comment"))
    for options, metadata in (
        ((), True),
        (("--metadata",), True),
        (("--keep", everything), True),
        (("--no-metadata",), False),
    ):
        outcome = run_binary("requantize", path, "-o", "-", *options)
        assert outcome == (0, pyfd.requantize(path, DEFAULT, metadata=metadata), "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--keep", "icc,thumbnail"),
            "no 'thumbnail', only icc, orientation, exif, gps, iptc, xmp",
        ),
        (("--keep", ""), "metadata has no '', only icc"),
        (("--keep", "icc,"), "metadata has no '', only icc"),
        (("--keep", "icc", "--no-metadata"), "--keep and --metadata/--no-metadata exclude each"),
        (("--metadata", "--keep", "icc"), "--keep and --metadata/--no-metadata exclude each"),
    ],
)
def test_usage_errors(run_binary, path, options, message):
    outcome = run_binary("requantize", path, "-o", "-", *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert message in " ".join(outcome.err.split())


@pytest.mark.parametrize("options", [(), ("--lenient",)])
def test_what_is_left_out_is_named(run_binary, path, options):
    """In strict mode, too, in which Python is silent: the image is good."""
    odd = block([TURNED, (0x8825, 4, b"\xff" * 4)])
    path.write_bytes(jpeg(exif=odd, comment="<script>"))
    outcome = run_binary("requantize", path, "-o", "-", *options)
    gps = "the GPS directory (its pointer leads nowhere)"
    line = f"pyfd: {path}: metadata left out: {gps}, a comment"
    assert (outcome.code, outcome.lines) == (0, [line])
    assert outcome.out == pyfd.requantize(path, DEFAULT)
    assert pyfd.probe(io.BytesIO(outcome.out)).orientation == 6


def test_the_journal_knows_the_names(run, path, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    path.rename(source / "x.jpg")
    found = []
    for options in (
        ["--keep", "icc,orientation"],
        ["--keep", "orientation,icc"],
        ["--keep", "icc"],
    ):
        code, _, err = run("requantize", source, target, *options)
        first = (target / ".pyfd-requantize.jsonl").read_text().splitlines()[0]
        found.append(
            (code, "done already" in err, json.loads(first)["settings"]["writing"]["metadata"])
        )
    both = ["icc", "orientation"]
    assert found == [(0, False, both), (0, True, both), (0, False, ["icc"])]
