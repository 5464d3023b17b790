"""`.ci/step`: what the Makefile's steps show on a terminal and in a log, and if they fail."""

import os
import pty
import re
import shutil
import subprocess

import pytest

from tests.packaging.sources import ROOT

STEP = ROOT / ".ci" / "step"
PIP = r"""
echo 'Collecting numpy'
echo '  Using cached numpy-2.4.6-cp310-abi3-manylinux_2_28_x86_64.whl.metadata (6.6 kB)'
echo 'Downloading numpy-2.4.6-cp310-abi3-manylinux_2_28_x86_64.whl (16.9 MB)'
echo 'Progress 8450000 of 16900000'; sleep 1.2; echo 'Progress 16900000 of 16900000'
echo 'Using cached cffi-2.1-cp310-abi3-linux_x86_64.whl (4.2 MB)'
echo 'Installing collected packages: numpy, cffi'
echo 'WARNING: of no interest' >&2
echo 'Successfully installed cffi-2.1 numpy-2.4.6'
"""
APT = r"""
echo '0 upgraded, 12 newly installed, 0 to remove and 3 not upgraded.'
echo 'Get:1 http://deb.example/debian bookworm/main amd64 nasm amd64 2.16 [430 kB]'
"""


def run(script: str) -> tuple[int, str]:
    """Run a step, and return its exit status and what a log has of it."""
    command = [STEP, "Trying", "sh", "-c", script]
    environment = {**os.environ, "SECONDS": "7"}  # as `make fuzz SECONDS=7` exports it
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.returncode, re.sub(r"\d+ s\b", "N s", result.stdout)


def test_a_log_has_a_few_lines():
    title = "Trying\n"
    numpy = "  downloading numpy (16.9 MB)\n"
    assert run(PIP) == (0, f"{title}{numpy}  done in N s: 2 packages (21.1 MB)\n")
    assert run(APT) == (0, f"{title}  done in N s: 12 packages\n")
    assert run("echo 'Warning: be careful'") == (0, f"{title}  done in N s\n")


def test_a_failure_shows_what_the_command_said():
    status, shown = run("echo one; echo two >&2; printf 'no end of line'; exit 3")
    assert status == 3
    assert shown == "Trying\none\ntwo\nno end of line\n  failed after N s: Trying\n"


def test_a_command_that_does_not_exist():
    command = [STEP, "Trying", "program-of-nobody"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 127
    assert "program-of-nobody: command not found" in result.stdout


def test_a_terminal_has_a_line_that_changes():
    near, far = pty.openpty()
    with subprocess.Popen([STEP, "Trying", "sh", "-c", PIP], stdout=far) as process:
        os.close(far)
        shown = ""
        while part := read(near):
            shown += part
    os.close(near)
    assert process.returncode == 0
    assert re.search(r"\r\033\[K  \d+ s  Collecting numpy", shown)
    assert re.search(r"\r\033\[K  \d+ s  downloading numpy \(16\.9 MB\) 49%", shown)
    left = re.sub(r"[^\n]*\r\033\[K", "", shown.replace("\r\n", "\n"))
    assert re.fullmatch(r"Trying\n  done in \d+ s: 2 packages \(21\.1 MB\)\n", left)


def read(terminal: int) -> str:
    """Return what a terminal has got, or "" if its program has ended, which is an error here."""
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        return ""


@pytest.mark.parametrize(("sudo", "lacks"), [("sudo", "sudo"), ("", "apt-get")])
def test_what_cannot_be_installed_is_named(sudo, lacks, tmp_path):
    """Make itself would say "sudo: not found" and "Error 127"."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "id", "uname"):
        (tools / tool).symlink_to(shutil.which(tool))
    made = tmp_path / "venv" / "system"
    command = [
        shutil.which("make"),
        "-C",
        ROOT,
        f"VENV={made.parent}",
        f"SUDO={sudo}",
        "JOBS=1",
        made,
    ]
    environment = {"PATH": str(tools)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    first, *_ = result.stderr.splitlines()
    assert first.startswith(f"pyfd: no {lacks} is here to install what is missing of: gcc ")
    assert not made.exists()
