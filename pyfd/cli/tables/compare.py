"""`pyfd tables compare`: show tables side by side."""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
import numpy.typing as npt

import pyfd
from pyfd import analysis
from pyfd._core.files import JPEG_SUFFIXES
from pyfd.cli import jobs
from pyfd.cli.grids import grid, side_by_side
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import Examples, check_names, follow_links_option, limits_options
from pyfd.cli.plan import Input, collect
from pyfd.cli.tables import files
from pyfd.limits import Limits
from pyfd.qtables import QTables, served

_GRIDS_PER_ROW = 3


@click.command(
    cls=Examples,
    epilog="""\
pyfd tables compare 16 fd-cvpr2019 --epsilon 2
pyfd tables compare mine.json annex-k:50 --on photos""",
)
@files.tables_argument
@click.option(
    "--epsilon",
    type=float,
    metavar="E",
    help="Show the share of coefficients that a perturbation of this strength still moves.",
)
@click.option(
    "--on",
    "inputs",
    multiple=True,
    metavar="FILE",
    callback=check_names,
    help="Re-quantize this .jpg file, or those in this directory, and show their size in bytes. "
    "May be given several times.",
)
@follow_links_option
@limits_options
def compare(
    names: tuple[str, ...],
    epsilon: float | None,
    inputs: tuple[str, ...],
    follow_links: bool,
    limits: Limits,
) -> None:
    """Show tables side by side.

    Shows their steps, the ratio of each step to that of the first tables, and a
    summary. The share of coefficients that --epsilon shows is the mean over all
    frequencies and components, for perturbations like FGSM's and coefficients
    on the grid.
    """
    if epsilon is not None:
        _check_epsilon(epsilon)
    messages = Messages()
    found = files.read_all(names, messages)
    if found:
        columns = {name: _summary(item, epsilon) for name, item in found.items()}
        if inputs:
            photos = collect(inputs, JPEG_SUFFIXES, messages, follow_links=follow_links)
            for name, size in _sizes(found, photos, limits, messages).items():
                columns[name]["bytes"] = f"{size:,}"
        click.echo("\n".join([*_side_by_side(found), *_as_lines(columns)]))
    messages.finish()


def _check_epsilon(epsilon: float) -> None:
    try:
        analysis.step_bound(epsilon)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--epsilon") from error


def _components(item: QTables, count: int) -> list[npt.NDArray[np.uint16]]:
    return [item[i] for i in range(count)]


def _side_by_side(found: dict[str, QTables]) -> list[str]:
    """Return each component's steps in all tables, then their ratios to the first."""
    count = max(map(len, found.values()))
    lines: list[str] = []
    for i, component in enumerate(served(count)):
        steps = {printable(name): item[i] for name, item in found.items()}
        first, *others = steps
        grids = [grid(name, table) for name, table in steps.items()]
        ratios = [
            grid(f"{name} / {first}", np.vectorize("{:.2f}".format)(steps[name] / steps[first]))
            for name in others
        ]
        lines += [component, *side_by_side(grids, _GRIDS_PER_ROW), ""]
        if ratios:
            lines += [*side_by_side(ratios, _GRIDS_PER_ROW), ""]
    return lines


def _summary(item: QTables, epsilon: float | None) -> dict[str, str]:
    """Return the cells of one table's line in the summary, by column."""
    components = np.stack(_components(item, max(3, len(item))))
    summary = {
        "steps": f"{item.array.min()}...{item.array.max()}",
        "mean step": f"{components.mean():.1f}",
    }
    if epsilon is not None:
        share = analysis.survival(components, epsilon).mean()
        summary[f"moved at epsilon {epsilon:g}"] = f"{100 * share:.3g} %"
    return summary


def _sizes(
    found: dict[str, QTables], photos: Sequence[Input], limits: Limits, messages: Messages
) -> dict[str, int]:
    """Return the bytes of all files together, for each table; refused files do not count."""
    sizes = dict.fromkeys(found, 0)
    for name, _, regular in messages.progress(photos, len(photos)):
        with messages.watching(name):
            data = jobs.read(name, limits, regular=regular)
            lengths = [
                len(pyfd.requantize(data, item, baseline=False, limits=limits))
                for item in found.values()
            ]
            for key, length in zip(found, lengths, strict=True):
                sizes[key] += length
    return sizes


def _as_lines(columns: dict[str, dict[str, str]]) -> list[str]:
    """Return a row for each table, under a row of titles."""
    titles = ["", *next(iter(columns.values()))]
    rows = [titles, *([printable(name), *cells.values()] for name, cells in columns.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{row[0]:<{widths[0]}}"
        + "".join(f"   {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
