"""The libraries that attacks and defences come from, which are imported only when used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from pyfd._core.extras import missing

#: Modules by name, and the names under which people install them.
ART = {"art": "adversarial-robustness-toolbox"}
AUTOATTACK = {"pyautoattack": "pyautoattack"}
FOOLBOX = {"foolbox": "foolbox"}
PILLOW = {"PIL": "pillow"}


def require(libraries: Mapping[str, str]) -> None:
    """Import libraries, so that a missing one is noticed before work begins.

    Raises:
        ImportError: One is missing; the message says how to install it.
    """
    for module, name in libraries.items():
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise missing(name, "evaluate", module=error.name) from error
