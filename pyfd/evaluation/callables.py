"""What a user's function makes: "module:function" on the command line."""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from typing import Any


def called(address: str, kind: str, made: type[Any] | None = None) -> Any:
    """Return what a callable makes without arguments.

    Args:
        address: "module:callable". The module may lie in the current directory, which is put
            onto ``sys.path`` as ``python -m`` does. It runs with the user's rights.
        kind: What it should make, for messages.
        made: The type of what it should make, if objects of it can be called, too.

    Raises:
        ValueError: There is no such module or callable, or it raises an error.
    """
    module, _, name = address.partition(":")
    here = str(Path.cwd())
    if not {here, ""} & set(sys.path):
        sys.path.insert(0, here)
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
        if callable(found) and not (made and isinstance(found, made)):
            return found()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f'no {kind} from "{address}": {reason}') from error
    raise ValueError(
        f'no {kind} from "{address}": it is an object of type {type(found).__name__}, '
        f"not a function that returns a {kind}"
    )
