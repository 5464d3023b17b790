"""Text files that a user or pyfd wrote, read within bounds: JSON and plain text.

Anybody may have written them. A file that is too large, of another kind, nested too deeply
or no JSON in the strict sense is a `ValueError` that names the file, and where it can, the
line and the column.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyfd._core.files import read_source
from pyfd.errors import LimitExceededError
from pyfd.limits import Limits

#: The most digits of a number: sums over a data set have fewer.
_MOST_DIGITS = 60


def read_text(path: str | os.PathLike[str], most: int, *, errors: str = "replace") -> str:
    """Return a file's text, which is UTF-8, without a byte-order mark.

    Args:
        path: The file; a pipe is waited for, as by every program.
        most: The most bytes that the file may have.
        errors: What happens to bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        ValueError: The file is longer, or is UTF-16.
        OSError: The file cannot be read.
    """
    data = _read(path, most)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{os.fspath(path)} is text in UTF-16: save it as UTF-8")
    return data.decode("utf-8-sig", errors)


def read_json(path: str | os.PathLike[str], most: int, kind: str) -> Any:
    """Return a JSON file's content.

    Args:
        path: The file, as in `read_text`.
        most: The most bytes that the file may have.
        kind: What the file should be, for messages.

    Raises:
        ValueError: As in `read_text`, or the file is not JSON, is nested too deeply, has a
            key twice in an object, or a number that JSON or this module does not have.
        OSError: The file cannot be read.
    """
    data = _read(path, most)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        place = f"line {line}, byte {column}"
        raise ValueError(f"{os.fspath(path)} is not {kind}: {place}: not UTF-8") from error
    return parse_json(text, os.fspath(path), kind)


def parse_json(text: str, name: str, kind: str) -> Any:
    """Return the content of JSON text, as `read_json` does.

    Raises:
        ValueError: As in `read_json`.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_number,
        )
    except json.JSONDecodeError as error:
        why = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        why = "JSON that is nested too deeply"
    except ValueError as error:
        why = str(error)
    raise ValueError(f"{name} is not {kind}: {why}")


def _read(path: str | os.PathLike[str], most: int) -> bytes:
    try:
        return bytes(read_source(Path(path), replace(Limits.unlimited(), max_bytes=most)))
    except LimitExceededError:
        raise ValueError(f"{os.fspath(path)} has more than {most} bytes") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} stands twice in an object")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a number that JSON has")
    return value
