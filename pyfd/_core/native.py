"""The paths of the headers and libraries for programs that do not use Python."""

from __future__ import annotations

from pathlib import Path

#: The folder with ``include`` and ``lib``; a build may lack it.
FOLDER = Path(__file__).parents[1] / "native"

#: The shared library that ``pyfd exec`` puts in the place of the system's libjpeg.
DROP_IN = FOLDER / "lib" / "libjpeg.so.62"
