"""The contact sheet: pictures of the defence at work, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pyfd._core.pixels import Pixels
from pyfd.cli.demo.certified import Attack, Pair, tables_for
from pyfd.cli.demo.fooled import Seen, Story, Witness
from pyfd.cli.demo.measurement import Differences, Result, Views, moved
from pyfd.cli.demo.summary import percent
from pyfd.cli.messages import printable
from pyfd.qtables import QTables

_CELL = (288, 216)
_COLUMNS = 5
_GAP, _MARGIN = 16, 32
_TITLE_HEIGHT, _HEAD_HEIGHT, _CAPTION_HEIGHT = 84, 60, 34
_PAPER, _INK, _FAINT, _MARK = "#ffffff", "#1a1a1a", "#5c5c5c", "#e00020"
_SHOWN = 64  # levels: a perturbation of epsilon is amplified to this


class Cell(NamedTuple):
    """A picture and its caption."""

    picture: Image.Image
    caption: str
    ink: str = _INK
    """The caption's color."""


class Section(NamedTuple):
    """Rows of pictures below heads of their own."""

    title: str
    legend: str
    heads: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]

    @property
    def height(self) -> int:
        """The height in pixels, without the margins around it."""
        row = _CELL[1] + _CAPTION_HEIGHT + _GAP
        return _TITLE_HEIGHT + _HEAD_HEIGHT + len(self.rows) * row - _GAP


def draw(sections: Sequence[Section]) -> Image.Image:
    """Return the contact sheet, with one section below the other."""
    height = sum(section.height + _MARGIN for section in sections) + _MARGIN
    sheet = Image.new("RGB", (_left(_COLUMNS) - _GAP + _MARGIN, height), _PAPER)
    top = _MARGIN
    for section in sections:
        _draw_section(sheet, section, top)
        top += section.height + _MARGIN
    return sheet


def fooled_section(stories: Sequence[Story], witness: Witness, epsilon: int) -> Section:
    """Return the section of what a network takes photographs for, a row for each."""
    tables = tables_for(epsilon).name
    legend = (
        "Red: the network is misled. Below the diagonals: what an attack has changed, amplified"
    )
    return Section(
        title="What a network takes the photographs for",
        legend=f"{legend}; plain gray means no change.",
        heads=(
            ("photograph", f"encoded with {tables}"),
            ("attacked", f"by ±{epsilon}, without a defence"),
            ("the same copy, defended", "tables in camera and classifier"),
            ("aimed at the tables", "another copy, defended as well"),
            ("certified", f"radius={epsilon}; both attacks, defended"),
        ),
        rows=[_fooled_row(story, witness, _SHOWN / epsilon) for story in stories],
    )


def _fooled_row(story: Story, witness: Witness, gain: float) -> list[Cell]:
    def cell(seen: Seen, picture: Image.Image, more: str = "") -> Cell:
        same = seen.answer.number == story.camera.answer.number
        caption = f"{seen.answer.probability:.0%} {printable(witness.says(seen.answer))}{more}"
        return Cell(picture, caption, _INK if same else _MARK)

    attacks = (story.attacked, story.defended, story.aimed)
    return [
        cell(story.camera, _thumbnail(story.camera.view.pixels)),
        *(cell(seen, _split(*seen.view, gain)) for seen in attacks),
        cell(
            story.certified,
            _split(*story.certified.view, gain),
            ": no bit changes" if story.unchanged else "",
        ),
    ]


def defended_section(
    shown: Sequence[tuple[Result, Views]], tables: QTables, epsilon: int
) -> Section:
    """Return the section of photographs that `tables` defend, a row for each."""
    gain = _SHOWN / epsilon
    legend = "Below the diagonals: the attack's changes, amplified"
    return Section(
        title="The perturbation that the decoder leaves",
        legend=f"{legend} {gain:.3g} times. Plain gray means no change.",
        heads=(
            ("original", "at quality 95"),
            ("defended", f"encoded with {printable(tables.name or 'these tables')}"),
            ("attacked", f"random noise of ±{epsilon}"),
            ("one pass", "tables in the decoder alone"),
            ("two passes", "tables in the camera as well"),
        ),
        rows=[_defended_row(result, views, gain) for result, views in shown],
    )


def _defended_row(result: Result, views: Views, gain: float) -> list[Cell]:
    attacked = float(np.mean((views.attacked.left == 0).all(axis=2)))
    return [
        Cell(_thumbnail(views.original), f"{result.ordinary_bytes:,} bytes"),
        Cell(_thumbnail(views.defended), f"{result.defended_bytes:,} bytes, {result.psnr:.1f} dB"),
        Cell(_split(*views.attacked, gain), _caption(attacked)),
        Cell(_split(*views.one_pass, gain), _caption(result.one_pass.pixels)),
        Cell(_split(*views.two_pass, gain), _caption(result.two_pass.pixels)),
    ]


def certified_section(pairs: Sequence[Pair], epsilon: int) -> Section:
    """Return the section of photographs with and without a certificate, a row for each."""
    return Section(
        title="The perturbation that no certified file lets through",
        legend="The attacker pushes each block towards its nearest rounding boundary. "
        "Red: what the classifier sees has changed.",
        heads=(
            ("two passes", f"encoded with {tables_for(epsilon).name}"),
            ("attacked", f"±{epsilon} to the nearest boundaries"),
            ("two passes, attacked", "red: what has changed"),
            ("certified", f"the same, with radius={epsilon}"),
            ("certified, attacked", "red: what has changed"),
        ),
        rows=[_certified_row(pair, _SHOWN / epsilon) for pair in pairs],
    )


def _certified_row(pair: Pair, gain: float) -> list[Cell]:
    (plain, attack), (certified, foiled) = pair
    attacked = _split(moved(attack.pixels, attack.moves), attack.moves, gain)
    return [
        Cell(_thumbnail(attack.pixels), f"{plain.bytes:,} bytes, {plain.psnr:.1f} dB"),
        Cell(attacked, f"{percent(plain.holding)} of blocks hold"),
        Cell(_marked(attack), _caption(plain.aimed)),
        Cell(_thumbnail(foiled.pixels), f"{certified.bytes:,} bytes, {certified.psnr:.1f} dB"),
        Cell(_marked(foiled), _caption(certified.aimed)),
    ]


def _left(column: int) -> int:
    return _MARGIN + column * (_CELL[0] + _GAP)


def _draw_section(sheet: Image.Image, section: Section, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    room = _left(_COLUMNS) - _GAP - _MARGIN
    _text(pen, (_MARGIN, top), section.title, 32, room=room)
    _text(pen, (_MARGIN, top + 42), section.legend, 19, _FAINT, room)
    top += _TITLE_HEIGHT
    for column, (title, subtitle) in enumerate(section.heads):
        _text(pen, (_left(column), top), title, 23)
        _text(pen, (_left(column), top + 29), subtitle, 17, _FAINT)
    top += _HEAD_HEIGHT
    for row in section.rows:
        for column, cell in enumerate(row):
            sheet.paste(cell.picture, (_left(column), top))
            _text(pen, (_left(column), top + _CELL[1] + 6), cell.caption, 18, cell.ink)
        top += _CELL[1] + _CAPTION_HEIGHT + _GAP


def _caption(unmoved: float) -> str:
    return f"{percent(unmoved)} of pixels unchanged"


def _thumbnail(pixels: Pixels) -> Image.Image:
    return ImageOps.fit(Image.fromarray(pixels), _CELL, Image.Resampling.LANCZOS)


def _unaveraged(pixels: Pixels) -> Image.Image:
    """Return a thumbnail in which no change looks smaller than it is."""
    return ImageOps.fit(Image.fromarray(pixels), _CELL, Image.Resampling.NEAREST)


def _split(pixels: Pixels, left: Differences, gain: float) -> Image.Image:
    """Return a picture that shows an attack's changes, amplified, below its diagonal."""
    picture = _thumbnail(pixels)
    below = _unaveraged((128 + gain * left).clip(0, 255).astype(np.uint8))
    mask = Image.new("1", _CELL)
    width, height = _CELL
    ImageDraw.Draw(mask).polygon([(width, 0), (width, height), (0, height)], fill=1)
    picture.paste(below, mask=mask)
    ImageDraw.Draw(picture).line([(0, height), (width, 0)], fill=_PAPER, width=3)
    return picture


def _marked(attack: Attack) -> Image.Image:
    """Return a pale picture with the pixels in red that the attack changes."""
    gray = _thumbnail(attack.pixels).convert("L").convert("RGB")
    picture = Image.blend(gray, Image.new("RGB", _CELL, _PAPER), 0.5)
    changed = np.where(attack.unchanged, 0, 255).astype(np.uint8)
    picture.paste(_MARK, mask=_unaveraged(changed))
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
