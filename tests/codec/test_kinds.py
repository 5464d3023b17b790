"""Files that are not JPEGs: unsupported, with the name of what they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import pyfd
import pyfd.opencv
import pyfd.pillow
import pyfd.ray
import pyfd.torch
from pyfd import CorruptJPEGError, UnsupportedJPEGError
from pyfd.cli import cli
from tests.jpegs import EOI, SOI, dqt, picture, segment, sof, sos

PRESET = "fd-cvpr2019"


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(32, 32)).save(buffer, kind, **options)
    return buffer.getvalue()


def box(brand: bytes) -> bytes:
    return (24).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + b"mif1" + brand


KINDS = {
    "a PNG file": saved("PNG"),
    "a WebP file": saved("WebP"),
    "a GIF file": saved("GIF"),
    "a TIFF file": saved("TIFF"),
    "a BMP file": saved("BMP"),
    "a Netpbm file": saved("PPM"),
    "an icon": saved("ICO", bitmap_format="bmp"),
    "a JPEG 2000 file": saved("JPEG2000"),
    "a JPEG 2000 codestream": saved("JPEG2000", no_jp2=True),
    "a PDF file": saved("PDF"),
    "an AVIF file": saved("AVIF"),
    "a HEIC file": box(b"heic"),
    "a HEIF file": box(b"mif1"),
    "a Canon raw file": box(b"crx "),
    "a video file": box(b"isom"),
    "a JPEG XL file": b"\xff\x0a" + bytes(20),
    "a PSD file": b"8BPS\0\1" + bytes(20),
    "a ZIP file": b"PK\x03\x04" + bytes(20),
    "a gzip file": b"\x1f\x8b\x08" + bytes(20),
    "an HTML page": b"\xef\xbb\xbf\r\n <!DOCTYPE HTML><title>404</title>",
    "an SVG file": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "an XML file": b"<?xml version='1.0'?><error/>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "no bytes": b"",
}
READERS = {
    "probe": pyfd.probe,
    "decode": pyfd.decode,
    "defended": lambda data: pyfd.decode(data, PRESET),
    "lenient": lambda data: pyfd.decode(data, PRESET, strict=False),
    "requantize": lambda data: pyfd.requantize(data, PRESET),
    "without metadata": lambda data: pyfd.requantize(data, PRESET, metadata=False, strict=False),
    "read_coefficients": pyfd.read_coefficients,
    "snap": lambda data: pyfd.snap(data, PRESET),
    "decode_many": lambda data: pyfd.decode_many([data], PRESET),
    "torch": lambda data: pyfd.torch.decode(data, PRESET),
    "why_uncovered": pyfd.why_uncovered,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_named(kind, reader):
    for source in (KINDS[kind], bytearray(KINDS[kind]), io.BytesIO(KINDS[kind])):
        with pytest.raises(UnsupportedJPEGError, match=f"^not a JPEG: {kind}$") as caught:
            READERS[reader](source)
        assert type(caught.value) is UnsupportedJPEGError


@pytest.mark.parametrize("kind", KINDS)
def test_beginnings_of_other_kinds(kind):
    """Files that are cut off anywhere, and bytes of no known kind, are no JPEGs either."""
    for size in range(1, min(len(KINDS[kind]), 40)):
        with pytest.raises((UnsupportedJPEGError, CorruptJPEGError), match=r"^not a JPEG"):
            pyfd.probe(KINDS[kind][:size])


@pytest.mark.parametrize(
    "noise", [b"\xff", b"\xd8", bytes(100), b"\xff\xff\xd8", b"words", b"B", b"P6"]
)
def test_what_is_not_known_is_corrupt(noise):
    for reader in READERS.values():
        with pytest.raises(CorruptJPEGError, match="not a JPEG file"):
            reader(noise)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (0xF7, "JPEG-LS"),
        (0xF8, "JPEG-LS"),
        (0xF0, "an extension of JPEG"),
        (0xFD, "an extension of JPEG"),
        (0xC8, "an extension of JPEG"),
        (0xDE, "hierarchical"),
        (0xDF, "hierarchical"),
        (0xC3, "lossless"),
        (0xCC, "arithmetic"),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_other_kinds_of_jpeg(marker, says, reader):
    scan = sof(8, 8) + sos() + b"\x28"
    for before in (b"", dqt()):
        with pytest.raises(UnsupportedJPEGError, match=says):
            READERS[reader](SOI + before + segment(marker, b"\0\x08\0\x08") + dqt() + scan + EOI)


def test_pillow_reads_other_kinds():
    for kind in ("PNG", "GIF", "BMP", "TIFF", "WebP", "JPEG2000"):
        data = saved(kind)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        with pyfd.pillow.defended(PRESET):
            image = Image.open(io.BytesIO(data))
            assert image.format in (kind.upper(), "JPEG2000")
            assert np.array_equal(np.asarray(image.convert("RGB")), expected)


def test_opencv_reads_other_kinds_without_tables():
    data = saved("PNG")
    assert pyfd.opencv.imdecode(data).shape == (32, 32, 3)
    assert pyfd.opencv.imdecode(data, 1, PRESET) is None
    assert pyfd.opencv.imdecode(b"") is None


def test_calibration_and_ray_say_it():
    with pytest.raises(ValueError, match="not a JPEG: a PNG file"):
        pyfd.calibrate([KINDS["a PNG file"]])
    batch = {"bytes": np.array([KINDS["a PNG file"]], object)}
    (piece,) = pyfd.ray.Decode(PRESET)(batch)
    assert "not a JPEG: a PNG file" in piece["error"][0]


@pytest.mark.parametrize("command", ["decode", "requantize", "inspect"])
def test_the_commands_say_it(command, tmp_path):
    for name, kind in (("x.png", "a PNG file"), ("empty.jpg", "no bytes")):
        path = tmp_path / name
        path.write_bytes(KINDS[kind])
        out = str(tmp_path / "out") + {"decode": ".png", "requantize": ".jpg"}.get(command, "")
        output = [] if command == "inspect" else ["-o", out]
        result = CliRunner().invoke(cli, [command, str(path), *output])
        assert result.exit_code == 1
        assert f"not a JPEG: {kind}" in result.output
