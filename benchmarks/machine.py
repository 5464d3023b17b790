"""The machine and the versions that a measurement was made with."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyfd

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "pyfd-jpeg",
    "numpy",
    "scipy",
    "simplejpeg",
    "opencv-python-headless",
    "pillow",
    "imagecodecs",
    "webdataset",
    "adversarial-robustness-toolbox",
    "torch",
    "kornia",
)


def first_line(*command: str) -> str:
    """Return the first line that a program prints, or "" if there is no such program."""
    if not shutil.which(command[0]):
        return ""
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return next(iter(found.stdout.splitlines()), "")


def packages() -> dict[str, str]:
    """Return the versions of those of `PACKAGES` that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's model."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return models[0] if models else platform.machine()


def describe() -> dict[str, object]:
    """Return a record of the machine for a JSON file, without the machine's name."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": first_line("cc", "--version"),
        "valgrind": first_line("valgrind", "--version"),
        "libjpeg_turbo": pyfd.libjpeg_turbo_version(),
        "commit": first_line("git", "describe", "--always", "--dirty", "--exclude=*") or "unknown",
        "when": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "load": os.getloadavg()[0],
        "packages": packages(),
    }
