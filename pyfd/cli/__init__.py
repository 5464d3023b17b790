"""The command line's commands: options in, one call of the library, files out."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import pyfd
from pyfd._core.extras import missing
from pyfd.cli import calibrate as cli_calibrate
from pyfd.cli import certify as cli_certify
from pyfd.cli import evaluate as cli_evaluate
from pyfd.cli import exec as cli_exec
from pyfd.cli import inspect as _inspect
from pyfd.cli import jobs as _jobs
from pyfd.cli import journal as _journal
from pyfd.cli import pictures as _images
from pyfd.cli import tables as cli_tables
from pyfd.cli.jobs import Report, printable
from pyfd.cli.journal import Job
from pyfd.cli.options import (
    Group,
    baseline_option,
    check_steps,
    check_written_steps,
    inputs_argument,
    limits_options,
    tables_option,
)
from pyfd.limits import Limits
from pyfd.qtables import QTables

DEFAULT_TABLES = "fd-cvpr2019"

_output = click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="A file, or - for stdout; a directory for several inputs or a directory.",
)
_optimize = click.option("--optimize", is_flag=True, help="Smaller Huffman codes; slower.")
_progressive = click.option("--progressive", is_flag=True, help="Write a progressive file.")
_lenient = click.option("--lenient", is_flag=True, help="Make the best of damaged files.")


# ---- the commands ---------------------------------------------------------


@click.group(
    cls=Group,
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
@inputs_argument
@_output
@tables_option("The tables to write", DEFAULT_TABLES)
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
@baseline_option
def encode(
    inputs: tuple[str, ...], output: str | None, tables: QTables, baseline: bool, **options: Any
) -> None:
    """Make defended .jpg files from images.

    Reads what Pillow reads (PNG, TIFF, WebP, BMP, JPEG...), and searches
    directories for it. EXIF and the ICC profile are kept, EXIF's thumbnail
    (undefended pixels) is not. For a .jpg, requantize does the same without a
    second loss.
    """
    check_written_steps(tables, baseline, 8191)

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
@inputs_argument
@_output
@tables_option(f"The tables to decode onto, {DEFAULT_TABLES} unless given", None)
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
@limits_options
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
        check_steps(tables, 32767)
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
pyfd requantize uploads defended --engine ray
pyfd requantize - < upload.jpg > defended.jpg""",
)
@inputs_argument
@_output
@tables_option("The tables to write", DEFAULT_TABLES)
@_progressive
@_optimize
@baseline_option
@click.option(
    "--metadata/--no-metadata", default=True, help="Keep EXIF, ICC, XMP, IPTC and comments, or not."
)
@_lenient
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="This process, or the Ray cluster that RAY_ADDRESS names, or else Ray on this machine's "
    "cores. Needs 'pyfd-jpeg[ray]', and a file system that all machines share.",
)
@limits_options
def requantize(
    inputs: tuple[str, ...],
    output: str | None,
    tables: QTables,
    baseline: bool,
    lenient: bool,
    engine: str,
    limits: Limits,
    **options: Any,
) -> None:
    """Make defended .jpg files from .jpg files.

    Without a detour through pixels: what comes out holds the coefficients that
    decode would use, so any viewer or pipeline shows the defended image.
    EXIF's thumbnail (undefended pixels) is blanked.

    Two directories and no -o are source and target. In a target directory files
    that an earlier run with the same tables and options has done are left alone,
    unless they or their sources changed: a run that was stopped goes on.
    """
    check_written_steps(tables, baseline, 32767)
    options["strict"] = not lenient
    work = functools.partial(
        pyfd.requantize, qtables=tables, baseline=baseline, limits=limits, **options
    )
    inputs, output = _source_and_target(inputs, output)
    run = _engine(engine)
    report = Report()
    jobs = _jobs.plan(inputs, output, report, suffixes=_jobs.JPEG_SUFFIXES, suffix=".jpg")
    _check_jpeg_suffix(jobs)
    if output is None or not _jobs.goes_to_directory(inputs, output):
        if engine == "ray":
            raise click.UsageError("--engine ray writes to a directory: -o DIRECTORY.")
        run(jobs, work, limits, report)
    elif jobs:
        settings = {"pyfd": pyfd.__version__, "qtables": tables.array.tolist(), **options}
        with report.watching(output), _journal.opened(output, "requantize", settings) as journal:
            left = journal.left(jobs)
            if len(left) < len(jobs):
                report.note(output, f"{len(jobs) - len(left)} of {len(jobs)} are done already")
            run(left, work, limits, report, journal)
    report.finish()


def _source_and_target(
    inputs: tuple[str, ...], output: str | None
) -> tuple[tuple[str, ...], str | None]:
    """Inputs and output, also where they are two directories and no -o."""
    if output is not None or len(inputs) != 2 or not _jobs.is_directory(inputs[0]):
        return inputs, output
    source, target = inputs
    if _jobs.is_directory(target) and not _journal.path_in(target, "requantize").is_file():
        try:
            empty = not os.listdir(target)  # noqa: PTH208
        except OSError:
            empty = False
        if not empty:  # more likely two sources and no target
            name = printable(target)
            raise click.UsageError(f"{name} has files of its own: to write there say -o {name}.")
    return (source,), target


def _engine(name: str) -> Callable[..., None]:
    """What does the jobs: `_jobs.run`, or its like on a cluster."""
    if name == "local":
        return _jobs.run
    try:
        from pyfd.cli import ray_engine as _ray_engine
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    return _ray_engine.run


@cli.command(
    epilog="""\
pyfd inspect photo.jpg
pyfd inspect photo.jpg --qtables fd-cvpr2019
pyfd inspect photos --json | jq .qtables""",
)
@inputs_argument
@tables_option("Show what these tables would change", None)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON per file, for programs.")
@limits_options
def inspect(inputs: tuple[str, ...], tables: QTables | None, as_json: bool, limits: Limits) -> None:
    """Show what .jpg files are made of.

    Header, metadata, quantization tables; with -q also what re-quantizing to
    those tables would change: nothing in a file that was made with them.
    """
    if tables is not None:
        check_steps(tables, 32767)
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
@tables_option("The tables to defend with", DEFAULT_TABLES)
def demo(output: Path, epsilon: int, tables: QTables) -> None:
    """Show the defence at work on real photographs.

    Defends photographs that scikit-image and foolbox ship, perturbs them,
    decodes them, and measures what is left of the perturbation. Ends with a
    table of numbers and a picture to look at.
    """
    from pyfd.cli import demonstration

    check_steps(tables, 255)
    try:
        photos = demonstration.photographs()
    except ModuleNotFoundError as error:
        click.echo(f"pyfd: {missing(str(error.name), 'demo')}", err=True)
        click.get_current_context().exit(1)
    report = Report()
    with report.watching(str(output)):
        demonstration.run(photos, tables, epsilon, output)
    report.finish()


cli.add_command(cli_certify.certify)
cli.add_command(cli_evaluate.evaluate)
cli.add_command(cli_calibrate.calibrate)
cli.add_command(cli_exec.exec_)
cli.add_command(cli_tables.tables)
