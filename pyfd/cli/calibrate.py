"""The command line's `calibrate`: which frequencies photographs use."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

import pyfd
from pyfd.cli import jobs as _jobs
from pyfd.cli.jobs import STDIO, Report, printable
from pyfd.cli.options import Examples, inputs_argument, limits_options, plot_option
from pyfd.limits import Limits


@click.command(
    cls=Examples,
    epilog="""\
pyfd calibrate photos -o stats.json
pyfd calibrate photos --workers 4 --plot stats.png -o stats.json""",
)
@inputs_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where the statistics go: a JSON file.",
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Threads.  [default: one per core]"
)
@plot_option("Draw them too, on the 8x8 grid")
@limits_options
def calibrate(
    inputs: tuple[str, ...],
    output: str,
    workers: int | None,
    plot: str | None,
    limits: Limits,
) -> None:
    """Measure which frequencies photographs use.

    Mean and standard deviation of the DCT coefficients, per frequency and for
    Y, Cb and Cr each, over all .jpg files given or found in directories: what
    "pyfd tables make --statistics" ranks frequencies by. Damaged files are
    named and left out.
    """
    report = Report()
    names = [name for name, _ in _jobs.collect(inputs, _jobs.JPEG_SUFFIXES, report)]
    if names:
        with report.watching("calibrate"):
            _calibrate(names, output, workers, plot, limits, report)
    report.finish()


def _calibrate(
    names: Sequence[str],
    output: str,
    workers: int | None,
    plot: str | None,
    limits: Limits,
    report: Report,
) -> None:
    sources = [sys.stdin.buffer if name == STDIO else name for name in names]
    found = pyfd.calibrate(
        sources, workers=workers, progress=sys.stderr.isatty() and len(names) > 1, limits=limits
    )
    for name, reason in sorted(found.failures.items()):
        report.refuse(name, reason)
    with _jobs.writing(output):
        found.save(output)
    luma, *chroma = found.blocks
    click.echo(
        f"{found.images:,} images, {luma:,} blocks of Y, {chroma[0]:,} of Cb, "
        f"{chroma[1]:,} of Cr: {printable(output)}"
    )
    if plot:
        from pyfd import plots

        _jobs.draw(plots.of_statistics(found), plot)
