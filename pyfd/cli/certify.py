"""The command line's `certify`."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import pyfd
from pyfd.certificate import Certificate
from pyfd.cli import jobs as _jobs
from pyfd.cli import pictures as _images
from pyfd.cli.jobs import Report, printable
from pyfd.cli.options import Examples, check_steps, inputs_argument, plot_option, tables_option
from pyfd.limits import Limits
from pyfd.qtables import QTables

_DEFAULT_EPSILONS = (1.0, 2.0, 4.0)
_COMPONENTS = ("Y", "Cb", "Cr")
_WIDTH = 13  # of a column


def _check_epsilons(
    _ctx: click.Context, _param: click.Parameter, epsilons: tuple[float, ...]
) -> tuple[float, ...]:
    for epsilon in epsilons:
        if not 0 <= epsilon <= 255:
            raise click.BadParameter(f"it is in 8-bit levels, 0...255, not {epsilon:g}")
    return epsilons


@click.command(
    cls=Examples,
    epilog="""\
pyfd certify photo.jpg
pyfd certify photo.jpg -q 40 --plot radii.png
pyfd certify photos -q 40 --epsilon 1 --json | jq .radius""",
)
@inputs_argument
@tables_option("The tables that the encoder writes", "fd-cvpr2019")
@click.option(
    "--subsampling",
    type=click.Choice(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]),
    metavar="S",
    default="4:4:4",
    help="The encoder's, of the chroma: 4:4:4 (the default), 4:2:2, 4:2:0 or 4:4:0.",
)
@click.option(
    "--epsilon",
    "epsilons",
    type=float,
    multiple=True,
    metavar="E",
    default=_DEFAULT_EPSILONS,
    callback=_check_epsilons,
    help="Show the share of blocks with a radius beyond this strength, in 8-bit levels. May be "
    "given several times.  [default: 1, 2 and 4]",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A line of JSON per file, for programs; an infinite radius is null.",
)
@plot_option("For one image, draw the radii, block by block")
def certify(
    inputs: tuple[str, ...],
    tables: QTables,
    subsampling: Any,
    epsilons: tuple[float, ...],
    as_json: bool,
    plot: str | None,
) -> None:
    """Prove how strong a perturbation must be to change an image.

    A block's radius is the strength from which on a perturbation of the pixels
    can change what the encoder makes of it. Below it none can, whatever the
    attacker knows: the coefficients are the same, bit for bit.

    Give what the encoder is given. Pixels that lie on the tables' grid have the
    largest radii: those of a .jpg file that "pyfd encode" made with the same
    tables (it is decoded plainly). On others a radius is mostly 1, which certifies
    nothing.

    It is about pixels at the encoder, at the same place: not about .jpg files
    that an attacker hands to the decoder, nor about a classifier's answers.
    """
    check_steps(tables, 8191)
    report = Report()
    names = [name for name, _ in _jobs.collect(inputs, _images.SUFFIXES, report)]
    if plot and len(names) > 1:
        raise click.UsageError(f"--plot is for one image, not {len(names)}.")
    if names and not as_json:
        titles = ["radius", *(f"epsilon {epsilon:g}" for epsilon in epsilons)]
        click.echo(_row(titles, "file"))
    found: list[Certificate] = []
    for name in tqdm(names, unit="file", disable=None if len(names) > 1 else True):
        with report.watching(name):
            pixels = _pixels(_jobs.read(name, Limits.unlimited()))
            certificate = pyfd.certify(pixels, tables, subsampling=subsampling)
            if plot:
                from pyfd import plots

                _jobs.draw(plots.of_certificate(certificate), plot)
            tqdm.write(_line(name, certificate, epsilons, as_json))
            found.append(certificate)
    if len(found) > 1 and not as_json:
        click.echo(_summary(found, epsilons))
    report.finish()


def _pixels(data: bytes) -> npt.NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="EXIF")  # which is not used here
        return _images.read(data).pixels


def _line(name: str, certificate: Certificate, epsilons: Sequence[float], as_json: bool) -> str:
    if as_json:
        return json.dumps(_facts(name, certificate, epsilons))
    shares = [certificate.share(epsilon) for epsilon in epsilons]
    return _row([f"{certificate.radius:g}", *map(_percent, shares)], printable(name))


def _summary(found: Sequence[Certificate], epsilons: Sequence[float]) -> str:
    """The line for all images: their blocks in one heap."""
    radii = np.concatenate([certificate.blocks.ravel() for certificate in found])
    shares = [float((radii > epsilon).mean()) for epsilon in epsilons]
    return _row([f"{radii.min():g}", *map(_percent, shares)], f"all {len(found)} images")


def _row(cells: Sequence[str], name: str) -> str:
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells) + f"   {name}"


def _percent(share: float) -> str:
    """Rounded down: what is not certified never looks as if it were."""
    return f"{math.floor(1000 * share) / 10:.1f} %"


def _facts(name: str, certificate: Certificate, epsilons: Sequence[float]) -> Mapping[str, object]:
    return {
        "file": name,
        "width": certificate.width,
        "height": certificate.height,
        "qtables": certificate.qtables.name,
        "subsampling": certificate.subsampling,
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
