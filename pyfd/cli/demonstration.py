"""The defence at work on real photographs: a table of numbers and a picture.

Two ways to be attacked. Two-pass: the camera wrote the photograph with the
defensive tables, the attacker perturbs what it shows, the classifier's decoder
puts it onto the same tables. One-pass: the photograph is an ordinary one, only
the decoder has the tables.
"""

from __future__ import annotations

import importlib.util
import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

import pyfd
from pyfd._core.files import write_atomically
from pyfd._core.pixels import Pixels
from pyfd.cli.jobs import printable
from pyfd.qtables import QTables

Differences: TypeAlias = "npt.NDArray[np.int16]"

# The first few are the contact sheet's.
_PHOTOGRAPHS = (
    ("skimage", ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")),
    ("foolbox", ("imagenet_*.jpg",)),
)
_ORDINARY = QTables.annex_k(95)
_SEED = 20190616
_TIMED_RUNS = 9


class Unmoved(NamedTuple):
    """The shares that are, after the attack and the decoder, what they are without the attack."""

    coefficients: float
    pixels: float


@dataclass(frozen=True)
class Result:
    """What one photograph came to."""

    name: str
    width: int
    height: int
    ordinary_bytes: int
    """The photograph's size at quality 95."""
    defended_bytes: int
    """Its size with the defensive tables."""
    psnr: float
    """The defended photograph against the original, in dB."""
    one_pass: Unmoved
    two_pass: Unmoved
    plain_ms: float
    defended_ms: float


class View(NamedTuple):
    """A picture, and what the attack changed in it."""

    pixels: Pixels
    left: Differences


class Views(NamedTuple):
    """What there is to see of one photograph."""

    original: Pixels
    defended: Pixels
    attacked: View
    one_pass: View
    two_pass: View


# ---- the photographs ------------------------------------------------------


def photographs() -> list[Path]:
    """The photographs that installed packages ship; the packages are not imported.

    Raises:
        ModuleNotFoundError: A package is missing.
    """
    found: list[Path] = []
    for package, names in _PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        data = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"
        photos = [] if data is None else [p for name in names for p in sorted(data.glob(name))]
        if not photos:
            raise ModuleNotFoundError(f"no photographs of {package}", name=package)
        found += photos
    return found


def _load(path: Path) -> Pixels:
    if path.suffix == ".jpg":
        return pyfd.decode(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# ---- the measurements -----------------------------------------------------


def measure(path: Path, tables: QTables, epsilon: int, output: Path) -> tuple[Result, Views]:
    """Defend, attack and measure one photograph, and write its .jpg files."""
    original = _load(path)
    noise = _noise(original.shape, epsilon)
    ordinary = pyfd.encode(original, _ORDINARY)
    defended = pyfd.encode(original, tables)
    benign = pyfd.decode(defended)
    attacked = _moved(benign, noise)
    attack = pyfd.encode(_moved(original, noise), _ORDINARY)
    _write(output / "defended" / f"{path.stem}.jpg", defended)
    _write(output / "attacked" / f"{path.stem}.jpg", attack)

    one_pass, one_pass_view = _outcome(ordinary, attack, tables)
    two_pass, two_pass_view = _outcome(defended, pyfd.encode(attacked, tables), tables)
    plain_ms, defended_ms = _timings(attack, tables)
    result = Result(
        name=path.stem,
        width=original.shape[1],
        height=original.shape[0],
        ordinary_bytes=len(ordinary),
        defended_bytes=len(defended),
        psnr=_psnr(original, benign),
        one_pass=one_pass,
        two_pass=two_pass,
        plain_ms=plain_ms,
        defended_ms=defended_ms,
    )
    perturbed = View(attacked, _difference(attacked, benign))
    return result, Views(original, benign, perturbed, one_pass_view, two_pass_view)


def _outcome(benign: bytes, attack: bytes, tables: QTables) -> tuple[Unmoved, View]:
    """What is left of an attack once both files are decoded onto the tables."""
    files = (pyfd.requantize(benign, tables), pyfd.requantize(attack, tables))
    before, after = (pyfd.read_coefficients(file) for file in files)
    pairs = list(zip(before.components, after.components, strict=True))
    equal = sum(int(np.count_nonzero(old == new)) for old, new in pairs)
    pixels = pyfd.decode(attack, tables)
    left = _difference(pixels, pyfd.decode(benign, tables))
    unmoved = Unmoved(
        coefficients=equal / sum(old.size for old, _ in pairs),
        pixels=float(np.mean((left == 0).all(axis=2))),
    )
    return unmoved, View(pixels, left)


def _noise(shape: tuple[int, ...], epsilon: int) -> Differences:
    """Random noise of full strength: each sample moved by epsilon, one way or the other."""
    signs = np.random.default_rng(_SEED).integers(0, 2, shape, dtype=np.int16)
    return (2 * signs - 1) * np.int16(epsilon)


def _moved(pixels: Pixels, noise: Differences) -> Pixels:
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def _difference(a: Pixels, b: Pixels) -> Differences:
    return a.astype(np.int16) - b


def _psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, over all samples."""
    error = float(np.mean(np.square(_difference(a, b), dtype=np.float64)))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _timings(file: bytes, tables: QTables) -> tuple[float, float]:
    """Milliseconds to decode a file plainly and onto tables: medians of interleaved runs."""
    out = pyfd.decode(file)
    plain: list[float] = []
    defended: list[float] = []
    for _ in range(_TIMED_RUNS):
        plain.append(_milliseconds(lambda: pyfd.decode(file, out=out)))
        defended.append(_milliseconds(lambda: pyfd.decode(file, tables, out=out)))
    return median(plain), median(defended)


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


# ---- the table ------------------------------------------------------------

_HEADS = (
    "photograph/", "size/pixels", "at q95/bytes", "defended/bytes", "PSNR/dB",
    "1-pass/coeffs", "2-pass/coeffs", "1-pass/pixels", "2-pass/pixels",
    "plain/ms", "defended/ms", "/ratio",
)  # fmt: skip
_LEGEND = """\
1-pass, 2-pass: the share of coefficients and of pixels that the attack does not change,
  with the tables in the decoder alone, and in the camera as well. The attack is random
  noise of full strength, not one made for a model: this measures what the tables erase,
  not a classifier's accuracy. One coefficient that moves changes the 64 pixels of its
  block. What two passes leave is where black or white clips, in blocks that the picture's
  edge cuts, and everywhere if the steps are too fine for epsilon.
plain, defended: decoding the attacker's .jpg without and with the tables."""


def table(results: Sequence[Result]) -> str:
    """The results in aligned columns, and a last row: sums of bytes, medians of the rest."""
    heads = zip(*(head.split("/") for head in _HEADS), strict=True)
    rows = [(r.name, f"{r.width}x{r.height}", *_numbers([r])) for r in results]
    rows = [*heads, *rows, ("sum or median", "", *_numbers(results))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([*lines[:2], rule, *lines[2:-1], rule, lines[-1], "", _LEGEND])


def _numbers(results: Sequence[Result]) -> tuple[str, ...]:
    return (
        f"{sum(r.ordinary_bytes for r in results):,}",
        f"{sum(r.defended_bytes for r in results):,}",
        f"{median(r.psnr for r in results):.1f}",
        _percent(median(r.one_pass.coefficients for r in results)),
        _percent(median(r.two_pass.coefficients for r in results)),
        _percent(median(r.one_pass.pixels for r in results)),
        _percent(median(r.two_pass.pixels for r in results)),
        f"{median(r.plain_ms for r in results):.2f}",
        f"{median(r.defended_ms for r in results):.2f}",
        f"{median(r.defended_ms / r.plain_ms for r in results):.2f}",
    )


def _percent(share: float) -> str:
    """Rounded down: 100 % is all of them."""
    return f"{math.floor(share * 10000) / 100:.2f}%"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
    return "  ".join([f"{row[0]:<{widths[0]}}", *cells[1:]]).rstrip()


# ---- the contact sheet ----------------------------------------------------

_SHEET_ROWS = 5
_CELL = (288, 216)
_GAP, _MARGIN = 16, 32
_TITLE_HEIGHT, _HEAD_HEIGHT, _CAPTION_HEIGHT = 84, 60, 34
_PAPER, _INK, _FAINT = "#ffffff", "#1a1a1a", "#5c5c5c"
_SHOWN = 64  # what a perturbation of epsilon is amplified to, in levels


def contact_sheet(
    shown: Sequence[tuple[Result, Views]], tables: QTables, epsilon: int
) -> Image.Image:
    """The pictures side by side: a row per photograph."""
    gain = _SHOWN / epsilon
    rows_top = _MARGIN + _TITLE_HEIGHT + _HEAD_HEIGHT
    row_height = _CELL[1] + _CAPTION_HEIGHT + _GAP
    height = rows_top + len(shown) * row_height - _GAP + _MARGIN
    sheet = Image.new("RGB", (_left(5) - _GAP + _MARGIN, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_heads(draw, tables, epsilon, gain)
    for row, (result, views) in enumerate(shown):
        top = rows_top + row * row_height
        for column, (picture, caption) in enumerate(_cells(result, views, gain)):
            sheet.paste(picture, (_left(column), top))
            _text(draw, (_left(column), top + _CELL[1] + 6), caption, 18)
    return sheet


def _left(column: int) -> int:
    return _MARGIN + column * (_CELL[0] + _GAP)


def _draw_heads(draw: ImageDraw.ImageDraw, tables: QTables, epsilon: int, gain: float) -> None:
    room = _left(5) - _MARGIN
    _text(draw, (_MARGIN, _MARGIN), "What the decoder leaves of a perturbation", 32, room=room)
    legend = "Below the diagonals: what the attack changed, amplified"
    legend = f"{legend} {gain:.3g} times. Plain gray is nothing."
    _text(draw, (_MARGIN, _MARGIN + 42), legend, 19, _FAINT, room)
    heads = (
        ("original", "at quality 95"),
        ("defended", f"encoded with {printable(tables.name or 'these tables')}"),
        ("attacked", f"random noise of ±{epsilon}"),
        ("one pass", "tables in the decoder alone"),
        ("two passes", "tables in the camera as well"),
    )
    top = _MARGIN + _TITLE_HEIGHT
    for column, (title, subtitle) in enumerate(heads):
        _text(draw, (_left(column), top), title, 23)
        _text(draw, (_left(column), top + 29), subtitle, 17, _FAINT)


def _cells(result: Result, views: Views, gain: float) -> list[tuple[Image.Image, str]]:
    """A row's pictures with their captions."""
    attacked = float(np.mean((views.attacked.left == 0).all(axis=2)))
    return [
        (_thumbnail(views.original), f"{result.ordinary_bytes:,} bytes"),
        (_thumbnail(views.defended), f"{result.defended_bytes:,} bytes, {result.psnr:.1f} dB"),
        (_split(views.attacked, gain), _caption(attacked)),
        (_split(views.one_pass, gain), _caption(result.one_pass.pixels)),
        (_split(views.two_pass, gain), _caption(result.two_pass.pixels)),
    ]


def _caption(unmoved: float) -> str:
    return f"{_percent(unmoved)} of pixels unchanged"


def _thumbnail(pixels: Pixels) -> Image.Image:
    return ImageOps.fit(Image.fromarray(pixels), _CELL, Image.Resampling.LANCZOS)


def _split(view: View, gain: float) -> Image.Image:
    """A picture, and below its diagonal what the attack changed, amplified."""
    picture = _thumbnail(view.pixels)
    amplified = (128 + gain * view.left).clip(0, 255).astype(np.uint8)
    # not averaged: that would make it look smaller than it is
    below = ImageOps.fit(Image.fromarray(amplified), _CELL, Image.Resampling.NEAREST)
    mask = Image.new("1", _CELL)
    width, height = _CELL
    ImageDraw.Draw(mask).polygon([(width, 0), (width, height), (0, height)], fill=1)
    picture.paste(below, mask=mask)
    ImageDraw.Draw(picture).line([(0, height), (width, 0)], fill=_PAPER, width=3)
    return picture


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    fill: str = _INK,
    room: int = _CELL[0],
) -> None:
    """Draw a line, cut short if it is wider than `room`."""
    font = ImageFont.load_default(size)
    shown = text
    while font.getlength(shown) > room:
        text = text[:-1]
        shown = f"{text}..."
    draw.text(place, shown, fill=fill, font=font)


# ---- all of it ------------------------------------------------------------


def run(photos: Sequence[Path], tables: QTables, epsilon: int, output: Path) -> None:
    """Measure the photographs, print the table, and leave the pictures in `output`."""
    bar = tqdm(photos, unit="photo", disable=None, leave=False)
    measured = [measure(path, tables, epsilon, output) for path in bar]
    click.echo(table([result for result, _ in measured]))
    buffer = io.BytesIO()
    contact_sheet(measured[:_SHEET_ROWS], tables, epsilon).save(buffer, "PNG")
    sheet = output / "contact-sheet.png"
    _write(sheet, buffer.getvalue())
    click.echo(f"\nThe .jpg files are in {output}; look at {sheet}")
