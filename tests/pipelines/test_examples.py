"""Every example runs as a reader would run it, and prints a result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyfd

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_runs(example, tmp_path):
    installed = str(Path(pyfd.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": installed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(example)]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "Traceback" not in result.stderr


def test_each_is_in_the_docs():
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    files = [path.name for path in (ROOT / "examples").iterdir() if path.is_file()]
    assert files
    assert [name for name in files if f"examples/{name}" not in pages] == []
