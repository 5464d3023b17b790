"""The drawing of panels with matplotlib: alone, as SVG for the page, or side by side for a paper.

A panel alone holds only numbers and fixed words, and the page writes its title and a key. A
sheet of panels has both. Matplotlib's font lacks glyphs for some letters of names; these are
drawn as boxes.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

from pyfd._core.extras import missing

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter
    from matplotlib.transforms import ScaledTranslation
except ModuleNotFoundError as error:
    raise missing("matplotlib", "evaluate", module=error.name) from error

#: The points of a row, by threat; a filled point may lie in a hollow one.
_POINTS: dict[str, dict[str, Any]] = {
    "benign": {"marker": "|", "markersize": 9.0, "markeredgewidth": 1.5},
    "adaptive": {"fillstyle": "full", "markerfacecolor": "white", "markersize": 7.0},
    "gray-box": {},
    "black-box": {},
}

_INTERVAL: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.6, "clip_on": False}

# Inches
_WIDTH = 3.4  # a column of a paper
_HEIGHT = 1.98  # of the axes, without the labels below
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.6, 0.2, 0.14, 0.48  # room around the axes
_TITLE = 0.2
_LEGEND_ROW = 0.17
_DEFENCE_ROW = 0.15
_LEGEND_COLUMNS = 5
_MARKS = 6  # at most on an axis, unless its points are far between
_GAP, _WIDEST = 0.028, 0.12  # between curves that would coincide, and all of them together
_SPREAD = 0.4  # the most that these take of the distance between two marks
_COLUMNS = 2  # of a sheet: as wide as a page of a paper

_LETTERS = 40  # of a title, and of a name in a key, for each column of panels

#: What an SVG of matplotlib can do without: its head, comments, names of groups, and space.
_SUPERFLUOUS = r'<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|(?<=<g) id="[^"]*"|(?<=>) (?=<)'


class Look(NamedTuple):
    """The look of a curve or a point; line and marker tell it apart without the color."""

    line: str = "-"
    marker: str = "o"
    color: str = "black"
    fill: Literal["full", "left", "top"] = "full"


class Curve(NamedTuple):
    """Points joined by a line; a curve with a label is listed in a legend."""

    look: Look
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]]
    """The 95 % interval of each point."""
    label: str = ""


class Curves(NamedTuple):
    """A panel of accuracies, 0 to 1, against something else."""

    curves: Sequence[Curve]
    x_label: str
    from_zero: bool = False
    """Whether the axis begins at 0."""

    @property
    def height(self) -> float:
        """The height of the axes in inches."""
        return _HEIGHT

    @property
    def legend(self) -> list[Line2D]:
        """The entries of the legend."""
        labelled = (curve for curve in self.curves if curve.label)
        return [Line2D([], [], label=curve.label, **_drawn(curve.look)) for curve in labelled]

    def draw(self, axes: Axes) -> None:
        """Draw the curves."""
        axes.set_xlabel(self.x_label, fontsize=9)
        axes.set_ylabel("accuracy", fontsize=9)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        drawn = []
        for curve in self.curves:
            lines = axes.plot(*zip(*curve.points, strict=True), **_drawn(curve.look))
            for (x, _), ends in zip(curve.points, curve.intervals, strict=True):
                lines += axes.plot((x, x), ends, color=curve.look.color, **_INTERVAL)
            drawn.append(lines)
        places = sorted({x for curve in self.curves for x, _ in curve.points})
        _mark(axes, places)
        if self.from_zero:
            axes.set_xlim(left=0)
        if any(len(curve.points) > 1 for curve in self.curves):
            _separate(axes, drawn, places)


def _separate(axes: Axes, curves: Sequence[Sequence[Line2D]], places: Sequence[float]) -> None:
    """Move curves a little beside each other, as one would else hide another.

    Args:
        axes: The axes, with their final limits.
        curves: The lines of each curve.
        places: The places of points on the x axis.
    """
    axes.get_xlim()  # or else limits are not up to date
    shown = [axes.transData.transform((x, 0))[0] / axes.figure.dpi for x in places]
    # Two names of the same tables have one place between them
    closest = min((b - a for a, b in itertools.pairwise(shown)), default=math.inf)
    gap = min(_GAP, _WIDEST / len(curves), _SPREAD * closest / len(curves))
    for number, lines in enumerate(curves):
        aside = gap * (number - (len(curves) - 1) / 2)
        for line in lines:
            line.set_transform(
                axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
            )


def _mark(axes: Axes, places: Sequence[float]) -> None:
    """Mark the places of points on the x axis, in octaves where they double again and again."""
    whole = all(x == int(x) for x in places)
    if len(places) > _MARKS and whole and _doubling([x for x in places if x > 0]):
        axes.set_xscale("symlog", base=2, linthresh=min(x for x in places if x > 0), linscale=0.6)
        axes.minorticks_off()
    elif len(places) > _MARKS or not whole:
        axes.xaxis.set_major_locator(MaxNLocator(_MARKS, integer=whole))
        return
    axes.set_xticks(places, [f"{x:g}" for x in places])


def _doubling(places: Sequence[float]) -> bool:
    return all(following >= 2 * place for place, following in itertools.pairwise(places))


class Row(NamedTuple):
    """The accuracies of one defence on benign images and under attacks of one strength."""

    label: str
    look: Look
    accuracies: Mapping[str, float]
    """The lowest accuracy, 0 to 1, by threat."""


class Rows(NamedTuple):
    """A panel with a row for each defence, from the top, and its accuracies on a line."""

    rows: Sequence[Row]

    @property
    def height(self) -> float:
        """The height of the axes in inches."""
        return _height_of(len(self.rows))

    @property
    def legend(self) -> list[Line2D]:
        """The entries of the legend: the threats that are there."""
        shown = (t for t in _POINTS if any(t in row.accuracies for row in self.rows))
        return [Line2D([], [], label=t, **_drawn(Look(line="")) | _POINTS[t]) for t in shown]

    def draw(self, axes: Axes) -> None:
        """Draw the rows."""
        _by_defence(axes, [row.label for row in self.rows])
        for y, row in enumerate(self.rows):
            drawn = _drawn(row.look)
            ends = (min(row.accuracies.values()), max(row.accuracies.values()))
            axes.plot(ends, (y, y), **drawn | {"marker": "", "linewidth": 0.8})
            for threat, point in _POINTS.items():
                if threat in row.accuracies:
                    axes.plot(row.accuracies[threat], y, **drawn | {"linestyle": ""} | point)


class Bar(NamedTuple):
    """The accuracy of one defence under one attack."""

    label: str
    look: Look
    accuracy: float
    interval: tuple[float, float]
    benign: float | None
    """The accuracy on images that nobody attacked."""


class Bars(NamedTuple):
    """A panel with a bar for each defence, from the top, and its 95 % interval."""

    bars: Sequence[Bar]

    @property
    def height(self) -> float:
        """The height of the axes in inches."""
        return _height_of(len(self.bars))

    @property
    def legend(self) -> list[Line2D]:
        """The entries of the legend."""
        entries = [_interval()]
        if any(bar.benign is not None for bar in self.bars):
            benign = _drawn(Look(line="")) | _POINTS["benign"]
            entries.insert(0, Line2D([], [], label="benign", **benign))
        return entries

    def draw(self, axes: Axes) -> None:
        """Draw the bars."""
        _by_defence(axes, [bar.label for bar in self.bars])
        for y, bar in enumerate(self.bars):
            color = bar.look.color
            axes.barh(y, bar.accuracy, 0.64, color=color, alpha=0.55, linewidth=0)
            axes.plot(bar.interval, (y, y), color="black", linewidth=1, clip_on=False)
            if bar.benign is not None:
                benign = {"color": color, "clip_on": False, **_POINTS["benign"]}
                axes.plot(bar.benign, y, **benign)


Panel: TypeAlias = "Curves | Rows | Bars"


def _interval() -> Line2D:
    """Return the entry of a legend for intervals."""
    return Line2D([], [], color="black", linewidth=1, label="95 % interval")


def _height_of(rows: int) -> float:
    return max(_HEIGHT, (rows + 1) * _DEFENCE_ROW)


def _by_defence(axes: Axes, labels: Sequence[str]) -> None:
    """Prepare axes of accuracy by defence, from the top."""
    axes.set_xlabel("accuracy", fontsize=9)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(len(labels), -1)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params("y", length=0, pad=7)  # clear of a point at 0 %
    axes.set_ylabel("defence", fontsize=9)


# ---- figures -----------------------------------------------------------------


def alone(panel: Panel) -> Figure:
    """Return a figure of one panel, without a title."""
    height = _height(panel)
    figure = Figure(figsize=(_WIDTH, height))
    _place(figure, panel, 0, height)
    return figure


def sheet(panels: Mapping[str, Panel], key: Mapping[str, Look]) -> Figure:
    """Return a figure of panels side by side, each below its title, with a key below them.

    Args:
        panels: The panels by title.
        key: The looks of numbered defences by name.
    """
    columns = min(_COLUMNS, len(panels))
    items = list(panels.items())
    lines = [items[start : start + columns] for start in range(0, len(items), columns)]
    heights = [_TITLE + max(_height(panel) for _, panel in line) for line in lines]
    intervals = [_interval()] if any(isinstance(each, Curves) for each in panels.values()) else []
    key_height = (len(key) + len(intervals) + 1) * _LEGEND_ROW
    figure = Figure(figsize=(columns * _WIDTH, sum(heights) + key_height))
    tops = itertools.accumulate(heights, lambda top, height: top - height, initial=sum(heights))
    for line, top in zip(lines, tops, strict=False):
        for column, (title, panel) in enumerate(line):
            _place(figure, panel, column * _WIDTH, top + key_height - _TITLE)
            x, y = _fraction(figure, (column + 0.5) * _WIDTH, top + key_height - _TITLE)
            style: dict[str, Any] = {"ha": "center", "va": "bottom", "parse_math": False}
            figure.text(x, y, _drawable(title, _LETTERS), fontsize=9, **style)
    handles = [
        Line2D([], [], label=f"{number}  {_drawable(name, columns * _LETTERS)}", **_drawn(look))
        for number, (name, look) in enumerate(key.items(), 1)
    ]
    handles += intervals
    for text in _legend(figure, handles, 1, columns * _WIDTH / 2, 0).get_texts():
        text.set_parse_math(False)
    return figure


def sample(look: Look) -> Figure:
    """Return a piece of a curve, for a key; 0.5 inches wide."""
    figure = Figure(figsize=(0.5, 0.2))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    axes.plot([0.04, 0.5, 0.96], [0.5] * 3, markevery=[1], **_drawn(look))
    return figure


def data_uri(figure: Figure) -> str:
    """Return a figure as an SVG image in a data URI; the same figure gives the same text.

    It is drawn with the reader's fonts, because glyphs would be most of its bytes.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context(
        {"svg.hashsalt": "pyfd", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    ):
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = re.sub(_SUPERFLUOUS, "", re.sub(r"\s+", " ", buffer.getvalue()))
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _height(panel: Panel) -> float:
    return _TOP + panel.height + _below(panel)


def _below(panel: Panel) -> float:
    """Return the room below the axes for a label and a legend."""
    return _BOTTOM + -(-len(panel.legend) // _LEGEND_COLUMNS) * _LEGEND_ROW


def _place(figure: Figure, panel: Panel, left: float, top: float) -> None:
    """Draw a panel whose upper left corner is at a place of the figure, in inches."""
    bottom = top - _height(panel)
    x, y = _fraction(figure, left + _LEFT, bottom + _below(panel))
    axes = figure.add_axes((x, y, *_fraction(figure, _WIDTH - _LEFT - _RIGHT, panel.height)))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    panel.draw(axes)
    axes.tick_params(labelsize=8)
    if handles := panel.legend:
        columns = min(len(handles), _LEGEND_COLUMNS)
        _legend(figure, handles, columns, left + _WIDTH / 2, bottom)


def _fraction(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Return inches as shares of the figure's width and height."""
    width, height = figure.get_size_inches()
    return float(x / width), float(y / height)


def _legend(
    figure: Figure, handles: Sequence[Line2D], columns: int, middle: float, bottom: float
) -> Legend:
    return figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=_fraction(figure, middle, bottom),
        ncols=columns,
        fontsize=7,
        frameon=False,
        handlelength=1.8,
        handletextpad=0.4,
        columnspacing=1.0,
    )


def _drawn(look: Look) -> dict[str, Any]:
    """Return a look as the arguments of `Axes.plot`."""
    return {
        "linestyle": look.line,
        "marker": look.marker,
        "color": look.color,
        "fillstyle": look.fill,
        "markerfacecoloralt": "white",
        "markersize": 5.0,
        "linewidth": 1.2,
        "clip_on": False,
    }


def _drawable(text: str, longest: int) -> str:
    """Return a text of which the font has every letter, cut in the middle if it is longer."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 :]}"
    return "".join(letter if ord(letter) in _letters() else "□" for letter in text)


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
