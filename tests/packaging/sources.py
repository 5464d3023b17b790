"""Copies of this source folder for tests to build in, and the results of the last build."""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
FORK = Path("third_party", "libjpeg-turbo")
MADE = ("__pycache__", ".?*cache", ".git", ".venv", ".hypothesis", "*.egg-info", "demo-output")
MADE += ("*.so", "*.stamp", "native", "build", "dist")


def find_tarball() -> Path:
    """Return the pinned archive that this installation was built from."""
    for folder in (ROOT / FORK, ROOT / "build"):
        found = list(folder.glob("libjpeg-turbo_2.1.5.orig.tar.gz"))
        if found:
            return found[0]
    raise AssertionError("build/ has no archive: install pyfd from this folder first")


def unpack(archive: Path, target: Path) -> Path:
    """Unpack an archive, and return the one folder in it.

    Debian 12's own Python 3.11.2 knows no filters, and later ones warn without one.
    """
    target.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    (folder,) = target.iterdir()
    return folder


def made_once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first of several pytest workers makes for all.

    Args:
        base: pytest's temporary folder of this worker.
        name: The folder's name.
        make: Makes the folder, which does not exist yet.
    """
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            make(folder)
    return folder


def copy_sources(target: Path) -> None:
    """Copy this folder without anything that was built or installed in it."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*MADE))


def share_fork(target: Path) -> None:
    """Let a copy of this folder use the fork that was built here."""
    (target / "build").mkdir()
    (target / "build" / find_tarball().name).symlink_to(find_tarball())
    for tree in (ROOT / "build").glob("libjpeg-turbo-*"):
        (target / "build" / tree.name).symlink_to(tree)


def load_build(folder: Path) -> ModuleType:
    """Import a folder's build.py."""
    spec = importlib.util.spec_from_file_location("pyfd_build_copy", folder / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which imports from there first, as it does by default."""
    variables = ("PYTHONPATH", "PYTHONSAFEPATH", "PYFD_LIBJPEG_TURBO_TARBALL")
    environment = {key: value for key, value in os.environ.items() if key not in variables}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
