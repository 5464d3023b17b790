"""Files of pyfd's in Debian's programs, and Debian's libjpeg-turbo as the oracle.

`make test-system` installs the programs and runs these tests.
"""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from tests.jpegs import encode_with_pillow, picture

pytestmark = pytest.mark.system

PRESET = "fd-cvpr2019"
KINDS = {
    "gray": {"channels": 1},
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:0": {"subsampling": "4:2:0"},
    "4:4:0": {"subsampling": "4:4:0"},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "three tables": {"qtables": QTables([np.full((8, 8), step) for step in (12, 25, 40)])},
}
CERTIFIED = {
    "certified": {"radius": 1},
    "certified gray": {"radius": 1, "channels": 1},
    "certified progressive": {"radius": 1, "progressive": True},
    "certified by finer tables": {"radius": 1, "qtables": QTables.certified(1)},
    "certified for files": {
        "radius": 1,
        "radius_files": 1,
        "qtables": QTables.certified(1, files=True),
    },
}
KINDS |= CERTIFIED


def defended_file(path: Path, kind: str) -> np.ndarray:
    """Write a file, and return our own pixels of it as RGB."""
    options = dict(KINDS[kind])
    image = picture(160, 120, seed=5, channels=options.pop("channels", 3))
    qtables = options.pop("qtables", PRESET)
    path.write_bytes(pyfd.encode(image, qtables, **options))
    return pyfd.decode(path, qtables)


def run(*command: object, **options: object) -> bytes:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, **options).stdout  # type: ignore[call-overload]


def assert_close(theirs: np.ndarray, ours: np.ndarray) -> None:
    assert theirs.shape == ours.shape
    assert np.abs(theirs.astype(int) - ours).max() <= 3


def imagemagick() -> str:
    """Return the path of ImageMagick's program: another one of the name may be first in PATH."""
    for folder in ("/usr/bin", *shutil.os.get_exec_path()):
        for name in ("convert", "magick"):
            program = shutil.which(name, path=folder)
            if program and b"ImageMagick" in run(program, "-version"):
                return program
    raise AssertionError("ImageMagick is not installed: make test-system installs it")


@pytest.mark.parametrize("kind", KINDS)
def test_imagemagick_opens_our_files(tmp_path, kind):
    ours = defended_file(tmp_path / "x.jpg", kind)
    ppm = run(imagemagick(), tmp_path / "x.jpg", "-type", "TrueColor", "-depth", "8", "ppm:-")
    assert_close(np.asarray(Image.open(io.BytesIO(ppm)).convert("RGB")), ours)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"4:2:0", "4:4:0"}))
def test_ffmpeg_opens_our_files(tmp_path, kind):
    """ffmpeg upsamples chroma differently, so only 4:4:4 is compared."""
    ours = defended_file(tmp_path / "x.jpg", kind)
    raw = run(
        *("ffmpeg", "-v", "error", "-i", tmp_path / "x.jpg"),
        *("-sws_flags", "accurate_rnd+full_chroma_int+bitexact"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    )
    assert_close(np.frombuffer(raw, np.uint8).reshape(ours.shape), ours)


@pytest.mark.parametrize("kind", KINDS)
def test_chromium_opens_our_files(tmp_path, kind):
    ours = defended_file(tmp_path / "x.jpg", kind)
    page = '<body style="margin:0;background:#123456"><img src="x.jpg" style="display:block">'
    (tmp_path / "page.html").write_text(f"<!doctype html>{page}")
    run(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--force-color-profile=srgb", "--window-size=700,500"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--screenshot={tmp_path / 'page.png'}",
        (tmp_path / "page.html").as_uri(),
        timeout=120,
    )
    page_pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert_close(page_pixels[:120, :160], ours)
    assert (page_pixels[130, 170] == (0x12, 0x34, 0x56)).all()


def djpeg(data: bytes, *options: str) -> np.ndarray:
    pnm = run("djpeg", "-dct", "int", "-pnm", *options, input=data)
    return np.asarray(Image.open(io.BytesIO(pnm)))


@pytest.mark.parametrize("kind", CERTIFIED)
def test_the_stock_library_shows_the_certified_pixels(tmp_path, kind):
    """The certificate is about pixels, so that they must be the same for whoever decodes them."""
    tables = CERTIFIED[kind].get("qtables", PRESET)
    ours = defended_file(tmp_path / "x.jpg", kind)
    plain = pyfd.decode(tmp_path / "x.jpg", mode=None)
    stock = djpeg((tmp_path / "x.jpg").read_bytes())
    assert np.array_equal(stock, plain)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.jpg")), plain)
    assert np.array_equal(plain if plain.ndim == 3 else np.stack([plain] * 3, 2), ours)
    assert pyfd.holds(stock, tables, 1).all()
    assert (pyfd.certify(stock, tables).file_radius > 1) == ("radius_files" in CERTIFIED[kind])


def test_a_plain_decode_is_the_stock_librarys(photos):
    """Debian's djpeg and the fork are both libjpeg-turbo 2.1.5."""
    assert b"2.1.5" in subprocess.run(["djpeg", "-version"], capture_output=True).stderr
    for data in photos[::10]:
        assert np.array_equal(pyfd.decode(data, mode=None), djpeg(data))
        assert np.array_equal(pyfd.decode(data, mode=None, scale=4), djpeg(data, "-scale", "1/4"))


def test_the_stock_library_reads_what_decode_shows(photos):
    """decode(x, T) is a stock decoder's output for requantize(x, T)."""
    for data in photos[5::40]:
        for qtables in (PRESET, "fd-2018"):
            stock = djpeg(pyfd.requantize(data, qtables))
            assert np.array_equal(pyfd.decode(data, qtables, mode=None), stock)


@pytest.mark.parametrize("name", ["fd-2018", "fd-cvpr2019"])
def test_cjpeg_takes_the_text_form(tmp_path, name):
    qtables = QTables.preset(name)
    (tmp_path / "tables.txt").write_text(qtables.to_text())
    Image.fromarray(picture(40, 30)).save(tmp_path / "x.ppm")
    options = ["-qslots", "0", "-sample", "1x1"]
    data = run("cjpeg", "-qtables", tmp_path / "tables.txt", *options, tmp_path / "x.ppm")
    assert all((table == qtables[0]).all() for table in pyfd.probe(data).qtables)
    assert np.array_equal(pyfd.decode(data), pyfd.decode(pyfd.encode(picture(40, 30), qtables)))


def test_jpegtran_and_our_coefficients_agree():
    """A lossless copy by jpegtran has the coefficients that read_coefficients returns."""
    data = encode_with_pillow(picture(77, 55), subsampling=2)
    first = pyfd.read_coefficients(data)
    for options in (["-progressive"], ["-optimize"], ["-restart", "1"]):
        copy = pyfd.read_coefficients(run("jpegtran", *options, input=data))
        for a, b in zip(first.components, copy.components, strict=True):
            assert np.array_equal(a, b)
