"""The drop-in libjpeg.so.62 in Debian's programs, and compared with Debian's library.

`make test-system` installs the programs and runs these tests.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core.native import DROP_IN
from tests.attacks import eob_runs
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.test_system import imagemagick

pytestmark = pytest.mark.system

PRESET = "fd-cvpr2019"
DECODE, ENCODE = "PYFD_DECODE_QTABLES", "PYFD_ENCODE_QTABLES"
PYTHON = "/usr/bin/python3"  # Debian's interpreter, with Debian's packages
PIL = "import sys, PIL.Image as i; i.open(sys.argv[1]).convert('RGB').save(sys.argv[2])"
CV2 = "import sys, cv2; cv2.imwrite(sys.argv[2], cv2.imread(sys.argv[1]))"

# Commands from a file IN to a file OUT
DECODERS = {
    "djpeg": "djpeg -outfile OUT IN",
    "imagemagick": "IMAGEMAGICK IN -depth 8 OUT",
    "graphicsmagick": "gm convert IN OUT",
    "gdal": "gdal_translate -q -of PNM IN OUT",
    "vips": "vips copy IN OUT",
    "vips on four threads": "vips copy IN OUT --vips-concurrency=4",
    "python3-pil": [PYTHON, "-c", PIL, "IN", "OUT"],
    "python3-opencv": [PYTHON, "-c", CV2, "IN", "OUT"],
}
ENCODERS = {
    **DECODERS,
    "djpeg": "cjpeg -sample 1x1 -outfile OUT IN",
    "imagemagick": "IMAGEMAGICK IN -quality 77 OUT",
    "gdal": "gdal_translate -q -of JPEG IN OUT",
}


def library_of(program: str) -> str:
    """Return the path of the system's libjpeg that a program is linked with."""
    path = shutil.which(program)
    assert path, f"{program} is not installed: make test-system installs it"
    linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"libjpeg\.so\.\d+ => (\S+)", linked)
    assert found, linked
    return found[1]


@pytest.fixture(autouse=True, scope="module")
def debian() -> Path:
    library = library_of("djpeg")
    if not library.endswith(".so.62"):
        pytest.skip(f"this system's programs use {Path(library).name}, as Ubuntu's do")
    return Path(library)


def words_of(command: str | list[str], source: Path, target: Path) -> list[str]:
    words = command.split() if isinstance(command, str) else command
    places = {"IN": str(source), "OUT": str(target), "IMAGEMAGICK": ""}
    if "IMAGEMAGICK" in words:
        places["IMAGEMAGICK"] = imagemagick()
    return [places.get(word, word) for word in words]


def attempt(
    command: str | list[str], source: Path, target: Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    words = words_of(command, source, target)
    environment = {**os.environ, "LD_PRELOAD": str(DROP_IN), **variables}
    return subprocess.run(words, capture_output=True, env=environment, check=False, timeout=120)


def call(command: str | list[str], source: Path, target: Path, **variables: str) -> None:
    result = attempt(command, source, target, **variables)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def tables_file(tmp_path) -> str:
    (tmp_path / "tables.txt").write_text(QTables.preset(PRESET).to_text())
    return str(tmp_path / "tables.txt")


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


# ---- beside Debian's ------------------------------------------------------


def symbols(library: Path) -> set[tuple[str, ...]]:
    """Return each symbol's type, binding, name and version, and the size of data.

    Programs may copy data, so its size is part of the interface.
    """
    command = ["readelf", "-W", "--dyn-syms", str(library)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [row for row in map(str.split, shown.splitlines()) if len(row) == 8]
    return {
        (kind, bind, size if kind == "OBJECT" else "", name)
        for _, _, size, kind, bind, _, index, name in rows
        if index not in ("UND", "Ndx")
    }


def test_the_symbols_are_debians_and_ours_apart(debian):
    theirs, ours = symbols(debian.resolve()), symbols(DROP_IN)
    assert len(theirs) > 100
    assert theirs <= ours
    assert {name.partition("@@")[2] or name for *_, name in ours - theirs} == {"PYFD_1"}


@pytest.mark.parametrize(
    "command",
    [
        "djpeg -outfile OUT IN",
        "djpeg -dct fast -nosmooth -scale 3/8 -outfile OUT IN",
        "djpeg -colors 64 -gif -outfile OUT IN",
        "djpeg -grayscale -crop 32x16+16+8 -outfile OUT IN",
        "jpegtran -rotate 90 -progressive -outfile OUT IN",
        "jpegtran -arithmetic -copy all -outfile OUT IN",
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_unset_it_reads_byte_for_byte_as_debians(debian, tmp_path, command, progressive):
    source = tmp_path / "x.jpg"
    source.write_bytes(encode_with_pillow(picture(123, 77), progressive=progressive))
    call(command, source, tmp_path / "ours")
    call(command, source, tmp_path / "theirs", LD_PRELOAD=str(debian))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize(
    "options", ["", "-progressive", "-arithmetic", "-quality 30 -optimize", "-rgb", "-dct float"]
)
def test_unset_it_writes_byte_for_byte_as_debians(debian, tmp_path, options):
    Image.fromarray(picture(123, 77)).save(tmp_path / "x.ppm")
    command = f"cjpeg {options} -outfile OUT IN"
    call(command, tmp_path / "x.ppm", tmp_path / "ours")
    call(command, tmp_path / "x.ppm", tmp_path / "theirs", LD_PRELOAD=str(debian))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("option", ["-optimize", "-arithmetic"])
def test_jpegtran_copies_what_is_in_the_file(tmp_path, tables_file, option):
    (tmp_path / "x.jpg").write_bytes(encode_with_pillow(picture(123, 77)))
    command = f"jpegtran {option} -outfile OUT IN"
    call(command, tmp_path / "x.jpg", tmp_path / "plain")
    call(command, tmp_path / "x.jpg", tmp_path / "y", **{DECODE: tables_file, ENCODE: tables_file})
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "y").read_bytes()


# ---- programs -------------------------------------------------------------


@pytest.mark.parametrize("program", DECODERS)
def test_programs_decode_what_pyfd_decodes(tmp_path, tables_file, photos, program):
    source = tmp_path / "x.jpg"
    progressive = encode_with_pillow(picture(123, 77), progressive=True)
    for data in (photos[0], progressive):
        source.write_bytes(data)
        call(DECODERS[program], source, tmp_path / "plain.ppm")
        assert np.array_equal(read(tmp_path / "plain.ppm"), pyfd.decode(data))
        call(DECODERS[program], source, tmp_path / "y.ppm", **{DECODE: tables_file})
        assert np.array_equal(read(tmp_path / "y.ppm"), pyfd.decode(data, PRESET))


@pytest.mark.parametrize("program", DECODERS)
def test_programs_fail_without_their_tables(tmp_path, photos, program):
    """ImageMagick reports the failure, but leaves a black picture behind."""
    source, target = tmp_path / "x.jpg", tmp_path / "y.ppm"
    source.write_bytes(photos[0])
    result = attempt(DECODERS[program], source, target, **{DECODE: "/no/such/file"})
    assert result.returncode != 0
    assert f"{DECODE} names '/no/such/file'" in result.stderr.decode()
    if target.exists() and target.stat().st_size:
        assert not read(target).any()


@pytest.mark.parametrize("program", ENCODERS)
def test_programs_write_the_tables(tmp_path, tables_file, program):
    source, target = tmp_path / "x.ppm", tmp_path / "y.jpg"
    Image.fromarray(picture(123, 77)).save(source)
    call(ENCODERS[program], source, target, **{ENCODE: tables_file})
    header = pyfd.probe(target)
    assert all((table == QTables.preset(PRESET)[0]).all() for table in header.qtables)
    written = pyfd.encode(read(source), PRESET, subsampling=header.subsampling)
    theirs, ours = pyfd.read_coefficients(target), pyfd.read_coefficients(written)
    # ImageMagick's transform is in floating point, so a tie may be rounded the other way
    most = 1 if program == "imagemagick" else 0
    for a, b in zip(theirs.components, ours.components, strict=True):
        assert np.abs(a.astype(int) - b).max() <= most


def test_identify_sees_the_defended_pixels(tmp_path, tables_file, photos):
    (tmp_path / "x.jpg").write_bytes(photos[0])
    Image.fromarray(pyfd.decode(photos[0], PRESET)).save(tmp_path / "y.ppm")

    def signature(path: Path, **variables: str) -> bytes:
        words = ["identify"] if Path(imagemagick()).name == "convert" else ["magick", "identify"]
        result = attempt([*words, "-format", "%#", "IN"], path, path, **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert signature(tmp_path / "x.jpg", **{DECODE: tables_file}) == signature(tmp_path / "y.ppm")


def test_thumbnails_are_made_of_defended_coefficients(tmp_path, tables_file):
    """libjpeg does the shrinking, as for vipsthumbnail."""
    data = encode_with_pillow(picture(160, 96), quality=90)
    (tmp_path / "x.jpg").write_bytes(data)
    command = ["vips", "jpegload", "IN", "OUT", "--shrink", "4"]
    call(command, tmp_path / "x.jpg", tmp_path / "y.ppm", **{DECODE: tables_file})
    assert np.array_equal(read(tmp_path / "y.ppm"), pyfd.decode(data, PRESET, scale=4))


def test_tiff_with_jpeg_inside_is_written_and_read_with_tables(tmp_path, tables_file):
    """libtiff stores the tables separately from the strips."""
    Image.fromarray(picture(128, 80)).save(tmp_path / "x.ppm")
    create = "gdal_translate -q -of GTiff -co COMPRESS=JPEG -co PHOTOMETRIC=YCBCR IN OUT"
    call(create, tmp_path / "x.ppm", tmp_path / "x.tif", **{ENCODE: tables_file})
    call("gdal_translate -q -of PNM IN OUT", tmp_path / "x.tif", tmp_path / "plain.ppm")
    call(
        *("gdal_translate -q -of PNM IN OUT", tmp_path / "x.tif", tmp_path / "again.ppm"),
        **{DECODE: tables_file},
    )
    # The file is on the tables' grid already, so decoding onto them changes nothing
    assert np.array_equal(read(tmp_path / "plain.ppm"), read(tmp_path / "again.ppm"))
    coarse = tmp_path / "coarse.txt"
    coarse.write_text(QTables.uniform(90).to_text())
    call(
        *("gdal_translate -q -of PNM IN OUT", tmp_path / "x.tif", tmp_path / "coarse.ppm"),
        **{DECODE: str(coarse)},
    )
    assert not np.array_equal(read(tmp_path / "plain.ppm"), read(tmp_path / "coarse.ppm"))


def test_chromium_shows_defended_pixels(tmp_path, tables_file):
    data = encode_with_pillow(picture(160, 120), quality=90)
    (tmp_path / "x.jpg").write_bytes(data)
    page = '<body style="margin:0"><img src="x.jpg" style="display:block">'
    (tmp_path / "page.html").write_text(f"<!doctype html>{page}")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--force-color-profile=srgb", "--window-size=700,500"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}"]
    source = tmp_path / "page.html"
    call([*command, source.as_uri()], source, source, **{DECODE: tables_file})
    assert np.array_equal(read(tmp_path / "page.png")[:120, :160], pyfd.decode(data, PRESET))


def pyfd_exec(*words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyfd", "exec", "-q", PRESET, *words]
    root = Path(__file__).parents[3]
    return subprocess.run(command, capture_output=True, check=False, cwd=root, timeout=120)


@pytest.mark.parametrize("program", DECODERS)
def test_pyfd_exec_says_nothing_of_a_program_that_it_reaches(tmp_path, photos, program):
    (tmp_path / "x.jpg").write_bytes(photos[0])
    words = words_of(DECODERS[program], tmp_path / "x.jpg", tmp_path / "y.ppm")
    result = pyfd_exec("--require", "--", *words)
    assert result.returncode == 0, result.stderr
    assert b"pyfd:" not in result.stderr


@pytest.mark.parametrize("program", DECODERS)
def test_scan_bombs_are_refused(tmp_path, program):
    (tmp_path / "x.jpg").write_bytes(eob_runs(4096, 2000))
    words = words_of(DECODERS[program], tmp_path / "x.jpg", tmp_path / "y.ppm")
    result = pyfd_exec("--", *words)
    said = b"has refused a file: 101 scans, but PYFD_MAX_SCANS is 100"
    if program == "gdal":  # it has a limit of its own
        said = b"Scan number 100 exceeds maximum scans (100)"
    assert said in result.stderr.splitlines()[-1]


def test_pyfd_exec_reaches_a_pipeline_of_debians_programs(tmp_path, photos):
    (tmp_path / "x.jpg").write_bytes(photos[0])
    pipeline = f"djpeg '{tmp_path / 'x.jpg'}' | cjpeg -quality 90 -sample 1x1"
    command = [sys.executable, "-m", "pyfd", "exec", "-q", PRESET, "--encode-qtables", "16"]
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [*command, "--", "sh", "-c", pipeline], capture_output=True, check=True, cwd=root
    )
    expected = pyfd.encode(pyfd.decode(photos[0], PRESET), QTables.uniform(16))
    assert np.array_equal(pyfd.decode(result.stdout), pyfd.decode(expected))
    assert Image.open(io.BytesIO(result.stdout)).size == pyfd.decode(photos[0]).shape[1::-1]
