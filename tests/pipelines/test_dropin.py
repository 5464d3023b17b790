"""The drop-in libjpeg.so.62: what programs see of it, and `pyfd exec`.

test_system_dropin.py has the programs of Debian's. Here, upstream's own cjpeg,
djpeg and jpegtran are compiled against it, and dropin.c, which does the rest of
what programs do with libjpeg.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core.native import DROP_IN
from tests.jpegs import encode_with_pillow, picture
from tests.packaging.sources import load_build

if os.environ.get("PYFD_SANITIZE"):
    pytest.skip("a sanitized build has no drop-in", allow_module_level=True)

ROOT = Path(__file__).parents[2]
DECODE, ENCODE = "PYFD_DECODE_QTABLES", "PYFD_ENCODE_QTABLES"
PRESET = "fd-cvpr2019"
THREE = QTables([np.full((8, 8), step) for step in (12, 25, 40)])
SOURCES = {
    "cjpeg": "cjpeg.c cdjpeg.c rdbmp.c rdgif.c rdppm.c rdswitch.c rdtarga.c",
    "djpeg": "djpeg.c cdjpeg.c rdcolmap.c rdswitch.c wrbmp.c wrgif.c wrppm.c wrtarga.c",
    "jpegtran": "jpegtran.c cdjpeg.c rdswitch.c transupp.c",
}


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    """A folder with cjpeg, djpeg, jpegtran and dropin, linked with the installed drop-in."""
    folder = tmp_path_factory.mktemp("programs")
    for name in (*SOURCES, "dropin"):
        compile_program(name, folder, DROP_IN)
    return folder


def compile_program(name: str, folder: Path, library: Path) -> None:
    fork = load_build(ROOT).fork.build_drop_in(ROOT / "build")
    files = [fork / "src" / file for file in SOURCES.get(name, "").split()]
    files = files or [ROOT / "tests" / "pipelines" / "dropin.c"]
    formats = [f"-D{name}_SUPPORTED" for name in ("BMP", "GIF", "PPM", "TARGA")]
    command = ["cc", "-w", "-pthread", *formats, f"-I{fork / 'build'}", f"-I{fork / 'src'}"]
    command += [*map(str, files), "-o", str(folder / name), str(library)]
    subprocess.run([*command, f"-Wl,-rpath,{library.parent}"], check=True)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode_with_pillow(picture(83, 61), quality=90, subsampling=0))
    return path


def tables_file(folder: Path, tables: QTables | str = PRESET) -> str:
    tables = QTables.preset(tables) if isinstance(tables, str) else tables
    (folder / "tables.txt").write_text(tables.to_text())
    return str(folder / "tables.txt")


def call(*command: object, data: bytes | None = None, **variables: str) -> bytes:
    result = attempt(*command, data=data, **variables)
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    return result.stdout


def attempt(
    *command: object, data: bytes | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    words = [str(word) for word in command]
    environment = {**os.environ, **variables}
    return subprocess.run(words, input=data, capture_output=True, env=environment, check=False)


def pixels(pnm: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(pnm)))


# ---- the library ----------------------------------------------------------


def readelf(*options: str) -> str:
    command = ["readelf", "-W", *options, str(DROP_IN)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported() -> dict[str, str]:
    """Names and their versions."""
    lines = [line.split() for line in readelf("--dyn-syms").splitlines()]
    names = [words[7] for words in lines if len(words) == 8 and words[6] not in ("UND", "Ndx")]
    return {name: version for name, _, version in (name.partition("@@") for name in names)}


def test_the_forks_functions_have_a_version_of_their_own():
    ours = {name for name, version in exported().items() if version == "PYFD_1"}
    header = "\n".join(path.read_text() for path in (ROOT / "third_party").rglob("*.patch"))
    assert ours == {
        "jpeg_end_mcus",
        "jpeg_get_requantize_method",
        "jpeg_init_requantizer",
        "jpeg_override_quant_tables",
        "jpeg_read_mcu",
        "jpeg_set_requant_tables",
        "jpeg_write_requantized",
    }
    assert all(name in header for name in ours)


def test_nothing_else_than_libjpegs_is_exported():
    """The fork's internal functions are not, whatever the patches add."""
    versions = {"LIBJPEG_6.2", "LIBJPEGTURBO_6.2", "PYFD_1"}
    assert {version for version in exported().values() if version} == versions
    internal = {name for name in exported() if "environment" in name or "jsimd" in name}
    assert not internal
    assert exported()["jpeg_mem_src"] == "LIBJPEGTURBO_6.2"
    assert exported()["jpeg_start_decompress"] == "LIBJPEG_6.2"


def test_no_patch_touches_the_public_header():
    touched = [
        line.split()[1]
        for path in (ROOT / "third_party/libjpeg-turbo/patches").iterdir()
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
    """No thread's own state, with which libvips once died (Debian bug 1030347)."""
    assert "TLS" not in readelf("--segments")


# ---- without the variables ------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"quality": 75}, {"quality": 95, "subsampling": 0}, {"progressive": True}]
)
def test_unset_it_decodes_as_stock(programs, options):
    """Pillow's wheel has a libjpeg-turbo that is not ours."""
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


# ---- decoding -------------------------------------------------------------


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
    if kind == "CMYK":  # libjpeg has Adobe's inverted CMYK as it is in the file
        expected = 255 - expected
    assert raw == expected.tobytes()


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
    """Onto its own tables: those for decoding to pixels do not count."""
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
    """Debian's library has it; the extension has not."""
    data = call(programs / "jpegtran", "-arithmetic", photo)
    with pytest.raises(pyfd.UnsupportedJPEGError):
        pyfd.decode(data)
    assert np.array_equal(pixels(call(programs / "djpeg", data=data)), pyfd.decode(photo))
    defended = pixels(call(programs / "djpeg", data=data, **{DECODE: tables_file(tmp_path)}))
    assert np.array_equal(defended, pyfd.decode(photo, PRESET))


# ---- coefficients ---------------------------------------------------------


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


# ---- encoding -------------------------------------------------------------


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


def test_steps_beyond_255_are_written_in_16_bits(programs, tmp_path):
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    tables = QTables.uniform(8191)
    result = attempt(programs / "cjpeg", data=ppm, **{ENCODE: tables_file(tmp_path, tables)})
    assert (pyfd.probe(result.stdout).qtables.array == 8191).all()
    assert b"too coarse for baseline" in result.stderr  # libjpeg's own word, which cjpeg prints


# ---- table files ----------------------------------------------------------

WRONG = {
    "nothing": ("", "1 to 4 tables of 64 steps"),
    "comments alone": ("# 1 2 3\n", "1 to 4 tables of 64 steps"),
    "63 steps": ("9 " * 63, "1 to 4 tables of 64 steps"),
    "65 steps": ("9 " * 65, "1 to 4 tables of 64 steps"),
    "five tables": ("9 " * 320, "more than 4 tables"),
    "a step of 0": ("9 " * 63 + "0", "a step is not in 1..."),
    "a step too large": ("9 " * 63 + "32768", "a step is not in 1..."),
    "a step far too large": ("9 " * 63 + "9" * 60, "a step is not in 1..."),
    "six digits": ("9 " * 63 + "000009", "a step is not in 1..."),
    "a sign": ("9 " * 63 + "-9", "not a step"),
    "a fraction": ("9 " * 63 + "9.5", "not a step"),
    "a word": ("9 " * 63 + "9nine", "not a step"),
    "a comma": ("9," * 64, "not a step"),
    "a zero byte": ("9 " * 63 + "9\0", "not a step"),
    "a byte order mark": ("\ufeff" + "9 " * 64, "not a step"),
    "JSON": (QTables.preset(PRESET).to_json(), "not a step"),
    "too large": ("9 " * 64 + " " * 16384, "too large"),
}


def refused(result: subprocess.CompletedProcess[bytes], variable: str, why: str) -> None:
    said = result.stderr.decode()
    assert result.returncode == 1
    assert result.stdout == b""
    assert f"{variable} names" in said
    assert why in said
    assert f"The file that {variable} names is missing or bad" in said  # by the program


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_file_is_an_error_and_no_image(programs, photo, tmp_path, name):
    text, why = WRONG[name]
    (tmp_path / "bad.txt").write_bytes(text.encode())
    bad = str(tmp_path / "bad.txt")
    refused(attempt(programs / "djpeg", photo, **{DECODE: bad}), DECODE, why)
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    refused(attempt(programs / "cjpeg", data=ppm, **{ENCODE: bad}), ENCODE, why)


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\r\n" + "9\t" * 63 + "9\r\n# the end",
        "9\n" * 63 + "9#at once",
        "#" + "9 " * 40 + "\r" + "00009 \v\f" * 64,
    ],
)
def test_the_text_form_is_read_as_from_text_does(programs, photo, tmp_path, text):
    (tmp_path / "tables.txt").write_text(text, newline="")
    tables = QTables.from_text((tmp_path / "tables.txt").read_text())
    assert tables == QTables.uniform(9)
    raw = call(programs / "dropin", "rows", photo, **{DECODE: str(tmp_path / "tables.txt")})
    assert raw == pyfd.decode(photo, tables).tobytes()


def test_what_is_no_file_is_an_error(programs, photo, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes: it must not wait
    for name, why in (
        (tmp_path / "none.txt", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("", "No such file"),
    ):
        refused(attempt(programs / "djpeg", photo, **{DECODE: str(name)}), DECODE, why)


def test_a_bad_file_is_said_once_and_fails_in_every_thread(programs, photo):
    result = attempt(programs / "dropin", "threads", photo, **{DECODE: "/no/such/file"})
    assert result.returncode == 1
    assert result.stderr.count(b"names '/no/such/file'") == 1


def test_a_file_that_is_not_needed_is_not_read(programs, photo):
    """A decoder does not mind what an encoder would not find."""
    plain = call(programs / "djpeg", photo)
    assert call(programs / "djpeg", photo, **{ENCODE: "/no/such/file"}) == plain


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a program")
def test_programs_with_raised_privileges_do_not_look(photo):
    """A user must not choose what a program of root's opens."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(DROP_IN, folder)
        shutil.copy(photo, folder)
        compile_program("djpeg", folder, folder / DROP_IN.name)
        command = [str(folder / "djpeg"), str(folder / photo.name)]
        for mode, looks in ((0o755, True), (0o4755, False)):
            (folder / "djpeg").chmod(mode)
            environment = {**os.environ, DECODE: "/no/such/file"}
            result = subprocess.run(
                command, capture_output=True, env=environment, user=65534, check=False
            )
            assert (result.returncode != 0) == looks, result.stderr
            assert (b"/no/such/file" in result.stderr) == looks


# ---- pyfd exec ------------------------------------------------------------


def pyfd_exec(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyfd", "exec", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT, **options)  # type: ignore[call-overload]


SHOW = "import sys, PIL.Image as i; sys.stdout.buffer.write(i.open(sys.argv[1]).tobytes())"


def test_exec_reaches_a_program(programs, photo):
    result = pyfd_exec("-q", PRESET, "--", programs / "djpeg", photo)
    assert result.returncode == 0, result.stderr
    assert np.array_equal(pixels(result.stdout), pyfd.decode(photo, PRESET))


def test_exec_reaches_the_library_inside_pillows_wheel(photo):
    """It has another name there, but asks for the same symbols."""
    result = pyfd_exec("-q", PRESET, sys.executable, "-c", SHOW, photo)
    assert result.returncode == 0, result.stderr
    assert result.stdout == pyfd.decode(photo, PRESET).tobytes()


def test_exec_reaches_what_a_program_starts(programs, photo):
    result = pyfd_exec("-q", "16", "sh", "-c", f"'{programs / 'djpeg'}' '{photo}'; exit 7")
    assert np.array_equal(pixels(result.stdout), pyfd.decode(photo, 16 * np.ones((8, 8), int)))
    assert result.returncode == 7


def test_exec_leaves_pyfd_itself_alone(photo):
    code = "import sys, pyfd; sys.stdout.buffer.write(pyfd.decode(sys.argv[1]).tobytes())"
    result = pyfd_exec("-q", "32", sys.executable, "-c", code, photo)
    assert result.stdout == pyfd.decode(photo).tobytes()


def test_exec_with_tables_for_the_encoder(programs):
    ppm = b"P6 83 61 255 " + picture(83, 61).tobytes()
    command = ("--encode-qtables", PRESET, "--", programs / "cjpeg", "-quality", "5")
    data = pyfd_exec(*command, input=ppm).stdout
    assert all((table == QTables.preset(PRESET)[0]).all() for table in pyfd.probe(data).qtables)


def test_exec_takes_its_files_away(tmp_path):
    show = f'cat "${DECODE}"; echo "${DECODE}" >&2'
    result = pyfd_exec(
        *("-q", "fd-2018", "sh", "-c", show), env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert QTables.from_text(result.stdout.decode()) == QTables.preset("fd-2018")
    path = Path(result.stderr.decode().strip())
    assert path.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exec_keeps_what_was_preloaded():
    environment = {**os.environ, "LD_PRELOAD": "libm.so.6"}
    result = pyfd_exec("-q", "16", "sh", "-c", "echo $LD_PRELOAD", env=environment)
    assert result.stdout.decode().strip() == f"{DROP_IN}:libm.so.6"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-q", "16", "no-such-program"], 127, "no-such-program: not found"),
        (["-q", "16", "/dev/null"], 126, "/dev/null: cannot be run"),
        (["-q", "16"], 2, "Missing argument 'PROGRAM...'"),
        (["true"], 2, "Give --qtables, --encode-qtables or both."),
        (["-q", "nothing", "true"], 2, "neither a preset"),
        (["-q", "32768", "true"], 2, "32767 is the most"),
        (["--encode-qtables", "256", "true"], 2, "--no-baseline allows more"),
        (["--encode-qtables", "8192", "--no-baseline", "true"], 2, "8191 is the most"),
        (["-q", "16", "sh", "-c", "kill -9 $$"], 137, ""),
    ],
)
def test_exec_says_what_is_wrong(run, words, code, said):
    exit_code, out, err = run("exec", *words)
    assert (exit_code, out) == (code, "")
    assert said in err


def test_exec_of_a_program_in_no_format_that_runs(tmp_path):
    (tmp_path / "program").write_bytes(b"\x7fELF and nothing else")
    (tmp_path / "program").chmod(0o755)
    result = pyfd_exec("-q", "16", tmp_path / "program")
    assert result.returncode == 126
    assert b"Exec format error" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.so", "has no libjpeg.so.62"),
        ("a b.so", "no space, colon or $"),
        ("bad.so", "bad.so: file too short"),
    ],
)
def test_exec_without_a_library_that_can_be_preloaded(run, monkeypatch, tmp_path, name, said):
    from pyfd.cli import exec as cli_exec

    (tmp_path / "a b.so").touch()
    (tmp_path / "bad.so").touch()
    monkeypatch.setattr(cli_exec, "DROP_IN", tmp_path / name)
    code, out, err = run("exec", "-q", "16", "true")
    assert (code, out) == (1, "")
    assert said in err


def test_exec_warns_of_programs_with_raised_privileges(run, monkeypatch, tmp_path):
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o4755)
    code, _, err = run("exec", "-q", "16", tmp_path / "program")
    assert (code, err) == (0, "")  # ours: nothing is raised
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    code, _, err = run("exec", "-q", "16", tmp_path / "program")
    assert code == 0
    assert "it runs without the tables" in err


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_exec_passes_signals_on(tmp_path, name):
    ready = tmp_path / "ready"
    script = f'trap "exit 9" {name}; touch "{ready}"; while :; do sleep 0.05; done'
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", "sh", "-c", script]
    signum = getattr(signal, f"SIG{name}")

    def heed() -> None:
        signal.signal(signum, signal.SIG_DFL)  # a shell's background jobs ignore SIGINT

    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, preexec_fn=heed)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signum)
        assert process.wait(30) == 9
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_exec_leaves_ignored_signals_ignored():
    """As nohup asks for."""
    program = ["sh", "-c", "kill -HUP $$; echo on"]
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", *program]
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command]
    result = subprocess.run(ignoring, capture_output=True, cwd=ROOT, check=False)
    assert result.stdout == b"on\n"


COUNT = """
import signal, time
caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(1))
print("ready", flush=True)
time.sleep(1)
print("caught", len(caught), flush=True)
"""


def test_ctrl_c_reaches_the_program_once():
    """The terminal sends it to the program too, so it is not passed on."""
    command = [sys.executable, "-m", "pyfd", "exec", "-q", "16", sys.executable, "-c", COUNT]
    terminal = ["script", "-qec", shlex.join(command), "/dev/null"]
    pipe = subprocess.PIPE
    with subprocess.Popen(terminal, stdin=pipe, stdout=pipe, bufsize=0, cwd=ROOT) as process:
        next(line for line in process.stdout if b"ready" in line)
        for _ in range(4):
            process.stdin.write(b"\x03")
            time.sleep(0.1)
        caught = re.search(rb"caught (\d+)", process.stdout.read())
        assert 1 <= int(caught[1]) <= 4  # a busy machine may see two as one


def test_exec_hands_open_files_over(tmp_path):
    with (tmp_path / "x").open("w") as file:
        fd = file.fileno()
        pyfd_exec("-q", "16", "sh", "-c", f"echo here >/dev/fd/{fd}", pass_fds=[fd])
    assert (tmp_path / "x").read_text() == "here\n"
