"""Reading and writing tables, for the commands that do nothing else with their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pyfd.cli import jobs
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import check_names
from pyfd.cli.plan import is_pipe
from pyfd.qtables import MAX_STEP, QTables, parse_tables

tables_argument = click.argument(
    "names", nargs=-1, required=True, metavar="T...", callback=check_names
)


def check_suffix(_ctx: click.Context, _param: click.Parameter, path: str) -> str:
    """Refuse an output file whose suffix names neither of the forms that pyfd reads."""
    if not is_pipe(path) and Path(path).suffix.lower() not in (".json", ".txt"):
        raise click.BadParameter(
            f"{printable(path)!r} must end in .json (pyfd's form) or .txt (cjpeg's); "
            "pyfd tables convert writes other forms"
        )
    return path


def read(name: str) -> QTables:
    """Return the tables that an argument names.

    Raises:
        ValueError: The argument names no tables, or a file that holds none.
        OSError: The file cannot be read.
    """
    try:
        return parse_tables(name)
    except OverflowError as error:
        raise ValueError(f"steps must be in 1...{MAX_STEP}") from error


def read_all(names: Sequence[str], messages: Messages) -> dict[str, QTables]:
    """Return the tables that can be read, by the arguments that name them."""
    found = {}
    for name in dict.fromkeys(names):
        with messages.watching(name):
            found[name] = read(name)
    return found


def write(item: QTables, target: str) -> None:
    """Write tables as cjpeg's text if the target ends in .txt, else as JSON.

    Raises:
        RefusedError: The file cannot be written.
    """
    is_text = Path(target).suffix.lower() == ".txt"
    jobs.write(target, (item.to_text() if is_text else item.to_json()).encode())
