"""The drop-in libjpeg.so.62: its symbols, and programs that are linked with it.

The programs are upstream's own cjpeg, djpeg and jpegtran, and dropin.c, which uses
libjpeg in the ways in which these do not. test_system.py runs Debian's programs.
"""

from __future__ import annotations

import io
import subprocess

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core.native import DROP_IN
from tests import jpegs
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.dropin.programs import (
    DECODE,
    ENCODE,
    PRESET,
    ROOT,
    THREE,
    attempt,
    call,
    needs_drop_in,
    pixels,
    tables_file,
)

pytestmark = needs_drop_in


# ---- the library ------------------------------------------------------------


def readelf(*options: str) -> str:
    command = ["readelf", "-W", *options, str(DROP_IN)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported() -> dict[str, str]:
    """Return the exported names and their versions."""
    lines = [line.split() for line in readelf("--dyn-syms").splitlines()]
    names = [words[7] for words in lines if len(words) == 8 and words[6] not in ("UND", "Ndx")]
    return {name: version for name, _, version in (name.partition("@@") for name in names)}


def test_the_forks_functions_have_a_version_of_their_own():
    ours = {name for name, version in exported().items() if version == "PYFD_1"}
    header = "\n".join(path.read_text() for path in (ROOT / "third_party").rglob("*.patch"))
    assert ours == {
        "jpeg_end_mcus",
        "jpeg_filter_blocks",
        "jpeg_get_requantize_method",
        "jpeg_init_requantizer",
        "jpeg_override_quant_tables",
        "jpeg_read_mcu",
        "jpeg_set_requant_tables",
        "jpeg_write_requantized",
    }
    assert all(name in header for name in ours)


def test_nothing_else_than_libjpegs_is_exported():
    """The fork's internal functions must stay hidden, whatever the patches add."""
    versions = {"LIBJPEG_6.2", "LIBJPEGTURBO_6.2", "PYFD_1"}
    assert {version for version in exported().values() if version} == versions
    internal = {name for name in exported() if "environment" in name or "jsimd" in name}
    assert not internal
    assert exported()["jpeg_mem_src"] == "LIBJPEGTURBO_6.2"
    assert exported()["jpeg_start_decompress"] == "LIBJPEG_6.2"


def test_no_patch_touches_the_public_header():
    touched = [
        line.split()[1]
        for path in (ROOT / "third_party/libjpeg-turbo/patches").rglob("*.patch")
        for line in path.read_text().splitlines()
        if line.startswith("+++ ")
    ]
    assert "b/jrequant.h" in touched
    assert not {"b/jpeglib.h", "b/jmorecfg.h", "b/jconfig.h.in"} & set(touched)


def test_it_is_named_and_hardened_as_a_system_library():
    dynamic, segments = readelf("--dynamic"), readelf("--segments")
    assert "Library soname: [libjpeg.so.62]" in dynamic
    assert "BIND_NOW" in dynamic
    assert "GNU_RELRO" in segments
    assert not [name for name in ("RPATH", "RUNPATH", "TEXTREL") if name in dynamic]
    (stack,) = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack


def test_what_simd_may_be_used_is_known_to_all_threads():
    """Thread-local state once made libvips crash (Debian bug 1030347)."""
    assert "TLS" not in readelf("--segments")


# ---- without the variables --------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"quality": 75}, {"quality": 95, "subsampling": 0}, {"progressive": True}]
)
def test_unset_it_decodes_as_stock(programs, options):
    """Pillow's wheel contains a libjpeg-turbo other than ours."""
    data = encode_with_pillow(picture(123, 77), **options)
    stock = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(pixels(call(programs / "djpeg", data=data)), stock)


def test_unset_it_encodes_as_stock(programs):
    image = picture(123, 77)
    ppm = b"P6 123 77 255 " + image.tobytes()
    for options, same in (([], {}), (["-progressive"], {"progressive": True})):
        written = call(programs / "cjpeg", "-quality", "75", *options, data=ppm)
        stock = encode_with_pillow(image, quality=75, **same)
        assert pyfd.probe(written).qtables == pyfd.probe(stock).qtables
        ours, theirs = pyfd.read_coefficients(written), pyfd.read_coefficients(stock)
        for a, b in zip(ours.components, theirs.components, strict=True):
            assert np.array_equal(a, b)


def test_every_pixel_of_two_bytes_is_written(programs, tmp_path):
    """Rows that do not begin at a multiple of four bytes once lost their last pixels."""
    data = encode_with_pillow(picture(83, 61), subsampling=2)
    (tmp_path / "x.jpg").write_bytes(data)
    raw = call(programs / "dropin", "565", tmp_path / "x.jpg")
    red, green, blue = np.moveaxis(pyfd.decode(data).astype(np.uint16), 2, 0)
    expected = red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    assert np.array_equal(np.frombuffer(raw, "<u2").reshape(61, 83), expected)


def test_there_are_no_rows_below_the_image(programs, tmp_path):
    """Two passes of color quantization once returned one, of memory never written."""
    head = jpegs.SOI + jpegs.dqt() + jpegs.sof(40, 35, (0x14, 0x11, 0x11)) + jpegs.sos((1, 2, 3))
    gray = b"\x28\xa2\x8a" * 15  # 60 blocks, as in jpegs.gray()
    (tmp_path / "x.jpg").write_bytes(head + gray + jpegs.EOI)
    assert len(call(programs / "dropin", "colors", tmp_path / "x.jpg")) == 35 * 40


# ---- decoding ---------------------------------------------------------------


@pytest.mark.parametrize("tables", [PRESET, "fd-2018", THREE, QTables.uniform(32767)], ids=repr)
@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "progressive", "gray", "CMYK"])
def test_programs_decode_onto_the_tables(programs, tmp_path, tables, kind):
    channels = {"gray": 1, "CMYK": 4}.get(kind, 3)
    options = {"subsampling": 2 if kind == "4:2:0" else 0, "progressive": kind == "progressive"}
    data = encode_with_pillow(picture(83, 61, channels=channels), quality=90, **options)
    (tmp_path / "x.jpg").write_bytes(data)
    name = tables_file(tmp_path, tables)
    raw = call(programs / "dropin", "rows", tmp_path / "x.jpg", **{DECODE: name})
    expected = pyfd.decode(data, tables, mode=None)
    if kind == "CMYK":  # libjpeg does not invert Adobe's CMYK
        expected = 255 - expected
    assert raw == expected.tobytes()


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2, "progressive": True}])
def test_other_instructions_give_the_same_results(programs, tmp_path, variable, options):
    data = encode_with_pillow(picture(83, 61), quality=90, **options)
    (tmp_path / "x.jpg").write_bytes(data)
    variables = {variable: "1", DECODE: tables_file(tmp_path), ENCODE: tables_file(tmp_path)}
    raw = call(programs / "dropin", "rows", tmp_path / "x.jpg", **variables)
    assert raw == pyfd.decode(data, PRESET).tobytes()
    ppm = b"P6 83 61 255 " + raw
    encoded = call(programs / "cjpeg", "-optimize", data=ppm, **variables)
    del variables[variable]
    assert encoded == call(programs / "cjpeg", "-optimize", data=ppm, **variables)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_programs_that_scale_decode_onto_the_tables(programs, photo, tmp_path, scale):
    pnm = call(
        *(programs / "djpeg", "-scale", f"1/{scale}", photo), **{DECODE: tables_file(tmp_path)}
    )
    assert np.array_equal(pixels(pnm), pyfd.decode(photo, PRESET, scale=scale))


@pytest.mark.parametrize("mode", ["threads", "handover", "buffered"])
@pytest.mark.parametrize("progressive", [False, True])
def test_other_ways_to_decode(programs, tmp_path, mode, progressive):
    data = encode_with_pillow(picture(83, 61), quality=90, progressive=progressive)
    (tmp_path / "x.jpg").write_bytes(data)
    command = (programs / "dropin", mode, tmp_path / "x.jpg")
    assert call(*command) == pyfd.decode(data).tobytes()
    defended = pyfd.decode(data, PRESET)
    assert call(*command, **{DECODE: tables_file(tmp_path)}) == defended.tobytes()


def test_a_crop_is_decoded_onto_the_tables(programs, photo, tmp_path):
    raw = call(programs / "dropin", "crop", photo, **{DECODE: tables_file(tmp_path)})
    rows = np.frombuffer(raw, np.uint8).reshape(61, 32, 3)[8:]
    assert np.array_equal(rows, pyfd.decode(photo, PRESET)[8:, 16:48])


def test_raw_planes_are_decoded_onto_the_tables(programs, photo, tmp_path):
    raw = call(programs / "dropin", "raw", photo, **{DECODE: tables_file(tmp_path)})
    planes = np.frombuffer(raw, np.uint8).reshape(3, 64, 88)[:, :61, :83]
    assert np.array_equal(planes, np.moveaxis(pyfd.decode(photo, PRESET, mode="YCbCr"), 2, 0))


def test_a_programs_own_tables_go_first(programs, photo, tmp_path):
    raw = call(programs / "dropin", "own", photo, **{DECODE: tables_file(tmp_path)})
    assert raw == pyfd.decode(photo, QTables.uniform(60)).tobytes()


def test_a_program_may_transcode_mcu_by_mcu(programs, photo, tmp_path):
    """The result has the program's tables, not those for decoding to pixels."""
    expected = pyfd.requantize(photo, QTables.uniform(60))
    out = call(programs / "dropin", "transcode", photo, **{DECODE: tables_file(tmp_path)})
    assert np.array_equal(pyfd.decode(out), pyfd.decode(expected))
    assert (pyfd.probe(out).qtables.array == 60).all()


@pytest.mark.parametrize("mode", ["optimize", "larger", "sampling"])
def test_a_transcoder_of_other_mcus_is_refused(programs, photo, mode):
    result = attempt(programs / "dropin", f"transcode-{mode}", photo)
    assert result.returncode == 1
    assert result.stderr == b"Bogus buffer control mode\n"


def test_a_transcoder_of_several_scans_is_refused(programs, tmp_path):
    path = tmp_path / "progressive.jpg"
    path.write_bytes(encode_with_pillow(picture(83, 61), progressive=True))
    result = attempt(programs / "dropin", "transcode", path)
    assert result.returncode == 1
    assert result.stderr == b"Bogus buffer control mode\n"


def test_arithmetic_coding_is_there_and_decoded_onto_the_tables(programs, photo, tmp_path):
    """Debian's library has arithmetic coding; the extension does not."""
    data = call(programs / "jpegtran", "-arithmetic", photo)
    with pytest.raises(pyfd.UnsupportedJPEGError):
        pyfd.decode(data)
    assert np.array_equal(pixels(call(programs / "djpeg", data=data)), pyfd.decode(photo))
    defended = pixels(call(programs / "djpeg", data=data, **{DECODE: tables_file(tmp_path)}))
    assert np.array_equal(defended, pyfd.decode(photo, PRESET))


# ---- coefficients -----------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-optimize"], ["-progressive"], ["-rotate", "90"]])
def test_copies_of_coefficients_are_left_alone(programs, photo, tmp_path, options):
    name = tables_file(tmp_path)
    plain = call(programs / "jpegtran", *options, photo)
    assert call(programs / "jpegtran", *options, photo, **{DECODE: name, ENCODE: name}) == plain
    assert call(programs / "jpegtran", *options, photo, **{ENCODE: "/no/such/file"}) == plain


def test_coefficients_beside_defended_pixels_are_the_files(programs, photo, tmp_path):
    raw = call(programs / "dropin", "coefficients", photo, **{DECODE: tables_file(tmp_path)})
    luma = np.frombuffer(raw, np.int16).reshape(8, 11, 8, 8)
    assert np.array_equal(luma, pyfd.read_coefficients(photo).components[0])


# ---- encoding ---------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-progressive"], ["-optimize"], ["-quality", "10"]])
@pytest.mark.parametrize("tables", [PRESET, THREE], ids=repr)
def test_programs_write_the_tables(programs, tmp_path, tables, options):
    image = picture(83, 61)
    ppm = b"P6 83 61 255 " + image.tobytes()
    name = tables_file(tmp_path, tables)
    data = call(programs / "cjpeg", "-sample", "1x1", *options, data=ppm, **{ENCODE: name})
    written = pyfd.encode(image, tables)
    assert pyfd.probe(data).qtables == pyfd.probe(written).qtables
    assert np.array_equal(pyfd.decode(data), pyfd.decode(written))


@pytest.mark.parametrize("step", [4259, 5332])
def test_the_fast_dct_takes_steps_whose_divisors_exceed_16_bits(programs, tmp_path, step):
    """They became small ones, or 0, which ended the program."""
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    name = tables_file(tmp_path, QTables.uniform(step))
    result = attempt(programs / "cjpeg", "-dct", "fast", data=ppm, **{ENCODE: name})
    assert result.returncode == 0
    planes = pyfd.read_coefficients(result.stdout).components
    assert max(np.abs(plane).max() for plane in planes) <= 1


def test_steps_beyond_255_are_written_in_16_bits(programs, tmp_path):
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    tables = QTables.uniform(8191)
    result = attempt(programs / "cjpeg", data=ppm, **{ENCODE: tables_file(tmp_path, tables)})
    assert (pyfd.probe(result.stdout).qtables.array == 8191).all()
    assert b"too coarse for baseline" in result.stderr  # a warning of libjpeg's, which cjpeg prints
