"""`pyfd encode`: make defended .jpg files from images."""

from __future__ import annotations

from typing import Any

import click

import pyfd
from pyfd.cli import jobs, pictures
from pyfd.cli.messages import Messages
from pyfd.cli.options import (
    DEFAULT_TABLES,
    Examples,
    baseline_option,
    check_written_steps,
    inputs_argument,
    optimize_option,
    output_option,
    progressive_option,
    subsampling_option,
    tables_option,
)
from pyfd.cli.plan import plan
from pyfd.limits import Limits
from pyfd.qtables import ENCODER_STEP, QTables


@click.command(
    cls=Examples,
    epilog="""\
pyfd encode photo.png -o photo.jpg
pyfd encode photos -o defended --qtables 16
pyfd encode - < photo.png > photo.jpg""",
)
@inputs_argument
@output_option
@tables_option("The tables to write", DEFAULT_TABLES)
@subsampling_option(" Only 4:4:4 brings all coefficients back to the grid.")
@progressive_option
@optimize_option
@baseline_option
def encode(
    inputs: tuple[str, ...], output: str | None, tables: QTables, baseline: bool, **options: Any
) -> None:
    """Make defended .jpg files from images.

    Reads Pillow's formats (PNG, TIFF, WebP, BMP, JPEG...), and searches
    directories for such files. Keeps EXIF and the ICC profile, but not EXIF's
    thumbnail, which holds undefended pixels. For a .jpg file, use requantize:
    it does the same without a second loss.
    """
    check_written_steps(tables, baseline, ENCODER_STEP)

    def work(data: bytes) -> bytes:
        picture = pictures.read(data)
        return pyfd.encode(
            picture.pixels,
            tables,
            baseline=baseline,
            exif=picture.exif,
            icc_profile=picture.icc_profile,
            comment=picture.comment,
            **options,
        )

    messages = Messages()
    planned = plan(inputs, output, messages, suffixes=pictures.SUFFIXES, suffix=".jpg")
    jobs.run(planned, work, Limits.unlimited(), messages)
    messages.finish()
