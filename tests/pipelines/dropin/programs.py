"""Compiling programs against the drop-in, and running them with and without tables."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyfd import QTables
from pyfd._core.native import DROP_IN
from tests.packaging.sources import load_build

ROOT = Path(__file__).parents[3]
DECODE, ENCODE = "PYFD_DECODE_QTABLES", "PYFD_ENCODE_QTABLES"
PRESET = "fd-cvpr2019"
THREE = QTables([np.full((8, 8), step) for step in (12, 25, 40)])
needs_drop_in = pytest.mark.skipif(
    bool(os.environ.get("PYFD_SANITIZE")), reason="a sanitized build has no drop-in"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can raise privileges")
SOURCES = {
    "cjpeg": "cjpeg.c cdjpeg.c rdbmp.c rdgif.c rdppm.c rdswitch.c rdtarga.c",
    "djpeg": "djpeg.c cdjpeg.c rdcolmap.c rdswitch.c wrbmp.c wrgif.c wrppm.c wrtarga.c",
    "jpegtran": "jpegtran.c cdjpeg.c rdswitch.c transupp.c",
}


def compile_program(name: str, folder: Path, library: Path) -> None:
    fork = load_build(ROOT).fork.build_drop_in(ROOT / "build")
    files = [fork / "src" / file for file in SOURCES.get(name, "").split()]
    files = files or [Path(__file__).with_name(f"{name}.c")]
    formats = [f"-D{name}_SUPPORTED" for name in ("BMP", "GIF", "PPM", "TARGA")]
    command = ["cc", "-w", "-pthread", *formats, f"-I{fork / 'build'}", f"-I{fork / 'src'}"]
    command += [*map(str, files), "-o", str(folder / name), str(library)]
    subprocess.run([*command, f"-Wl,-rpath,{library.parent}"], check=True)


@contextmanager
def djpeg_for_all(photo: Path) -> Iterator[list[str]]:
    """Make a djpeg and a photo that all users may read; yield the command that decodes it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(DROP_IN, folder)
        shutil.copy(photo, folder)
        (folder / photo.name).chmod(0o644)
        compile_program("djpeg", folder, folder / DROP_IN.name)
        yield [str(folder / "djpeg"), str(folder / photo.name)]


def call_as_nobody(
    command: list[str], mode: int, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run root's program as a user without rights, after its mode was set."""
    Path(command[0]).chmod(mode)
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, env=environment, user=65534, check=False)


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
