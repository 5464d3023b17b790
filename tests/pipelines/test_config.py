"""Flags, headers and libraries for C programs, and the example in C."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyfd
from pyfd import QTables, config
from tests.jpegs import encode_with_pillow, picture

EXAMPLE = Path(__file__).parents[2] / "examples" / "decode.c"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
PRESET = "fd-cvpr2019"

#: A program that uses libjpeg's interface: it decodes stdin onto step 30 and prints a PPM.
LIBJPEG_PROGRAM = """
#include <stdio.h>
#include <jpeglib.h>
#include <jrequant.h>

int main(void)
{
  struct jpeg_decompress_struct cinfo;
  struct jpeg_error_mgr errors;
  static unsigned char line[3 * 65500];
  unsigned char *row = line;
  UINT16 table[1][DCTSIZE2];
  int i;

  for (i = 0; i < DCTSIZE2; i++)
    table[0][i] = 30;
  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&cinfo);
  jpeg_stdio_src(&cinfo, stdin);
  jpeg_read_header(&cinfo, TRUE);
  jpeg_set_requant_tables(&cinfo, table, 1);
  jpeg_start_decompress(&cinfo);
  printf("P6\\n%u %u\\n255\\n", cinfo.output_width, cinfo.output_height);
  while (cinfo.output_scanline < cinfo.output_height) {
    jpeg_read_scanlines(&cinfo, &row, 1);
    fwrite(row, 3, cinfo.output_width, stdout);
  }
  jpeg_finish_decompress(&cinfo);
  jpeg_destroy_decompress(&cinfo);
  return 0;
}
"""


def flags(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pyfd.config", *arguments]
    return shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compiled(source: Path, program: Path, words: list[str], compiler: str = "cc") -> Path:
    command = [compiler, *WARNINGS, str(source), *words, "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def ppm(program: Path, data: bytes) -> np.ndarray:
    shown = subprocess.run([program], input=data, check=True, capture_output=True).stdout
    head = re.match(rb"P6\n(\d+) (\d+)\n255\n", shown)
    assert head
    width, height = map(int, head.groups())
    return np.frombuffer(shown[head.end() :], np.uint8).reshape(height, width, 3)


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encode_with_pillow(picture(61, 45, seed=3))


# ---- the C layer ----------------------------------------------------------------


@pytest.mark.parametrize("module", ["pyfd", "pyfd-static"])
def test_the_example(tmp_path, photo, module):
    program = compiled(EXAMPLE, tmp_path / "decode", flags("--cflags", "--libs", module))
    assert np.array_equal(ppm(program, photo), pyfd.decode(photo, PRESET))


def test_the_example_refuses(tmp_path, photo):
    program = compiled(EXAMPLE, tmp_path / "decode", flags("--cflags", "--libs"))
    bad = tmp_path / "x.jpg"
    bad.write_bytes(photo[: len(photo) // 2])
    with pytest.raises(pyfd.CorruptJPEGError) as ours:
        pyfd.decode(bad, PRESET)
    result = subprocess.run([program, bad], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"refused: {ours.value}\n"


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 50


def test_limits_are_those_of_python(tmp_path):
    source = tmp_path / "limits.cpp"  # C++ compiles the header too
    source.write_text(
        "#include <pyfd.h>\n#include <cstdio>\nint main() {\n"
        "  pyfd_limits limits = PYFD_DEFAULT_LIMITS;\n"
        "  pyfd_reading reading = PYFD_DEFAULT_READING;\n"
        "  pyfd_writing writing = PYFD_DEFAULT_WRITING;\n"
        "  (void)reading; (void)writing;\n"
        "  const uint64_t *value = &limits.max_bytes;\n"
        "  for (size_t i = 0; i < sizeof(limits) / 8 - 1; i++)\n"
        '    std::printf("%llu ", (unsigned long long)value[i]);\n'
        '  std::printf("%s", pyfd_libjpeg_turbo());\n}\n'
    )
    program = compiled(source, tmp_path / "limits", flags("--cflags", "--libs"), "c++")
    *limits, version = subprocess.run([program], capture_output=True, text=True).stdout.split()
    assert tuple(map(int, limits)) == pyfd.Limits().astuple()
    assert version == pyfd.libjpeg_turbo_version()


def symbols(path: Path, *options: str) -> set[str]:
    """Return the names that a library exports."""
    command = ["nm", "--defined-only", "-g", *options, str(path)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {words[2] for words in map(str.split, shown.splitlines()) if len(words) == 3}


def test_the_libraries_offer_our_functions_alone():
    """libjpeg's functions are hidden, so that a program may use another libjpeg."""
    header = (config.FOLDER / "include" / "pyfd.h").read_text()
    declared = set(re.findall(r"^(?:int|void|const char) \*?(pyfd_\w+)\(", header, re.MULTILINE))
    assert "pyfd_decode" in declared
    assert symbols(config.FOLDER / "lib" / "libpyfd.so.0", "-D") == declared
    assert symbols(config.FOLDER / "lib" / "libpyfd.a") == declared


# ---- the fork -------------------------------------------------------------------


@pytest.mark.parametrize("module", ["pyfd-libjpeg", "pyfd-libjpeg-static"])
def test_libjpeg_with_our_functions(tmp_path, photo, module):
    source = tmp_path / "x.c"
    source.write_text(LIBJPEG_PROGRAM)
    program = compiled(source, tmp_path / "x", flags("--cflags", "--libs", module))
    assert np.array_equal(ppm(program, photo), pyfd.decode(photo, QTables.uniform(30)))


# ---- pkg-config -----------------------------------------------------------------


@pytest.mark.parametrize("module", config.MODULES)
def test_pkg_config_says_the_same(module):
    (folder,) = flags("--pkgconfigdir")
    environment = {**os.environ, "PKG_CONFIG_PATH": folder}
    for option in ("--cflags", "--libs"):
        command = ["pkg-config", option, module]
        shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found = [os.path.normpath(word) for word in shlex.split(shown.stdout)]
        assert resolved(found) == resolved(flags(option, module))


def resolved(words: list[str]) -> list[str]:
    """Resolve the paths in all words, so that they can be compared."""
    return [re.sub(r"/.*", lambda path: os.path.normpath(path[0]), word) for word in words]


# ---- misuse ---------------------------------------------------------------------


def test_nothing_asked_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        config.main([])
    assert caught.value.code == 2
    assert "give --cflags, --libs or --pkgconfigdir" in capsys.readouterr().err


def test_a_build_without_libraries_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(config, "FOLDER", tmp_path / "missing")
    assert config.main(["--libs"]) == 1
    assert "no libraries" in capsys.readouterr().err
