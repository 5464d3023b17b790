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
    check_radii,
    check_written_steps,
    follow_links_option,
    inputs_argument,
    limits_options,
    optimize_option,
    output_option,
    progressive_option,
    radius_files_option,
    radius_option,
    restart_rows_option,
    subsampling_option,
    tables_option,
)
from pyfd.cli.plan import plan
from pyfd.limits import Limits
from pyfd.qtables import ENCODER_STEP, QTables


def _check_loss(_ctx: click.Context, _param: click.Parameter, loss: float | None) -> float | None:
    """Refuse a loss that is negative or not a number."""
    if loss is not None and not loss >= 0:
        raise click.BadParameter(f"the loss is in dB, 0 or more, not {loss:g}")
    return loss


@click.command(
    cls=Examples,
    epilog="""\
pyfd encode photo.png -o photo.jpg
pyfd encode photos -o defended --qtables 16
pyfd encode photo.png -o photo.jpg --radius 2 --qtables certified:2
pyfd encode photos -o certified --radius 1 --radius-files 1 -q certified-files:1
pyfd encode photos -o certified --radius 1 --subsampling 4:2:0 --max-loss 2
pyfd encode - < photo.png > photo.jpg
pyfd encode camera.png -o camera.jpg --max-pixels 110000000 --max-bytes 500000000""",
)
@inputs_argument
@follow_links_option
@output_option
@tables_option("The tables to write", DEFAULT_TABLES)
@subsampling_option(" Only 4:4:4 brings all coefficients back to the grid.")
@progressive_option
@optimize_option
@restart_rows_option
@baseline_option
@radius_option
@radius_files_option
@click.option(
    "--max-loss",
    type=float,
    metavar="DB",
    callback=_check_loss,
    help="With a radius and subsampled chroma, refuse an image that the radius costs more than "
    "this, in dB of PSNR against a plain encode; inf takes any loss.  [default: 1]",
)
@limits_options
def encode(
    inputs: tuple[str, ...],
    follow_links: bool,
    output: str | None,
    tables: QTables,
    baseline: bool,
    limits: Limits,
    **options: Any,
) -> None:
    """Make defended .jpg files from images.

    Reads Pillow's formats (PNG, TIFF, WebP, BMP, JPEG...), and searches
    directories for such files. Keeps EXIF and the ICC profile, but not EXIF's
    thumbnail, which holds undefended pixels. For a .jpg file, use requantize:
    it does the same without a second loss.

    With --radius E, every block of the file withstands every perturbation of its
    decoded pixels by up to E levels, whoever makes it and whatever they know:
    encoded and decoded with the same tables, the perturbed pixels give the image
    of this file, bit for bit. Blocks that withstand it anyway stay as they are;
    the others lose some contrast or detail. "pyfd certify" shows the radii. The
    tables need steps beyond 16E: -q certified:E has the finest ones.

    This is about pixels at the same place, in the same size and with the same
    subsampling. It does not say that a classifier was right before. It says
    nothing about .jpg files that an attacker hands to the decoder: for these there
    is --radius-files E, which needs larger steps (-q certified-files:E). It is a
    promise of its own, and for files of a usual kind ("pyfd.why_uncovered" says of
    a file whether it is one).
    """
    check_written_steps(tables, baseline, ENCODER_STEP)
    given = _checked_radii(tables, options)

    def work(data: bytes) -> bytes:
        picture = pictures.read(data, limits)
        return pyfd.encode(
            picture.pixels,
            tables,
            baseline=baseline,
            exif=picture.exif,
            icc_profile=picture.icc_profile,
            comment=picture.comment,
            **given,
        )

    messages = Messages()
    planned = plan(
        inputs,
        output,
        messages,
        suffixes=pictures.SUFFIXES,
        suffix=".jpg",
        follow_links=follow_links,
    )
    jobs.run(planned, work, limits, messages)
    messages.finish()


def _checked_radii(tables: QTables, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are given; refuse radii that hold for no image, or do not fit."""
    radius, radius_files = options["radius"], options["radius_files"]
    if options["max_loss"] is not None:
        if radius is radius_files is None:
            raise click.UsageError("--max-loss is the cost of a radius: add --radius E.")
        if options["subsampling"] == "4:4:4":
            raise click.UsageError("--max-loss is for subsampled chroma: add --subsampling S.")
    check_radii(tables, radius, radius_files)
    return {name: value for name, value in options.items() if value is not None}
