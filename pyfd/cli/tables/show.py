"""`pyfd tables show`: show the steps of tables, their name and their origin."""

from __future__ import annotations

import json

import click

from pyfd.cli import jobs
from pyfd.cli.grids import grid, side_by_side
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import Examples, plot_option
from pyfd.cli.plan import check_overwriting
from pyfd.cli.tables import files
from pyfd.qtables import QTables, served


@click.command(
    cls=Examples,
    epilog="""\
pyfd tables show tables.json
pyfd tables show fd-2018 fd-cvpr2019 --plot presets.png""",
)
@files.tables_argument
@plot_option("Also draw them, on the 8x8 grid")
def show(names: tuple[str, ...], plot: str | None) -> None:
    """Show the steps of tables, their name, and how they were made.

    In the grids, the row is the vertical frequency and the column the
    horizontal one. The number at the top left is the step of DC.
    """
    check_overwriting(names, [plot] if plot else [])
    messages = Messages()
    found = files.read_all(names, messages)
    click.echo("\n".join(_description(name, item) for name, item in found.items()), nl=False)
    if plot and found:
        from pyfd import plots

        with messages.watching(plot):
            jobs.draw(plots.of_tables(*found.values()), plot)
    messages.finish()


def _description(argument: str, item: QTables) -> str:
    steps = f"{item.array.min()}...{item.array.max()}"
    rows = [("name", item.name or "none"), ("steps", steps)]
    label = "origin"
    for key, value in (item.origin or {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        rows.append((label, f"{key}: {text}"))
        label = ""
    lines = [printable(argument), *(f"  {label:<8}{printable(text)}" for label, text in rows), ""]
    grids = [grid(title, table) for title, table in zip(served(len(item)), item, strict=True)]
    return "\n".join([*lines, *side_by_side(grids)]) + "\n"
