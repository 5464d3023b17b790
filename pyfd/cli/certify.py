"""`pyfd certify`: prove how strong a perturbation must be to change an image."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.certificate import Certificate
from pyfd.cli import jobs, pictures
from pyfd.cli.messages import Messages, printable
from pyfd.cli.options import (
    DEFAULT_TABLES,
    Examples,
    check_steps,
    follow_links_option,
    inputs_argument,
    limits_options,
    plot_option,
    subsampling_option,
    tables_option,
)
from pyfd.cli.plan import check_overwriting, collect
from pyfd.limits import Limits
from pyfd.qtables import ENCODER_STEP, QTables

_DEFAULT_EPSILONS = (1.0, 2.0, 4.0)
_COMPONENTS = ("Y", "Cb", "Cr")
_WIDTH = 13  # of a column


def _check_epsilons(
    _ctx: click.Context, _param: click.Parameter, epsilons: tuple[float, ...]
) -> tuple[float, ...]:
    for epsilon in epsilons:
        if not 0 <= epsilon <= 255:
            raise click.BadParameter(f"epsilon is in 8-bit levels, 0...255, not {epsilon:g}")
    return epsilons


@click.command(
    cls=Examples,
    epilog="""\
pyfd certify photo.jpg
pyfd certify photo.jpg -q 40 --plot radii.png
pyfd certify photos -q 40 --epsilon 1 --json | jq .radius""",
)
@inputs_argument
@follow_links_option
@tables_option("The tables that the encoder writes", DEFAULT_TABLES)
@subsampling_option("")
@click.option(
    "--epsilon",
    "epsilons",
    type=float,
    multiple=True,
    metavar="E",
    default=_DEFAULT_EPSILONS,
    callback=_check_epsilons,
    help="Show the share of blocks whose radius is greater than this strength, in 8-bit levels. "
    "May be given several times.  [default: 1, 2 and 4]",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write a line of JSON per file, for programs; an infinite radius is null.",
)
@plot_option("For one image, draw the radii, block by block")
@limits_options
def certify(
    inputs: tuple[str, ...],
    follow_links: bool,
    tables: QTables,
    subsampling: Any,
    epsilons: tuple[float, ...],
    as_json: bool,
    plot: str | None,
    limits: Limits,
) -> None:
    """Prove how strong a perturbation must be to change an image.

    A block's radius is the strength that a perturbation of the pixels needs to
    change what the encoder writes. No weaker perturbation can change it, whatever
    the attacker knows: the coefficients stay the same, bit for bit.

    The inputs are the images that the encoder gets. The radii are largest for
    pixels on the tables' grid, such as those of a .jpg file that "pyfd encode"
    made with the same tables (it is decoded without tables). For other pixels
    the radius is mostly 1, which certifies nothing.

    That is about pixels that the encoder gets, without a shift of the image. It is
    not about .jpg files that an attacker hands to the decoder: for these there is
    the file radius. If a whole 4:4:4 file's pixels, decoded without tables, are
    less than that away from the image's, decoding it with the tables gives the
    image. A file radius of 0 promises nothing; files of "pyfd encode
    --radius-files" have larger ones. Neither is about a classifier's answers.
    """
    check_steps(tables, ENCODER_STEP)
    messages = Messages()
    files = collect(inputs, pictures.SUFFIXES, messages, follow_links=follow_links)
    if plot and len(files) > 1:
        raise click.UsageError(f"--plot is for one image, not {len(files)}.")
    check_overwriting([name for name, *_ in files], [plot] if plot else [])
    if files and not as_json:
        titles = ["radius", "file radius", *(f"epsilon {epsilon:g}" for epsilon in epsilons)]
        click.echo(_row(titles, "file"))
    found: list[Certificate] = []
    for name, _, regular in messages.progress(files, len(files)):
        with messages.watching(name):
            pixels = _pixels(jobs.read(name, limits, regular=regular), limits)
            certificate = pyfd.certify(pixels, tables, subsampling=subsampling)
            if plot:
                from pyfd import plots

                jobs.draw(plots.of_certificate(certificate), plot)
            messages.write(_line(name, certificate, epsilons, as_json))
            found.append(certificate)
    if len(found) > 1 and not as_json:
        click.echo(_summary(found, epsilons))
    messages.finish()


def _pixels(data: bytes, limits: Limits) -> Pixels:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="metadata")  # which are not used here
        return pictures.read(data, limits).pixels


def _line(name: str, certificate: Certificate, epsilons: Sequence[float], as_json: bool) -> str:
    if as_json:
        return json.dumps(_facts(name, certificate, epsilons))
    shares = [certificate.share(epsilon) for epsilon in epsilons]
    radii = [f"{certificate.radius:g}", f"{certificate.file_radius}"]
    return _row([*radii, *map(_percent, shares)], printable(name))


def _summary(found: Sequence[Certificate], epsilons: Sequence[float]) -> str:
    """Return the line about the blocks of all images together."""
    radii = np.concatenate([certificate.blocks.ravel() for certificate in found])
    shares = [float((radii > epsilon).mean()) for epsilon in epsilons]
    least = [f"{radii.min():g}", f"{min(certificate.file_radius for certificate in found)}"]
    return _row([*least, *map(_percent, shares)], f"all {len(found)} images")


def _row(cells: Sequence[str], name: str) -> str:
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells) + f"   {name}"


def _percent(share: float) -> str:
    """Return a percentage, rounded down so that it never claims more than is certified."""
    return f"{math.floor(1000 * share) / 10:.1f} %"


def _facts(name: str, certificate: Certificate, epsilons: Sequence[float]) -> Mapping[str, object]:
    return {
        "file": name,
        "width": certificate.width,
        "height": certificate.height,
        "qtables": certificate.qtables.name,
        "subsampling": certificate.subsampling,
        "file_radius": certificate.file_radius,
        **_radii_facts(certificate.blocks, epsilons),
        "components": [
            {"component": component, **_radii_facts(radii, epsilons)}
            for component, radii in zip(_COMPONENTS, certificate.radii, strict=False)
        ],
    }


def _radii_facts(radii: npt.NDArray[np.float64], epsilons: Sequence[float]) -> Mapping[str, object]:
    radius = float(radii.min())
    return {
        "blocks": radii.size,
        "radius": radius if math.isfinite(radius) else None,
        "shares": {f"{epsilon:g}": float((radii > epsilon).mean()) for epsilon in epsilons},
    }
