"""`pyfd demo`: show the defence at work on real photographs."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfd._core.extras import missing, remedy
from pyfd.cli.messages import Messages
from pyfd.cli.options import DEFAULT_TABLES, Examples, Folder, check_steps, tables_option
from pyfd.qtables import BASELINE_STEP, QTables

if TYPE_CHECKING:
    from pyfd.cli.demo.fooled import Witness

_SHEET_ROWS = 3


@click.command(
    cls=Examples,
    epilog="""\
pyfd demo
pyfd demo --epsilon 8 --qtables 64 --output demo-64""",
)
@click.option(
    "-o",
    "--output",
    type=Folder(),
    default="demo-output",
    show_default=True,
    metavar="DIR",
    help="The directory for the pictures.",
)
@click.option(
    "--epsilon",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="How far the attacker moves every sample, in 8-bit levels.",
)
@tables_option("The tables to defend with", DEFAULT_TABLES)
def demo(output: Path, epsilon: int, tables: QTables) -> None:
    """Show the defence at work on real photographs.

    Misleads a small network with attacked photographs, and shows what it says
    of the same ones behind the defence. Then defends all photographs that come
    with scikit-image and foolbox, perturbs them, decodes them, and measures what
    is left of the perturbation; certifies them, and aims at each block's weakest
    spot. Prints tables of numbers, and draws a picture to look at.
    """
    from pyfd.cli.demo import measurement

    check_steps(tables, BASELINE_STEP)
    try:
        photos = measurement.photographs()
    except ModuleNotFoundError as error:
        click.echo(f"pyfd: {missing(str(error.name), 'demo')}", err=True)
        click.get_current_context().exit(1)
    messages = Messages()
    with messages.watching(str(output)):
        _run(photos, tables, epsilon, output, messages)
    messages.finish()


def _program() -> str:
    """Return how a shell finds `pyfd`: by its name, or in an environment that is not active."""
    started = Path(sys.argv[0])
    here = started.name == "pyfd" and shutil.which("pyfd") is None
    return shlex.quote(os.path.relpath(started)) if here else "pyfd"


def _run(
    photos: list[Path], tables: QTables, epsilon: int, output: Path, messages: Messages
) -> None:
    from pyfd.cli.demo import certified, contact_sheet, fooled, measurement, summary

    sections, texts = [], []
    shown = [path for path in photos if path.stem in fooled.SHOWN]
    witness = _witness() if shown else None
    if witness is not None:
        _say(f"Attacking {len(shown)} photographs that a small network knows")
        bar = messages.progress(shown, len(shown), unit="photo", leave=False)
        stories = [fooled.tell(path, witness.network, epsilon) for path in bar]
        texts.append(summary.story_table(stories, witness, epsilon))
        sections.append(contact_sheet.fooled_section(stories, witness, epsilon))
    _say(f"Defending and certifying {len(photos)} photographs, and measuring what attacks change")
    bar = messages.progress(photos, len(photos), unit="photo", leave=False)
    measured, pairs = [], []
    for path in bar:
        measured.append(measurement.measure(path, tables, epsilon, output))
        pairs.append(certified.compare(path, epsilon, output))
    texts.append(summary.table([result for result, _ in measured], tables, epsilon))
    texts.append(summary.certified_table(pairs, epsilon))
    sections.append(contact_sheet.defended_section(measured[:_SHEET_ROWS], tables, epsilon))
    sections.append(contact_sheet.certified_section(pairs[:_SHEET_ROWS], epsilon))
    sheet = output / "contact-sheet.png"
    buffer = io.BytesIO()
    contact_sheet.draw(sections).save(buffer, "PNG")
    measurement.write(sheet, buffer.getvalue())
    click.echo("\n\n".join(texts))
    folder = shlex.quote(str(output / "certified"))
    command = f"{_program()} certify {folder} -q certified:{epsilon} --epsilon {epsilon}"
    click.echo(f"\nThis certifies them again: {command}")
    click.echo(f"The .jpg files are in {output}; look at {sheet}")


def _witness() -> Witness | None:
    """Return a network to attack, or None, after saying why there is none."""
    from pyfd.cli.demo import fooled

    try:
        return fooled.witness()
    except ValueError as error:
        _say(f"pyfd: no network is asked: {error}, or {remedy('demo')}")
        return None


def _say(line: str) -> None:
    """Write what is going on to stderr."""
    click.echo(line, err=True)
