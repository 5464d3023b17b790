"""The measurements as tables of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from pyfd.cli.demo.certified import NOISES, Pair, Trial, tables_for
from pyfd.cli.demo.fooled import Story, Witness
from pyfd.cli.demo.measurement import Result
from pyfd.cli.messages import printable
from pyfd.qtables import QTables

_HEADS = (
    "photograph/", "size/pixels", "at q95/bytes", "defended/bytes", "PSNR/dB",
    "1-pass/coeffs", "2-pass/coeffs", "1-pass/pixels", "2-pass/pixels",
    "plain/ms", "defended/ms", "/ratio",
)  # fmt: skip
_LEGEND = """\
1-pass, 2-pass: the share of coefficients and of pixels that the attack does not change,
  with the tables in the decoder alone, and in the camera as well. The attack is random
  noise of full strength, not one made for a model: this measures what the tables erase,
  not a classifier's accuracy. One coefficient that moves changes the 64 pixels of its
  block. Two passes leave changes where black or white clips, in blocks that the picture's
  edge cuts, and everywhere if the steps are too fine for epsilon.
plain, defended: decoding the attacker's .jpg without and with the tables, in milliseconds of
  processor time: medians of interleaved runs, after some that are not counted."""

_CERTIFIED_HEADS = (
    "photograph/", "plain/bytes", "certified/bytes", "plain/dB", "certified/dB",
    "plain/hold", "certified/hold", "plain/noise", "certified/noise",
    "plain/aimed", "certified/aimed",
)  # fmt: skip
_CERTIFIED_LEGEND = f"""\
plain, certified: two passes, without and with a certificate for this strength.
hold: the share of blocks for which it is proved that no perturbation changes them.
noise: the share of pixels that none of {NOISES} random perturbations of full strength changes.
aimed: the share of pixels that the perturbation towards each block's nearest rounding
  boundary does not change. The certified photographs withstand every other one, too.
A certificate is about perturbed pixels, not about a file that an attacker has made."""

_STORY_HEADS = (
    "photograph/", "as the camera/wrote it", "attacked/undefended", "the same copy/defended",
    "aimed at tables/defended", "certified/both attacks", "the picture/changes in",
)  # fmt: skip
_STORY_LEGEND = """\
attacked: each sample moves by up to epsilon along the network's derivatives.
defended: the camera has encoded the photograph with the tables, and the classifier encodes and
  decodes what it gets with the same tables: two passes.
aimed at tables: the attacker knows the tables, and carries coefficients across their rounding
  boundaries. He gets through plain files in some photographs, and never through certified ones.
certified: what the classifier sees of a certified photograph after both attacks."""


def story_table(stories: Sequence[Story], witness: Witness, epsilon: int) -> str:
    """Return a title, and a table of what a network takes photographs for."""
    rows = []
    for story in stories:
        seen = (story.camera, story.attacked, story.defended, story.aimed, story.certified)
        said = (f"{printable(witness.says(s.answer))} {s.answer.probability:.0%}" for s in seen)
        rows.append((story.name, *said, "no bit" if story.unchanged else "some pixels"))
    name = tables_for(epsilon).name
    title = f"What SqueezeNet says: perturbations within {epsilon}, tables {name}"
    return f"{title}\n\n{_laid_out(_STORY_HEADS, rows, _STORY_LEGEND, last=False)}"


def table(results: Sequence[Result], tables: QTables, epsilon: int) -> str:
    """Return a title, a row for each result, and one with sums of bytes and medians of the rest."""
    rows = [(r.name, f"{r.width}x{r.height}", *_numbers([r])) for r in results]
    rows.append(("sum or median", "", *_numbers(results)))
    name = printable(tables.name or "given")
    title = f"What the defence costs and erases: random noise of {epsilon}, tables {name}"
    return f"{title}\n\n{_laid_out(_HEADS, rows, _LEGEND)}"


def certified_table(pairs: Sequence[Pair], epsilon: int) -> str:
    """Return a title, and a table like `table` of the photographs with a certificate."""
    rows = [(pair.plain[0].name, *_certified_numbers([pair])) for pair in pairs]
    rows.append(("sum or median", *_certified_numbers(pairs)))
    title = f"Certified files: perturbations within {epsilon}, tables {tables_for(epsilon).name}"
    return f"{title}\n\n{_laid_out(_CERTIFIED_HEADS, rows, _CERTIFIED_LEGEND)}"


def _laid_out(
    heads: Sequence[str], rows: Sequence[Sequence[str]], legend: str, *, last: bool = True
) -> str:
    """Return a table with its legend; a rule above the last row if that sums up the others."""
    rows = [*zip(*(head.split("/") for head in heads), strict=True), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    end = [*lines[2:-1], rule, lines[-1]] if last else lines[2:]
    return "\n".join([*lines[:2], rule, *end, "", legend])


def _numbers(results: Sequence[Result]) -> tuple[str, ...]:
    return (
        f"{sum(r.ordinary_bytes for r in results):,}",
        f"{sum(r.defended_bytes for r in results):,}",
        f"{median(r.psnr for r in results):.1f}",
        percent(median(r.one_pass.coefficients for r in results)),
        percent(median(r.two_pass.coefficients for r in results)),
        percent(median(r.one_pass.pixels for r in results)),
        percent(median(r.two_pass.pixels for r in results)),
        f"{median(r.plain_ms for r in results):.2f}",
        f"{median(r.defended_ms for r in results):.2f}",
        f"{median(r.defended_ms / r.plain_ms for r in results):.2f}",
    )


def _certified_numbers(pairs: Sequence[Pair]) -> list[str]:
    """Return the numbers of plain and certified photographs, in turn."""
    both = [[pair.plain[0] for pair in pairs], [pair.certified[0] for pair in pairs]]
    columns = zip(*map(_trial_numbers, both), strict=True)
    return [number for column in columns for number in column]


def _trial_numbers(trials: Sequence[Trial]) -> tuple[str, ...]:
    return (
        f"{sum(trial.bytes for trial in trials):,}",
        f"{median(trial.psnr for trial in trials):.1f}",
        percent(median(trial.holding for trial in trials)),
        percent(median(trial.noise for trial in trials)),
        percent(median(trial.aimed for trial in trials)),
    )


def percent(share: float) -> str:
    """Return a share as a percentage, rounded down, so that 100 % really means all."""
    return f"{math.floor(share * 10000) / 100:.2f}%"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
    return "  ".join([f"{row[0]:<{widths[0]}}", *cells[1:]]).rstrip()
