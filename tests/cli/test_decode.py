"""`pyfd decode`: its results, and the inputs that it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import pyfd
from tests import metadata
from tests.cli.samples import DEFAULT, ICC, cmyk_jpeg, exif, jpeg, opened


def test_decode_defends_unless_told_otherwise(run_binary, photo, tmp_path):
    target = tmp_path / "out.png"
    assert run_binary("decode", photo, "-o", target) == (0, b"", "")
    assert np.array_equal(np.asarray(opened(target.read_bytes())), pyfd.decode(photo, DEFAULT))
    run_binary("decode", photo, "-o", target, "-q", 16)
    assert np.array_equal(
        np.asarray(opened(target.read_bytes())), pyfd.decode(photo, [[16] * 8] * 8)
    )
    run_binary("decode", photo, "-o", target, "--plain")
    assert np.array_equal(np.asarray(opened(target.read_bytes())), pyfd.decode(photo))


def test_decode_plain_and_tables_exclude_each_other(run_binary, photo, tmp_path):
    outcome = run_binary("decode", photo, "-o", tmp_path / "x.png", "--plain", "-q", DEFAULT.name)
    assert outcome.code == 2
    assert "--plain and --qtables exclude each other" in outcome.err
    assert run_binary("decode", photo, "-o", tmp_path / "x.png", "-q", 32768).code == 2


def test_decode_mode_and_scale(run_binary, photo):
    outcome = run_binary("decode", photo, "-o", "-", "--mode", "L", "--scale", "4")
    expected = pyfd.decode(photo, DEFAULT, mode="L", scale=4)
    assert np.array_equal(np.asarray(opened(outcome.out)), expected)


def test_decode_turns_and_cuts(run_binary, tmp_path):
    """A PNG file says of turned pixels that they are upright: a viewer does not turn them twice."""
    source = tmp_path / "in.jpg"
    source.write_bytes(jpeg(exif=exif(6)))
    outcome = run_binary("decode", source, "-o", "-", "--orient", "--region", "1,2,10,20")
    image = opened(outcome.out)
    expected = pyfd.decode(source, DEFAULT, orient=True, region=(1, 2, 10, 20))
    assert np.array_equal(np.asarray(image), expected)
    assert image.getexif()[0x0112] == 1
    assert opened(run_binary("decode", source, "-o", "-").out).getexif()[0x0112] == 6
    assert run_binary("decode", source, "-o", "-", "--orient", "--fit", "1x1").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fit", "224"), "'224' is not WIDTHxHEIGHT in whole numbers"),
        (("--fit", "0x3"), "fit must be at least 1 pixel wide and high"),
        (("--region", "1,2,3"), "'1,2,3' is not LEFT,TOP,WIDTH,HEIGHT in whole numbers"),
        (("--region", "-1,2,3,4"), "'-1,2,3,4' is not LEFT,TOP,WIDTH,HEIGHT"),
        (("--region", "1,2,3,4", "--fit", "3x3"), "fit and region exclude each other"),
        (("--scale", "2", "--fit", "3x3"), "fit and scale exclude each other"),
    ],
)
def test_decode_sizes_that_it_does_not_take(run_binary, photo, options, message):
    outcome = run_binary("decode", photo, "-o", "-", *options)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())


def test_decode_a_region_beyond_the_image(run_binary, photo):
    outcome = run_binary("decode", photo, "-o", "-", "--region", "0,0,9999,1")
    assert outcome.code == 1
    assert "region (0, 0, 9999, 1) must lie inside the image" in outcome.err


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("x.png", (), "PNG"),
        ("x.PPM", (), "PPM"),
        ("x.bmp", (), "BMP"),
        ("x.data", ("--format", "bmp"), "BMP"),
        ("x.ppm", ("--mode", "L"), "PPM"),
    ],
)
def test_decode_formats(run_binary, photo, tmp_path, name, options, kind):
    assert run_binary("decode", photo, "-o", tmp_path / name, *options).code == 0
    assert opened((tmp_path / name).read_bytes()).format == kind


def test_decode_to_a_format_that_it_does_not_write(run_binary, photo, tmp_path):
    outcome = run_binary("decode", photo, "-o", tmp_path / "x.webp")
    assert outcome.code == 2
    assert "Cannot write '.webp' files: use .png" in outcome.err


def test_decode_keeps_metadata_that_fits(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(8, b"undefended pixels"), icc_profile=ICC))
    color = run_binary("decode", path, "-o", "-")
    assert b"undefended" not in color.out
    assert opened(color.out).info["icc_profile"] == ICC
    assert opened(color.out).getexif()[0x0112] == 8
    gray = run_binary("decode", path, "-o", "-", "--mode", "L")
    assert "icc_profile" not in opened(gray.out).info


def test_decode_keeps_what_requantize_keeps(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    block = metadata.block([(0x0112, 3, b"\6\0"), (0xFDE8, 7, b"undefended pixels")])
    path.write_bytes(jpeg(exif=block, icc_profile=b"PK\x03\x04", comment="<script>"))
    outcome = run_binary("decode", path, "-o", "-")
    assert outcome.lines == [f"pyfd: {path}: metadata left out: the ICC profile"]
    assert dict(opened(outcome.out).getexif()) == {0x0112: 6}
    for part in (b"undefended", b"PK\x03", b"script"):
        assert part not in outcome.out


def test_decode_damaged(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg()[:1500])
    strict = run_binary("decode", path, "-o", tmp_path / "x.png")
    assert (strict.code, len(strict.lines)) == (1, 1)
    assert not (tmp_path / "x.png").exists()
    lenient = run_binary("decode", path, "-o", tmp_path / "x.png", "--lenient")
    assert (lenient.code, len(lenient.lines)) == (0, 1)
    assert lenient.err.startswith(f"pyfd: {path}: ")
    assert "decoder warning" in lenient.err
    assert opened((tmp_path / "x.png").read_bytes()).size == (56, 40)


def test_decode_mode_that_the_file_lacks(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    cmyk_jpeg(path)
    outcome = run_binary("decode", path, "-o", "-", "--mode", "L")
    assert outcome[:2] == (1, b"")
    assert run_binary("decode", path, "-o", "-").code == 0
