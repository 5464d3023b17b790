"""The compiled extension in a source folder: whether it is there and up to date."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTENSION = "pyfd._core._libpyfd"

#: A digest of the sources of the extension; only a source folder has this file.
STAMP = Path(__file__).with_name("_libpyfd.stamp")

_SOURCES = (
    "build.py",
    "setup.py",
    "csrc/*.[ch]",
    "csrc/native.py",
    "third_party/libjpeg-turbo/fork.py",
    "third_party/libjpeg-turbo/pin.json",
    "third_party/libjpeg-turbo/series",
    "third_party/libjpeg-turbo/patches/*/*",
)


def digest_sources(root: Path) -> str:
    """Return a digest of the files in a source folder that the extension is built from."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_extension() -> None:
    """Raise an error if the extension is missing; warn if its sources have changed since.

    Raises:
        ImportError: This folder has no extension for this Python.
    """
    try:
        importlib.import_module(EXTENSION)
    except ModuleNotFoundError as error:
        if error.name != EXTENSION:
            raise
        raise ImportError(
            f"pyfd is not built in {ROOT} for this Python: run 'pip install .' there, or "
            "start Python in another folder to import an installed pyfd",
            name=EXTENSION,
        ) from error
    if STAMP.is_file() and (ROOT / "csrc").is_dir() and STAMP.read_text() != digest_sources(ROOT):
        warnings.warn(
            f"pyfd's sources in {ROOT} have changed since it was built: run 'pip install .' there",
            RuntimeWarning,
            stacklevel=2,
        )
