"""The plots of an evaluation's page: small panels of matplotlib, as SVG images.

The page writes their titles and a key. The panels themselves hold only numbers and fixed
words, because matplotlib's fonts do not have a glyph for every name.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pyfd._core.extras import missing
from pyfd.evaluation.report.data import BENIGN, Column, Evaluation

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
#: The points of a row, by threat; a filled point may lie in a hollow one.
_POINTS: dict[str, dict[str, Any]] = {
    "benign": {"marker": "|", "markersize": 9.0, "markeredgewidth": 1.5},
    "adaptive": {"fillstyle": "full", "markerfacecolor": "white", "markersize": 7.0},
    "gray-box": {},
    "black-box": {},
}

# Inches
_WIDTH = 3.4
_HEIGHT = 1.98  # of the axes, without the labels below
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.6, 0.2, 0.14, 0.48  # room around the axes
_LEGEND_ROW = 0.17
_DEFENCE_ROW = 0.15
_LEGEND_COLUMNS = 5


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
    label: str = ""


class Row(NamedTuple):
    """The accuracies of one defence on benign images and under attacks of one strength."""

    label: str
    look: Look
    accuracies: Mapping[str, float]
    """The lowest accuracy, 0 to 1, by threat."""


# ---- the panels of an evaluation, by title -----------------------------------


def by_epsilon(evaluation: Evaluation) -> dict[str, Figure]:
    """Return a panel for each attack that has an ε, with a curve for each defence."""
    panels = {}
    for name, columns in _attacks(evaluation):
        curves = []
        for defence, look in looks(evaluation.defences).items():
            cells = [evaluation.cell(defence, column) for column in columns]
            points = [(cell.epsilon, cell.accuracy) for cell in cells if cell and cell.epsilon]
            if points:
                benign = evaluation.benign(defence).accuracy
                curves.append(Curve(look, [(0.0, benign), *points]))
        if curves:
            panels[name] = accuracies(curves, "ε, in 8-bit levels")
    return panels


def by_step(evaluation: Evaluation) -> dict[str, Figure]:
    """Return a panel for each attack on uniform tables, with a curve for each strength."""
    panels = {}
    for kind in ("two-pass", "one-pass"):
        steps = [pair for pair in evaluation.uniform if evaluation.defences[pair[1]] == kind]
        for name, columns in _attacks(evaluation):
            curves = []
            for column, look in zip([BENIGN, *columns], _strength_looks(), strict=False):
                cells = [(step, evaluation.cell(defence, column)) for step, defence in steps]
                points = [(float(step), cell.accuracy) for step, cell in cells if cell]
                if len(points) > 1:
                    curves.append(Curve(look, points, column.strength or "benign"))
            if any(curve.label != "benign" for curve in curves):
                panels[f"{kind}, {name}"] = accuracies(curves, "quantization step")
    return panels


def by_defence(evaluation: Evaluation) -> dict[str, Figure]:
    """Return panels for each strength: gray-box and adaptive attacks, and black-box attacks."""
    by_strength = sorted(evaluation.attacks, key=lambda c: (c.epsilon is None, c.epsilon))
    panels = {}
    for epsilon, columns in itertools.groupby(by_strength, key=lambda c: c.epsilon):
        run = {column.threat: column.strength for column in columns}
        for threats in (("gray-box", "adaptive"), ("black-box",)):
            names = [threat for threat in threats if threat in run]
            if names:
                title = f"{run[names[0]]}: {' and '.join(names)}"
                panels[title] = rows(list(_rows(evaluation, names, epsilon)))
    return panels


def by_rate(evaluation: Evaluation) -> dict[str, Figure]:
    """Return a panel for each ε that is certified, with a numbered point for each defence."""
    points: dict[int, list[Curve]] = {}
    for number, (name, look) in enumerate(looks(evaluation.defences).items(), 1):
        certified, rate = evaluation.certified.get(name), evaluation.rates.get(name)
        if certified is not None and rate is not None:
            point = Curve(look, [(rate, certified.accuracy)], str(number))
            points.setdefault(certified.epsilon, []).append(point)
    panels = {}
    for epsilon, curves in sorted(points.items()):
        panels[f"ε = {epsilon}"] = figure = accuracies(curves, "bits per pixel")
        figure.axes[0].set_xlim(left=0)
    return panels


def _rows(evaluation: Evaluation, threats: Sequence[str], epsilon: float | None) -> Iterator[Row]:
    """Yield a row for each defence that was attacked, the best benign accuracy first."""
    numbers = {name: str(number) for number, name in enumerate(evaluation.defences, 1)}
    benign = {name: evaluation.benign(name).accuracy for name in evaluation.defences}
    look = looks(evaluation.defences)
    for name in sorted(benign, key=lambda name: -benign[name]):
        lowest = {threat: evaluation.lowest(name, threat, epsilon) for threat in threats}
        found = {threat: cell.accuracy for threat, cell in lowest.items() if cell}
        if found:
            yield Row(numbers[name], look[name], {"benign": benign[name], **found})


def _attacks(evaluation: Evaluation) -> Iterator[tuple[str, list[Column]]]:
    """Yield each attack's name and its columns, one for each strength."""
    for _, group in itertools.groupby(evaluation.attacks, key=lambda c: (c.threat, c.attack)):
        same = list(group)
        name = same[0].label if same[0].epsilon is None else same[0].name
        yield f"{same[0].threat}: {name}", same


def looks(defences: Mapping[str, str]) -> dict[str, Look]:
    """Return the look of each defence: line and color by kind, marker by table.

    One pass and two passes with the same tables share a marker.

    Args:
        defences: The kind of each defence, by name.
    """
    places: dict[str, int] = {}
    found = {}
    for name, kind in defences.items():
        table = name.partition(":")[2] if name.startswith(f"{kind}:") else f":{name}"
        turn, number = divmod(places.setdefault(table, len(places)), len(_MARKERS))
        line, color = _LINES[kind]
        found[name] = Look(line, _MARKERS[number], color, _FILLS[turn % len(_FILLS)])
    return found


def _strength_looks() -> Iterator[Look]:
    """Yield the look of the benign curve, then those of the attacks."""
    yield Look(marker="")
    for (line, color), marker in zip(itertools.cycle(_STRENGTHS), itertools.cycle(_MARKERS)):
        yield Look(line, marker, color)


# ---- drawing -----------------------------------------------------------------


def accuracies(curves: Sequence[Curve], x_label: str) -> Figure:
    """Return a panel of accuracies, 0 to 1, with a legend below it if curves have labels."""
    labelled = sum(bool(curve.label) for curve in curves)
    figure, axes = _panel(x_label, legend_rows=-(-labelled // _LEGEND_COLUMNS))
    axes.set_ylabel("accuracy", fontsize=9)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for curve in curves:
        axes.plot(*zip(*curve.points, strict=True), label=curve.label, **_drawn(curve.look))
    ticks = sorted({x for curve in curves for x, _ in curve.points})
    whole = all(x == int(x) for x in ticks)
    if whole and len(ticks) <= 6:
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    if labelled:
        _legend(figure, min(labelled, _LEGEND_COLUMNS))
    return figure


def rows(found: Sequence[Row]) -> Figure:
    """Return a panel with a row for each defence, from the top, and its accuracies on a line."""
    height = max(_HEIGHT, (len(found) + 1) * _DEFENCE_ROW)
    figure, axes = _panel("accuracy", height, legend_rows=1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(len(found), -1)
    axes.set_yticks(range(len(found)), [row.label for row in found])
    axes.tick_params("y", length=0, pad=7)  # clear of a point at 0 %
    axes.set_ylabel("defence", fontsize=9)
    for y, row in enumerate(found):
        drawn = _drawn(row.look)
        ends = (min(row.accuracies.values()), max(row.accuracies.values()))
        axes.plot(ends, (y, y), **drawn | {"marker": "", "linewidth": 0.8})
        for threat, point in _POINTS.items():
            if threat in row.accuracies:
                axes.plot(row.accuracies[threat], y, **drawn | {"linestyle": ""} | point)
    shown = [threat for threat in _POINTS if any(threat in row.accuracies for row in found)]
    for threat in shown:
        axes.plot([], [], label=threat, **_drawn(Look(line="")) | _POINTS[threat])
    _legend(figure, len(shown))
    return figure


def sample(look: Look) -> Figure:
    """Return a piece of a curve, for a key; 0.5 inches wide."""
    figure = Figure(figsize=(0.5, 0.2))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    axes.plot([0.04, 0.5, 0.96], [0.5] * 3, markevery=[1], **_drawn(look))
    return figure


def data_uri(figure: Figure) -> str:
    """Return a figure as an SVG image in a data URI; the same figure gives the same text."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": "pyfd"}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _panel(x_label: str, height: float = _HEIGHT, legend_rows: int = 0) -> tuple[Figure, Axes]:
    """Return a figure and its axes, `height` inches high, with room for a legend below."""
    below = _BOTTOM + legend_rows * _LEGEND_ROW
    whole = below + height + _TOP
    figure = Figure(figsize=(_WIDTH, whole))
    wide = (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    axes = figure.add_axes((_LEFT / _WIDTH, below / whole, wide, height / whole))
    axes.set_xlabel(x_label, fontsize=9)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(
        loc="lower center",
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
