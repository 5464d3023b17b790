"""The command line's commands: options in, one call of the library, files out."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import pyfd
from pyfd import _images, _inspect, _jobs
from pyfd._jobs import Job, Report, printable
from pyfd.limits import Limits
from pyfd.qtables import QTables

DEFAULT_TABLES = "fd-cvpr2019"

_Decorated = Callable[..., None]


class _Examples(click.Command):
    """A command whose epilog is examples, shown line by line."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Examples"):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"  {line}\n")


class _Group(_Examples, click.Group):
    command_class = _Examples

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)


# ---- options that several commands have -----------------------------------


def _to_tables(_ctx: click.Context, _param: click.Parameter, value: str | None) -> QTables | None:
    try:
        return None if value is None else _tables(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(printable(str(error))) from error
    except OSError as error:
        raise click.BadParameter(printable(f"{value}: {error.strerror}")) from error


def _tables(value: str) -> QTables:
    """A preset's name, a step, ``annex-k:QUALITY`` or a table file, as tables."""
    if value in pyfd.PRESETS:
        return QTables.preset(value)
    if re.fullmatch(r"[0-9]+", value):
        return QTables.uniform(int(value))
    if match := re.fullmatch(r"annex-k:([0-9]+)", value):
        return QTables.annex_k(int(match[1]))
    path = Path(value)
    if not path.exists():
        raise ValueError(
            f"{value!r} is neither a preset ({', '.join(pyfd.PRESETS)}) nor a step (16) "
            "nor annex-k:QUALITY nor a file"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    is_json = text.lstrip().startswith("{")
    return QTables.load(path) if is_json else QTables.from_text(text, path.name)


def _tables_option(text: str, default: str | None) -> Callable[[_Decorated], _Decorated]:
    presets = [f"{name} (the default)" if name == default else name for name in pyfd.PRESETS]
    return click.option(
        "-q",
        "--qtables",
        "tables",
        metavar="T",
        callback=_to_tables,
        default=default,
        help=f"{text}: {', '.join(presets)}, one step (16), annex-k:QUALITY, or a file with "
        "pyfd's JSON or cjpeg's text.",
    )


def _named(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:  # as a path it would be the current directory
        raise click.BadParameter("a name is empty")
    return names


_inputs = click.argument("inputs", nargs=-1, required=True, metavar="FILE...", callback=_named)
_output = click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="A file, or - for stdout; a directory for several inputs or a directory.",
)
_baseline = click.option(
    "--baseline/--no-baseline",
    default=True,
    help="Steps of at most 255, as every decoder takes them, or larger ones too.",
)
_optimize = click.option("--optimize", is_flag=True, help="Smaller Huffman codes; slower.")
_progressive = click.option("--progressive", is_flag=True, help="Write a progressive file.")
_lenient = click.option("--lenient", is_flag=True, help="Make the best of damaged files.")

_LIMITS = {
    "max_bytes": "of more than N bytes",
    "max_pixels": "of more than N pixels",
    "max_memory": "that take more than N bytes of memory for coefficients",
    "max_scans": "of more than N scans",
}


def _limits(command: _Decorated) -> _Decorated:
    """What a file may ask for, as one `limits` argument."""

    @functools.wraps(command)
    def with_limits(*args: Any, no_limits: bool, **options: Any) -> None:
        given = {name: options.pop(name) for name in _LIMITS}
        given = {name: value for name, value in given.items() if value is not None}
        try:
            limits = replace(Limits.unlimited() if no_limits else Limits(), **given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        command(*args, limits=limits, **options)

    result = click.option("--no-limits", is_flag=True, help="For files you trust.")(with_limits)
    for name, which in reversed(_LIMITS.items()):
        text = f"Refuse files {which}.  [default: {getattr(Limits, name)}]"
        flag = f"--{name.replace('_', '-')}"
        result = click.option(flag, type=int, metavar="N", help=text)(result)
    return result


def _check_steps(tables: QTables, most: int, hint: str = "") -> None:
    """Refuse steps that cannot be used with any file."""
    largest = tables.array.max()
    if largest > most:
        raise click.UsageError(f"The largest step is {largest}, and {most} is the most here{hint}.")


def _check_written_steps(tables: QTables, baseline: bool, most: int) -> None:
    if baseline:
        _check_steps(tables, 255, "; --no-baseline allows more")
    else:
        _check_steps(tables, most)


# ---- the commands ---------------------------------------------------------


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="""\
in the camera:      pyfd encode photo.png -o photo.jpg
at the classifier:  pyfd decode photo.jpg -o photo.png
any .jpg file:      pyfd requantize upload.jpg -o defended.jpg""",
)
@click.version_option(
    pyfd.__version__,
    message=f"pyfd %(version)s (libjpeg-turbo {pyfd.libjpeg_turbo_version()})",
)
def cli() -> None:
    """JPEG as a defence against adversarial examples.

    Quantization tables made to erase small perturbations, not to please the
    eye, are put into JPEG's encoder and into its decoder.

    The defence is strong with the same tables on both sides. In the decoder
    alone it is worth about a recompression at quality 50, and an attacker who
    knows of it gets around it.

    The exit code is 0; 1 when an input was refused (a line on stderr says which
    and why, the others are done); 2 for a usage error.
    """


@cli.command(
    epilog="""\
pyfd encode photo.png -o photo.jpg
pyfd encode photos -o defended --qtables 16
pyfd encode - < photo.png > photo.jpg""",
)
@_inputs
@_output
@_tables_option("The tables to write", DEFAULT_TABLES)
@click.option(
    "--subsampling",
    type=click.Choice(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]),
    metavar="S",
    default="4:4:4",
    help="Of the chroma: 4:4:4 (the default), 4:2:2, 4:2:0 or 4:4:0. Only 4:4:4 brings all "
    "coefficients back to the grid.",
)
@_progressive
@_optimize
@_baseline
def encode(
    inputs: tuple[str, ...], output: str | None, tables: QTables, baseline: bool, **options: Any
) -> None:
    """Make defended .jpg files from images.

    Reads what Pillow reads (PNG, TIFF, WebP, BMP, JPEG...), and searches
    directories for it. EXIF and the ICC profile are kept, EXIF's thumbnail
    (undefended pixels) is not. For a .jpg, requantize does the same without a
    second loss.
    """
    _check_written_steps(tables, baseline, 8191)

    def work(data: bytes) -> bytes:
        picture = _images.read(data)
        return pyfd.encode(
            picture.pixels,
            tables,
            baseline=baseline,
            exif=picture.exif,
            icc_profile=picture.icc_profile,
            comment=picture.comment,
            **options,
        )

    report = Report()
    jobs = _jobs.plan(inputs, output, report, suffixes=_images.SUFFIXES, suffix=".jpg")
    _check_jpeg_suffix(jobs)
    _jobs.run(jobs, work, Limits.unlimited(), report)
    report.finish()


def _check_jpeg_suffix(jobs: Sequence[Job]) -> None:
    """Refuse to write a JPEG file that says it is something else."""
    for job in jobs:
        if Path(job.target).suffix.lower() in _images.SUFFIXES - _jobs.JPEG_SUFFIXES:
            target = printable(job.target)
            raise click.UsageError(f"What is written is a JPEG file: call it .jpg, not {target}.")


@cli.command(
    epilog="""\
pyfd decode photo.jpg -o photo.png
pyfd decode uploads -o decoded --format ppm
pyfd decode - < photo.jpg > photo.png""",
)
@_inputs
@_output
@_tables_option(f"The tables to decode onto, {DEFAULT_TABLES} unless given", None)
@click.option("--plain", is_flag=True, help="No tables: switch the defence off.")
@click.option(
    "--mode",
    type=click.Choice(["RGB", "L"]),
    default="RGB",
    show_default=True,
    help="Color, or the luma alone.",
)
@click.option(
    "--scale",
    type=click.Choice(["1", "2", "4", "8"]),
    default="1",
    show_default=True,
    callback=lambda _ctx, _param, value: int(value),
    help="Divide the size, in the DCT domain.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "ppm", "bmp"]),
    help="By the output's suffix unless given; png in a directory or a pipe.",
)
@_lenient
@_limits
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    tables: QTables | None,
    plain: bool,
    mode: Any,
    scale: Any,
    file_format: str | None,
    lenient: bool,
    limits: Limits,
) -> None:
    """Decode .jpg files onto defensive tables.

    Takes any .jpg, an attacker's too; writes .png, .ppm or .bmp. EXIF's
    orientation is not applied; PNG takes EXIF and the ICC profile along.
    """
    if plain and tables is not None:
        raise click.UsageError("--plain and --qtables exclude each other.")
    if not plain:
        tables = tables or QTables.preset(DEFAULT_TABLES)
        _check_steps(tables, 32767)
    report = Report()
    suffix = f".{file_format or 'png'}"
    jobs = _jobs.plan(inputs, output, report, suffixes=_jobs.JPEG_SUFFIXES, suffix=suffix)
    written = _images.FORMATS[suffix] if file_format else _format_of(jobs)

    def work(data: bytes) -> bytes:
        pixels = pyfd.decode(
            data, tables, mode=mode, scale=scale, strict=not lenient, limits=limits
        )
        return _images.write(pixels, written, pyfd.probe(data, limits=limits))

    _jobs.run(jobs, work, limits, report)
    report.finish()


def _format_of(jobs: Sequence[Job]) -> str:
    """Pillow's name of the format that the targets' suffix asks for."""
    targets = {Path(job.target).suffix.lower() for job in jobs if job.target != _jobs.STDIO}
    suffix = targets.pop() if targets else ".png"
    if suffix not in _images.FORMATS:
        known = ", ".join(_images.FORMATS)
        raise click.UsageError(f"No format by the suffix {suffix!r}: use {known} or --format.")
    return _images.FORMATS[suffix]


@cli.command(
    epilog="""\
pyfd requantize upload.jpg -o defended.jpg
pyfd requantize uploads -o defended --optimize
pyfd requantize - < upload.jpg > defended.jpg""",
)
@_inputs
@_output
@_tables_option("The tables to write", DEFAULT_TABLES)
@_progressive
@_optimize
@_baseline
@click.option(
    "--metadata/--no-metadata", default=True, help="Keep EXIF, ICC, XMP, IPTC and comments, or not."
)
@_lenient
@_limits
def requantize(
    inputs: tuple[str, ...],
    output: str | None,
    tables: QTables,
    baseline: bool,
    lenient: bool,
    limits: Limits,
    **options: Any,
) -> None:
    """Make defended .jpg files from .jpg files.

    Without a detour through pixels: what comes out holds the coefficients that
    decode would use, so any viewer or pipeline shows the defended image.
    EXIF's thumbnail (undefended pixels) is blanked.
    """
    _check_written_steps(tables, baseline, 32767)

    def work(data: bytes) -> bytes:
        return pyfd.requantize(
            data, tables, baseline=baseline, strict=not lenient, limits=limits, **options
        )

    report = Report()
    jobs = _jobs.plan(inputs, output, report, suffixes=_jobs.JPEG_SUFFIXES, suffix=".jpg")
    _check_jpeg_suffix(jobs)
    _jobs.run(jobs, work, limits, report)
    report.finish()


@cli.command(
    epilog="""\
pyfd inspect photo.jpg
pyfd inspect photo.jpg --qtables fd-cvpr2019
pyfd inspect photos --json | jq .qtables""",
)
@_inputs
@_tables_option("Show what these tables would change", None)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON per file, for programs.")
@_limits
def inspect(inputs: tuple[str, ...], tables: QTables | None, as_json: bool, limits: Limits) -> None:
    """Show what .jpg files are made of.

    Header, metadata, quantization tables; with -q also what re-quantizing to
    those tables would change: nothing in a file that was made with them.
    """
    if tables is not None:
        _check_steps(tables, 32767)
    report = Report()
    separator = ""
    for name, _ in _jobs.collect(inputs, _jobs.JPEG_SUFFIXES, report):
        with report.watching(name):
            found = _inspect.facts(name, _jobs.read(name, limits), tables, limits)
            text = f"{json.dumps(found)}\n" if as_json else separator + _inspect.as_text(found)
            click.echo(text, nl=False)
            separator = "\n"
    report.finish()


@cli.command(
    epilog="""\
pyfd demo
pyfd demo --epsilon 8 --qtables 64 --output demo-64""",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo-output",
    show_default=True,
    metavar="DIR",
    help="Where the pictures go.",
)
@click.option(
    "--epsilon",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="How far the attacker moves every sample, in 8-bit levels.",
)
@_tables_option("The tables to defend with", DEFAULT_TABLES)
def demo(output: Path, epsilon: int, tables: QTables) -> None:
    """Show the defence at work on real photographs.

    Defends photographs that scikit-image and foolbox ship, perturbs them,
    decodes them, and measures what is left of the perturbation. Ends with a
    table of numbers and a picture to look at.
    """
    from pyfd import demo as demonstration

    _check_steps(tables, 255)
    try:
        photos = demonstration.photographs()
    except ModuleNotFoundError as error:
        click.echo(f"pyfd: {error.name} is missing: pip install 'pyfd[demo]'", err=True)
        click.get_current_context().exit(1)
    report = Report()
    with report.watching(str(output)):
        demonstration.run(photos, tables, epsilon, output)
    report.finish()
