"""`pyfd tables convert`: write tables in another form, for pyfd, cjpeg or an encoder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Set
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

import pyfd
from pyfd._core import encoder_tables
from pyfd._core.files import JPEG_SUFFIXES
from pyfd.cli import jobs
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import Examples
from pyfd.cli.plan import STDIO, check_overwriting, is_pipe
from pyfd.cli.tables import files
from pyfd.qtables import QTables


class Form(NamedTuple):
    """A form in which tables are written."""

    suffixes: Set[str]
    """The suffixes that ask for it."""
    content: Callable[[QTables], bytes]
    """The function that returns a file's content."""


def _to_c(order: str) -> Callable[[QTables], bytes]:
    return lambda item: encoder_tables.to_c(item.array, item.name, _origin(item), order).encode()


def _to_vaapi(item: QTables) -> bytes:
    return encoder_tables.to_vaapi(item.array, item.name, _origin(item)).encode()


def _origin(item: QTables) -> str | None:
    return None if item.origin is None else json.dumps(item.origin)


def _to_jpeg(item: QTables) -> bytes:
    """Return a gray picture of three components: an encoder that copies its tables gets all."""
    if len(item) > 3:
        raise ValueError("a JPEG picture has at most 3 tables, one for each of Y, Cb and Cr")
    return pyfd.encode(np.full((16, 16, 3), 128, np.uint8), item, baseline=False)


#: The forms by name. The help of the command describes them.
FORMS = {
    "json": Form({".json"}, lambda item: item.to_json().encode()),
    "text": Form({".txt"}, lambda item: item.to_text().encode()),
    "c": Form({".h"}, _to_c("zigzag")),
    "vaapi": Form(set(), _to_vaapi),
    "dqt": Form({".dqt"}, lambda item: encoder_tables.to_dqt(item.array)),
    "jpeg": Form(JPEG_SUFFIXES, _to_jpeg),
}
_BINARY = {"dqt", "jpeg"}


@click.command(
    cls=Examples,
    epilog="""\
pyfd tables convert tables.json tables.txt
pyfd tables convert cjpeg-tables.txt tables.json
pyfd tables convert fd-cvpr2019 tables.h
pyfd tables convert fd-cvpr2019 tables.h --order natural
pyfd tables convert certified:2 qmatrix.h --form vaapi""",
)
@click.argument("source", metavar="T")
@click.argument("target", metavar="FILE")
@click.option(
    "--form",
    "name",
    type=click.Choice(list(FORMS)),
    help="The form. By default FILE's suffix decides; in a pipe it is json.",
)
@click.option(
    "--order",
    type=click.Choice(list(encoder_tables.ORDERS)),
    help="The order of the steps in the form c, whose arrays are named after it.  "
    "[default: zigzag]",
)
def convert(source: str, target: str, name: str | None, order: str | None) -> None:
    """Write tables in the form that pyfd, cjpeg or an encoder takes.

    \b
    json   .json  pyfd's form: the steps, and how they were made
    text   .txt   the form of cjpeg -qtables
    c      .h     arrays for C and C++, of 8 bits, or of 16 for steps beyond 255
    vaapi         VA-API's VAQMatrixBufferJPEG, for C and C++
    dqt    .dqt   a DQT marker segment (ITU-T T.81, B.2.4.1)
    jpeg   .jpg   a gray picture with the tables, for nvJPEG and others that copy them

    pyfd reads the first two. Only json holds how the tables were made in a form
    for programs; c and vaapi have it in a comment.
    """  # noqa: D301 (a backspace keeps the lines of the table apart)
    name = name or _form_of(target)
    if order is not None and name != "c":
        raise click.UsageError(f"--order is for the form c: {name} has an order of its own.")
    if target == STDIO and name in _BINARY and sys.stdout.isatty():
        raise click.UsageError(f"{name} is not for a terminal: redirect stdout, or name a FILE.")
    content = FORMS[name].content if order is None else _to_c(order)
    check_overwriting([source], [target])
    messages = Messages()
    with messages.watching(source):
        jobs.write(target, content(files.read(source)))
    messages.finish()


def _form_of(target: str) -> str:
    """Return the form that an output file's suffix asks for."""
    if is_pipe(target):
        return "json"
    suffix = Path(target).suffix.lower()
    for name, form in FORMS.items():
        if suffix in form.suffixes:
            return name
    known = ", ".join(suffix for form in FORMS.values() for suffix in sorted(form.suffixes))
    raise click.UsageError(
        f"{printable(target)!r} has none of the suffixes {known}: use one of them, or say "
        f"--form {'|'.join(FORMS)}."
    )
