"""Where a built pyfd keeps what programs other than Python use."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "native"

#: The shared library that takes the place of the system's; `pyfd exec` puts it there.
DROP_IN = FOLDER / "lib" / "libjpeg.so.62"
