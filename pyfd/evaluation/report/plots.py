"""The panels of an evaluation: what is plotted against what."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pyfd.evaluation.report.data import BENIGN, Accuracy, Column, Evaluation, read
from pyfd.evaluation.report.drawing import Bar, Bars, Curve, Curves, Look, Panel, Row, Rows, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


class _Figures(Mapping[str, "Figure"]):
    """Figures by name, each of which is drawn when it is taken."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._panels = panels(evaluation)
        self._key = looks(evaluation.defences)

    def __getitem__(self, name: str) -> Figure:
        return sheet(self._panels[name], self._key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._panels)

    def __len__(self) -> int:
        return len(self._panels)


def figures(content: Mapping[str, Any]) -> Mapping[str, Figure]:
    """Return the figures of an evaluation by name, each with its titles and key, for a paper.

    Their names are "accuracy-by-epsilon", "accuracy-by-step", "accuracy-by-defence" and
    "accuracy-by-rate"; those for which the evaluation has no numbers are missing. They are at
    most 6.8 inches wide. A figure is drawn when it is taken from the mapping, anew each time.

    Args:
        content: The content of a report.json.

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    return _Figures(read(content))


def panels(evaluation: Evaluation) -> dict[str, dict[str, Panel]]:
    """Return the panels by title, of each figure by name; figures without panels are left out."""
    found: dict[str, Mapping[str, Panel]] = {
        "accuracy-by-epsilon": by_epsilon(evaluation),
        "accuracy-by-step": by_step(evaluation),
        "accuracy-by-defence": by_defence(evaluation),
        "accuracy-by-rate": by_rate(evaluation),
    }
    return {name: dict(panels) for name, panels in found.items() if panels}


def by_epsilon(evaluation: Evaluation) -> dict[str, Curves | Bars]:
    """Return a panel for each attack: curves over ε, or bars if there is one strength."""
    panels: dict[str, Curves | Bars] = {}
    for name, columns in _attacks(evaluation):
        if len(columns) == 1:
            title = f"{columns[0].threat}: {columns[0].label}"
            panels[title] = Bars(list(_bars(evaluation, columns[0])))
            continue
        curves = []
        for defence, look in looks(evaluation.defences).items():
            cells = [evaluation.cell(defence, column) for column in columns]
            points: list[tuple[float, Accuracy]]
            points = [(cell.epsilon, cell) for cell in cells if cell and cell.epsilon]
            if points:
                if benign := evaluation.benign(defence):
                    points.insert(0, (0.0, benign))
                curves.append(_curve(look, points))
        if curves:
            panels[name] = Curves(curves, "ε, in 8-bit levels")
    return panels


def by_step(evaluation: Evaluation) -> dict[str, Curves]:
    """Return a panel for each attack on uniform tables, with a curve for each strength."""
    panels = {}
    for kind in ("two-pass", "one-pass"):
        steps = [pair for pair in evaluation.uniform if evaluation.defences[pair[1]] == kind]
        for name, columns in _attacks(evaluation):
            curves = []
            for column, look in zip([BENIGN, *columns], _strength_looks(), strict=False):
                cells = [(step, evaluation.cell(defence, column)) for step, defence in steps]
                points = [(float(step), cell) for step, cell in cells if cell]
                if len(points) > 1:
                    curves.append(_curve(look, points, column.strength or "benign"))
            if any(curve.label != "benign" for curve in curves):
                panels[f"{kind}, {name}"] = Curves(curves, "quantization step")
    return panels


def by_defence(evaluation: Evaluation) -> dict[str, Rows]:
    """Return panels for each strength: gray-box and adaptive attacks, and black-box attacks."""
    by_strength = sorted(evaluation.attacks, key=lambda c: (c.epsilon is None, c.epsilon))
    panels = {}
    for epsilon, columns in itertools.groupby(by_strength, key=lambda c: c.epsilon):
        run = {column.threat: column.strength for column in columns}
        for threats in (("gray-box", "adaptive"), ("black-box",)):
            names = [threat for threat in threats if threat in run]
            rows = list(_rows(evaluation, names, epsilon))
            if rows:
                panels[f"{run[names[0]]}: {' and '.join(names)}"] = Rows(rows)
    return panels


def by_rate(evaluation: Evaluation) -> dict[str, Curves]:
    """Return a panel for each ε that is certified, with a numbered point for each defence."""
    points: dict[int, list[Curve]] = {}
    for name, (number, look) in _numbered(evaluation).items():
        certified, rate = evaluation.certified.get(name), evaluation.rates.get(name)
        if certified is not None and rate is not None:
            point = _curve(look, [(rate, certified)], number)
            points.setdefault(certified.epsilon, []).append(point)
    return {
        f"ε = {epsilon}": Curves(curves, "bits per pixel", from_zero=True)
        for epsilon, curves in sorted(points.items())
    }


def _curve(look: Look, points: Sequence[tuple[float, Accuracy]], label: str = "") -> Curve:
    """Return a curve of accuracies, each with its interval."""
    intervals = [(low, high) for low, high in (share.interval for _, share in points)]
    return Curve(look, [(x, share.accuracy) for x, share in points], intervals, label)


def _bars(evaluation: Evaluation, column: Column) -> Iterator[Bar]:
    """Yield a bar for each defence that was attacked, in the order of the table."""
    for name, (number, look) in _numbered(evaluation).items():
        cell, benign = evaluation.cell(name, column), evaluation.benign(name)
        if cell:
            low, high = cell.interval
            before = benign.accuracy if benign else None
            yield Bar(number, look, cell.accuracy, (low, high), before)


def _rows(evaluation: Evaluation, threats: Sequence[str], epsilon: float | None) -> Iterator[Row]:
    """Yield a row for each defence that was attacked, the best benign accuracy first."""
    benign = {n: cell.accuracy for n in evaluation.defences if (cell := evaluation.benign(n))}
    numbered = _numbered(evaluation)
    for name in sorted(benign, key=lambda name: -benign[name]):
        lowest = {threat: evaluation.lowest(name, threat, epsilon) for threat in threats}
        found = {threat: cell.accuracy for threat, cell in lowest.items() if cell}
        if found:
            yield Row(*numbered[name], {"benign": benign[name], **found})


def _attacks(evaluation: Evaluation) -> Iterator[tuple[str, list[Column]]]:
    """Yield each attack's name and its columns, one for each strength."""
    for _, group in itertools.groupby(evaluation.attacks, key=lambda c: (c.threat, c.attack)):
        same = list(group)
        name = same[0].label if same[0].epsilon is None else same[0].name
        yield f"{same[0].threat}: {name}", same


def _numbered(evaluation: Evaluation) -> dict[str, tuple[str, Look]]:
    """Return the number and the look of each defence."""
    found = looks(evaluation.defences)
    return {name: (str(number), look) for number, (name, look) in enumerate(found.items(), 1)}


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
