"""The plots of an evaluation's page: small panels that stand side by side in HTML.

The page writes their titles and their key: only numbers and our own words are set
by matplotlib, which has no glyph for every name.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing
from pyfd.evaluation.report.data import BENIGN, Column, Report

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter
except ModuleNotFoundError as error:
    raise missing("matplotlib", "evaluate", module=error.name) from error

_BLUE, _BROWN, _GRAY = "#0b4f8a", "#a34700", "#555555"
_LINES = {
    "none": ("-.", "black"),
    "one-pass": ("--", _BROWN),
    "two-pass": ("-", _BLUE),
    "transformation": (":", _GRAY),
}
_STRENGTHS = ((":", _BLUE), ("--", _BROWN), ("-.", _GRAY))
_MARKERS = "os^DvPX*<>ph"
_FILLS: tuple[Literal["full", "left", "top"], ...] = ("full", "left", "top")

_SIZE = (3.4, 2.6)  # inches
_AXES = (0.6, 0.48, 2.6, 1.98)  # left, bottom, width and height, inches
_LEGEND_COLUMNS = 5
_LEGEND_ROW = 0.17  # inches
_MARKER = 5.0  # points
_LABEL = (11.0, 8.0)  # width and height of two digits, points


class Look(NamedTuple):
    """How a curve or a point looks; line and marker tell it apart without the color."""

    line: str = "-"
    marker: str = "o"
    color: str = "black"
    fill: Literal["full", "left", "top"] = "full"


class Curve(NamedTuple):
    """Points joined by a line. Curves with a label have a legend."""

    look: Look
    points: Sequence[tuple[float, float]]
    label: str = ""


class Tradeoff(NamedTuple):
    """What one defence keeps on benign images and under attack; accuracies, 0 to 1."""

    label: str
    look: Look
    benign: float
    ignored: float | None
    """Under attackers who ignore the defence: a filled point."""
    known: float | None = None
    """Under those who know it: a hollow one, with a line to the filled one."""

    @property
    def attacked(self) -> list[float]:
        """Both, the lower one first."""
        return sorted(y for y in (self.ignored, self.known) if y is not None)


# ---- what is drawn -----------------------------------------------------------


def by_epsilon(report: Report) -> dict[str, Figure]:
    """A panel for each attack that has an ε, a curve for each defence."""
    panels = {}
    for name, columns in _attacks(report):
        curves = []
        for defence, look in looks(report.defences).items():
            cells = [report.cell(defence, column) for column in columns]
            points = [(c.column.epsilon, c.accuracy) for c in cells if c and c.column.epsilon]
            if points:
                curves.append(Curve(look, [(0.0, report.benign(defence).accuracy), *points]))
        if curves:
            panels[name] = accuracies(curves, "ε, in 8-bit levels")
    return panels


def by_step(report: Report) -> dict[str, Figure]:
    """A panel for each attack on uniform tables: a curve for each strength and for none."""
    panels = {}
    for kind in ("two-pass", "one-pass"):
        names = (re.fullmatch(rf"{kind}:([0-9]{{1,5}})", name) for name in report.defences)
        steps = sorted((int(found[1]), found[0]) for found in names if found)
        for name, columns in _attacks(report):
            curves = []
            for column, look in zip([BENIGN, *columns], _strength_looks(), strict=False):
                cells = [(step, report.cell(defence, column)) for step, defence in steps]
                points = [(float(step), cell.accuracy) for step, cell in cells if cell]
                if len(points) > 1:
                    curves.append(Curve(look, points, column.strength or "benign"))
            if any(curve.label != "benign" for curve in curves):
                panels[f"{kind}, {name}"] = accuracies(curves, "quantization step")
    return panels


def by_benign(report: Report) -> dict[str, Figure]:
    """A panel for each strength: gray-box joined to adaptive, and black-box by itself."""
    by_strength = sorted(report.attacks, key=lambda c: (c.epsilon is None, c.epsilon))
    panels = {}
    for epsilon, columns in itertools.groupby(by_strength, key=lambda c: c.epsilon):
        run = {column.threat: column.strength for column in columns}
        for threats in (("gray-box", "adaptive"), ("black-box",)):
            if points := list(_tradeoffs(report, threats, epsilon)):
                names = [threat for threat in threats if threat in run]
                panels[f"{run[names[0]]}: {' and '.join(names)}"] = tradeoffs(points)
    return panels


def _tradeoffs(report: Report, threats: Sequence[str], epsilon: float | None) -> Iterator[Tradeoff]:
    for number, (defence, look) in enumerate(looks(report.defences).items(), 1):
        lowest = [report.lowest(defence, threat, epsilon) for threat in threats]
        if any(lowest):
            found = [cell.accuracy if cell else None for cell in lowest]
            yield Tradeoff(str(number), look, report.benign(defence).accuracy, *found)


def _attacks(report: Report) -> Iterator[tuple[str, list[Column]]]:
    """Each attack's name and its columns, one for each strength."""
    for (threat, _), group in itertools.groupby(report.attacks, key=lambda c: (c.threat, c.attack)):
        same = list(group)
        name = same[0].label if same[0].epsilon is None else same[0].name
        yield f"{threat}: {name}", same


def looks(defences: Mapping[str, str]) -> dict[str, Look]:
    """Line and color by kind; the marker by the table, so that one pass and two pair up."""
    places: dict[str, int] = {}
    found = {}
    for name, kind in defences.items():
        table = name.partition(":")[2] if kind in ("one-pass", "two-pass") else name
        turn, number = divmod(places.setdefault(table, len(places)), len(_MARKERS))
        line, color = _LINES[kind]
        found[name] = Look(line, _MARKERS[number], color, _FILLS[turn % len(_FILLS)])
    return found


def _strength_looks() -> Iterator[Look]:
    """The benign curve's look, then the attacks'."""
    yield Look(marker="")
    for (line, color), marker in zip(itertools.cycle(_STRENGTHS), itertools.cycle(_MARKERS)):
        yield Look(line, marker, color)


# ---- how it is drawn ---------------------------------------------------------


def accuracies(curves: Sequence[Curve], x_label: str) -> Figure:
    """A panel of accuracies, 0 to 1, against anything; its legend stands below it."""
    labelled = sum(bool(curve.label) for curve in curves)
    rows = -(-labelled // _LEGEND_COLUMNS)
    figure, axes = _panel(x_label, "accuracy", rows * _LEGEND_ROW)
    for curve in curves:
        axes.plot(*zip(*curve.points, strict=True), label=curve.label, **_drawn(curve.look))
    ticks = sorted({x for curve in curves for x, _ in curve.points})
    if len(ticks) <= 6:
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=all(x == int(x) for x in ticks)))
    if labelled:
        spaces = {"handlelength": 1.8, "handletextpad": 0.4, "columnspacing": 1.0}
        columns = min(labelled, _LEGEND_COLUMNS)
        figure.legend(loc="lower center", ncols=columns, fontsize=7, frameon=False, **spaces)
    return figure


def tradeoffs(points: Sequence[Tradeoff]) -> Figure:
    """A panel of accuracies under attack against benign ones: up and right is better."""
    figure, axes = _panel("benign accuracy", "accuracy under attack")
    low = min(point.benign for point in points)
    axes.set_xlim(max(0.0, np.floor(low * 10 - 0.2) / 10), 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    for point in points:
        x = point.benign
        look = _drawn(point.look) | {"linestyle": "none"}
        if point.ignored is not None:
            axes.plot(x, point.ignored, **look)
        if point.ignored is not None and point.known is not None:
            color = point.look.color
            axes.plot([x, x], point.attacked, "-", color=color, linewidth=0.6, clip_on=False)
        if point.known is not None:
            axes.plot(x, point.known, **look | {"fillstyle": "none"})
    _label_points(axes, points)
    return figure


def sample(look: Look) -> Figure:
    """A piece of a curve, for a key; 0.5 inches wide."""
    figure = Figure(figsize=(0.5, 0.2))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    axes.plot([0.04, 0.5, 0.96], [0.5] * 3, markevery=[1], **_drawn(look))
    return figure


def inline(figure: Figure, title: str, key: str) -> str:
    """A figure as an SVG element to write into HTML, as wide as what it stands in.

    Args:
        figure: The figure.
        title: What a screen reader says of it.
        key: Sets its ids apart from other figures' on the page: letters, digits and hyphens.
    """
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": key, "svg.fonttype": "none", "path.simplify": False}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawn = buffer.getvalue().decode()
    drawn = drawn[drawn.index("<g ") :]  # not a style for the whole page, nor addresses
    used = set(re.findall(r"#([\w.-]+)", drawn))
    drawn = re.sub(r' id="([^"]*)"', lambda found: found[0] * (found[1] in used), drawn)
    width, height = 72 * figure.get_size_inches()
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{key}-title">'
        f'<title id="{key}-title">{escape(title)}</title>{" ".join(drawn.split())}'
    )


def _panel(x_label: str, y_label: str, below: float = 0) -> tuple[Figure, Axes]:
    """A figure and its axes, with room for something `below` inches high under them."""
    width, height = _SIZE[0], _SIZE[1] + below
    figure = Figure(figsize=(width, height))
    left, bottom, wide, high = _AXES
    axes = figure.add_axes((left / width, (bottom + below) / height, wide / width, high / height))
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _drawn(look: Look) -> dict[str, Any]:
    """What `Axes.plot` calls it."""
    return {
        "linestyle": look.line,
        "marker": look.marker,
        "color": look.color,
        "fillstyle": look.fill,
        "markerfacecoloralt": "white",
        "markersize": _MARKER,
        "linewidth": 1.2,
        "clip_on": False,
    }


def _label_points(axes: Axes, points: Sequence[Tradeoff]) -> None:
    """Write each label beside its lower point, where it covers no other label and no point."""

    def place(x: float, y: float) -> npt.NDArray[np.float64]:
        pixels = np.asarray(axes.transData.transform((x, y)), dtype=np.float64)
        return pixels * 72 / axes.figure.dpi  # points

    taken = []
    for point in points:
        x, low = place(point.benign, point.attacked[0])
        _, high = place(point.benign, point.attacked[-1])
        taken += [(x, y, _MARKER, _MARKER) for y in (low, high)]
        taken.append((x, (low + high) / 2, 1.0, high - low))
    floor = place(0, 0)[1] + _LABEL[1] / 2
    for point in points:
        x, y = place(point.benign, point.attacked[0])
        for right, up in _OFFSETS:
            box = (x + right, y + up, *_LABEL)
            if box[1] >= floor and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        axes.annotate(
            point.label,
            (point.benign, point.attacked[0]),
            xytext=(right, up),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 3, "shrinkB": 2},
        )


# Where a label may stand, from its point, in points: near ones first, to the right first
_OFFSETS = [
    (ring * right, ring * up)
    for ring in (1.0, 1.7, 2.4, 3.2, 4.0)
    for right, up in ((9, 0), (-9, 0), (0, 9), (0, -9), (8, 7), (-8, 7), (8, -7), (-8, -7))
]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (center x, center y, width, height) overlap."""
    return all(2 * abs(one[i] - other[i]) < one[i + 2] + other[i + 2] for i in (0, 1))
