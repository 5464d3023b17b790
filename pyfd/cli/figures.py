"""`pyfd evaluate plot`: a figure of a report, for a paper."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pyfd.cli.messages import Messages, libraries, printable
from pyfd.cli.options import Examples
from pyfd.cli.plan import check_overwriting


@click.command(
    cls=Examples,
    epilog="""\
pyfd evaluate plot report/report.json --list
pyfd evaluate plot report/report.json -o figure.pdf
pyfd evaluate plot report/report.json -o figure.svg --figure "by-epsilon: gray-box: PGD\"""",
)
@click.argument("report", metavar="REPORT", type=click.Path(readable=False))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(readable=False),
    help="The figure: a .pdf, .svg or .png file.",
)
@click.option(
    "--figure",
    "name",
    metavar="NAME",
    help="The name of a figure, its beginning, or its number in --list.  [default: the first]",
)
@click.option("--list", "names", is_flag=True, help="Print the names of the report's figures.")
def plot(report: str, output: str | None, name: str | None, names: bool) -> None:
    """Draw a figure of a report.json for a paper.

    It is as wide as a column (3.4 inches) and needs no key beside it. Fonts are
    embedded in .pdf files; .png files have 300 dots per inch.
    """
    if (output is None) != names:
        raise click.UsageError("Give either -o FILE or --list.")
    messages = Messages()
    with messages.watching(report), libraries():
        from pyfd.evaluation import report as reports

        if output is not None:
            _check_output(report, output)
        content = reports.load(report)
        found = reports.figures(content)
        if output is None:
            for number, title in enumerate(found, 1):
                click.echo(f"{number}  {title}")
        else:
            chosen = _chosen(list(found), name)
            with messages.watching(output):
                reports.save(found[chosen], output)
                messages.note(output, f"{chosen}; --list names all {len(found)} figures")
        if content.get("finished") is False:
            messages.note(report, "the evaluation has not finished: its numbers will change")
    messages.finish()


def _check_output(report: str, output: str) -> None:
    """Refuse an output that is no figure or that would overwrite the report."""
    from pyfd.evaluation import report as reports

    try:
        reports.check_suffix(output)
    except ValueError as error:
        raise click.BadParameter(printable(str(error)), param_hint="'-o' / '--output'") from error
    check_overwriting([report], [output])


def _chosen(names: Sequence[str], wanted: str | None) -> str:
    """Return the name of a figure by its name, its beginning or its number.

    Raises:
        ValueError: The report has no such figure, or none at all.
    """
    if not names:
        raise ValueError("the report has no figures: nothing was attacked")
    found = [name for name in names if wanted is None or name.startswith(wanted)]
    if wanted is not None and wanted.isdecimal() and len(wanted) < 9:
        found = list(names[int(wanted) - 1 : int(wanted)]) if int(wanted) else []
    if not found:
        raise ValueError(f"no figure {wanted!r}: there are {'; '.join(names)}")
    return found[0]
