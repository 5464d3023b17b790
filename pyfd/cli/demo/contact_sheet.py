"""The contact sheet: pictures of the defence at work, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pyfd._core.pixels import Pixels
from pyfd.cli.demo.measurement import Result, View, Views
from pyfd.cli.demo.summary import percent
from pyfd.cli.messages import printable
from pyfd.qtables import QTables

_CELL = (288, 216)
_GAP, _MARGIN = 16, 32
_TITLE_HEIGHT, _HEAD_HEIGHT, _CAPTION_HEIGHT = 84, 60, 34
_PAPER, _INK, _FAINT = "#ffffff", "#1a1a1a", "#5c5c5c"
_SHOWN = 64  # levels: a perturbation of epsilon is amplified to this


def draw(shown: Sequence[tuple[Result, Views]], tables: QTables, epsilon: int) -> Image.Image:
    """Return the contact sheet.

    Args:
        shown: The measured photographs, a row for each.
        tables: The tables that defended them.
        epsilon: The strength of the attack, in 8-bit levels.
    """
    gain = _SHOWN / epsilon
    rows_top = _MARGIN + _TITLE_HEIGHT + _HEAD_HEIGHT
    row_height = _CELL[1] + _CAPTION_HEIGHT + _GAP
    height = rows_top + len(shown) * row_height - _GAP + _MARGIN
    sheet = Image.new("RGB", (_left(5) - _GAP + _MARGIN, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_heads(pen, tables, epsilon, gain)
    for row, (result, views) in enumerate(shown):
        top = rows_top + row * row_height
        for column, (picture, caption) in enumerate(_cells(result, views, gain)):
            sheet.paste(picture, (_left(column), top))
            _text(pen, (_left(column), top + _CELL[1] + 6), caption, 18)
    return sheet


def _left(column: int) -> int:
    return _MARGIN + column * (_CELL[0] + _GAP)


def _draw_heads(pen: ImageDraw.ImageDraw, tables: QTables, epsilon: int, gain: float) -> None:
    room = _left(5) - _MARGIN
    _text(pen, (_MARGIN, _MARGIN), "The perturbation that the decoder leaves", 32, room=room)
    legend = "Below the diagonals: the attack's changes, amplified"
    legend = f"{legend} {gain:.3g} times. Plain gray means no change."
    _text(pen, (_MARGIN, _MARGIN + 42), legend, 19, _FAINT, room)
    heads = (
        ("original", "at quality 95"),
        ("defended", f"encoded with {printable(tables.name or 'these tables')}"),
        ("attacked", f"random noise of ±{epsilon}"),
        ("one pass", "tables in the decoder alone"),
        ("two passes", "tables in the camera as well"),
    )
    top = _MARGIN + _TITLE_HEIGHT
    for column, (title, subtitle) in enumerate(heads):
        _text(pen, (_left(column), top), title, 23)
        _text(pen, (_left(column), top + 29), subtitle, 17, _FAINT)


def _cells(result: Result, views: Views, gain: float) -> list[tuple[Image.Image, str]]:
    """Return a row's pictures with their captions."""
    attacked = float(np.mean((views.attacked.left == 0).all(axis=2)))
    return [
        (_thumbnail(views.original), f"{result.ordinary_bytes:,} bytes"),
        (_thumbnail(views.defended), f"{result.defended_bytes:,} bytes, {result.psnr:.1f} dB"),
        (_split(views.attacked, gain), _caption(attacked)),
        (_split(views.one_pass, gain), _caption(result.one_pass.pixels)),
        (_split(views.two_pass, gain), _caption(result.two_pass.pixels)),
    ]


def _caption(unmoved: float) -> str:
    return f"{percent(unmoved)} of pixels unchanged"


def _thumbnail(pixels: Pixels) -> Image.Image:
    return ImageOps.fit(Image.fromarray(pixels), _CELL, Image.Resampling.LANCZOS)


def _split(view: View, gain: float) -> Image.Image:
    """Return a picture that shows the attack's changes, amplified, below its diagonal."""
    picture = _thumbnail(view.pixels)
    amplified = (128 + gain * view.left).clip(0, 255).astype(np.uint8)
    # not averaged, which would make the change look smaller than it is
    below = ImageOps.fit(Image.fromarray(amplified), _CELL, Image.Resampling.NEAREST)
    mask = Image.new("1", _CELL)
    width, height = _CELL
    ImageDraw.Draw(mask).polygon([(width, 0), (width, height), (0, height)], fill=1)
    picture.paste(below, mask=mask)
    ImageDraw.Draw(picture).line([(0, height), (width, 0)], fill=_PAPER, width=3)
    return picture


def _text(
    pen: ImageDraw.ImageDraw,
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
    pen.text(place, shown, fill=fill, font=font)
