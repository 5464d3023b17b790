"""Say which libjpeg-turbo the wheels of other libraries bring along.

    python benchmarks/bundled.py [DISTRIBUTION...]

Prints JSON. It needs no package, so that another environment's Python can run it.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

VERSION = re.compile(rb"libjpeg-turbo version ([0-9.]+)")


def versions(name: str) -> dict[str, str] | None:
    """Return a distribution's version and that of the libjpeg-turbo in its wheel.

    The second one is missing where no library of the wheel states it. None stands for a
    distribution that is not installed.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    stated = {"version": found.version}
    for file in found.files or ():
        if ".so" in file.name and "jpeg" in file.name:
            match = VERSION.search(Path(str(found.locate_file(file))).read_bytes())
            if match:
                stated["libjpeg_turbo"] = match[1].decode()
    return stated


if __name__ == "__main__":
    print(json.dumps({name: versions(name) for name in sys.argv[1:]}))
