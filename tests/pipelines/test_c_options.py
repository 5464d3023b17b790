"""pyfd.h's structs of options: programs and libraries of different versions work together.

The later version is made from csrc, with one more field in each struct.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyfd
from pyfd import config
from pyfd._core import binding, steps
from pyfd._core._libpyfd import ffi, lib
from tests.jpegs import encode_with_pillow, picture

ROOT = Path(__file__).parents[2]
#: The bytes of each struct when it was first published, which never change.
FIRST = {"limits": 7 * 8, "reading": 4 * 4, "writing": 4 * 4}
#: The bytes of a field of each struct.
FIELD = {"limits": 8, "reading": 4, "writing": 4}
STRUCTS = tuple(FIRST)

#: Reads a file from stdin and requantizes it, after main's arguments have changed the options:
#: NAME=VALUE sets a field, NAME+=BYTES a struct's size. Prints the outcome.
PROGRAM = """
#include <pyfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
  static uint8_t file[1 << 20], pixels[1 << 20];
  static uint16_t table[PYFD_BLOCK];
  struct {
    pyfd_limits limits;
    uint64_t after_limits[8];
    pyfd_reading reading;
    uint32_t after_reading[8];
    pyfd_writing writing;
    uint32_t after_writing[8];
  } given = {PYFD_DEFAULT_LIMITS, {0}, PYFD_DEFAULT_READING, {0}, PYFD_DEFAULT_WRITING, {0}};
  size_t size = fread(file, 1, sizeof(file), stdin), out_size;
  pyfd_header header;
  pyfd_status status;
  uint8_t *out = NULL;
  int i, code;

  for (i = 0; i < PYFD_BLOCK; i++)
    table[i] = 30;
  for (i = 1; i < argc; i++) {
    long value = atol(strchr(argv[i], '=') + 1);
    if (!strncmp(argv[i], "limits+", 7))
      given.limits.size += value;
    else if (!strncmp(argv[i], "reading+", 8))
      given.reading.size += value;
    else if (!strncmp(argv[i], "writing+", 8))
      given.writing.size += value;
    else if (!strncmp(argv[i], "after_limits=", 13))
      memset(given.after_limits, value, sizeof(given.after_limits));
    else if (!strncmp(argv[i], "after_reading=", 14))
      memset(given.after_reading, value, sizeof(given.after_reading));
    else if (!strncmp(argv[i], "after_writing=", 14))
      memset(given.after_writing, value, sizeof(given.after_writing));
    else if (!strncmp(argv[i], "max_pixels=", 11))
      given.limits.max_pixels = (uint64_t)value;
    else
      return 2;
  }
  code = pyfd_probe(file, size, &given.limits, &header, NULL, 0, &status);
  if (code == PYFD_OK)
    code = pyfd_decode(file, size, &given.limits, &given.reading, table, 1, pixels,
                       (size_t)header.width * header.height * 3, &status);
  if (code == PYFD_OK)
    code = pyfd_requantize(file, size, &given.limits, &given.reading, table, 1, &given.writing,
                           NULL, 0, &out, &out_size, &status);
  if (code == PYFD_OK)
    printf("%zu bytes", out_size);
  else
    printf("%d: %s (%s %llu %llu)", code, status.message, status.limit,
           (unsigned long long)status.allowed, (unsigned long long)status.needed);
  pyfd_free(out);
  return 0;
}
"""

#: Prints the fields that a later version has, as it sees the structs of older programs.
LATER = """
#include <stdio.h>
#include <string.h>

#include "options.h"

int main(void)
{
  pyfd_limits limits = PYFD_DEFAULT_LIMITS;
  pyfd_reading reading = PYFD_DEFAULT_READING;
  pyfd_writing writing = PYFD_DEFAULT_WRITING;
  pyfd_status status;
  int again;

  for (again = 0; again < 2; again++) {
    pyfd_limits our_limits;
    pyfd_reading our_reading;
    pyfd_writing our_writing;

    limits.later = reading.later = writing.later = 5;
    limits.max_scans = 3;
    reading.scale = 8;
    writing.optimize = 1;
    if (again) { /* as before the field was there */
      limits.size = offsetof(pyfd_limits, later);
      reading.size = offsetof(pyfd_reading, later);
      writing.size = offsetof(pyfd_writing, later);
    }
    if (pyfd_take_limits(&our_limits, &limits, &status) ||
        pyfd_take_reading(&our_reading, &reading, &status) ||
        pyfd_take_writing(&our_writing, &writing, &status))
      return 1;
    printf("%d %d %d, ", (int)our_limits.max_scans, (int)our_reading.scale,
           (int)our_writing.optimize);
    printf("%d %d %d\\n", (int)our_limits.later, (int)our_reading.later,
           (int)our_writing.later);
  }
  return 0;
}
"""


def words(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pyfd.config", *arguments]
    return shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(program: Path, data: bytes = b"", *arguments: str) -> str:
    done = subprocess.run([program, *arguments], input=data, check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def later(tmp_path_factory) -> Path:
    """A copy of csrc with one more field at the end of each struct of options."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    header = folder / "csrc" / "pyfd.h"
    text = header.read_text()
    for struct, kind, default in (
        ("limits", "uint64_t", 77),
        ("reading", "uintptr_t", 0),
        ("writing", "uintptr_t", 0),
    ):
        end = f"}} pyfd_{struct};"
        text, fields = re.subn(re.escape(end), f"  {kind} later;\n{end}", text)
        pattern = rf"(PYFD_DEFAULT_{struct.upper()}[^}}]*)\}}"
        text, defaults = re.subn(pattern, rf"\1, {default}}}", text)
        assert (fields, defaults) == (1, 1)
    header.write_text(text)
    options = folder / "csrc" / "options.c"
    changed = re.sub(r"(HAS_NO_PADDING\(pyfd_\w+, )\w+\)", r"\1later)", options.read_text())
    options.write_text(changed)
    return folder / "csrc"


@pytest.fixture(scope="module")
def program(tmp_path_factory, later) -> dict[str, Path]:
    """`PROGRAM`, compiled, by the versions of its header and its library."""
    folder = tmp_path_factory.mktemp("programs")
    source = folder / "program.c"
    source.write_text(PROGRAM)
    native = config.FOLDER
    layer = ['-DPYFD_LIBJPEG_TURBO="later"', f"-I{native}/include/libjpeg"]
    layer += [*map(str, sorted(later.glob("*.c"))), str(native / "lib" / "libjpeg-pyfd.a")]
    versions = {
        "today's": words("--cflags", "--libs", "pyfd-static"),
        "older program": [f"-I{native}/include", str(folder / "layer.o")],
        "newer program": [f"-I{later}", str(native / "lib" / "libpyfd.a")],
    }
    command = ["cc", "-nostdlib", "-r", f"-I{later}", *layer, "-o", str(folder / "layer.o")]
    subprocess.run(command, check=True)
    programs = {}
    for name, options in versions.items():
        programs[name] = folder / name.replace(" ", "-")
        command = ["cc", "-Wall", "-Werror", str(source), *options, "-o", str(programs[name])]
        subprocess.run(command, check=True)
    return programs


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encode_with_pillow(picture(61, 45, seed=3))


@pytest.fixture(scope="module")
def done(photo) -> str:
    return f"{len(pyfd.requantize(photo, pyfd.QTables.uniform(30), metadata=False))} bytes"


def test_an_older_program_with_a_newer_library(program, photo, done):
    assert run(program["older program"], photo) == done
    # Memory behind the structs is not read
    arguments = [f"after_{struct}=9" for struct in STRUCTS]
    assert run(program["older program"], photo, *arguments) == done


def test_a_missing_field_has_its_default(later, tmp_path):
    source, built = tmp_path / "later.c", tmp_path / "later"
    source.write_text(LATER)
    sources = [str(source), str(later / "options.c"), str(later / "status.c")]
    subprocess.run(["cc", "-Wall", "-Werror", f"-I{later}", *sources, "-o", str(built)], check=True)
    assert run(built) == "3 8 1, 5 5 5\n3 8 1, 77 0 0\n"


def test_a_newer_program_with_an_older_library(program, photo):
    """Its default includes a limit that the library cannot enforce."""
    assert run(program["newer program"], photo).startswith(
        "4: pyfd_limits sets a field that this version of pyfd lacks"
    )


@pytest.mark.parametrize("struct", STRUCTS)
def test_unknown_fields_must_be_unset(program, photo, done, struct):
    unset, set_ = ("-1", "0") if struct == "limits" else ("0", "1")
    wider = f"{struct}+=16"
    assert run(program["today's"], photo, wider, f"after_{struct}={unset}") == done
    answer = run(program["today's"], photo, wider, f"after_{struct}={set_}")
    assert answer.startswith(f"4: pyfd_{struct} sets a field")


@pytest.mark.parametrize("struct", STRUCTS)
def test_sizes_that_make_no_sense(program, photo, struct):
    ours, first = ffi.sizeof(f"pyfd_{struct}"), FIRST[struct]
    cut = (ours + 1, ours + FIELD[struct] // 2, ours + FIELD[struct] + 1)
    for size in (-1000, 0, first - FIELD[struct], first - 1, *cut, 100_000):
        answer = run(program["today's"], photo, f"{struct}+={size - ours}")
        assert answer.startswith(f"4: pyfd_{struct} has the wrong size")


def test_pointers_that_may_be_null(photo):
    """An array of length 0 may be NULL; `PROGRAM` passes NULL for both kinds of segments."""
    status, header = ffi.new("pyfd_status *"), ffi.new("pyfd_header *")
    limits = ffi.new("pyfd_limits *", [ffi.sizeof("pyfd_limits"), *pyfd.Limits().astuple()])
    reading = ffi.new("pyfd_reading *", [ffi.sizeof("pyfd_reading"), 1, lib.PYFD_RGB, 1])
    pixels = ffi.new("uint8_t[]", 61 * 45 * 3)
    file = ffi.from_buffer(photo)
    options = (limits, reading, ffi.NULL, 0, pixels, len(pixels), status)
    assert lib.pyfd_decode(file, len(photo), *options) == lib.PYFD_OK
    assert bytes(ffi.buffer(pixels)) == pyfd.decode(photo).tobytes()
    for code in (
        lib.pyfd_probe(ffi.NULL, 0, limits, header, ffi.NULL, 0, status),
        lib.pyfd_decode(ffi.NULL, 0, *options),
    ):
        assert code == lib.PYFD_UNSUPPORTED
        assert ffi.string(status.message) == b"not a JPEG: no bytes"
    lib.pyfd_free(ffi.NULL)


def test_a_limit_is_named(program, photo):
    assert run(program["today's"], photo, "max_pixels=99") == (
        f"3: max_pixels is 99, but the file has {61 * 45} (max_pixels 99 {61 * 45})"
    )


def test_bounds_are_the_documented_ones():
    """Python reads them from C; the docstrings state them as numbers."""
    assert (steps.DECODER_STEP, steps.ENCODER_STEP, binding.MAX_SIDE) == (32767, 8191, 65500)
    assert lib.PYFD_MAX_COMPONENTS == steps.MAX_TABLES == 4
