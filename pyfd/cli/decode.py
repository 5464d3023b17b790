"""`pyfd decode`: decode .jpg files onto defensive tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import pyfd
from pyfd._core import decoding
from pyfd._core.files import JPEG_SUFFIXES
from pyfd._core.reading import ReadingOptions
from pyfd.cli import jobs, pictures
from pyfd.cli.journal import Job
from pyfd.cli.messages import Messages
from pyfd.cli.options import (
    DEFAULT_TABLES,
    Examples,
    check_steps,
    follow_links_option,
    inputs_argument,
    output_option,
    reading_options,
    tables_option,
)
from pyfd.cli.plan import is_pipe, plan
from pyfd.qtables import DECODER_STEP, QTables


@click.command(
    cls=Examples,
    epilog="""\
pyfd decode photo.jpg -o photo.png
pyfd decode uploads -o decoded --format ppm
pyfd decode uploads -o thumbnails --orient --fit 224x224
pyfd decode - < photo.jpg > photo.png""",
)
@inputs_argument
@follow_links_option
@output_option
@tables_option(f"The tables to decode onto, {DEFAULT_TABLES} unless given", None)
@click.option("--plain", is_flag=True, help="Decode without tables: the defence is off.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "ppm", "bmp"]),
    help="The output's format. By default the output's suffix decides; in a directory or a "
    "pipe it is png.",
)
@reading_options()
def decode(
    inputs: tuple[str, ...],
    follow_links: bool,
    output: str | None,
    tables: QTables | None,
    plain: bool,
    file_format: str | None,
    reading: ReadingOptions,
) -> None:
    """Decode .jpg files onto defensive tables.

    Reads any .jpg file, also one that an attacker made, and writes .png, .ppm
    or .bmp. EXIF's orientation is applied with --orient only. PNG files keep
    EXIF and the ICC profile.
    """
    if plain and tables is not None:
        raise click.UsageError("--plain and --qtables exclude each other.")
    if not plain:
        tables = tables or QTables.preset(DEFAULT_TABLES)
        check_steps(tables, DECODER_STEP)
    limits = reading["limits"]
    messages = Messages()
    suffix = f".{file_format or 'png'}"
    planned = plan(
        inputs,
        output,
        messages,
        suffixes=JPEG_SUFFIXES,
        suffix=suffix,
        follow_links=follow_links,
    )
    written = pictures.FORMATS[suffix] if file_format else _format_of(planned)

    def work(data: bytes) -> bytes:
        pixels = pyfd.decode(data, tables, **reading)
        turned = decoding.orientation_of(data, limits) if reading["orient"] else None
        return pictures.write(pixels, written, pyfd.probe(data, limits=limits), turned=turned)

    jobs.run(planned, work, limits, messages)
    messages.finish()


def _format_of(planned: Sequence[Job]) -> str:
    """Return Pillow's name of the format that the targets' suffix asks for."""
    targets = {Path(job.target).suffix.lower() for job in planned if not is_pipe(job.target)}
    suffix = targets.pop() if targets else ".png"
    if suffix not in pictures.FORMATS:
        known = ", ".join(pictures.FORMATS)
        raise click.UsageError(f"Cannot write {suffix!r} files: use {known} or --format.")
    return pictures.FORMATS[suffix]
