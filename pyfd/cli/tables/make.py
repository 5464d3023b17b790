"""`pyfd tables make`: make tables for a threat, to be certified, from a step, or for a quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

import pyfd
from pyfd._core.pixels import WHITE
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import Examples, baseline_option, check_written_steps
from pyfd.cli.plan import check_overwriting
from pyfd.cli.tables import files
from pyfd.qtables import ENCODER_STEP, MAX_STEP, QTables

if TYPE_CHECKING:
    from pyfd.calibration import FrequencyStatistics


@click.command(
    cls=Examples,
    epilog="""\
pyfd tables make --epsilon 2 -o tables.json
pyfd tables make --epsilon 2 --statistics stats.json --protected 15 -o tables.json
pyfd tables make --certified 2 -o tables.json
pyfd tables make --certified 1 --files --slack 12 -o tables.json
pyfd tables make --step 40 --protected 15 -o tables.txt
pyfd tables make --quality 50 -o tables.txt""",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    callback=files.check_suffix,
    help="Where to write: a .json file, a .txt file in the form of cjpeg's -qtables, or - for JSON "
    "on stdout.",
)
@click.option(
    "--epsilon",
    type=float,
    metavar="E",
    help="Make tables for perturbations of this strength, in 8-bit levels: a step of about 8E.",
)
@click.option(
    "--certified",
    type=click.IntRange(0, WHITE),
    metavar="E",
    help="Make the finest tables that can be certified at this strength, in whole 8-bit levels: "
    "steps of about 16E + 8.",
)
@click.option(
    "--slack",
    type=click.IntRange(0, ENCODER_STEP),
    metavar="N",
    help="With --certified, how far the steps lie above what a perturbation of strength E can "
    "move, as room for the rounding of pixels. The less, the more blocks must be changed to hold "
    "E.  [default: 8]",
)
@click.option(
    "--files",
    "for_files",
    is_flag=True,
    help="With --certified, hold E also for .jpg files that an attacker hands to the decoder. "
    "That takes larger steps.",
)
@click.option(
    "--step", type=click.IntRange(1, MAX_STEP), metavar="N", help="Make tables with this step."
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Make the standard's example tables, as Pillow and cjpeg -baseline write them for this "
    "quality; with --no-baseline, as cjpeg writes them without -baseline.",
)
@click.option(
    "--protected",
    type=click.IntRange(0, 64),
    default=0,
    metavar="N",
    help="Keep fine steps for the N most important frequencies, which are then not defended.",
)
@click.option(
    "--protected-step",
    type=click.IntRange(1, MAX_STEP),
    metavar="N",
    help="The step of the protected frequencies.  [default: 1]",
)
@click.option(
    "--statistics",
    type=click.Path(),
    metavar="FILE",
    help="Rank the frequencies by this file of pyfd calibrate. Without it, the lowest are the most "
    "important.",
)
@baseline_option
def make(output: str, statistics: str | None, baseline: bool, **options: Any) -> None:
    """Make tables for a threat, from a step, or for a JPEG quality.

    Give one of --epsilon, --certified, --step and --quality. Start with
    --epsilon: it keeps most accuracy, and withstands attacks that do not aim at
    the tables. Tables of --certified have steps twice as large. With them, "pyfd
    encode --radius E" makes files that no perturbation of the decoded pixels
    within E can move, whatever the attacker knows.
    """
    recipe = _checked_recipe(statistics, options)
    check_overwriting([] if statistics is None else [statistics], [output])
    messages = Messages()
    found: FrequencyStatistics | None = None
    if statistics is not None:
        with messages.watching(statistics):
            found = pyfd.FrequencyStatistics.load(statistics)
    if not messages.refused:
        try:
            made = _make(recipe, found, baseline)
        except ValueError as error:
            text = str(error).replace("baseline=False", "--no-baseline")
            raise click.UsageError(printable(text)) from error
        with messages.watching(output):
            files.write(made, output)
    messages.finish()


class _Recipe(NamedTuple):
    """How tables are made."""

    epsilon: float | None
    certified: int | None
    slack: int | None
    for_files: bool
    step: int | None
    quality: int | None
    protected: int
    protected_step: int


def _checked_recipe(statistics: str | None, options: dict[str, Any]) -> _Recipe:
    """Return the options; refuse those that do not fit together."""
    ways = ("epsilon", "certified", "step", "quality")
    if sum(options[way] is not None for way in ways) != 1:
        raise click.UsageError("Give one of --epsilon, --certified, --step and --quality.")
    for way in ("certified", "quality"):
        if options[way] is not None and options["protected"]:
            raise click.UsageError(f"--{way} and --protected exclude each other.")
    for flag, given in (
        ("--slack", options["slack"] is not None),
        ("--files", options["for_files"]),
    ):
        if given and options["certified"] is None:
            raise click.UsageError(f"{flag} is for certified tables: add --certified E.")
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
    if recipe.certified is not None:
        room = {} if recipe.slack is None else {"slack": recipe.slack}
        return QTables.certified(
            recipe.certified, files=recipe.for_files, baseline=baseline, **room
        )
    made = _from_steps(recipe, statistics, baseline)
    check_written_steps(made, baseline, MAX_STEP)
    return made


def _from_steps(recipe: _Recipe, statistics: FrequencyStatistics | None, baseline: bool) -> QTables:
    if recipe.quality is not None:
        return QTables.annex_k(recipe.quality, baseline=baseline)
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
