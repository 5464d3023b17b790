"""The measurements as a table of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from pyfd.cli.demo.measurement import Result

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
plain, defended: decoding the attacker's .jpg without and with the tables."""


def table(results: Sequence[Result]) -> str:
    """Return a row for each result, and a last row with sums of bytes and medians of the rest."""
    heads = zip(*(head.split("/") for head in _HEADS), strict=True)
    rows = [(r.name, f"{r.width}x{r.height}", *_numbers([r])) for r in results]
    rows = [*heads, *rows, ("sum or median", "", *_numbers(results))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([*lines[:2], rule, *lines[2:-1], rule, lines[-1], "", _LEGEND])


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


def percent(share: float) -> str:
    """Return a share as a percentage, rounded down, so that 100 % really means all."""
    return f"{math.floor(share * 10000) / 100:.2f}%"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
    return "  ".join([f"{row[0]:<{widths[0]}}", *cells[1:]]).rstrip()
