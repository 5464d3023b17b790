"""`pyfd tables`: make, show, convert and compare quantization tables."""

from __future__ import annotations

import click

from pyfd.cli.options import Group
from pyfd.cli.tables import compare, convert, make, show


@click.group(
    cls=Group,
    epilog="""\
pyfd tables make --epsilon 2 -o tables.json
pyfd tables show tables.json
pyfd tables compare tables.json fd-cvpr2019 --epsilon 2""",
)
def tables() -> None:
    """Make, show, convert and compare quantization tables.

    Tables T are a preset's name, one step (such as 16), annex-k:QUALITY,
    certified:E (the finest tables that hold E levels), certified-files:E (for
    files, too), or a file with pyfd's JSON or cjpeg's text, wherever a command
    takes them.
    """


tables.add_command(make.make)
tables.add_command(show.show)
tables.add_command(convert.convert)
tables.add_command(compare.compare)
