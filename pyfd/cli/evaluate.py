"""`pyfd evaluate`: attacks × defences × images, and a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pyfd._core.cores import usable_cores
from pyfd.cli import figures
from pyfd.cli.messages import Messages, libraries, printable, reason
from pyfd.cli.options import Folder, Group, limits_options
from pyfd.limits import Limits

_DEFENCES = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019", "jpeg:75")
_ATTACKS = ("pgd", "bpda", "grid")
_EPSILONS = (1, 2, 4)

#: What --quick takes where an option is not given: the picture of the defence, on few images.
#: At these strengths, the attack on the grid ends soon: it succeeds, or nothing can move.
_QUICK: dict[str, Any] = {
    "limit": 4,
    "scale": "model",
    "defences": ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019", "certified:4"),
    "attacks": ("pgd", "bpda", "grid"),
    "epsilons": (2, 4),
}

#: The knowledge of a threat's attackers.
_KNOWLEDGE = {
    "gray-box": "know the model, not the defence",
    "adaptive": "know the model and the defence",
    "black-box": "know other models, or only answers",
}


class _Evaluate(Group):
    """A command that may also be followed by a subcommand, such as "plot".

    Its help describes the attacks and the defences.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of the subcommand if one is named first, and else of the command.

        The options that an evaluation requires are not required of a subcommand.
        """
        if args and args[0] in self.commands:
            name = f"{info_name} {args[0]}"
            return self.commands[args[0]].make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Refuse a subcommand after the options of an evaluation."""
        if args[0] in self.commands:
            ctx.fail(f"{args[0]} must come first: pyfd evaluate {args[0]}")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from pyfd.evaluation.attacks import ATTACKS
        from pyfd.evaluation.defences import DEFENCES

        for threat, knowledge in _KNOWLEDGE.items():
            attacks = [(a.name, a.description) for a in ATTACKS.values() if a.threat == threat]
            with formatter.section(f"Attacks that {knowledge}"):
                formatter.write_dl(attacks)
        with formatter.section("Defences"):
            defences = [(", ".join(kind.patterns), kind.description) for kind in DEFENCES]
            formatter.write_dl([*defences, *(kind.argument for kind in DEFENCES if kind.argument)])
        super().format_epilog(ctx, formatter)


class _Levels(click.IntRange):
    """A strength in 8-bit levels; says so to those who give a share of 1 or a fraction."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(
                printable(f"{value!r} is no whole number of levels, 1 to 255: 8/255 is 8"),
                param,
                ctx,
            )


def _objects(_ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> list[Any]:
    """Return attacks or defences; refuse unknown ones before the model and the images are loaded.

    Raises:
        BadParameter: A name or its argument is invalid, or a table file cannot be read.
        ClickException: A library is missing.
    """
    with libraries():
        from pyfd.evaluation.attacks import find
        from pyfd.evaluation.defences import parse

        found: list[Any] = []
        for name in names:
            try:
                found.append(find(name) if param.name == "attacks" else parse(name))
            except ValueError as error:
                raise click.BadParameter(printable(str(error))) from error
            except OSError as error:
                raise click.BadParameter(printable(f"{name!r}: {reason(error)}")) from error
        return found


def _take_presets(ctx: click.Context, _param: click.Parameter, quick: bool) -> bool:
    """Make the presets of --quick the defaults of the options that come after it."""
    if quick:
        ctx.default_map = _QUICK
    return quick


@click.group(
    cls=_Evaluate,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND ...]",
    epilog="""\
pyfd evaluate --quick --images foolbox -o smoke
pyfd evaluate --images photos --labels labels.csv -o report
pyfd evaluate --images photos --labels labels.csv -o report -d none -d two-pass:16 -a pgd -e 2
pyfd evaluate plot report/report.json -o figure.pdf""",
)
@click.option(
    "-m",
    "--model",
    default="efficientnet-lite0",
    show_default=True,
    metavar="M",
    help="efficientnet-lite0, efficientnet-lite2, squeezenet1.1, hf:FOLDER, "
    "timm:NAME@FILE, torchvision:NAME@FILE, or module:callable, which returns a torch module. "
    "Nothing is downloaded.",
)
@click.option(
    "--images",
    "source",
    required=True,
    metavar="S",
    help="A folder of images (with --labels, or with a folder for each class), a .npz file with "
    "images and labels, module:callable, which returns a torch data set, or "
    '"foolbox": 20 pictures, for smoke tests only.',
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A CSV file with the columns file and label: class numbers or names.",
)
@click.option(
    "--scale",
    type=click.Choice(["photo", "model"]),
    default="photo",
    show_default=True,
    help="Where codec and attacker work: at the photograph's own size, with the resize as a part "
    "of the attacked model, or at the model's input size.",
)
@click.option(
    "-d",
    "--defence",
    "defences",
    multiple=True,
    default=_DEFENCES,
    metavar="D",
    callback=_objects,
    help=f"One of the defences below. Can be repeated.  [default: {', '.join(_DEFENCES)}]",
)
@click.option(
    "-a",
    "--attack",
    "attacks",
    multiple=True,
    default=_ATTACKS,
    metavar="A",
    callback=_objects,
    help=f"One of the attacks below. Can be repeated.  [default: {', '.join(_ATTACKS)}]",
)
@click.option(
    "-e",
    "--epsilon",
    "epsilons",
    type=_Levels(1, 255),
    multiple=True,
    default=_EPSILONS,
    metavar="N",
    help="How far the attacker moves a sample, in 8-bit levels. Can be repeated.  "
    f"[default: {', '.join(map(str, _EPSILONS))}]",
)
@click.option(
    "--surrogate",
    "surrogates",
    multiple=True,
    metavar="M",
    help="Another model, for attacks that need one. Can be repeated: they attack all together.",
)
@click.option(
    "--attacker-quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="The attacker hands over .jpg files of this quality, not pixels.",
)
@click.option(
    "--quick",
    is_flag=True,
    is_eager=True,
    callback=_take_presets,
    help="A smoke run of two minutes, whose report is whole but counts too few images to conclude "
    f"anything: {_QUICK['limit']} images, at the model's input size, with few defences and "
    "strengths. Other options still count.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take only the first N images.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, metavar="N"
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="D",
    help="Where the models and the attacks run: cpu, cuda (all GPUs), cuda:N (one of them) or mps.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="The number of processes.  [default: one per core, or per GPU]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=Folder(),
    metavar="DIR",
    help="The folder for report.html and report.json. The same command, given again, resumes "
    "from the folder's results.",
)
@limits_options
def evaluate(
    model: str,
    source: str,
    labels: Path | None,
    scale: str,
    surrogates: tuple[str, ...],
    limit: int | None,
    device: str,
    workers: int | None,
    quick: bool,
    output: Path,
    limits: Limits,
    **options: Any,
) -> None:
    """Measure what defences are worth against attacks.

    Attacks a model on labelled photographs, with each defence, and writes a
    report: the accuracy with its confidence interval, for each attack and
    strength, with the adaptive attacks beside those that ignore the defence.
    If something makes it unsound, the report says so, and the exit code is 1.
    """
    messages = Messages()
    setting: dict[str, Any] = {"quick": True} if quick else {}
    if surrogates:
        setting["surrogates"] = list(surrogates)
    with libraries():
        from pyfd.evaluation import arguments, dataset, models
        from pyfd.evaluation import evaluate as run
        from pyfd.evaluation import report as reports

    classifier = _loaded(messages, model)
    others = [_loaded(messages, name) for name in surrogates]
    with messages.watching(source), libraries():
        names = arguments.names_of(classifier)
        chosen = dataset.load(source, labels, class_names=names, limit=limit, limits=limits)
    messages.finish()
    if chosen.labelling:
        click.echo(printable(chosen.labelling), err=True)
    pixels = chosen.pixels
    preset = click.get_current_context().get_parameter_source("scale")
    if preset == ParameterSource.DEFAULT_MAP and not getattr(classifier, "input_size", None):
        scale = "photo"  # --quick asks for what this model does not need
    with messages.watching(str(output)), libraries(), _failures():
        if scale == "model":
            pixels = [models.at_input_size(classifier, image) for image in pixels]
        found = run(
            classifier,
            pixels,
            chosen.labels,
            output=output,
            class_names=chosen.class_names,
            surrogate=others,
            device=device,
            workers=workers or (usable_cores() if device == "cpu" else None),
            progress=True,
            setting={"model": model, "images": source, "scale": scale, **setting},
            **options,
        )
        for finding in found["findings"]:
            click.echo(f"{finding['level']}: {printable(finding['text'])}", err=True)
        click.echo(reports.text(found))
        click.echo(f"{output / 'report.html'}", err=True)
        errors = [f["check"] for f in found["findings"] if f["level"] == "error"]
        if errors:
            checks = ", ".join(dict.fromkeys(errors))
            messages.refuse(str(output), f"these errors make the evaluation unsound: {checks}")
    messages.finish()


def _loaded(messages: Messages, name: str) -> Any:
    """Return a model; end the command, with a message that blames it, if there is none."""
    from pyfd.evaluation import arguments, models

    with messages.watching(name), libraries():
        model = models.load(name)
        arguments.names_of(model)
    messages.finish()
    return model


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what is wrong with the model, the options or an attack into an error of the command.

    Errors of the system are left: they are about the output folder.
    """
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        text = " ".join(reason(error).split())
        raise click.ClickException(printable(text)) from error


evaluate.add_command(figures.plot)
