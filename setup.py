"""The extension; everything else about the package is in pyproject.toml and build.py."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("csrc").glob("*.c"))
setup(ext_modules=[Extension("pyfd._core._libpyfd", SOURCES)])
