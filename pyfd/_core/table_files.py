"""The two forms of table files: JSON, and the text of ``cjpeg -qtables``.

Tables are arrays in natural order here; `pyfd.QTables` checks the steps.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._core.steps import MAX_TABLES

_FORMAT = "pyfd-qtables"


class TableFile(NamedTuple):
    """The content of a JSON file; the tables are unchecked."""

    tables: Any
    name: str | None
    origin: dict[str, Any] | None


def to_json(tables: npt.NDArray[np.uint16], name: str | None, origin: str | None) -> str:
    """Return the JSON form of n×8×8 tables, with one row of a table per line.

    Args:
        tables: The tables.
        name: Their label.
        origin: How they were made, as `pack_origin` returns it.
    """
    rows = [",\n".join(f"   {json.dumps(row)}" for row in table) for table in tables.tolist()]
    blocks = ",\n".join(f"  [\n{table}\n  ]" for table in rows)
    line = "" if origin is None else f' "origin": {origin},\n'
    return (
        f'{{\n "format": "{_FORMAT}",\n "version": 1,\n "name": {json.dumps(name)},\n'
        f'{line} "tables": [\n{blocks}\n ]\n}}\n'
    )


def read_json(path: str | os.PathLike[str]) -> TableFile:
    """Read a file in the form of `to_json`; it may lack the name and the origin.

    Raises:
        ValueError: The file has another form; the message names it.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a table file: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f'{path} is not a table file: no "format": "{_FORMAT}"')
    if content.get("version") != 1:
        raise ValueError(f"{path} has version {content.get('version')!r}, not 1")
    name = content.get("name")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{path} has a name that is not a string")
    origin = content.get("origin")
    if origin is not None and not isinstance(origin, dict):
        raise ValueError(f"{path} has an origin that is not an object")
    return TableFile(content.get("tables", ()), name, origin)


def pack_origin(origin: dict[str, Any]) -> str:
    """Return an origin as JSON text, which is immutable.

    Raises:
        TypeError: The origin is not a dictionary, or holds a type that JSON lacks.
        ValueError: The origin holds NaN, an infinity or itself.
    """
    if not isinstance(origin, dict):
        raise TypeError(f"origin must be a dictionary, not {type(origin).__name__}")

    def plain(value: object) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} has no form in JSON")

    try:
        return json.dumps(origin, default=plain, allow_nan=False)
    except TypeError as error:
        raise TypeError(f"origin must be representable in JSON: {error}") from error
    except (ValueError, RecursionError) as error:  # NaN, an infinity, a cycle
        raise ValueError(f"origin must be representable in JSON: {error}") from error


def to_text(tables: npt.NDArray[np.uint16], name: str | None) -> str:
    """Return the text form of n×8×8 tables; the name is a comment."""
    width = len(str(tables.max()))
    blocks = []
    for number, table in enumerate(tables):
        rows = (" ".join(f"{step:{width}d}" for step in row) for row in table)
        blocks.append("\n".join([f"# table {number}", *rows, ""]))
    title = f"# {' '.join(name.split())}\n" if name else ""
    return title + "\n".join(blocks)


def from_text(text: str) -> npt.NDArray[np.int64]:
    """Return the n×8×8 tables of the text form; ``#`` starts a comment.

    Raises:
        ValueError: The text does not hold 1 to 4 tables of 64 numbers.
    """
    words = re.sub(r"#.*", "", text).split()
    if not words or len(words) % 64 or len(words) > 64 * MAX_TABLES:
        raise ValueError(
            f"the text must hold 1 to {MAX_TABLES} tables of 64 steps, not {len(words)} words"
        )
    wrong = next((word for word in words if not re.fullmatch(r"[0-9]{1,5}", word)), None)
    if wrong is not None:
        raise ValueError(f"the text holds {wrong[:20]!r}, which is not a step of 1 to 5 digits")
    return np.array([int(word) for word in words], np.int64).reshape(-1, 8, 8)
