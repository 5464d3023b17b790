"""`pyfd evaluate`: attacks × defences × images, and a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import Examples

_DEFENCES = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019", "jpeg:75")
_ATTACKS = ("pgd", "bpda", "grid")
_EPSILONS = (1, 2, 4)


@click.command(
    cls=Examples,
    epilog="""\
pyfd evaluate --images foolbox -o smoke
pyfd evaluate --images photos --labels labels.csv -o report
pyfd evaluate --images photos --labels labels.csv -o report -d none -d two-pass:16 -a pgd -e 2""",
)
@click.option(
    "-m",
    "--model",
    default="efficientnet-lite0",
    show_default=True,
    metavar="M",
    help="efficientnet-lite0, squeezenet1.1 (its weights: see the docs), or module:callable, "
    "which gives a torch module.",
)
@click.option(
    "--images",
    "source",
    required=True,
    metavar="DIR",
    help='A folder of images, or "foolbox": 20 pictures, for smoke tests only.',
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A CSV with the columns file and label.",
)
@click.option(
    "--scale",
    type=click.Choice(["photo", "model"]),
    default="photo",
    show_default=True,
    help="Where codec and attacker work: at the photograph's own size, with the resize a part "
    "of the attacked model, or at the model's input size.",
)
@click.option(
    "-d",
    "--defence",
    "defences",
    multiple=True,
    default=_DEFENCES,
    metavar="D",
    help="none, one-pass:T, two-pass:T (T: a preset, a step, annex-k:QUALITY or a table file), "
    f"jpeg:QUALITY, bits:N, tvm, shield. Several times.  [default: {', '.join(_DEFENCES)}]",
)
@click.option(
    "-a",
    "--attack",
    "attacks",
    multiple=True,
    default=_ATTACKS,
    metavar="A",
    help="fgsm, bim, pgd, apgd, deepfool, cw-l2 (they ignore the defence), bpda (PGD through "
    "it), grid (aims at the tables), transfer (from another model). Several times.  "
    f"[default: {', '.join(_ATTACKS)}]",
)
@click.option(
    "-e",
    "--epsilon",
    "epsilons",
    type=click.IntRange(1, 255),
    multiple=True,
    default=_EPSILONS,
    metavar="N",
    help="How far the attacker moves a sample, in 8-bit levels. Several times.  "
    f"[default: {', '.join(map(str, _EPSILONS))}]",
)
@click.option("--surrogate", metavar="M", help="The other model, for transfer.")
@click.option(
    "--attacker-quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="The attacker hands over .jpg files of this quality, not pixels.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take the first N images only.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Processes.  [default: one per core]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where report.html and report.json go. Started again, it goes on where it was.",
)
def evaluate(
    model: str,
    source: str,
    labels: Path | None,
    scale: str,
    surrogate: str | None,
    limit: int | None,
    workers: int | None,
    output: Path,
    **options: Any,
) -> None:
    """Measure what defences are worth against attacks.

    Attacks a model on labelled photographs, with each defence, and writes a
    report: the accuracy with its confidence interval, for each attack and
    strength, with the adaptive attacks beside those that ignore the defence.
    """
    messages = Messages()
    with messages.watching(source):
        try:
            from pyfd.evaluation import dataset as images
            from pyfd.evaluation import evaluate as run
            from pyfd.evaluation import models
            from pyfd.evaluation import report as reports
        except ImportError as error:
            raise click.ClickException(str(error)) from error
        classifier = models.load(model)
        chosen = images.load(source, labels)
        pixels = chosen.pixels[:limit]
        if scale == "model":
            pixels = [images.at_input_size(image, _input_size(classifier)) for image in pixels]
        found = run(
            classifier,
            pixels,
            chosen.labels[:limit],
            output=output,
            surrogate=None if surrogate is None else models.load(surrogate),
            workers=workers or len(os.sched_getaffinity(0)),
            progress=True,
            setting={"model": model, "images": source, "scale": scale},
            **options,
        )
        for warning in found["warnings"]:
            click.echo(f"warning: {printable(warning)}", err=True)
        click.echo(reports.text(found))
        click.echo(f"{output / 'report.html'}", err=True)
    messages.finish()


def _input_size(model: Any) -> int:
    size = getattr(model, "input_size", None)
    if size is None:
        raise ValueError('--scale model needs a model with an attribute "input_size"')
    return int(size)
