"""Encoders of cameras with pyfd's tables: GStreamer, ffmpeg, and VA-API's header.

`make test-system` installs the programs and runs these tests.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd.qtables import parse_tables

pytestmark = pytest.mark.system

PAGE = Path(__file__).parents[2] / "docs" / "pipelines" / "cameras.md"
PYFD = [sys.executable, "-m", "pyfd"]
SAMPLINGS = {"Y444": "4:4:4", "I420": "4:2:0", "NV12": "4:2:0", "Y42B": "4:2:2", "GRAY8": None}


def call(*command: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, check=False, timeout=120, **options)  # type: ignore[call-overload]


def accepted(path: Path, tables: object) -> bool:
    """Return whether `pyfd inspect` takes the file as one of an encoder with these tables."""
    done = call(*PYFD, "inspect", path, "-q", tables, "--require")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def pipeline(form: str, target: Path) -> list[str]:
    source = "videotestsrc num-buffers=1 pattern=zone-plate kx2=20 ky2=20"
    caps = f"video/x-raw,format={form},width=160,height=120"
    words = f"gst-launch-1.0 -q {source} ! {caps} ! jpegenc idct-method=islow ! filesink".split()
    return [*words, f"location={target}"]


@pytest.mark.parametrize(
    ("form", "tables"),
    [(form, "annex-k:40") for form in SAMPLINGS] + [("Y444", "fd-cvpr2019")],
)
def test_gstreamer_writes_the_tables(tmp_path, form, tables):
    target = tmp_path / "x.jpg"
    command = (*PYFD, "exec", "--encode-qtables", tables, "--require", "--")
    done = call(*command, *pipeline(form, target))
    assert done.returncode == 0, done.stderr
    header = pyfd.probe(target)
    assert header.subsampling == SAMPLINGS[form]
    wanted = parse_tables(tables)
    assert all((table == wanted[i]).all() for i, table in enumerate(header.qtables))
    assert accepted(target, tables)
    assert np.ptp(pyfd.decode(target)) > 200


def test_gstreamer_alone_is_not_accepted(tmp_path):
    target = tmp_path / "x.jpg"
    assert call(*pipeline("Y444", target)).returncode == 0
    assert not accepted(target, "fd-cvpr2019")


def ffmpeg(*options: object) -> bytes:
    source = ("-f", "lavfi", "-i", "testsrc=size=160x120", "-frames:v", "1")
    done = call("ffmpeg", "-v", "error", *source, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ffmpeg_keeps_its_own_step_of_dc(tmp_path):
    """Its encoder takes the other steps, in natural order; so it serves tables such as fd-2018."""
    for name in ("fd-2018", "fd-cvpr2019"):
        item = QTables.preset(name)
        steps = ",".join(map(str, item[0].ravel()))
        matrices = ("-intra_matrix", steps, "-chroma_intra_matrix", steps)
        target = tmp_path / f"{name}.jpg"
        ffmpeg("-c:v", "mjpeg", "-pix_fmt", "yuvj444p", "-q:v", "8", *matrices, target)
        table = pyfd.probe(target).qtables[0]
        assert table[0, 0] == 8
        assert (table.ravel()[1:] == item[0].ravel()[1:]).all()
        assert accepted(target, name) == (name == "fd-2018")


def test_frames_of_ffmpeg_through_pyfd_encode(tmp_path):
    frame = ffmpeg("-f", "image2pipe", "-c:v", "ppm", "-")
    target = tmp_path / "x.jpg"
    done = call(*PYFD, "encode", "-", "-q", "fd-cvpr2019", "-o", target, input=frame)
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(Image.open(io.BytesIO(frame)))
    assert target.read_bytes() == pyfd.encode(pixels, "fd-cvpr2019")
    assert accepted(target, "fd-cvpr2019")


@pytest.mark.parametrize(("compiler", "suffix"), [("cc", ".c"), ("c++", ".cc")])
@pytest.mark.parametrize("tables", ["annex-k:40", "fd-cvpr2019"])
def test_vaapis_struct_has_the_tables(tmp_path, compiler, suffix, tables):
    """Compiled with libva's own header, whose fields the program prints one by one."""
    done = call(*PYFD, "tables", "convert", tables, tmp_path / "q.h", "--form", "vaapi")
    assert done.returncode == 0, done.stderr
    program = (tmp_path / "p").with_suffix(suffix)
    program.write_text(
        '#include "q.h"\n#include <stdio.h>\nint main(void)\n{\n  int i;\n'
        '  printf("%d %d\\n", pyfd_qmatrix.load_lum_quantiser_matrix,'
        " pyfd_qmatrix.load_chroma_quantiser_matrix);\n"
        '  for (i = 0; i < 64; i++) printf("%d %d\\n", pyfd_qmatrix.lum_quantiser_matrix[i],'
        " pyfd_qmatrix.chroma_quantiser_matrix[i]);\n  return 0;\n}\n"
    )
    warnings = ("-Wall", "-Wextra", "-Werror")
    built = call(compiler, *warnings, program, "-o", tmp_path / "p")
    assert built.returncode == 0, built.stderr
    loads, *steps = call(tmp_path / "p").stdout.decode().splitlines()
    assert loads == "1 1"
    assert call(*PYFD, "tables", "convert", tables, tmp_path / "t.dqt").returncode == 0
    segment = (tmp_path / "t.dqt").read_bytes()
    pairs = [[int(word) for word in line.split()] for line in steps]
    luma, chroma = zip(*pairs, strict=True)
    assert bytes(luma) == segment[5:69]
    assert bytes(chroma) == segment[-64:]


def test_the_pages_struct_compiles_with_libva(tmp_path):
    (snippet,) = re.findall(
        r"^```c\n(VAQMatrix.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    done = call(
        *PYFD, "tables", "convert", "fd-cvpr2019", tmp_path / "qmatrix.h", "--form", "vaapi"
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "p.c").write_text(
        '#include "qmatrix.h"\nVAStatus submit(VADisplay display, VAContextID context,'
        " VABufferID *buffer, VAEncPictureParameterBufferJPEG *picture);\n"
        "VAStatus submit(VADisplay display, VAContextID context, VABufferID *buffer,"
        f" VAEncPictureParameterBufferJPEG *picture)\n{{\n{snippet}\nreturn status;\n}}\n"
    )
    built = call(
        "cc", "-Wall", "-Wextra", "-Werror", "-c", tmp_path / "p.c", "-o", tmp_path / "p.o"
    )
    assert built.returncode == 0, built.stderr


def test_the_pages_commands_run(tmp_path):
    """Those that tests/docs/test_snippets.py skips, because they need Debian's programs."""
    pattern = r"test_cameras\.py runs it\" -->\n```sh\n(.*?)^```"
    skipped = re.findall(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(skipped) == 3
    ffmpeg("-c:v", "mpeg4", tmp_path / "movie.mp4")
    (tmp_path / "pyfd").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyfd "$@"\n')
    (tmp_path / "pyfd").chmod(0o755)
    places = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": places, "PYTHONPATH": str(PAGE.parents[2])}
    for script in skipped:
        words = ("bash", "-euo", "pipefail", "-c", script)
        done = call(*words, cwd=tmp_path, env=environment)
        assert done.returncode == 0, (script, done.stderr)
        assert (tmp_path / "frame.jpg").exists()
        (tmp_path / "frame.jpg").unlink()
