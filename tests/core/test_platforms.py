"""The Python layer without the calls that only Linux, or only Unix, has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyfd._core import cores

ROOT = Path(__file__).parents[2]

#: What other systems lack, of the modules that pyfd uses. (Libraries may look for more.)
ABSENT = {
    "os": [
        *("sched_getaffinity", "getxattr", "pread", "geteuid", "getegid", "getpgrp", "tcgetpgrp"),
        *("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_DIRECTORY", "O_NOFOLLOW"),
    ],
    "signal": ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD"],
}

#: Takes the calls away after pyfd's libraries are imported, then imports pyfd and uses it.
PROGRAM = f"""
import os, signal, subprocess, sys
import click, numpy as np, PIL.Image, tqdm, cffi, concurrent.futures, ctypes
import click.testing

for module, names in {ABSENT!r}.items():
    for name in names:
        delattr(sys.modules[module], name)
for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None

import pyfd, pyfd.calibration, pyfd.config, pyfd.pillow
from pyfd._core.log import Log
from pyfd.cli import cli

pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
data = pyfd.encode(pixels, "fd-2018")
assert np.array_equal(pyfd.decode_many([data] * 3)[2], pyfd.decode(data))
assert pyfd.calibrate([data, data]).images == 2
for turn in range(2):
    with Log("log", {{"format": "test", "version": 1}}) as log:
        assert list(log.entries()) == [[0]] * turn
        log.append([0])
    with open("log", "a") as file:
        file.write("[1")  # cut off
open("photo.jpg", "wb").write(data)
run = click.testing.CliRunner().invoke
for words in ("decode photo.jpg -o photo.png", "requantize photo.jpg -o r.jpg", "inspect photo.jpg",
              "encode photo.png -o e.jpg", "exec --help"):
    result = run(cli, words.split())
    assert result.exit_code == 0, result.output
print("done")
"""


def test_everything_works_without_them(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    assert cores.usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert cores.usable_cores() == 2


@pytest.mark.parametrize(("known", "usable"), [(6, 6), (None, 1)])
def test_the_cores_on_other_systems(monkeypatch, known, usable):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert cores.usable_cores() == usable


def test_a_system_without_capabilities_of_files(monkeypatch, tmp_path):
    from pyfd.cli import exec as command

    monkeypatch.delattr(os, "getxattr")
    assert not command._has_capabilities(str(tmp_path))
