"""`pyfd tables convert`: write tables in another form."""

from __future__ import annotations

import click

from pyfd.cli.messages import Messages
from pyfd.cli.options import Examples
from pyfd.cli.plan import check_overwriting
from pyfd.cli.tables import files


@click.command(
    cls=Examples,
    epilog="""\
pyfd tables convert tables.json tables.txt
pyfd tables convert cjpeg-tables.txt tables.json
pyfd tables convert fd-2018 fd-2018.txt""",
)
@click.argument("source", metavar="T")
@click.argument("target", metavar="FILE", callback=files.check_suffix)
def convert(source: str, target: str) -> None:
    """Write tables as pyfd's JSON (.json) or as cjpeg's text (.txt).

    The text is the form that cjpeg -qtables takes. It holds the steps, but not
    how they were made.
    """
    check_overwriting([source], [target])
    messages = Messages()
    with messages.watching(source):
        files.write(files.read(source), target)
    messages.finish()
