"""The page of an evaluation, which gives bad news first, and its table in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from pyfd._core.extras import missing
from pyfd.evaluation.progress import in_words
from pyfd.evaluation.report import drawing, plots
from pyfd.evaluation.report.data import BENIGN, Accuracy, Cell, Evaluation, read

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
except ModuleNotFoundError as error:
    raise missing("jinja2", "evaluate", module=error.name) from error

_T = TypeVar("_T")

_TERMS = {"scale": "Attacked at", "loaded": "Images loaded", "n": "Images counted"}
_TERMS |= {"batch_size": "Images attacked together, at most"}
_SCALES = {"photo": "the photograph's own size", "model": "the model's input size"}


def page(content: Mapping[str, Any]) -> str:
    """Return the evaluation as an HTML page that loads no other files and runs no scripts.

    The same content gives the same page.

    Args:
        content: The content of a report.json.

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    evaluation = read(content)
    run = {column.threat for column in evaluation.columns}
    defended = [name for name, kind in evaluation.defences.items() if kind != "none"]
    known = [name for name in defended if evaluation.of(name, "adaptive")]
    return _ENVIRONMENT.get_template("page.html").render(
        evaluation=evaluation,
        known=known,
        unknown=[name for name in defended if name not in known],
        comparison=_comparison(evaluation, known),
        undefended=_undefended(evaluation),
        threats=[threat for threat in ("adaptive", "gray-box") if threat in run],
        threat_headers=_runs(column.threat for column in evaluation.attacks),
        attack_headers=_runs((column.threat, column.name) for column in evaluation.attacks),
        looks=plots.looks(evaluation.defences),
        panels=plots.panels(evaluation),
        costs=sorted(evaluation.costs.items(), key=lambda item: item[1]),
        terms=_terms(evaluation),
        attacks=list(_attacks(evaluation)),
    )


def text(content: Mapping[str, Any]) -> str:
    """Return the main table in Markdown: accuracy in % and its 95 % interval.

    If there are any, it has the columns "certified" (the accuracy that is proved, and its ε),
    "all together" (what all attacks of a strength leave, image by image) and "bits per pixel"
    (of the files that a defence's camera sends).

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    evaluation = read(content)
    titles, cells = zip(*_columns(evaluation), strict=True)
    head = [("defence", *titles), ("---", *["---:"] * len(titles))]
    rows = [*head, *zip(evaluation.defences, *cells, strict=True)]
    return "".join(
        f"| {' | '.join(row if number == 1 else map(_markdown, row))} |\n"
        for number, row in enumerate(rows)
    )


def _columns(evaluation: Evaluation) -> Iterator[tuple[str, list[str]]]:
    """Yield the columns of the main table: a title, and a text for each defence."""
    for column in evaluation.columns:
        cells = [evaluation.cell(name, column) for name in evaluation.defences]
        title = column.label if column == BENIGN else f"{column.threat}: {column.label}"
        yield title, [_with_interval(cell) if cell else "–" for cell in cells]
        if column == BENIGN and evaluation.certified:
            found = [evaluation.certified.get(name) for name in evaluation.defences]
            shown = [f"{_with_interval(c)} at ε = {c.epsilon}" if c else "–" for c in found]
            yield "certified", shown
    for epsilon in sorted({each.epsilon for each in evaluation.together}):
        left = {each.defence: each for each in evaluation.together if each.epsilon == epsilon}
        remaining = [left.get(name) for name in evaluation.defences]
        yield f"all together, ε = {epsilon}", [_with_interval(r) if r else "–" for r in remaining]
    if evaluation.rates:
        rates = [evaluation.rates.get(name) for name in evaluation.defences]
        yield "bits per pixel", ["–" if r is None else _three_digits(r) for r in rates]


# ---- facts -----------------------------------------------------------------


def _comparison(evaluation: Evaluation, known: Iterable[str]) -> tuple[Cell, Cell] | None:
    """Return the gray-box and the adaptive cell that differ most at the same strength."""
    pairs = []
    for name in known:
        for epsilon in dict.fromkeys(cell.epsilon for cell in evaluation.of(name, "adaptive")):
            gray = evaluation.lowest(name, "gray-box", epsilon)
            adaptive = evaluation.lowest(name, "adaptive", epsilon)
            if gray and adaptive:
                pairs.append((gray, adaptive))
    return max(pairs, key=lambda pair: pair[0].accuracy - pair[1].accuracy, default=None)


def _undefended(evaluation: Evaluation) -> Cell | None:
    """Return the cell of lowest accuracy that an attack left without a defence."""
    attacked = (c for c in evaluation.cells if c.kind == "none" and c.column != BENIGN)
    return min(attacked, key=lambda cell: cell.accuracy, default=None)


def _runs(names: Iterable[_T]) -> list[tuple[_T, int]]:
    """Return the runs of equal names, each with its length."""
    return [(name, len(list(same))) for name, same in groupby(names)]


def _terms(evaluation: Evaluation) -> list[tuple[str, Any]]:
    """Return the setting's entries with readable names."""
    return [
        (
            _TERMS.get(key, key[:1].upper() + key[1:]),
            _SCALES.get(str(value), value) if key == "scale" else value,
        )
        for key, value in evaluation.setting
        if key != "classes"
    ]


class _Attack(NamedTuple):
    """A row of the table of attacks."""

    label: str
    threat: str
    parameters: str
    l2: str
    time: str


def _attacks(evaluation: Evaluation) -> Iterator[_Attack]:
    for column in evaluation.attacks:
        cells = [cell for cell in evaluation.cells if cell.column == column]
        parameters = dict.fromkeys(_described(cell.parameters) for cell in cells if cell.parameters)
        yield _Attack(
            column.label,
            column.threat,
            " / ".join(parameters) or "–",
            _distances([cell.l2 for cell in cells if cell.l2 is not None]),
            _time(sum(cell.seconds for cell in cells)),
        )


def _distances(found: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(found), max(found))) if found else ["–"]
    return "–".join(ends)


# ---- words -----------------------------------------------------------------


def _with_interval(found: Accuracy) -> str:
    return f"{_percent(found.accuracy)} ({_span(found)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _span(found: Accuracy) -> str:
    low, high = found.interval
    return f"{100 * low:.0f}–{100 * high:.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds * 1e6)} µs"


def _three_digits(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


@cache
def _sample(look: drawing.Look) -> str:
    return drawing.data_uri(drawing.sample(look))


def _described(value: object) -> str:
    """Return any JSON value in words: numbers, texts, and lists and objects of them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_described(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_described, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _markdown(value: str) -> str:
    """Return a text for a cell of a Markdown table, with nothing that Markdown interprets."""
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", escape(" ".join(value.split()), quote=False))


_ENVIRONMENT = Environment(
    loader=PackageLoader("pyfd.evaluation.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "about": in_words,
    "alone": drawing.alone,
    "data_uri": drawing.data_uri,
    "described": _described,
    "percent": _percent,
    "sample": _sample,
    "span": _span,
    "three_digits": _three_digits,
    "time": _time,
}
