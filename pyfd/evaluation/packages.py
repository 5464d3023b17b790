"""Installed packages: the modules that belong to them, their versions and checksums."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def owner(names: Mapping[str, Any]) -> str | None:
    """Return the package that a module is installed with.

    Args:
        names: The module's global names.

    Returns:
        The name of the package's top module; "" for pyfd and the standard library; None
        for a module that does not belong to a package.
    """
    top = str(names.get("__name__")).partition(".")[0]
    origin = getattr(names.get("__spec__"), "origin", None)
    if top == "pyfd" or origin in ("built-in", "frozen"):
        return ""
    path = names.get("__file__") or origin
    if not isinstance(path, str):
        return None
    if {"site-packages", "dist-packages"} & set(Path(path).parts):
        return top
    return "" if Path(path).is_relative_to(Path(os.__file__).parent) else None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, pyfd and other packages, with digests of their files."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python, "pyfd": _pyfd(), **{name: _installed(name) for name in packages}}


@functools.cache
def _installed(package: str) -> str:
    """Return an installed package's versions, and a digest of its installers' checksums."""
    found = []
    for name in sorted(set(_distributions().get(package, ()))):
        distribution = importlib.metadata.distribution(name)
        record = (distribution.read_text("RECORD") or "").splitlines()
        code = sorted(line for line in record if line.partition(",")[0].endswith((".py", ".so")))
        digest = hashlib.sha256("\n".join(code).encode()).hexdigest()
        found.append(f"{distribution.version} {digest[:16]}")
    return ", ".join(found)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def _pyfd() -> str:
    """Return pyfd's version, and a digest of its files, which change between versions too."""
    import pyfd

    folder = Path(pyfd.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.glob("_core/*.so")]):
        name = path.relative_to(folder)
        if not {"cli", "report"} & set(name.parts):  # they do not affect results
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{pyfd.__version__} {digest.hexdigest()[:16]}"
