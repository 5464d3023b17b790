"""The command line's `tables` group: tables made, shown, converted and compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import pyfd
from pyfd import analysis
from pyfd.cli import jobs as _jobs
from pyfd.cli.grids import grid, side_by_side
from pyfd.cli.jobs import STDIO, Report, printable
from pyfd.cli.options import (
    Group,
    baseline_option,
    check_written_steps,
    limits_options,
    named,
    plot_option,
)
from pyfd.limits import Limits
from pyfd.qtables import MAX_STEP, QTables, parse_tables, served

if TYPE_CHECKING:
    from pyfd.calibration import FrequencyStatistics

_FORMS = (".json", ".txt")
_GRIDS_PER_ROW = 3

# ---- options --------------------------------------------------------------


def _check_form(_ctx: click.Context, _param: click.Parameter, path: str) -> str:
    if path != STDIO and Path(path).suffix.lower() not in _FORMS:
        raise click.BadParameter(
            f"{printable(path)!r} must end in .json (pyfd's form) or .txt (cjpeg's)"
        )
    return path


_tables_argument = click.argument("names", nargs=-1, required=True, metavar="T...", callback=named)


# ---- tables ---------------------------------------------------------------


@click.group(
    cls=Group,
    epilog="""\
pyfd tables make --epsilon 2 -o tables.json
pyfd tables show tables.json
pyfd tables compare tables.json fd-cvpr2019 --epsilon 2""",
)
def tables() -> None:
    """Make, show, convert and compare quantization tables.

    Wherever a command takes tables T, it takes a preset's name, one step (16),
    annex-k:QUALITY, or a file with pyfd's JSON or cjpeg's text.
    """


@tables.command(
    epilog="""\
pyfd tables make --epsilon 2 -o tables.json
pyfd tables make --epsilon 2 --statistics stats.json --protected 15 -o tables.json
pyfd tables make --step 40 --protected 15 -o tables.txt
pyfd tables make --quality 50 -o tables.txt""",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    callback=_check_form,
    help="A .json file, a .txt file in the form of cjpeg's -qtables, or - for JSON on stdout.",
)
@click.option(
    "--epsilon",
    type=float,
    metavar="E",
    help="For perturbations of this strength, in 8-bit levels: a step of about 8E.",
)
@click.option("--step", type=click.IntRange(1, MAX_STEP), metavar="N", help="With this step.")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="N",
    help="The standard's example tables, as Pillow and cjpeg write them for this quality.",
)
@click.option(
    "--protected",
    type=click.IntRange(0, 64),
    default=0,
    metavar="N",
    help="Keep the N most important frequencies fine. They are not defended.",
)
@click.option(
    "--protected-step",
    type=click.IntRange(1, MAX_STEP),
    metavar="N",
    help="The step of the protected ones.  [default: 1]",
)
@click.option(
    "--statistics",
    type=click.Path(),
    metavar="FILE",
    help="What pyfd calibrate wrote: ranks the frequencies. Without, the lowest ones.",
)
@baseline_option
def make(output: str, statistics: str | None, baseline: bool, **options: Any) -> None:
    """Make tables for a threat, from a step, or for a JPEG quality.

    Give one of --epsilon, --step and --quality; --epsilon is the one to start
    with.
    """
    recipe = _checked_recipe(statistics, options)
    report = Report()
    found: FrequencyStatistics | None = None
    if statistics is not None:
        with report.watching(statistics):
            found = pyfd.FrequencyStatistics.load(statistics)
    if not report.refused:
        try:
            made = _make(recipe, found, baseline)
        except ValueError as error:
            text = str(error).replace("baseline=False", "--no-baseline")
            raise click.UsageError(printable(text)) from error
        with report.watching(output):
            _write_tables(made, output)
    report.finish()


class _Recipe(NamedTuple):
    epsilon: float | None
    step: int | None
    quality: int | None
    protected: int
    protected_step: int


def _checked_recipe(statistics: str | None, options: dict[str, Any]) -> _Recipe:
    """The options, if they make sense together."""
    ways = ("epsilon", "step", "quality")
    if sum(options[way] is not None for way in ways) != 1:
        raise click.UsageError("Give one of --epsilon, --step and --quality.")
    if options["quality"] is not None and options["protected"]:
        raise click.UsageError("--quality and --protected exclude each other.")
    given = {"--statistics": statistics, "--protected-step": options["protected_step"]}
    for flag, value in given.items():
        if value is not None and not options["protected"]:
            raise click.UsageError(f"{flag} is for the frequencies to protect: add --protected N.")
    fine = 1 if options["protected_step"] is None else options["protected_step"]
    return _Recipe(**{**options, "protected_step": fine})


def _make(recipe: _Recipe, statistics: FrequencyStatistics | None, baseline: bool) -> QTables:
    if recipe.epsilon is not None:
        return QTables.for_threat(
            recipe.epsilon,
            statistics,
            protected=recipe.protected,
            protected_step=recipe.protected_step,
            baseline=baseline,
        )
    made = _from_steps(recipe, statistics)
    check_written_steps(made, baseline, MAX_STEP)
    return made


def _from_steps(recipe: _Recipe, statistics: FrequencyStatistics | None) -> QTables:
    if recipe.quality is not None:
        return QTables.annex_k(recipe.quality)
    step = recipe.step or 1
    if not recipe.protected:
        return QTables.uniform(step)
    bands = {
        "step": step,
        "protected_step": recipe.protected_step,
        "protected": recipe.protected,
    }
    name = f"two-band-{step}-protected-{recipe.protected}"
    if statistics is None:
        made = QTables.two_band(np.zeros((8, 8)), **bands)
        return QTables(made.array, name, origin=made.origin)
    made = statistics.two_band(**bands)
    origin = {**(made.origin or {}), "statistics": statistics.digest}
    return QTables(made.array, name, origin=origin)


# ---- show -----------------------------------------------------------------


@tables.command(
    epilog="""\
pyfd tables show tables.json
pyfd tables show fd-2018 fd-cvpr2019 --plot presets.png""",
)
@_tables_argument
@plot_option("Draw them too, on the 8x8 grid")
def show(names: tuple[str, ...], plot: str | None) -> None:
    """Show the steps of tables, their name, and how they came about.

    In the grids the row is the vertical frequency, the column the horizontal
    one; the number at the top left is DC's.
    """
    report = Report()
    found = _read_all(names, report)
    click.echo("\n".join(_description(name, item) for name, item in found.items()), nl=False)
    if plot and found:
        from pyfd import plots

        with report.watching(plot):
            _jobs.draw(plots.of_tables(*found.values()), plot)
    report.finish()


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


# ---- convert --------------------------------------------------------------


@tables.command(
    epilog="""\
pyfd tables convert tables.json tables.txt
pyfd tables convert cjpeg-tables.txt tables.json
pyfd tables convert fd-2018 fd-2018.txt""",
)
@click.argument("source", metavar="T")
@click.argument("target", metavar="FILE", callback=_check_form)
def convert(source: str, target: str) -> None:
    """Write tables as pyfd's JSON (.json) or as cjpeg's text (.txt).

    The text is what cjpeg -qtables takes; it holds the steps and not how they
    came about.
    """
    report = Report()
    with report.watching(source):
        _write_tables(_read(source), target)
    report.finish()


# ---- compare --------------------------------------------------------------


@tables.command(
    epilog="""\
pyfd tables compare 16 fd-cvpr2019 --epsilon 2
pyfd tables compare mine.json annex-k:50 --on photos""",
)
@_tables_argument
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
    callback=named,
    help="Re-quantize this .jpg file, or those in this directory, and show their size in bytes. "
    "May be given several times.",
)
@limits_options
def compare(
    names: tuple[str, ...], epsilon: float | None, inputs: tuple[str, ...], limits: Limits
) -> None:
    """Show tables side by side.

    Their steps, the ratio of each to the first one's, and a summary. The share
    that still moves is the mean over all frequencies and components, for
    perturbations like FGSM's and coefficients on the grid.
    """
    if epsilon is not None:
        _check_epsilon(epsilon)
    report = Report()
    found = _read_all(names, report)
    if found:
        columns = {name: _summary(item, epsilon) for name, item in found.items()}
        if inputs:
            for name, size in _sizes(found, inputs, limits, report).items():
                columns[name]["bytes"] = f"{size:,}"
        click.echo("\n".join([*_side_by_side(found), *_as_lines(columns)]))
    report.finish()


def _check_epsilon(epsilon: float) -> None:
    try:
        analysis.step_bound(epsilon)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--epsilon") from error


def _components(item: QTables, count: int) -> list[npt.NDArray[np.uint16]]:
    return [item[i] for i in range(count)]


def _side_by_side(found: dict[str, QTables]) -> list[str]:
    """Each component's steps under all tables, then their ratios to the first."""
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
    """What the last lines say about one table, by column."""
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
    found: dict[str, QTables], inputs: Sequence[str], limits: Limits, report: Report
) -> dict[str, int]:
    """Bytes of all files together under each table; a refused file counts for none."""
    sizes = dict.fromkeys(found, 0)
    files = _jobs.collect(inputs, _jobs.JPEG_SUFFIXES, report)
    for name, _ in tqdm(files, unit="file", disable=None if len(files) > 1 else True):
        with report.watching(name):
            data = _jobs.read(name, limits)
            lengths = [
                len(pyfd.requantize(data, item, baseline=False, limits=limits))
                for item in found.values()
            ]
            for key, length in zip(found, lengths, strict=True):
                sizes[key] += length
    return sizes


def _as_lines(columns: dict[str, dict[str, str]]) -> list[str]:
    """A row for each table, under a row of titles."""
    titles = ["", *next(iter(columns.values()))]
    rows = [titles, *([printable(name), *cells.values()] for name, cells in columns.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{row[0]:<{widths[0]}}"
        + "".join(f"   {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


# ---- files ----------------------------------------------------------------


def _read(name: str) -> QTables:
    try:
        return parse_tables(name)
    except OverflowError as error:
        raise ValueError(f"steps must be in 1...{MAX_STEP}") from error


def _read_all(names: Sequence[str], report: Report) -> dict[str, QTables]:
    """The tables that can be read, each once, by what they were called."""
    found = {}
    for name in dict.fromkeys(names):
        with report.watching(name):
            found[name] = _read(name)
    return found


def _write_tables(item: QTables, target: str) -> None:
    is_text = Path(target).suffix.lower() == ".txt"
    _jobs.write(target, (item.to_text() if is_text else item.to_json()).encode())
