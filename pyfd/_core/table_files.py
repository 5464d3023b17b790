"""The two forms of table files: JSON, and the text of ``cjpeg -qtables``.

Tables are arrays in natural order here; `pyfd.QTables` checks the steps.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._core import text_files
from pyfd._core.steps import MAX_STEP, MAX_TABLES

_FORMAT = "pyfd-qtables"
_KIND = "a table file"
_MOST_BYTES = 1 << 20
_NAME_SHOWN = 1000  # the drop-in refuses table files beyond 16 KiB

# cjpeg's white space and line ends are ASCII's
_WORDS = re.compile(r"#[^\r\n]*|[^ \t\n\v\f\r#]+")
_NUMBER = re.compile(r"[0-9]+")
_NUMBERS = re.compile(r"[0-9]+(?:,[0-9]+)*,?")
_LINE_END = re.compile(r"\r\n|\r|\n")


class TableFile(NamedTuple):
    """The content of a file: n×8×8 steps in 1...65535, and for JSON what stands beside them."""

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


def read(path: str | os.PathLike[str]) -> TableFile:
    """Read a file in the form of `to_json`; it may lack the name and the origin.

    Raises:
        ValueError: The file has another form; the message names it.
        OSError: The file cannot be read.
    """
    return _checked(text_files.read_json(path, _MOST_BYTES, _KIND), os.fspath(path))


def read_either(path: str | os.PathLike[str]) -> TableFile:
    """Read a file in one of the two forms.

    Raises:
        ValueError: As `read` and `from_text` do; the message names the file.
        OSError: The file cannot be read.
    """
    text, name = text_files.read_text(path, _MOST_BYTES), os.fspath(path)
    if text.lstrip().startswith("{"):
        return _checked(text_files.parse_json(text, name, _KIND), name)
    try:
        return TableFile(from_text(text), os.path.basename(name), None)  # noqa: PTH119
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from error


def _checked(content: Any, path: str) -> TableFile:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f'{path} is not {_KIND}: no "format": "{_FORMAT}"')
    if content.get("version") != 1:
        raise ValueError(f"{path} has version {reprlib.repr(content.get('version'))}, not 1")
    name = content.get("name")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{path} has a name that is not a string")
    origin = content.get("origin")
    if origin is not None and not isinstance(origin, dict):
        raise ValueError(f"{path} has an origin that is not an object")
    try:
        return TableFile(_tables(content.get("tables")), name, origin)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _tables(value: Any) -> list[Any]:
    """Return the tables of a JSON file: lists of 8 rows of 8 steps; one table may stand alone."""
    rows = value if isinstance(value, list) else []
    alone = rows and isinstance(rows[0], list) and rows[0] and not isinstance(rows[0][0], list)
    tables: list[Any] = [rows] if alone else rows
    if not 1 <= len(tables) <= MAX_TABLES:
        raise ValueError(
            f"tables must be a list of 1 to {MAX_TABLES} tables, not {reprlib.repr(value)}"
        )
    for number, table in enumerate(tables):
        where = f"tables[{number}]"
        lengths = [len(row) if isinstance(row, list) else 0 for row in _list(table)]
        if lengths != [8] * 8:
            raise ValueError(f"{where} must be 8 rows of 8 steps, not {reprlib.repr(table)}")
        for (i, j), step in np.ndenumerate(np.array(table, object)):
            if type(step) is not int or not 1 <= step <= MAX_STEP:
                raise ValueError(
                    f"{where}[{i}][{j}]: steps must be integers in 1...{MAX_STEP}, "
                    f"not {reprlib.repr(step)}"
                )
    return tables


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
    """Return the text form of n×8×8 tables; the name is a comment, shortened if it is very long.

    Whatever the name, the text can be encoded as UTF-8, and shown on a terminal.
    """
    width = len(str(tables.max()))
    blocks = []
    for number, table in enumerate(tables):
        rows = (" ".join(f"{step:{width}d}" for step in row) for row in table)
        blocks.append("\n".join([f"# table {number}", *rows, ""]))
    words = " ".join((name or "")[:_NAME_SHOWN].split())
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    title = f"# {''.join(escaped)}\n" if name else ""
    return title + "\n".join(blocks)


def from_text(text: str) -> npt.NDArray[np.int64]:
    """Return the n×8×8 tables of the text form.

    It takes what ``cjpeg -qtables`` takes (rdswitch.c): whole numbers with white space of
    ASCII or one comma after each, and comments from ``#`` to the end of the line. Beyond
    cjpeg, it takes a byte-order mark, and a lone carriage return ends a line. Unlike cjpeg,
    it refuses other characters, and steps out of range instead of moving them into it.

    Raises:
        ValueError: The text does not hold 1 to 4 tables of 64 steps in 1...65535; the
            message starts with the line and the column.
    """
    text = text.removeprefix("\ufeff")
    steps: list[int] = []
    end = 0
    for word in _WORDS.finditer(text):
        if word[0].startswith("#"):
            continue
        if not _NUMBERS.fullmatch(word[0]):
            raise _wrong(text, word.start(), f"but {word[0][:20]!r} is not a step")
        for number in _NUMBER.finditer(text, word.start(), word.end()):
            digits = number[0].lstrip("0") or "0"
            if len(digits) > 5 or not 1 <= int(digits) <= MAX_STEP:
                why = f"but steps must be in 1...{MAX_STEP}, not {digits[:20]}"
                raise _wrong(text, number.start(), why)
            steps.append(int(digits))
            end = number.end()
    if not steps or len(steps) % 64 or len(steps) > 64 * MAX_TABLES:
        raise _wrong(text, end, f"not {len(steps)} words")
    return np.array(steps, np.int64).reshape(-1, 8, 8)


def _wrong(text: str, position: int, why: str) -> ValueError:
    ends = [end.end() for end in _LINE_END.finditer(text, 0, position)]
    column = position - (ends[-1] if ends else 0) + 1
    return ValueError(
        f"line {len(ends) + 1}, column {column}: the text must hold 1 to {MAX_TABLES} tables "
        f"of 64 steps, {why}"
    )
