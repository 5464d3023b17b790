"""The command line: what it writes, what it refuses, and what it says about it."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd.cli import cli
from pyfd.cli import jobs as _jobs

DEFAULT = pyfd.QTables.preset("fd-cvpr2019")
ICC = b"a profile that nobody looks into"


class Outcome(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsysbinary, monkeypatch) -> Run:
    """The command line in this process."""

    def call(*args: object, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            cli.main([str(arg) for arg in args], prog_name="pyfd")
        captured = capsysbinary.readouterr()
        return Outcome(stop.value.code, captured.out, captured.err.decode())

    return call


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Smooth, with something at every frequency."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    ramp = np.linspace(40, 160, width)[:, np.newaxis]
    return (ramp + noise).astype(np.uint8)


def jpeg(**options) -> bytes:
    return pyfd.encode(picture(), pyfd.QTables.annex_k(90), **options)


def exif(orientation: int = 6, thumbnail: bytes = b"") -> bytes:
    """EXIF with an orientation and, if given, a thumbnail in its second directory."""
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    second = struct.pack("<HHHIIHHII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail))
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    return head + first + (second + bytes(4) + thumbnail if thumbnail else b"")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg())
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture()).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with two good files, a damaged one and one that is none of ours."""
    top = tmp_path / "in"
    (top / "deep").mkdir(parents=True)
    (top / "a.jpg").write_bytes(jpeg())
    (top / "deep" / "b.JPEG").write_bytes(jpeg())
    (top / "deep" / "bad.jpg").write_bytes(jpeg()[:500])
    (top / "notes.txt").write_text("not a picture")
    return top


def files(top: Path) -> list[str]:
    found = (path for path in top.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return sorted(str(path.relative_to(top)) for path in found)


def opened(data: bytes):
    return Image.open(io.BytesIO(data))


# ---- encode ---------------------------------------------------------------


def test_encode_writes_what_the_library_writes(run, png, tmp_path):
    target = tmp_path / "out.jpg"
    assert run("encode", png, "-o", target) == (0, b"", "")
    assert target.read_bytes() == pyfd.encode(picture(), DEFAULT)


@pytest.mark.parametrize(
    ("option", "tables"),
    [
        ("fd-2018", pyfd.QTables.preset("fd-2018")),
        ("16", pyfd.QTables.uniform(16)),
        ("annex-k:50", pyfd.QTables.annex_k(50)),
    ],
)
def test_encode_with_named_tables(run, png, tmp_path, option, tables):
    target = tmp_path / "out.jpg"
    assert run("encode", png, "-o", target, "-q", option).code == 0
    assert target.read_bytes() == pyfd.encode(picture(), tables)


def test_encode_with_tables_from_files(run, png, tmp_path):
    tables = pyfd.QTables([DEFAULT[0], pyfd.QTables.uniform(9)[0]], name="mine")
    tables.save(tmp_path / "tables.json")
    (tmp_path / "tables.txt").write_text(tables.to_text())
    for name in ("tables.json", "tables.txt"):
        outcome = run("encode", png, "-o", "-", "--qtables", tmp_path / name)
        assert outcome.code == 0
        assert pyfd.probe(outcome.out).qtables == pyfd.QTables([tables[i] for i in range(3)])


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("fd-1999", "'fd-1999' is neither a preset"),
        ("0", "steps must be in 1...65535, not 0"),
        ("9" * 30, "steps must be integers"),
        ("annex-k:0", "quality must be in 1...100, not 0"),
        ("annex-k:x", "'annex-k:x' is neither"),
        ("evil\x1b[31m", "'evil\\x1b[31m' is neither"),
        ("{tmp}", "Is a directory"),
        ("{tmp}/empty", "not 0 words"),
        ("{tmp}/broken.json", "is not a table file"),
        ("{tmp}/noise", "the text must hold"),
    ],
)
def test_tables_that_make_no_sense_are_a_usage_error(run, png, tmp_path, option, reason):
    (tmp_path / "empty").write_text("")
    (tmp_path / "broken.json").write_text('{"format": ')
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    outcome = run("encode", png, "-o", tmp_path / "x.jpg", "-q", option.format(tmp=tmp_path))
    assert outcome.code == 2
    assert "Invalid value for '-q' / '--qtables'" in outcome.err
    assert reason in outcome.err
    assert "\x1b" not in outcome.err


def test_encode_needs_leave_for_large_steps(run, png, tmp_path):
    outcome = run("encode", png, "-o", tmp_path / "x.jpg", "-q", 300)
    assert outcome.code == 2
    assert "The largest step is 300, and 255 is the most here; --no-baseline" in outcome.err
    outcome = run("encode", png, "-o", "-", "-q", 300, "--no-baseline")
    assert outcome.out == pyfd.encode(picture(), pyfd.QTables.uniform(300), baseline=False)
    assert run("encode", png, "-o", "-", "-q", 8192, "--no-baseline").code == 2


def test_encode_options(run, png):
    outcome = run("encode", png, "-o", "-", "--subsampling", "4:2:0", "--progressive")
    expected = pyfd.encode(picture(), DEFAULT, subsampling="4:2:0", progressive=True)
    assert outcome.out == expected
    assert run("encode", png, "-o", "-", "--optimize").out == pyfd.encode(
        picture(), DEFAULT, optimize=True
    )


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB"), ("RGBA", "RGB"), ("LA", "L")],
)
def test_encode_converts_what_loses_nothing(run, tmp_path, mode, becomes):
    image = Image.fromarray(picture()).convert(mode)
    path = tmp_path / "x.png"
    image.save(path)
    outcome = run("encode", path, "-o", "-")
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


def _cmyk_jpeg(path: Path) -> None:
    Image.fromarray(picture()).convert("CMYK").save(path, "JPEG")


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
        (_cmyk_jpeg, "a CMYK image: requantize keeps it, encode takes RGB and grayscale"),
        (_truncated, "Pillow cannot read it: "),
        (_postscript, "not an image that Pillow can read"),
        (lambda path: path.write_bytes(jpeg()[:700]), "truncated"),
        (lambda path: path.write_bytes(b"words"), "not an image that Pillow can read"),
        (lambda path: path.write_bytes(b""), "not an image that Pillow can read"),
        (lambda _: None, "No such file or directory"),
    ],
)
def test_encode_refuses(run, tmp_path, make, reason):
    path = tmp_path / "x.png"
    make(path)
    outcome = run("encode", path, "-o", tmp_path / "x.jpg")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.err.startswith(f"pyfd: {path}: {reason}")
    assert not (tmp_path / "x.jpg").exists()


def test_encode_refuses_decompression_bombs(run, png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    outcome = run("encode", png, "-o", "-")
    assert outcome[:2] == (1, b"")
    assert "decompression bomb" in outcome.err


def test_encode_keeps_metadata_but_not_the_thumbnail(run, tmp_path):
    path = tmp_path / "x.png"
    block = exif(orientation=6, thumbnail=b"undefended pixels")
    Image.fromarray(picture()).save(path, exif=block, icc_profile=ICC)
    outcome = run("encode", path, "-o", "-")
    header = pyfd.probe(outcome.out)
    assert (header.orientation, header.icc_profile) == (6, ICC)
    assert b"undefended" in path.read_bytes()
    assert b"undefended" not in outcome.out
    assert (header.width, header.height) == (56, 40)


def long_exif() -> bytes:
    """One value of 70,000 bytes."""
    entry = struct.pack("<HHII", 0x9286, 7, 70000, 26)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(70004)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (long_exif(), "EXIF left out: 70032 bytes, 65533 fit"),
        (b"Exif\0\0nonsense", "EXIF left out: it makes no sense"),
    ],
)
def test_encode_leaves_out_exif_that_does_not_fit(run, tmp_path, block, reason):
    path = tmp_path / "x.png"
    Image.fromarray(picture()).save(path, exif=block)
    outcome = run("encode", path, "-o", "-")
    assert (outcome.code, outcome.lines) == (0, [f"pyfd: {path}: {reason}"])
    assert pyfd.probe(outcome.out).exif is None


def test_encode_takes_a_jpeg(run, tmp_path):
    path = tmp_path / "x.jpeg"
    path.write_bytes(jpeg(exif=exif(3), icc_profile=ICC, comment="hello"))
    outcome = run("encode", path, "-o", "-")
    assert outcome.out == pyfd.encode(
        pyfd.decode(path), DEFAULT, exif=exif(3), icc_profile=ICC, comment="hello"
    )


# ---- decode ---------------------------------------------------------------


def test_decode_defends_unless_told_otherwise(run, photo, tmp_path):
    target = tmp_path / "out.png"
    assert run("decode", photo, "-o", target) == (0, b"", "")
    assert np.array_equal(np.asarray(opened(target.read_bytes())), pyfd.decode(photo, DEFAULT))
    run("decode", photo, "-o", target, "-q", 16)
    assert np.array_equal(
        np.asarray(opened(target.read_bytes())), pyfd.decode(photo, [[16] * 8] * 8)
    )
    run("decode", photo, "-o", target, "--plain")
    assert np.array_equal(np.asarray(opened(target.read_bytes())), pyfd.decode(photo))


def test_decode_plain_and_tables_exclude_each_other(run, photo, tmp_path):
    outcome = run("decode", photo, "-o", tmp_path / "x.png", "--plain", "-q", DEFAULT.name)
    assert outcome.code == 2
    assert "--plain and --qtables exclude each other" in outcome.err
    assert run("decode", photo, "-o", tmp_path / "x.png", "-q", 32768).code == 2


def test_decode_mode_and_scale(run, photo):
    outcome = run("decode", photo, "-o", "-", "--mode", "L", "--scale", "4")
    expected = pyfd.decode(photo, DEFAULT, mode="L", scale=4)
    assert np.array_equal(np.asarray(opened(outcome.out)), expected)


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
def test_decode_formats(run, photo, tmp_path, name, options, kind):
    assert run("decode", photo, "-o", tmp_path / name, *options).code == 0
    assert opened((tmp_path / name).read_bytes()).format == kind


def test_decode_to_a_format_that_it_does_not_write(run, photo, tmp_path):
    outcome = run("decode", photo, "-o", tmp_path / "x.webp")
    assert outcome.code == 2
    assert "No format by the suffix '.webp': use .png" in outcome.err


def test_decode_keeps_metadata_that_fits(run, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(8, b"undefended pixels"), icc_profile=ICC))
    color = run("decode", path, "-o", "-")
    assert b"undefended" not in color.out
    assert opened(color.out).info["icc_profile"] == ICC
    assert opened(color.out).getexif()[0x0112] == 8
    gray = run("decode", path, "-o", "-", "--mode", "L")
    assert "icc_profile" not in opened(gray.out).info


def test_decode_damaged(run, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg()[:1500])
    strict = run("decode", path, "-o", tmp_path / "x.png")
    assert (strict.code, len(strict.lines)) == (1, 1)
    assert not (tmp_path / "x.png").exists()
    lenient = run("decode", path, "-o", tmp_path / "x.png", "--lenient")
    assert (lenient.code, len(lenient.lines)) == (0, 1)
    assert lenient.err.startswith(f"pyfd: {path}: ")
    assert "decoder warning" in lenient.err
    assert opened((tmp_path / "x.png").read_bytes()).size == (56, 40)


def test_decode_mode_that_the_file_lacks(run, tmp_path):
    path = tmp_path / "x.jpg"
    _cmyk_jpeg(path)
    outcome = run("decode", path, "-o", "-", "--mode", "L")
    assert outcome[:2] == (1, b"")
    assert run("decode", path, "-o", "-").code == 0


# ---- limits ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [("max-bytes", 500), ("max-pixels", 99), ("max-memory", 600), ("max-scans", 2)],
)
def test_limits(run, tmp_path, option, value):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(progressive=True))
    for command in ("decode", "requantize"):
        refused = run(command, path, "-o", "-", f"--{option}", value)
        assert refused[:2] == (1, b"")
        assert f"{option.replace('-', '_')} is {value}, but" in refused.err
        assert len(refused.lines) == 1
    refused = run("inspect", path, "-q", 16, f"--{option}", value)
    assert refused[:2] == (1, b"")


def test_no_limits(run, photo, monkeypatch):
    limits = []
    monkeypatch.setattr(
        pyfd, "requantize", lambda *_, **options: limits.append(options["limits"]) or b""
    )
    run("requantize", photo, "-o", "-")
    run("requantize", photo, "-o", "-", "--no-limits", "--max-scans", 7)
    assert limits[0] == pyfd.Limits()
    assert limits[1].max_scans == 7
    assert limits[1].max_pixels == pyfd.Limits.unlimited().max_pixels


@pytest.mark.parametrize("value", ["-1", "x", str(1 << 64)])
def test_limits_that_make_no_sense(run, photo, value):
    assert run("decode", photo, "-o", "-", "--max-pixels", value).code == 2


# ---- requantize -----------------------------------------------------------


def test_requantize_writes_what_the_library_writes(run, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(exif=exif(), comment="hello"))
    assert run("requantize", path, "-o", "-").out == pyfd.requantize(path, DEFAULT)
    options = ("--progressive", "--optimize", "--no-metadata", "-q", "16")
    assert run("requantize", path, "-o", "-", *options).out == pyfd.requantize(
        path, [[16] * 8] * 8, progressive=True, optimize=True, metadata=False
    )


def test_requantize_needs_leave_for_large_steps(run, photo):
    assert run("requantize", photo, "-o", "-", "-q", 256).code == 2
    outcome = run("requantize", photo, "-o", "-", "-q", 256, "--no-baseline")
    assert pyfd.probe(outcome.out).qtables[0].max() == 256
    assert run("requantize", photo, "-o", "-", "-q", 32768, "--no-baseline").code == 2


# ---- pipes ----------------------------------------------------------------


def test_pipes(run, png, photo):
    encoded = run("encode", "-", stdin=png.read_bytes())
    assert encoded == (0, pyfd.encode(picture(), DEFAULT), "")
    again = run("requantize", "-", "-q", 40, stdin=encoded.out)
    assert again.out == pyfd.requantize(encoded.out, pyfd.QTables.uniform(40))
    decoded = run("decode", "-", "-o", "-", stdin=again.out)
    assert np.array_equal(np.asarray(opened(decoded.out)), pyfd.decode(again.out, DEFAULT))
    shown = run("inspect", "-", stdin=photo.read_bytes())
    assert shown.code == 0
    assert shown.out.startswith(b"-\n  size         56 x 40 pixels")


def test_pipes_that_are_refused(run):
    outcome = run("decode", "-", stdin=b"words")
    assert outcome[:2] == (1, b"")
    assert outcome.err.startswith("pyfd: -: not a JPEG file")


def test_standard_input_goes_alone(run, photo, tmp_path):
    for target in (tmp_path / "out", tmp_path, "-"):
        assert run("decode", photo, "-", "-o", target).code == 2
    assert run("decode", "-", "-o", tmp_path).code == 2


def test_no_image_on_a_terminal(run, photo, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    outcome = run("decode", photo, "-o", "-")
    assert outcome.code == 2
    assert "An image on a terminal" in outcome.err


# ---- directories ----------------------------------------------------------


def test_directories_are_mirrored_and_the_damaged_file_named(run, tree, tmp_path):
    out = tmp_path / "deeper" / "out"
    outcome = run("decode", tree, "-o", out)
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.err.startswith(f"pyfd: {tree / 'deep' / 'bad.jpg'}: ")
    assert files(out) == ["a.png", "deep/b.png"]
    expected = pyfd.decode(tree / "a.jpg", DEFAULT)
    assert np.array_equal(np.asarray(opened((out / "a.png").read_bytes())), expected)


def test_directories_keep_names_that_say_the_same(run, tree, tmp_path):
    assert run("requantize", tree, "-o", tmp_path / "out").code == 1
    assert files(tmp_path / "out") == ["a.jpg", "deep/b.JPEG"]
    assert run("encode", tree, "-o", tmp_path / "two").code == 1
    assert files(tmp_path / "two") == ["a.jpg", "deep/b.JPEG"]


def test_several_files_go_into_a_directory(run, tree, photo, tmp_path):
    missing = tmp_path / "missing.jpg"
    out = tmp_path / "out"
    outcome = run("decode", photo, missing, tree / "a.jpg", "-o", out, "--format", "ppm")
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {missing}: No such file or directory"]
    assert files(out) == ["a.ppm", "photo.ppm"]


def test_one_file_goes_into_a_directory(run, photo, tmp_path):
    assert run("decode", photo, "-o", f"{tmp_path / 'new'}{os.sep}").code == 0
    assert files(tmp_path / "new") == ["photo.png"]


def test_two_inputs_never_share_an_output(run, photo, png, tmp_path):
    out = tmp_path / "out"
    outcome = run("encode", photo, png, "-o", out)
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {png}: {photo} goes to {out / 'photo.jpg'} already"]
    assert (out / "photo.jpg").read_bytes() == pyfd.encode(pyfd.decode(photo), DEFAULT)


def test_an_output_directory_inside_the_input_is_left_alone(run, tree):
    (tree / "deep" / "bad.jpg").unlink()
    for _ in range(2):
        assert run("requantize", tree, "-o", tree / "out").code == 0
    assert files(tree / "out") == ["a.jpg", "deep/b.JPEG"]


def test_directory_without_images(run, tmp_path):
    (tmp_path / "in").mkdir()
    outcome = run("decode", tmp_path / "in", "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "no files in it that end in .jfif, .jpe, .jpeg, .jpg" in outcome.err


def test_what_is_not_a_file_is_refused(run, tree, tmp_path):
    os.mkfifo(tree / "pipe.jpg")
    (tree / "dangling.jpg").symlink_to("nowhere")
    (tree / "deep" / "bad.jpg").unlink()
    outcome = run("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert sorted(outcome.lines) == [
        f"pyfd: {tree / 'dangling.jpg'}: No such file or directory",
        f"pyfd: {tree / 'pipe.jpg'}: not a regular file",
    ]
    assert files(tmp_path / "out") == ["a.png", "deep/b.png"]


def test_empty_names(run, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("decode", photo, "-o", "").code == 2
    assert run("decode", "", "-o", "out.png").code == 2
    assert run("inspect", "").code == 2
    assert files(tmp_path) == ["photo.jpg"]


def test_names_that_are_too_long(run, photo, tmp_path):
    name = tmp_path / ("x" * 300)
    for outcome in (run("decode", name, "-o", "-"), run("decode", photo, "-o", f"{name}.png")):
        assert (outcome.code, len(outcome.lines)) == (1, 1)
        assert "File name too long" in outcome.err
    assert run("decode", photo, "-o", "-", "-q", name).code == 2
    assert run("inspect", name).code == 1


def test_a_directory_called_like_a_pipe(run, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").mkdir()
    assert run("requantize", "-", "-o", "-", stdin=photo.read_bytes()).code == 0
    assert files(tmp_path) == ["photo.jpg"]


def test_directories_that_cannot_be_searched(run, tree, tmp_path, monkeypatch):
    scandir = os.scandir

    def deny(path):
        """As the system does, but for root too."""
        if Path(path) == tree / "deep":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    outcome = run("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {tree / 'deep'}: Permission denied"]
    assert files(tmp_path / "out") == ["a.png"]


# ---- an input is never overwritten ----------------------------------------


def test_overwriting_an_input_is_a_usage_error(run, photo, tree, tmp_path):
    before = photo.read_bytes()
    (tmp_path / "link.jpg").symlink_to(photo)
    (tmp_path / "hard.jpg").hardlink_to(photo)
    for target in (photo, tmp_path / "link.jpg", tmp_path / "hard.jpg", tmp_path):
        outcome = run("requantize", photo, "-o", target)
        assert outcome.code == 2
        assert "would overwrite the input" in outcome.err
    (tmp_path / "same").symlink_to(tree)
    for target in (tree, tmp_path / "same", tree / "deep" / ".."):
        outcome = run("requantize", tree, "-o", target)
        assert outcome.code == 2
        assert "is both input and output" in outcome.err
    assert photo.read_bytes() == before


def test_standard_input_is_not_overwritten(photo):
    with photo.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pyfd", "requantize", "-", "-o", photo],
            stdin=file,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 2
    assert b"would overwrite the input -" in done.stderr
    assert photo.read_bytes() == jpeg()


def test_other_files_are_replaced(run, photo, tmp_path):
    target = tmp_path / "out.jpg"
    target.write_text("old")
    assert run("requantize", photo, "-o", target).code == 0
    assert target.read_bytes() == pyfd.requantize(photo, DEFAULT)


def test_devices_are_written_to_not_replaced(run, photo, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("requantize", photo, "-o", pipe).code == 0
        assert os.read(reader, 1 << 16) == pyfd.requantize(photo, DEFAULT)
    finally:
        os.close(reader)
    assert pipe.is_fifo()


# ---- usage ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("explode",), "No such command"),
        (("decode",), "Missing argument 'FILE...'"),
        (("decode", "{photo}"), "Say where to write"),
        (("decode", "{tree}", "-o", "-"), "go to a directory"),
        (("decode", "{photo}", "{png}", "-o", "{photo}"), "is not a directory"),
        (("decode", "{tree}", "-o", "{photo}"), "is not a directory"),
        (("decode", "{photo}", "-o", "x.png", "--scale", "3"), "'3' is not one of"),
        (("encode", "{png}", "-o", "x.png"), "What is written is a JPEG file"),
        (("encode", "{png}", "-o", "x.jpg", "--subsampling", "4:1:1"), "is not one of"),
        (("requantize", "{photo}", "-o", "x.webp"), "What is written is a JPEG file"),
        (("inspect",), "Missing argument"),
        (("inspect", "{photo}", "-q", "40000"), "32767 is the most here"),
        (("demo", "--epsilon", "0"), "0 is not in the range"),
        (("demo", "--output", "{photo}"), "is a file"),
        (("demo", "-q", "256"), "255 is the most here"),
    ],
)
def test_usage_errors(run, photo, png, tree, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    named = [argument.format(photo=photo, png=png, tree=tree) for argument in arguments]
    outcome = run(*named)
    assert (outcome.code, outcome.out) == (2, b"")
    assert reason in outcome.err
    assert files(tmp_path) == before


def test_version(run):
    text = f"pyfd {pyfd.__version__} (libjpeg-turbo {pyfd.libjpeg_turbo_version()})\n"
    assert run("--version") == (0, text.encode(), "")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_has_examples_that_work(run, name):
    outcome = run(name, "--help")
    assert outcome.code == 0
    examples = outcome.out.decode().partition("Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, command, *arguments = shlex.split(example.replace("|", "<").partition("<")[0])
        assert (program, command) == ("pyfd", name)
        cli.commands[name].make_context(name, arguments)


# ---- inspect --------------------------------------------------------------


def test_inspect_text(run, tmp_path):
    path = tmp_path / "x.jpg"
    data = jpeg(subsampling="4:2:0", exif=exif(6), icc_profile=ICC, comment="hello")
    path.write_bytes(data)
    text = run("inspect", path).out.decode()
    assert text.splitlines()[:9] == [
        str(path),
        f"  size         56 x 40 pixels, {len(data):,} bytes",
        "  colors       YCbCr",
        "  sampling     4:2:0 (2x2 1x1 1x1)",
        "  coding       sequential",
        "  orientation  6 (EXIF's; not applied)",
        "  metadata     EXIF 32 bytes, ICC profile 32 bytes",
        '  comment      "hello"',
        "",
    ]
    assert text.splitlines()[9].split("     ")[0] == "  table of Y"[:12]
    assert "table of Cb, Cr" in text


def test_inspect_shows_equal_tables_once_and_others_aligned(run, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(picture(), DEFAULT))
    lines = run("inspect", path).out.decode().splitlines()
    assert lines[8:10] == ["  table of Y, Cb, Cr", "   25  25  25  25  30  30  30  30"]
    assert len(lines) == 17
    tables = [np.full((8, 8), step) for step in (1, 20000, 300)]
    coefficients = pyfd.read_coefficients(jpeg())
    odd = pyfd.Coefficients(**{**vars(coefficients), "qtables": pyfd.QTables(tables)})
    path.write_bytes(pyfd.write_coefficients(odd, progressive=True))
    lines = run("inspect", path).out.decode().splitlines()
    assert "  coding       progressive" in lines
    assert lines[8].split() == ["table", "of", "Y", "table", "of", "Cb"]
    assert len({len(line) for line in lines[9:17]}) == 1
    assert lines[18] == "  table of Cr"


def test_inspect_effect(run, photo):
    found = json.loads(run("inspect", photo, "-q", 16, "--json").out)
    result = pyfd.requantize(photo, pyfd.QTables.uniform(16))
    before, after = pyfd.read_coefficients(photo), pyfd.read_coefficients(result)
    assert found["effect"]["bytes"] == len(result)
    assert found["effect"]["qtables"] == "uniform-16"
    assert list(found["effect"]["components"]) == ["Y", "Cb", "Cr"]
    for i, shares in enumerate(found["effect"]["components"].values()):
        old, new = before.dequantized(i), after.dequantized(i)
        assert shares == {
            "coefficients": old.size,
            "on_grid": np.mean(old % 16 == 0),
            "changed": np.mean(old != new),
            "nonzero_before": np.mean(old != 0),
            "nonzero_after": np.mean(new != 0),
        }
    text = run("inspect", photo, "-q", 16).out.decode()
    assert "re-quantized to uniform-16, share of the coefficients" in text
    size = photo.stat().st_size
    assert f"  file size {size:,} -> {len(result):,} bytes" in text


def test_inspect_a_defended_file(run, png, tmp_path):
    run("encode", png, "-o", tmp_path / "x.jpg")
    found = json.loads(run("inspect", tmp_path / "x.jpg", "-q", DEFAULT.name, "--json").out)
    for shares in found["effect"]["components"].values():
        assert (shares["on_grid"], shares["changed"]) == (1, 0)


def test_inspect_large_steps(run, photo):
    assert run("inspect", photo, "-q", 1000).code == 0


def test_inspect_json_is_a_line_per_file(run, tree):
    outcome = run("inspect", tree, "--json")
    assert outcome.code == 1
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert [Path(item["file"]).name for item in found] == ["a.jpg", "b.JPEG"]
    header = pyfd.probe(tree / "a.jpg")
    assert found[0]["width"] == header.width
    assert found[0]["qtables"] == [table.tolist() for table in header.qtables]
    assert found[0]["comment"] is None


@pytest.mark.parametrize(
    ("space", "names"), [("L", ["Y"]), ("CMYK", list("CMYK")), ("RGB", ["Y", "Cb", "Cr"])]
)
def test_inspect_names_components(run, tmp_path, space, names):
    path = tmp_path / "x.jpg"
    Image.fromarray(picture()).convert(space).save(path)
    found = json.loads(run("inspect", path, "-q", 16, "--json").out)
    assert found["components"] == names
    assert list(found["effect"]["components"]) == names


def test_inspect_refuses(run, tree, tmp_path):
    outcome = run("inspect", tree, tmp_path / "missing.jpg", "-q", 16)
    assert outcome.code == 1
    assert len(outcome.lines) == 2
    assert outcome.out.decode().count("re-quantized to") == 2


EVIL = "\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\x7f\n\x00"


def test_nothing_in_a_file_reaches_the_terminal(run, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(comment=EVIL + "\u00e9" + "z" * 300))
    text = run("inspect", path).out.decode()
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    assert r'"\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\x7f\n\x00' in text
    assert "\u00e9" in text
    assert "and 123 more characters" in text
    path.write_bytes(jpeg(comment=b"\xff\x1b"))
    assert r"\xff\x1b" in run("inspect", path).out.decode()


def test_nothing_in_a_name_reaches_the_terminal(run, tmp_path):
    path = tmp_path / f"{EVIL[:-1]}.jpg"
    path.write_bytes(b"words")
    outcome = run("decode", path, "-o", tmp_path / "x.png")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert outcome.lines[0].isprintable()
    path.write_bytes(jpeg())
    text = run("inspect", path).out.decode()
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    outcome = run("decode", path, "-o", path)
    assert outcome.code == 2
    assert "\x1b" not in outcome.err


# ---- the process ----------------------------------------------------------


def start(*args: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "pyfd", *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **options
    )


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path, signum, code):
    source, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(source)

    def heed() -> None:
        """Whoever runs the tests in the background may have told them to ignore Ctrl-C."""
        signal.signal(signum, signal.SIG_DFL)

    # the pipe opens once the child has opened its end
    child = start("requantize", source, "-o", out / "x.jpg", preexec_fn=heed)
    with child as process, source.open("wb") as file:
        file.write(jpeg()[:100])
        file.flush()
        time.sleep(0.3)  # until it waits for more
        process.send_signal(signum)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == b""
    assert not out.exists()


def test_a_failing_write_leaves_the_old_file_and_nothing_else(photo, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.png").write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with start("decode", photo, "-o", out, preexec_fn=small_files) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.decode() == f"pyfd: {photo}: cannot write {out / 'photo.png'}: File too large\n"
    assert files(out) == ["photo.png"]
    assert (out / "photo.png").read_text() == "old"


def test_output_that_cannot_be_written(run, photo, tree, tmp_path):
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    (tree / "deep" / "bad.jpg").unlink()
    outcome = run("decode", tree, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert f"{tree / 'a.jpg'}: cannot write {tmp_path / 'out' / 'a.png'}" in outcome.err
    assert files(tmp_path / "out") == ["deep/b.png"]
    outcome = run("decode", photo, "-o", photo / "x.png")
    assert (outcome.code, len(outcome.lines)) == (1, 1)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves(tmp_path, unbuffered):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(np.tile(picture(), (20, 20, 1)), DEFAULT))
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with start("decode", path, "-o", "-", "--format", "bmp", env=environment) as process:
        process.stdout.read(10)
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_progress_goes_to_a_terminal_only(run, tree, tmp_path, monkeypatch):
    quiet = run("decode", tree, "-o", tmp_path / "one")
    assert "file/s" not in quiet.err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = run("decode", tree, "-o", tmp_path / "two")
    assert "3/3" in shown.err
    assert f"pyfd: {tree / 'deep' / 'bad.jpg'}: " in shown.err


@pytest.mark.parametrize("package", ["click", "tqdm", "PIL"])
def test_missing_packages(package):
    code = f"import sys; sys.modules[{package!r}] = None; from pyfd.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"pyfd: {package} is missing: pip install 'pyfd-jpeg[cli]'")


def test_letters_that_the_terminal_lacks(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(comment="\u65e5\u672c"))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    with start("inspect", path, env=environment) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert rb'"\u65e5\u672c"' in out


def test_memory_that_runs_out_is_an_input_refused(run, photo, monkeypatch):
    def fail(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(pyfd, "decode", fail)
    outcome = run("decode", photo, "-o", "-")
    assert (outcome.code, outcome.err) == (1, f"pyfd: {photo}: not enough memory\n")


def test_printable():
    assert _jobs.printable("é a\n\x1b\udce9") == "é a\\n\\x1b\\udce9"
