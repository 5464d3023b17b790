"""`pyfd calibrate`: measure which frequencies photographs use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import pyfd
from pyfd._core.files import JPEG_SUFFIXES
from pyfd.cli import jobs
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import (
    Examples,
    follow_links_option,
    inputs_argument,
    limits_options,
    plot_option,
    workers_option,
)
from pyfd.cli.plan import Input, check_overwriting, collect, is_pipe
from pyfd.limits import Limits


@click.command(
    cls=Examples,
    epilog="""\
pyfd calibrate photos -o stats.json
pyfd calibrate photos --workers 4 --plot stats.png -o stats.json""",
)
@inputs_argument
@follow_links_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="The JSON file for the statistics, or - for stdout.",
)
@workers_option
@plot_option("Also draw them, on the 8x8 grid")
@limits_options
def calibrate(
    inputs: tuple[str, ...],
    follow_links: bool,
    output: str,
    workers: int | None,
    plot: str | None,
    limits: Limits,
) -> None:
    """Measure which frequencies photographs use.

    Computes the mean and the standard deviation of the DCT coefficients, for
    each frequency of Y, Cb and Cr, over all .jpg files given or found in
    directories. "pyfd tables make --statistics" ranks the frequencies by them.
    Damaged files are named and left out.
    """
    if plot and os.path.realpath(plot) == os.path.realpath(output):
        raise click.UsageError(f"{printable(output)} is both --output and --plot.")
    messages = Messages()
    files = collect(inputs, JPEG_SUFFIXES, messages, follow_links=follow_links)
    check_overwriting([name for name, *_ in files], [output, *([plot] if plot else [])])
    if files:
        with messages.watching("calibrate"):
            _calibrate(files, output, workers, plot, limits, messages)
    messages.finish()


def _calibrate(
    files: Sequence[Input],
    output: str,
    workers: int | None,
    plot: str | None,
    limits: Limits,
    messages: Messages,
) -> None:
    found = pyfd.calibrate(
        [jobs.source_of(name, regular=regular) for name, _, regular in files],
        workers=workers,
        progress=sys.stderr.isatty() and len(files) > 1,
        limits=limits,
    )
    for name, reason in sorted(found.failures.items()):
        messages.refuse(name, reason)
    jobs.write(output, found.to_json().encode())
    luma, *chroma = found.blocks
    click.echo(
        f"{found.images:,} images, {luma:,} blocks of Y, {chroma[0]:,} of Cb, "
        f"{chroma[1]:,} of Cr: {printable(output)}",
        err=is_pipe(output),  # the statistics may be on stdout
    )
    if plot:
        from pyfd import plots

        jobs.draw(plots.of_statistics(found), plot)
