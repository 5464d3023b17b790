"""`pyfd evaluate plot`: a figure of a report, for a paper."""

from __future__ import annotations

import click

from pyfd.cli.messages import Messages, libraries
from pyfd.cli.options import Examples, check_plot
from pyfd.cli.plan import check_overwriting

_DOTS = 300  # per inch


@click.command(
    cls=Examples,
    epilog="""\
pyfd evaluate plot report/report.json --list
pyfd evaluate plot report/report.json -o figure.pdf
pyfd evaluate plot report/report.json -o figure.svg --figure accuracy-by-rate""",
)
@click.argument("report", metavar="REPORT", type=click.Path(readable=False))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    callback=check_plot,
    help="The figure: a .pdf, .svg or .png file.",
)
@click.option(
    "--figure",
    "name",
    metavar="NAME",
    help="The name of a figure.  [default: the first of --list]",
)
@click.option("--list", "names", is_flag=True, help="Print the names of the report's figures.")
def plot(report: str, output: str | None, name: str | None, names: bool) -> None:
    """Draw a figure of a report.json for a paper.

    It is as wide as a column (3.4 inches) or two, and has its own key. A .pdf
    file has its fonts, and a .png file 300 dots per inch.
    """
    if (output is None) != names:
        raise click.UsageError("Give either -o FILE or --list.")
    if output is not None:
        check_overwriting([report], [output])
    messages = Messages()
    with messages.watching(report), libraries():
        from pyfd import plots
        from pyfd.evaluation import report as reports

        content = reports.load(report)
        found = reports.figures(content)
        if not found:
            raise ValueError("it has no figures: nothing was attacked")
        if output is None:
            click.echo("\n".join(found))
        elif name not in (None, *found):
            raise ValueError(f"no figure {name!r}: there are {', '.join(found)}")
        else:
            chosen = name or next(iter(found))
            with messages.watching(output):
                plots.save(found[chosen], output, dpi=_DOTS)
                messages.note(output, chosen)
        if content.get("finished") is False:
            messages.note(report, "the evaluation has not finished: its numbers will change")
    messages.finish()
