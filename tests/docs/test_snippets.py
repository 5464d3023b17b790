"""Every Python and shell snippet of the README and of the documentation runs.

The snippets of a page share a namespace and a temporary folder with sample files. In
the page's source, HTML comments hold what a reader need not see: set-up and checks
(``<!-- invisible-code-block: python``), and above a snippet that cannot run here the
reason (``<!-- skip: next "needs a cluster" -->``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

import pytest
from PIL import Image
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

import pyfd
from pyfd import config
from tests.jpegs import encode_with_pillow, picture

ROOT = Path(__file__).parents[2]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_in_shell(example: Example) -> None:
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"{example.parsed}{result.stderr}"


SNIPPETS = Sybil([PythonCodeBlockParser(), CodeBlockParser("sh", run_in_shell), SkipParser()])
PAGES = [
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if list(SNIPPETS.parse(page))
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with the files that the pages speak of, and commands on the path."""
    work, commands = tmp_path / "work", tmp_path / "bin"
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(pyfd.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    commands.mkdir()
    for name, call in (("python", ""), ("python3", ""), ("pyfd", "-m pyfd")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        (commands / name).chmod(0o755)
    for name in ("photos/cats", "photos/dogs", "uploads"):
        (work / name).mkdir(parents=True)
    photo = picture(96, 64)
    Image.fromarray(photo).save(work / "photo.png")
    shutil.copy(ROOT / "examples" / "decode.c", work)
    (work / "photo.jpg").write_bytes(encode_with_pillow(photo))
    names = ["upload.jpg", *(f"uploads/{n}.jpg" for n in range(3))]
    for n, name in enumerate([*names, "photos/cats/1.jpg", "photos/dogs/2.jpg"]):
        (work / name).write_bytes(encode_with_pillow(picture(96, 64, seed=n)))
    monkeypatch.chdir(work)


@pytest.mark.parametrize("page", PAGES, ids=name)
@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own doings
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
@pytest.mark.filterwarnings("ignore:Use 'expr':UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray leaves what it started to itself
def test_runs(page):
    for example in SNIPPETS.parse(page):
        with suppress(SkipTest):
            example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_does_not_run_says_why(page):
    comments = re.findall(r"<!-+\s*skip:(.*?)-+>", page.read_text())
    assert [c for c in comments if not re.fullmatch(r' next "[^"]{10,}" ', c)] == []


OPTIONS = """
pyfd_reading reading = PYFD_DEFAULT_READING;
pyfd_writing writing = PYFD_DEFAULT_WRITING;
"""
FRAME = """
uint8_t y[24], cbcr[12], *file;
uint16_t table[PYFD_BLOCK] = {1};
size_t y_size = 24, cbcr_size = 12, size;
ptrdiff_t y_stride = 6, cbcr_stride = 6;
uint32_t width = 6, height = 4;
pyfd_writing writing = PYFD_DEFAULT_WRITING;
pyfd_status status;
int code;
"""


@pytest.mark.parametrize(
    ("numbers", "module", "declared"),
    [
        ([0], "pyfd", ""),
        ([1, 2], "pyfd", OPTIONS),
        ([3], "pyfd", FRAME),
        ([4], "pyfd-libjpeg", "struct jpeg_decompress_struct cinfo; UINT16 tables[1][64];"),
        ([5], "pyfd-libjpeg", "struct jpeg_compress_struct cinfo; UINT16 tables[1][64];"),
    ],
)
def test_c_snippets_compile(numbers, module, declared, tmp_path):
    """Those of the page on C, with the declarations that they leave to the reader's program."""
    page = (ROOT / "docs" / "pipelines" / "c.md").read_text()
    snippets = re.findall(r"^```c\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 6
    *functions, statements = [snippets[number] for number in numbers]
    headers = "pyfd.h" if module == "pyfd" else "jpeglib.h>\n#include <jrequant.h"
    program = tmp_path / "program.c"
    program.write_text(
        f"#include <pthread.h>\n#include <stdio.h>\n#include <{headers}>\n{''.join(functions)}"
        f"int main(void)\n{{\n{declared}\n{statements}\nreturn 0;\n}}\n"
    )
    warnings = ("-Wall", "-Werror", "-Wno-unused", "-Wno-uninitialized")
    flags = (*config.cflags(module), *config.libs(module))
    command = ["cc", *warnings, str(program), *flags, "-o", str(tmp_path / "program")]
    subprocess.run(command, check=True)
