"""`pyfd encode`: its results, and the inputs that it refuses."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
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
        (_animated, "has 2 frames, and a JPEG file holds one"),
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


def test_encode_refuses_decompression_bombs(run_binary, png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    outcome = run_binary("encode", png, "-o", "-")
    assert outcome[:2] == (1, b"")
    assert "decompression bomb" in outcome.err


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


def long_exif() -> bytes:
    """Return EXIF with one value of 70,000 bytes."""
    entry = struct.pack("<HHII", 0x9286, 7, 70000, 26)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(70004)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (long_exif(), "EXIF left out: it has 70032 bytes, but at most 65533 fit"),
        (b"Exif\0\0nonsense", "EXIF left out: it is damaged"),
    ],
)
def test_encode_leaves_out_exif_that_does_not_fit(run_binary, tmp_path, block, reason):
    path = tmp_path / "x.png"
    Image.fromarray(picture()).save(path, exif=block)
    outcome = run_binary("encode", path, "-o", "-")
    assert (outcome.code, outcome.lines) == (0, [f"pyfd: {path}: {reason}"])
    assert pyfd.probe(outcome.out).exif is None


def test_encode_takes_a_jpeg(run_binary, tmp_path):
    path = tmp_path / "x.jpeg"
    path.write_bytes(jpeg(exif=exif(3), icc_profile=ICC, comment="hello"))
    outcome = run_binary("encode", path, "-o", "-")
    assert outcome.out == pyfd.encode(
        pyfd.decode(path), DEFAULT, exif=exif(3), icc_profile=ICC, comment="hello"
    )
