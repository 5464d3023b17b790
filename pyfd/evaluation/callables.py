"""What a user's function makes: "module:function" on the command line."""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from typing import Any


def called(address: str, kind: str) -> Any:
    """Return what a callable makes without arguments.

    Args:
        address: "module:callable". The module may lie in the current directory, which is put
            onto ``sys.path`` as ``python -m`` does. It runs with the user's rights.
        kind: What it should make, for messages.

    Raises:
        ValueError: There is no such module or callable, or it raises an error.
    """
    module, _, name = address.partition(":")
    here = str(Path.cwd())
    if not {here, ""} & set(sys.path):
        sys.path.insert(0, here)
    try:
        return operator.attrgetter(name)(importlib.import_module(module))()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f'no {kind} from "{address}": {reason}') from error
