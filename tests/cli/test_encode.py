"""`pyfd encode`: its results, and the inputs that it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from tests import metadata
from tests.cli.samples import DEFAULT, ICC, cmyk_jpeg, exif, jpeg, picture


def test_encode_writes_what_the_library_writes(run_binary, png, tmp_path):
    target = tmp_path / "out.jpg"
    assert run_binary("encode", png, "-o", target) == (0, b"", "")
    assert target.read_bytes() == pyfd.encode(picture(), DEFAULT)


@pytest.mark.parametrize(
    ("option", "tables"),
    [
        ("fd-2018", pyfd.QTables.preset("fd-2018")),
        ("16", pyfd.QTables.uniform(16)),
        ("annex-k:50", pyfd.QTables.annex_k(50)),
    ],
)
def test_encode_with_named_tables(run_binary, png, tmp_path, option, tables):
    target = tmp_path / "out.jpg"
    assert run_binary("encode", png, "-o", target, "-q", option).code == 0
    assert target.read_bytes() == pyfd.encode(picture(), tables)


def test_encode_with_tables_from_files(run_binary, png, tmp_path):
    tables = pyfd.QTables([DEFAULT[0], pyfd.QTables.uniform(9)[0]], name="mine")
    tables.save(tmp_path / "tables.json")
    (tmp_path / "tables.txt").write_text(tables.to_text())
    for name in ("tables.json", "tables.txt"):
        outcome = run_binary("encode", png, "-o", "-", "--qtables", tmp_path / name)
        assert outcome.code == 0
        assert pyfd.probe(outcome.out).qtables == pyfd.QTables([tables[i] for i in range(3)])


def test_encode_needs_leave_for_large_steps(run_binary, png, tmp_path):
    outcome = run_binary("encode", png, "-o", tmp_path / "x.jpg", "-q", 300)
    assert outcome.code == 2
    assert "The largest step is 300, but at most 255 is allowed here; --no-baseline" in outcome.err
    outcome = run_binary("encode", png, "-o", "-", "-q", 300, "--no-baseline")
    assert outcome.out == pyfd.encode(picture(), pyfd.QTables.uniform(300), baseline=False)
    assert run_binary("encode", png, "-o", "-", "-q", 8192, "--no-baseline").code == 2


def test_encode_options(run_binary, png):
    outcome = run_binary("encode", png, "-o", "-", "--subsampling", "4:2:0", "--progressive")
    expected = pyfd.encode(picture(), DEFAULT, subsampling="4:2:0", progressive=True)
    assert outcome.out == expected
    assert run_binary("encode", png, "-o", "-", "--optimize").out == pyfd.encode(
        picture(), DEFAULT, optimize=True
    )
    assert run_binary("encode", png, "-o", "-", "--restart-rows", 1).out == pyfd.encode(
        picture(), DEFAULT, restart_rows=1
    )
    assert run_binary("encode", png, "-o", "-", "--restart-rows", 65536).code == 2


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB"), ("RGBA", "RGB"), ("LA", "L")],
)
def test_encode_converts_what_loses_nothing(run_binary, tmp_path, mode, becomes):
    image = Image.fromarray(picture()).convert(mode)
    path = tmp_path / "x.png"
    image.save(path)
    outcome = run_binary("encode", path, "-o", "-")
    assert outcome[::2] == (0, "")
    assert outcome.out == pyfd.encode(image.convert(becomes), DEFAULT)


def _transparent(path: Path) -> None:
    image = Image.fromarray(picture()).convert("RGBA")
    image.putpixel((3, 3), (1, 2, 3, 254))
    image.save(path)


def _color_key(path: Path) -> None:
    image = Image.fromarray(picture())
    image.save(path, transparency=image.getpixel((3, 3)))


def _animated(path: Path) -> None:
    frames = [Image.fromarray(picture(seed=seed)) for seed in (1, 2)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _deep(path: Path) -> None:
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(path)


def _cmyk(path: Path) -> None:
    Image.fromarray(picture()).convert("CMYK").save(path, "TIFF")


def _truncated(path: Path) -> None:
    Image.fromarray(picture()).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def _postscript(path: Path) -> None:
    Image.fromarray(picture()).save(path, "EPS")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_transparent, "has transparent pixels, and JPEG has none: flatten it first"),
        (_color_key, "has transparent pixels, and JPEG has none: flatten it first"),
        (_animated, "has several frames, and a JPEG file holds one"),
        (_deep, 'pixels of mode "I'),
        (_cmyk, 'pixels of mode "CMYK": convert them to 8-bit RGB or grayscale'),
        (cmyk_jpeg, "a CMYK image: requantize keeps it, encode takes RGB and grayscale"),
        (_truncated, "Pillow cannot read it: "),
        (_postscript, "not an image that Pillow can read"),
        (lambda path: path.write_bytes(jpeg()[:700]), "truncated"),
        (lambda path: path.write_bytes(b"words"), "not an image that Pillow can read"),
        (lambda path: path.write_bytes(b""), "not an image that Pillow can read"),
        (lambda _: None, "No such file or directory"),
    ],
)
def test_encode_refuses(run_binary, tmp_path, make, reason):
    path = tmp_path / "x.png"
    make(path)
    outcome = run_binary("encode", path, "-o", tmp_path / "x.jpg")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.err.startswith(f"pyfd: {path}: {reason}")
    assert not (tmp_path / "x.jpg").exists()


def test_encode_keeps_metadata_but_not_the_thumbnail(run_binary, tmp_path):
    path = tmp_path / "x.png"
    block = exif(orientation=6, thumbnail=b"undefended pixels")
    Image.fromarray(picture()).save(path, exif=block, icc_profile=ICC)
    outcome = run_binary("encode", path, "-o", "-")
    header = pyfd.probe(outcome.out)
    assert (header.orientation, header.icc_profile) == (6, ICC)
    assert b"undefended" in path.read_bytes()
    assert b"undefended" not in outcome.out
    assert (header.width, header.height) == (56, 40)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"Exif\0\0nonsense", "EXIF (no TIFF header)"),
        (metadata.block([(0x010F, 2, b"words " * 9000)]), "Make"),
        (metadata.block(exif=[(0x9286, 7, b"\xff\xd8\xff" * 30_000)]), "UserComment"),
    ],
)
def test_encode_leaves_out_exif_that_is_damaged(run_binary, tmp_path, block, reason):
    path = tmp_path / "x.png"
    Image.fromarray(picture()).save(path, exif=block)
    outcome = run_binary("encode", path, "-o", "-")
    assert (outcome.code, outcome.lines) == (0, [f"pyfd: {path}: metadata left out: {reason}"])
    assert pyfd.probe(outcome.out).exif is None


def test_encode_keeps_what_requantize_keeps(run_binary, tmp_path):
    """Of a .jpg file, and of one of another format."""
    image = [(0x0112, 3, b"\6\0"), (0xFDE8, 7, b"undefended pixels"), (0x010F, 2, b"Maker\0")]
    block = metadata.block(image, gps=[(1, 2, b"N\0")])
    for name, options in (("x.png", {}), ("x.jpg", {"comment": b"PK\x03\x04"})):
        path = tmp_path / name
        Image.fromarray(picture()).save(path, exif=block, icc_profile=b"PK\x03\x04", **options)
        outcome = run_binary("encode", path, "-o", "-")
        comment = ", a comment" if options else ""
        left_out = f"metadata left out: the ICC profile{comment}"
        assert (outcome.code, outcome.lines) == (0, [f"pyfd: {path}: {left_out}"])
        header = pyfd.probe(outcome.out)
        assert header.exif == metadata.block([image[0], image[2]][::-1], gps=[(1, 2, b"N\0")])
        assert (header.icc_profile, header.comment) == (None, None)


def test_encode_takes_a_jpeg(run_binary, tmp_path):
    path = tmp_path / "x.jpeg"
    path.write_bytes(jpeg(exif=exif(3), icc_profile=ICC, comment="hello"))
    outcome = run_binary("encode", path, "-o", "-")
    assert outcome.out == pyfd.encode(
        pyfd.decode(path), DEFAULT, exif=exif(3), icc_profile=ICC, comment="hello"
    )


# ---- with a radius ----------------------------------------------------------


def test_encode_with_a_radius(run_binary, png):
    outcome = run_binary("encode", png, "-o", "-", "--radius", 2, "-q", 33)
    assert outcome[::2] == (0, "")
    tables = pyfd.QTables.uniform(33)
    assert outcome.out == pyfd.encode(picture(), tables, radius=2)
    assert pyfd.certify(pyfd.decode(outcome.out), tables).radius > 2
    assert pyfd.certify(pyfd.decode(pyfd.encode(picture(), tables)), tables).radius <= 2


def test_encode_with_a_radius_for_files(run_binary, png):
    tables = pyfd.QTables.certified(1, files=True)
    options = ("-q", "certified-files:1", "--radius-files", 1)
    outcome = run_binary("encode", png, "-o", "-", *options)
    assert outcome[::2] == (0, "")
    assert outcome.out == pyfd.encode(picture(), tables, radius_files=1)
    outcome = run_binary("encode", png, "-o", "-", *options, "--radius", 1)
    assert outcome.out == pyfd.encode(picture(), tables, radius=1, radius_files=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {}),
        (("--radius", 1), {"radius": 1}),
        (("--radius", 0, "--radius-files", 1), {"radius": 0, "radius_files": 1}),
        (
            ("--radius", 1, "--subsampling", "4:2:0", "--max-loss", "inf"),
            {"radius": 1, "max_loss": math.inf},
        ),
    ],
)
def test_encode_passes_radii_on(run_binary, png, monkeypatch, options, expected):
    def encode(*_: object, **given: object) -> bytes:
        names = ("radius", "radius_files", "max_loss")
        assert {name: given[name] for name in names if name in given} == expected
        return b"a file"

    monkeypatch.setattr(pyfd, "encode", encode)
    assert run_binary("encode", png, "-o", "-", *options) == (0, b"a file", "")


def test_encode_refuses_an_image_whose_radius_costs_too_much(run_binary, tmp_path):
    """Saturated colors in every other pixel: no subsampled file is close to them."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[::2, ::2, 0] = image[1::2, 1::2, 2] = 255
    path = tmp_path / "x.png"
    Image.fromarray(image).save(path)
    options = ("-q", 40, "--radius", 2, "--subsampling", "4:2:0", "--max-loss", 0)
    outcome = run_binary("encode", path, "-o", tmp_path / "x.jpg", *options)
    with pytest.raises(pyfd.CertificateError) as caught:
        pyfd.encode(image, pyfd.QTables.uniform(40), radius=2, subsampling="4:2:0", max_loss=0)
    assert outcome == (1, b"", f"pyfd: {path}: {caught.value}\n")
    assert not (tmp_path / "x.jpg").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ("--radius", 2),
            "qtables[0] has step 25 at (0, 0), which cannot hold radius 2: it needs 33 or more. "
            "-q certified:2 holds it",
        ),
        (("--radius-files", 2), "-q certified-files:2 holds it"),
        (("--radius", 1, "--radius-files", 2), "cannot hold radius_files 2"),
        (("--radius", 1.5), "not a valid integer"),
        (("--radius", 256), "not in the range"),
        (("--radius-files", -1), "not in the range"),
        (("-q", "certified:16", "--radius", 16), "at most 255 is allowed here; --no-baseline"),
        (("-q", "certified:300"), "epsilon is in 8-bit levels, 0...255, not 300"),
        (("--max-loss", 2), "--max-loss is the cost of a radius: add --radius E"),
        (("--radius", 1, "--max-loss", 2), "is for subsampled chroma: add --subsampling S"),
        (("--radius", 1, "--subsampling", "4:2:0", "--max-loss", "nan"), "0 or more, not nan"),
        (("--radius", 1, "--subsampling", "4:2:0", "--max-loss", -1), "0 or more, not -1"),
    ],
)
def test_encode_refuses_radii_that_make_no_sense(run_binary, png, tmp_path, options, reason):
    outcome = run_binary("encode", png, "-o", tmp_path / "x.jpg", *options)
    assert outcome[:2] == (2, b"")
    assert reason in " ".join(outcome.err.split())
    assert not (tmp_path / "x.jpg").exists()


def test_tables_for_chroma_need_not_hold_the_radius_of_gray_images(run_binary, png, tmp_path):
    tables = pyfd.QTables([pyfd.QTables.certified(2)[0], DEFAULT[0]])
    tables.save(tmp_path / "t.json")
    gray = tmp_path / "gray.png"
    Image.fromarray(picture()[:, :, 0]).save(gray)
    options = ("-o", "-", "-q", tmp_path / "t.json", "--radius", 2)
    outcome = run_binary("encode", gray, *options)
    assert outcome == (0, pyfd.encode(picture()[:, :, 0], tables, radius=2), "")
    outcome = run_binary("encode", png, *options)
    assert (outcome.code, outcome.out, len(outcome.lines)) == (1, b"", 1)
    assert "qtables[1] has step 25 at (0, 0), which cannot hold radius 2" in outcome.err
