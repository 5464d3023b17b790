"""The page of an evaluation: report.json becomes one HTML file that says the bad news first.

The page loads nothing and runs nothing: its style, its plots (SVG) and its
pictures are in it, and a Content-Security-Policy says so to the browser. What
stands in report.json may come from anybody: it is checked when it is read, and
escaped when it is written.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pyfd import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "pyfd-evaluation"
VERSION = 1

#: What an attacker knows, in the order of the table: the worst first, its neighbour beside it.
THREATS = ("benign", "adaptive", "gray-box", "black-box")
#: What a defence can be.
KINDS = ("none", "one-pass", "two-pass", "transformation")

_NAMES = {
    "apgd": "APGD",
    "bim": "BIM",
    "bpda": "BPDA",
    "cw-l2": "CW",
    "deepfool": "DeepFool",
    "fgsm": "FGSM",
    "grid": "grid-aimed",
    "pgd": "PGD",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a report.json, for `page` and `text`.

    Raises:
        ValueError: There is no such file, or it is not an evaluation's.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: pyfd evaluate writes it") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    _Report.read(content)
    return dict(content)


def page(content: Mapping[str, Any]) -> str:
    """The evaluation as an HTML page, whole in itself; the same content, the same page.

    Args:
        content: What report.json holds.

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    report = _Report.read(content)
    title = f"{report.model} on {report.images}"
    sections = (
        _warnings(report),
        _verdict(report),
        _main_table(report),
        _Plots(report).section(),
        _examples(report),
        _costs(report),
        _meaning(),
        _setting(report),
    )
    body = "\n".join(section for section in sections if section)
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)


def text(content: Mapping[str, Any]) -> str:
    """The main table in Markdown: accuracy in % and its 95 % interval.

    Raises:
        ValueError: As `page`.
    """
    report = _Report.read(content)
    titles = [
        column.label if column.threat == "benign" else f"{column.threat}: {column.label}"
        for column in report.columns
    ]
    rows = [["defence", *titles], ["---", *["---:"] * len(titles)]]
    for defence in report.defences:
        cells = [report.cell(defence, column) for column in report.columns]
        rows.append([defence, *(_markdown_cell(cell) for cell in cells)])
    return "".join(
        f"| {' | '.join(row if number == 1 else map(_markdown, row))} |\n"
        for number, row in enumerate(rows)
    )


# ---- reading ---------------------------------------------------------------


class _Record:
    """A JSON object whose fields are checked as they are taken."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be an object, not {_shown(value)}")
        self._value = value
        self._where = where

    def any(self, key: str) -> Any:
        if key not in self._value:
            raise ValueError(f"{self._where} has no {key!r}")
        return self._value[key]

    def fail(self, key: str, expected: str) -> ValueError:
        shown = _shown(self._value.get(key))
        return ValueError(f"{self._where}: {key!r} must be {expected}, not {shown}")

    def string(self, key: str, among: Sequence[str] = ()) -> str:
        value = self.any(key)
        if not isinstance(value, str) or not value:
            raise self.fail(key, "a text")
        if among and value not in among:
            raise self.fail(key, f"one of {', '.join(among)}")
        return _printable(value)

    def integer(self, key: str, low: int = 0) -> int:
        value = self.any(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise self.fail(key, f"an integer from {low}")
        return value

    def number(self, key: str, high: float = math.inf) -> float:
        value = self.any(key)
        if not _is_number(value) or not 0 <= value <= high:
            span = "from 0" if high == math.inf else f"from 0 to {high:g}"
            raise self.fail(key, f"a number {span}")
        return float(value)

    def optional(self, key: str) -> float | None:
        return None if self.any(key) is None else self.number(key)

    def items(self, key: str) -> list[Any]:
        value = self.any(key)
        if not isinstance(value, list | tuple):
            raise self.fail(key, "a list")
        return list(value)

    def record(self, key: str) -> _Record:
        return _Record(self.any(key), f"{self._where}: {key!r}")

    def records(self, key: str) -> Iterator[_Record]:
        for number, value in enumerate(self.items(key)):
            yield _Record(value, f"{key}[{number}]")

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def described(self, key: str) -> str:
        """Any value in words: numbers, texts, and lists and objects of them."""
        return _printable(_described(self.any(key)))


class _Column(NamedTuple):
    """What the defences are compared under."""

    threat: str
    attack: str
    epsilon: float | None

    @property
    def name(self) -> str:
        return _NAMES.get(self.attack, self.attack)

    @property
    def strength(self) -> str:
        return "" if self.threat == "benign" else _strength(self.epsilon)

    @property
    def label(self) -> str:
        joint = ", " if self.epsilon is not None else " "
        return f"{self.name}{joint}{self.strength}".strip()


_BENIGN = _Column("benign", "benign", None)


def _strength(epsilon: float | None) -> str:
    return "L2" if epsilon is None else f"ε = {epsilon:g}"


@dataclass(frozen=True)
class _Cell:
    """One accuracy: how many of the base set a model gets right behind a defence."""

    defence: str
    kind: str
    column: _Column
    parameters: str
    correct: int
    n: int
    interval: tuple[float, float]
    l2: float | None
    seconds: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @staticmethod
    def read(record: _Record) -> _Cell:
        threat, attack = record.string("threat", THREATS), record.string("attack")
        epsilon = record.optional("epsilon")
        if "benign" in (threat, attack) and (threat != attack or epsilon is not None):
            raise record.fail("attack", "'benign' where the threat is, without an epsilon")
        correct, n = record.integer("correct"), record.integer("n", low=1)
        if correct > n:
            raise record.fail("correct", f"at most n, {n}")
        if abs(record.number("accuracy", high=1) - correct / n) > 1e-3:  # it may be rounded
            raise record.fail("accuracy", f"correct/n, {correct}/{n}")
        return _Cell(
            defence=record.string("defence"),
            kind=record.string("kind", KINDS),
            column=_Column(threat, attack, epsilon),
            parameters=record.described("parameters"),
            correct=correct,
            n=n,
            interval=_interval(record, correct / n),
            l2=record.optional("l2"),
            seconds=record.number("seconds"),
        )


def _interval(record: _Record, accuracy: float) -> tuple[float, float]:
    """The ends of an accuracy's interval, which may be rounded."""
    ends = record.items("interval")
    if len(ends) == 2 and all(map(_is_number, ends)):
        low, high = ends
        if -1e-6 <= low <= accuracy + 1e-2 and accuracy - 1e-2 <= high <= 1 + 1e-6:
            return max(0.0, low), min(1.0, high)
    raise record.fail("interval", "two numbers around the accuracy, within 0 and 1")


class _Picture(NamedTuple):
    source: str
    width: int
    height: int

    @staticmethod
    def read(record: _Record, key: str) -> _Picture:
        """A PNG in base64; its size is in the first chunk."""
        value = record.any(key)
        if isinstance(value, str) and len(value) % 4 == 0 and _BASE64.fullmatch(value):
            head = base64.b64decode(value[:32])
            if head.startswith(_PNG) and len(head) == 24:
                width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
                return _Picture(f"data:image/png;base64,{value}", width, height)
        raise record.fail(key, "a PNG in base64")


@dataclass(frozen=True)
class _Example:
    title: str
    label: str
    defence: str
    amplified: float
    says: Mapping[str, str]
    pictures: Mapping[str, _Picture]

    @staticmethod
    def read(record: _Record) -> _Example:
        predicted = record.record("predicted")
        return _Example(
            title=record.string("title"),
            label=record.described("label"),
            defence=record.string("defence"),
            amplified=record.number("amplified"),
            says={key: predicted.described(key) for key in ("benign", "attacked", "defended")},
            pictures={
                key: _Picture.read(record, key)
                for key in ("original", "adversarial", "perturbation", "defended")
            },
        )


@dataclass(frozen=True)
class _Report:
    """report.json, checked. Defences and attacks keep the order of its cells."""

    setting: Mapping[str, str]
    model: str
    images: str
    n: int
    loaded: int
    cells: Mapping[tuple[str, _Column], _Cell]
    defences: Mapping[str, str]
    """Kinds by name."""
    columns: Sequence[_Column]
    costs: Mapping[str, float]
    warnings: Sequence[str]
    examples: Sequence[_Example]

    @staticmethod
    def read(content: object) -> _Report:
        record = _Record(content, "report.json")
        if record.any("format") != FORMAT:
            raise record.fail("format", f"{FORMAT!r}")
        if record.any("version") != VERSION:
            raise record.fail("version", f"{VERSION}: another pyfd wrote it")
        cells: dict[tuple[str, _Column], _Cell] = {}
        defences: dict[str, str] = {}
        for item in record.records("cells"):
            cell = _Cell.read(item)
            if defences.setdefault(cell.defence, cell.kind) != cell.kind:
                raise item.fail("kind", f"{defences[cell.defence]!r}, as in a cell before it")
            if (cell.defence, cell.column) in cells:
                raise ValueError(f"two cells are {cell.defence} under {cell.column.label}")
            cells[cell.defence, cell.column] = cell
        if not cells:
            raise ValueError("report.json has no cells: nothing was measured")
        setting, costs = record.record("setting"), record.record("costs")
        if not all(isinstance(warning, str) for warning in record.items("warnings")):
            raise record.fail("warnings", "a list of texts")
        return _Report(
            setting={key: setting.described(key) for key in setting},
            model=setting.string("model"),
            images=setting.string("images"),
            n=setting.integer("n"),
            loaded=setting.integer("loaded"),
            cells=cells,
            defences=defences,
            columns=_in_order(column for _, column in cells),
            costs={_printable(key): costs.number(key) for key in costs},
            warnings=[_printable(warning) for warning in record.items("warnings")],
            examples=[_Example.read(item) for item in record.records("examples")],
        )

    def cell(self, defence: str, column: _Column) -> _Cell | None:
        return self.cells.get((defence, column))

    def benign(self, defence: str) -> _Cell | None:
        return self.cell(defence, _BENIGN)

    def of(self, defence: str, threat: str) -> list[_Cell]:
        """Everything measured of a defence under a threat."""
        found = (self.cell(defence, c) for c in self.columns if c.threat == threat)
        return [cell for cell in found if cell]

    def lowest(self, defence: str, threat: str, *epsilons: float | None) -> _Cell | None:
        """The lowest accuracy that attacks left, of these strengths or of any."""
        cells = [
            cell
            for cell in self.of(defence, threat)
            if not epsilons or cell.column.epsilon in epsilons
        ]
        return min(cells, key=lambda cell: cell.accuracy, default=None)

    def number(self, defence: str) -> int:
        """What the plots call it: its row in the table, from 1."""
        return list(self.defences).index(defence) + 1


def _in_order(columns: Iterable[_Column]) -> list[_Column]:
    """By threat, then by attack in the order they come, then by strength."""
    seen = list(dict.fromkeys(columns))
    attacks = list(dict.fromkeys(column.attack for column in seen))

    def place(column: _Column) -> tuple[int, int, float]:
        strength = math.inf if column.epsilon is None else column.epsilon
        return THREATS.index(column.threat), attacks.index(column.attack), strength

    return sorted(seen, key=place)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _printable(value: str) -> str:
    """The text without what HTML and UTF-8 cannot hold, or what turns the writing around."""
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\ufffd"
        for letter in value
    )


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _described(value: object, depth: int = 3) -> str:
    if isinstance(value, Mapping | list | tuple) and not depth:
        return "…"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_described(item, depth - 1)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_described(item, depth - 1) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ---- words -----------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _span(cell: _Cell) -> str:
    low, high = cell.interval
    return f"{100 * low:.0f}–{100 * high:.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds * 1e6)} µs"


def _three_digits(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _code(name: str) -> str:
    """A name that may break after its colon."""
    return f"<code>{escape(name).replace(':', ':<wbr>')}</code>"


def _names(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(map(_code, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _markdown(value: str) -> str:
    """A text as it is, in a cell of a Markdown table."""
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", escape(" ".join(value.split()), quote=False))


def _markdown_cell(cell: _Cell | None) -> str:
    return f"{_percent(cell.accuracy)} ({_span(cell)})" if cell else "–"


# ---- the verdict -----------------------------------------------------------


def _section(title: str, *parts: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    inner = "\n".join(part for part in parts if part)
    return f"<section{attribute}>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _paragraph(content: str) -> str:
    return f"<p>{content}</p>"


def _list(items: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>"


def _warnings(report: _Report) -> str:
    if not report.warnings:
        return ""
    count = len(report.warnings)
    return _section(
        f"Read this first: {count} warning{'s' if count > 1 else ''}",
        _paragraph("The built-in checks found reasons to doubt numbers below."),
        _list(map(escape, report.warnings)),
        kind="warnings",
    )


def _verdict(report: _Report) -> str:
    """Sentences, the bad news first, and the lowest accuracy of each defence."""
    sentences = [*_adaptive_news(report), *_undefended_news(report)]
    if not report.warnings:
        sentences.append("The built-in checks of the evaluation raised no warning.")
    return _section(
        "What came out",
        _paragraph(
            f"Model {_code(report.model)}, images {_code(report.images)}: {report.n} of the "
            f"{report.loaded} images loaded are counted."
        ),
        _list(sentences),
        _lowest_table(report),
    )


def _adaptive_news(report: _Report) -> Iterator[str]:
    defended = [name for name, kind in report.defences.items() if kind != "none"]
    attacked = [name for name in defended if report.of(name, "adaptive")]
    if not defended:
        return
    if not attacked:
        yield (
            "<strong>No adaptive attack was run.</strong> What the defences are worth against "
            "somebody who knows them, this page cannot tell."
        )
        return
    pairs = [pair for name in attacked for pair in _pairs(report, name)]
    if pairs:
        gray, adaptive = max(pairs, key=lambda pair: pair[0].accuracy - pair[1].accuracy)
        yield _comparison(gray, adaptive)
    if missing := [name for name in defended if name not in attacked]:
        yield (
            f"<strong>Not attacked adaptively:</strong> {_names(missing)}. "
            "Their accuracies are upper bounds."
        )


def _pairs(report: _Report, defence: str) -> Iterator[tuple[_Cell, _Cell]]:
    """The lowest gray-box and the lowest adaptive cell at each strength that has both."""
    for epsilon in dict.fromkeys(cell.column.epsilon for cell in report.of(defence, "adaptive")):
        gray = report.lowest(defence, "gray-box", epsilon)
        adaptive = report.lowest(defence, "adaptive", epsilon)
        if gray and adaptive:
            yield gray, adaptive


def _comparison(gray: _Cell, adaptive: _Cell) -> str:
    if adaptive.accuracy < gray.accuracy:
        return (
            "<strong>An attacker who knows the defence does better.</strong> Of all defences "
            f"{_code(gray.defence)} loses most: {escape(adaptive.column.label)} leaves "
            f"{_percent(adaptive.accuracy)} %, where {escape(gray.column.label)}, which ignores "
            f"it, leaves {_percent(gray.accuracy)} %."
        )
    return (
        "No adaptive attack did better than the attacks that ignore the defence. "
        "Either the defences hold, or the adaptive attacks were weak."
    )


def _undefended_news(report: _Report) -> Iterator[str]:
    for name, kind in report.defences.items():
        found = [cell for t in THREATS[1:] if (cell := report.lowest(name, t))]
        if kind == "none" and found:
            worst = min(found, key=lambda cell: cell.accuracy)
            yield (
                f"Without a defence, {escape(worst.column.label)} leaves the model right on "
                f"{worst.correct} of {worst.n} images ({_percent(worst.accuracy)} %)."
            )


def _lowest_table(report: _Report) -> str:
    """Each defence's benign accuracy beside the lowest under the two threats: fits a phone."""
    threats = [t for t in ("adaptive", "gray-box") if any(c.threat == t for c in report.columns)]
    if not threats:
        return ""
    titles = ["Benign", *(f"Lowest, {threat}" for threat in threats)]
    rows = []
    for name, kind in report.defences.items():
        cells = [_short_cell(report.benign(name))]
        for threat in threats:
            empty = "nothing to know" if (kind, threat) == ("none", "adaptive") else "not attacked"
            cells.append(_short_cell(report.lowest(name, threat), empty))
        rows.append((_code(name), cells))
    return _table(
        "Accuracy in % at its lowest, over all attacks and strengths that were run. "
        "Adaptive: the attacker knows the defence. Gray-box: the attacker knows the model alone.",
        ["Defence", *titles],
        rows,
        kind="short",
    )


def _short_cell(cell: _Cell | None, empty: str = "not measured") -> str:
    if cell is None:
        return f'<td class="empty"><small>{empty}</small></td>'
    if cell.column == _BENIGN:
        return _number_cell(cell, _span(cell))
    return _number_cell(cell, cell.column.label.replace(" = ", "\u00a0=\u00a0"))


# ---- tables ----------------------------------------------------------------


def _table(
    caption: str, titles: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = ""
) -> str:
    """A table with a row of headers; `rows` are a header each, with its `td` elements."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    return _scrolling(caption, f"<tr>{head}</tr>", rows, kind)


def _scrolling(
    caption: str, head: str, rows: Iterable[tuple[str, Sequence[str]]], kind: str = ""
) -> str:
    """A table that scrolls in its own frame, which the keyboard reaches too."""
    body = "\n".join(
        f'<tr><th scope="row"><div>{header}</div></th>{"".join(cells)}</tr>'
        for header, cells in rows
    )
    short = escape(caption.split(".")[0])
    return (
        f'<div class="wide {kind}" role="region" tabindex="0" aria-label="{short}">\n<table>\n'
        f"<caption><span>{escape(caption)}</span></caption>\n<thead>{head}</thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _number_cell(cell: _Cell, below: str) -> str:
    """Accuracy, something small below it, and the counts for those who point at it."""
    low, high = map(_percent, cell.interval)
    title = f"{cell.correct} of {cell.n} right; 95 % interval {low} to {high} %"
    shade = min(4, int(5 * cell.accuracy))
    return (
        f'<td class="a{shade}" title="{title}">{_percent(cell.accuracy)}'
        f"<small>{escape(below)}</small></td>"
    )


def _main_table(report: _Report) -> str:
    rows = []
    for defence in report.defences:
        cells = [
            _number_cell(cell, _span(cell))
            if (cell := report.cell(defence, column))
            else '<td class="empty" title="not measured">–</td>'
            for column in report.columns
        ]
        rows.append((f"{_row(report, defence)} {_code(defence)}", cells))
    counts = {cell.n for cell in report.cells.values()}
    images = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    caption = (
        f"Accuracy in %, with its 95 % interval below. {images} images in each cell; "
        "the darker, the more of them lost; – was not measured."
    )
    return _section(
        "Every defence under every attack",
        _scrolling(caption, _head(report), rows, kind="numbered"),
    )


def _row(report: _Report, defence: str) -> str:
    """The number that stands for a defence in the plots."""
    return f'<span class="row">{report.number(defence)}</span>'


def _head(report: _Report) -> str:
    """Three rows of headers: threats, attacks, strengths."""
    threats, attacks = '<th rowspan="3" scope="col">Defence</th>', ""
    for threat, group in groupby(report.columns, key=lambda column: column.threat):
        columns = list(group)
        if threat == "benign":
            threats += '<th rowspan="3" scope="col">benign</th>'
            continue
        threats += f'<th colspan="{len(columns)}" scope="colgroup"><span>{threat}</span></th>'
        for name, same in groupby(columns, key=lambda column: column.name):
            count = len(list(same))
            attacks += f'<th colspan="{count}" scope="colgroup">{escape(name)}</th>'
    strengths = "".join(
        f'<th scope="col">{column.strength}</th>' for column in report.columns if column.strength
    )
    return f"<tr>{threats}</tr><tr>{attacks}</tr><tr>{strengths}</tr>"


def _costs(report: _Report) -> str:
    if not report.costs:
        return ""
    kinds = report.defences
    paid = [s for name, s in report.costs.items() if kinds.get(name) != "none" and s > 0]
    rows = []
    for name, seconds in sorted(report.costs.items(), key=lambda item: item[1]):
        compared = paid and seconds > 0 and kinds.get(name) != "none"
        ratio = f"{_three_digits(seconds / min(paid))}×" if compared else "–"
        rows.append((_code(name), [f"<td>{_time(seconds)}</td>", f"<td>{ratio}</td>"]))
    return _section(
        "What a defence costs",
        _table(
            "Time per image of the defence alone, without the model, in this run.",
            ["Defence", "Time per image", "Against the cheapest"],
            rows,
        ),
    )


# ---- plots -----------------------------------------------------------------

_LINES = {
    "none": ("-.", "black"),
    "one-pass": ("--", "#a34700"),
    "two-pass": ("-", "#0b4f8a"),
    "transformation": (":", "#555555"),
}
_MARKERS = "os^DvPX*<>ph"
_FILLS: tuple[Literal["full", "left", "top"], ...] = ("full", "left", "top")
_STRENGTH_LINES = ((":", "#0b4f8a"), ("--", "#a34700"), ("-.", "#555555"))


def _looks(defences: Mapping[str, str]) -> dict[str, plots.Look]:
    """Line and color by kind; the marker by the table, so that one pass and two pair up."""
    places: dict[str, int] = {}
    found = {}
    for name, kind in defences.items():
        table = name.partition(":")[2] if kind in ("one-pass", "two-pass") else name
        turn, number = divmod(places.setdefault(table, len(places)), len(_MARKERS))
        line, color = _LINES[kind]
        found[name] = plots.Look(line, _MARKERS[number], color, _FILLS[turn % len(_FILLS)])
    return found


class _Plots:
    """The plots of a report: panels with a key, each with ids of its own."""

    def __init__(self, report: _Report) -> None:
        self._report = report
        self._looks = _looks(report.defences)
        self._count = 0

    def section(self) -> str:
        epsilon, step, benign = self._by_epsilon(), self._by_step(), self._by_benign()
        if not (epsilon or step or benign):
            return ""
        key = self._key() if epsilon or benign else ""
        return _section("The same in plots", key, epsilon, step, benign)

    def _svg(self, figure: Figure, title: str) -> str:
        self._count += 1
        return plots.inline(figure, title, f"plot-{self._count}")

    def _group(self, title: str, explained: str, panels: Mapping[str, Figure]) -> str:
        if not panels:
            return ""
        inner = "\n".join(
            f"<figure>{self._svg(figure, f'{title}: {name}')}"
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for name, figure in panels.items()
        )
        return f'<h3>{title}</h3>\n<p>{explained}</p>\n<div class="panels">\n{inner}\n</div>'

    def _key(self) -> str:
        items = "\n".join(
            f"<li>{_row(self._report, name)} {self._svg(plots.sample(look), name)} "
            f"{_code(name)}</li>"
            for name, look in self._looks.items()
        )
        return f'<ul class="key" aria-label="Key to the plots">\n{items}\n</ul>'

    def _by_epsilon(self) -> str:
        """A panel for each attack that has an ε, a curve for each defence."""
        panels = {}
        for name, columns in self._attacks():
            curves = []
            for defence, look in self._looks.items():
                cells = [self._report.cell(defence, column) for column in columns]
                points = [(c.column.epsilon, c.accuracy) for c in cells if c and c.column.epsilon]
                if points and (benign := self._report.benign(defence)):
                    points.insert(0, (0.0, benign.accuracy))
                if points:
                    curves.append(_curve(look, points))
            if curves:
                panels[name] = plots.accuracies(curves, "ε, in 8-bit levels")
        explained = "Higher is better. A curve for each defence; at ε = 0 the images are benign."
        return self._group("Accuracy against ε", explained, panels)

    def _by_step(self) -> str:
        """A panel for each attack on uniform tables: a curve for each strength and for none."""
        panels = {}
        for kind in ("two-pass", "one-pass"):
            steps = {name: step for name in self._looks if (step := _step(name, kind))}
            for name, columns in self._attacks():
                curves = [
                    _curve(look, points, column.strength or "benign")
                    for column, look in zip([_BENIGN, *columns], _strength_looks(), strict=False)
                    if len(points := self._step_points(steps, column)) > 1
                ]
                if any(curve.label != "benign" for curve in curves):
                    panels[f"{kind}, {name}"] = plots.accuracies(curves, "quantization step")
        explained = (
            "Tables with one step for all frequencies. A larger step erases stronger "
            "perturbations and costs benign accuracy."
        )
        return self._group("Accuracy against the quantization step", explained, panels)

    def _step_points(self, steps: Mapping[str, int], column: _Column) -> list[tuple[float, float]]:
        cells = {step: self._report.cell(name, column) for name, step in steps.items()}
        return [(float(step), cell.accuracy) for step, cell in sorted(cells.items()) if cell]

    def _by_benign(self) -> str:
        """A panel for each strength: gray-box joined to adaptive, and black-box by itself."""
        panels = {}
        attacked = [column for column in self._report.columns if column != _BENIGN]
        for epsilon in sorted({c.epsilon for c in attacked}, key=lambda e: (e is None, e)):
            for threats in (("gray-box", "adaptive"), ("black-box",)):
                points = list(self._tradeoffs(threats, epsilon))
                if points:
                    run = {c.threat for c in attacked if c.epsilon == epsilon}.intersection(threats)
                    name = f"{_strength(epsilon)}: {' and '.join(sorted(run, reverse=True))}"
                    panels[name] = plots.tradeoffs(points)
        explained = (
            "Up and right is better. Each defence stands at the lowest accuracy that attacks of "
            "that strength left it. Filled: they ignore the defence. Hollow: they know it. A "
            "defence without a hollow point was not attacked by anybody who knows it."
        )
        return self._group("Benign against adversarial accuracy", explained, panels)

    def _tradeoffs(self, threats: Sequence[str], epsilon: float | None) -> Iterator[plots.Tradeoff]:
        for defence, look in self._looks.items():
            benign = self._report.benign(defence)
            found = [self._report.lowest(defence, threat, epsilon) for threat in threats]
            filled, hollow = ([cell.accuracy if cell else None for cell in found] + [None])[:2]
            if filled is None:
                filled, hollow, look = hollow, None, look._replace(fill="none")
            if benign and filled is not None:
                label = str(self._report.number(defence))
                yield plots.Tradeoff(label, look, benign.accuracy, filled, hollow)

    def _attacks(self) -> Iterator[tuple[str, list[_Column]]]:
        """Each attack's name and its columns, one for each strength."""
        columns = [column for column in self._report.columns if column != _BENIGN]
        for (threat, _), group in groupby(columns, key=lambda c: (c.threat, c.attack)):
            same = list(group)
            name = same[0].label if same[-1].epsilon is None else same[0].name
            yield f"{threat}: {name}", same


def _curve(look: plots.Look, points: Sequence[tuple[float, float]], label: str = "") -> plots.Curve:
    return plots.Curve(look, [x for x, _ in points], [y for _, y in points], label)


def _step(defence: str, kind: str) -> int | None:
    """The step of a uniform table, which is named by it."""
    found = re.fullmatch(rf"{kind}:([0-9]{{1,5}})", defence)
    return int(found[1]) if found else None


def _strength_looks() -> Iterator[plots.Look]:
    """The benign curve's look, then the attacks'."""
    yield plots.Look(marker="")
    for (line, color), marker in zip(cycle(_STRENGTH_LINES), cycle(_MARKERS)):
        yield plots.Look(line, marker, color)


# ---- examples, meaning, setting --------------------------------------------


def _examples(report: _Report) -> str:
    if not report.examples:
        return ""
    return _section("Examples", *map(_example, report.examples))


def _example(example: _Example) -> str:
    shown = (
        ("original", "Original", _says(example, "benign")),
        ("adversarial", "Adversarial", _says(example, "attacked")),
        ("perturbation", f"Perturbation, {example.amplified:g} times amplified", ""),
        ("defended", f"Behind {_code(example.defence)}", _says(example, "defended")),
    )
    figures = "\n".join(
        _picture(example.pictures[key], f"{key}: {example.title}", f"{name}{says}")
        for key, name, says in shown
    )
    return f'<h3>{escape(example.title)}</h3>\n<div class="pictures">\n{figures}\n</div>'


def _says(example: _Example, key: str) -> str:
    said = example.says[key]
    if said == example.label:
        return f"<br>The model says {escape(said)}: right"
    return (
        f"<br>The model says {escape(said)}: <strong>wrong</strong>, it is {escape(example.label)}"
    )


def _picture(picture: _Picture, alt: str, caption: str) -> str:
    return (
        f'<figure><img src="{picture.source}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(alt)}"><figcaption>{caption}</figcaption></figure>'
    )


def _meaning() -> str:
    return _section("What the numbers mean, and what they do not", _MEANING)


_MEANING = """\
<p><strong>Two-pass</strong> means that the camera's encoder wrote the image with the defensive
tables before the attacker saw it. The decoder's re-quantization then snaps small perturbations
back. It needs an encoder of your own: it says nothing of images that strangers upload.
<strong>One-pass</strong> means that the decoder alone has the tables. It is worth about as much as
ordinary JPEG of medium quality, and falls to an attacker who knows of it. The paper's headline is
the two-pass figure.</p>
<p><strong>Gray-box</strong> attackers know the model and ignore the defence.
<strong>Adaptive</strong> ones attack through it (BPDA), or aim at the grid of its tables: no
gray-box number is worth anything without the adaptive one beside it. <strong>Black-box</strong>
attackers know neither; they attack another model and hope.</p>
<p>Compare defences of equal <strong>benign accuracy</strong> only: a coarser table buys robustness
with images that nobody attacked. The intervals are Wilson's, of 95 %, for chance in the choice of
images alone; they know nothing of another model, of other images, or of a stronger attack.</p>
<p><strong>No evaluation of this kind proves safety.</strong> An accuracy is an upper bound, held up
by the attacks that were run. Larger perturbations, and others than small changes of all pixels
(patches, rotations, another scene), are not measured here. For given images,
<code>pyfd certify</code> proves a radius; no table of accuracies does.</p>"""

_SETTING_WORDS = {
    "model": "Model",
    "images": "Images",
    "scale": "Attacked at",
    "loaded": "Images loaded",
    "n": "Images counted",
    "seed": "Seed",
    "device": "Device",
    "versions": "Versions",
    "date": "Date",
}
_SCALES = {"photo": "the photograph's own size", "model": "the model's input size"}


def _setting(report: _Report) -> str:
    values = dict(report.setting)
    if "scale" in values:
        values["scale"] = _SCALES.get(values["scale"], values["scale"])
    ordered = sorted(
        values,
        key=lambda key: list(_SETTING_WORDS).index(key)
        if key in _SETTING_WORDS
        else len(_SETTING_WORDS),
    )
    terms = "\n".join(
        f"<dt>{escape(_SETTING_WORDS.get(key, _printable(key)))}</dt><dd>{escape(values[key])}</dd>"
        for key in ordered
    )
    return _section("Setting", f"<dl>\n{terms}\n</dl>", _attack_table(report))


def _attack_table(report: _Report) -> str:
    """How each attack was run, and how far it went."""
    rows = []
    for column in report.columns:
        if column.threat == "benign":
            continue
        cells = [cell for (_, under), cell in report.cells.items() if under == column]
        parameters = " / ".join(dict.fromkeys(cell.parameters for cell in cells if cell.parameters))
        seconds = sum(cell.seconds for cell in cells)
        values = [column.threat, parameters or "–", _distances(cells), _time(seconds)]
        rows.append((escape(column.label), [f"<td>{escape(value)}</td>" for value in values]))
    if not rows:
        return ""
    return _table(
        "The attacks as they were run. L2: mean length of the perturbation, pixels in 0...1, "
        "from the lowest defence's to the highest's.",
        ["Attack", "Threat", "Parameters", "L2", "Time"],
        rows,
        kind="words",
    )


def _distances(cells: Iterable[_Cell]) -> str:
    found = [cell.l2 for cell in cells if cell.l2 is not None]
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(found), max(found))) if found else ["–"]
    return "–".join(ends)


# ---- the page --------------------------------------------------------------

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pyfd evaluation: {title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""

_STYLE = """\
:root { color-scheme: light; --ink: #1b1b1b; --soft: #555; --line: #d5d5d5; --bad: #9c1c00; }
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
body { margin: 0; color: var(--ink); background: #fff; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
p, ul, dl { max-width: 44rem; margin: .5rem 0; }
li { margin: .35rem 0; overflow-wrap: anywhere; }
ul { padding-left: 1.3rem; }
code { font: .92em ui-monospace, "Liberation Mono", monospace; overflow-wrap: anywhere; }
.warnings { border: 2px solid var(--bad); border-left-width: .6rem; background: #fff6f3;
  padding: .25rem 1.25rem 1rem; margin: 1.5rem 0; }
.warnings h2 { color: var(--bad); margin-top: .75rem; }
.warnings ul { max-width: none; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide:focus-visible { outline: 2px solid #0b4f8a; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
caption span { display: block; position: sticky; left: 0; width: max-content;
  max-width: min(44rem, 100vw - 2rem); }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
thead th { vertical-align: bottom; font-weight: 600; }
thead th[colspan] { text-align: center; border-left: 1px solid var(--line); }
thead th[colspan] span { position: sticky; left: 11rem; right: .6rem; }
thead th:first-child[rowspan], tbody th { text-align: left; }
tbody th { font-weight: 400; white-space: normal; }
tbody th div { width: max-content; max-width: 15rem; overflow-wrap: anywhere; }
tbody th, thead tr:first-child th:first-child { position: sticky; left: 0; background: #fff;
  border-right: 1px solid var(--line); text-align: left; z-index: 1; }
td small { display: block; color: #404040; font-size: .75rem; line-height: 1.2; }
.row { display: inline-block; width: 1.3rem; color: var(--soft); font-size: .8rem; }
.a0 { background: #f3b48f; } .a1 { background: #f8cdb3; } .a2 { background: #fbe1d1; }
.a3 { background: #fdf1ea; } .empty { color: var(--soft); text-align: center; }
.words td, .words thead th { text-align: left; }
.words td { white-space: normal; min-width: 5rem; }
.short thead th, .short small { white-space: normal; }
.numbered tbody th div { padding-left: 1.6rem; text-indent: -1.6rem; }
.numbered .row { text-indent: 0; }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.5rem; max-width: none; padding: 0;
  list-style: none; }
.key svg { width: 3rem; height: 1.2rem; vertical-align: middle; }
.panels { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(4, 1fr); }
figure { margin: 0; break-inside: avoid; }
.panels figure { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.panels figcaption { font-weight: 600; font-size: .9rem; }
.pictures figcaption { font-size: .85rem; line-height: 1.35; padding-top: .3rem; }
figcaption { overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: inherit !important; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  html { font-size: 15px; }
  .pictures { grid-template-columns: 1fr 1fr; }
  th, td { padding: .3rem .4rem; }
  tbody th div { max-width: 7.5rem; }
  .words tbody th div { max-width: 5.5rem; }
  thead th[colspan] span { left: 9rem; }
}
@media print {
  html { font-size: 9pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  caption span { width: auto; max-width: none; }
  caption span, thead th[colspan] span { position: static; }
  .wide th, .wide td { position: static; padding: .15rem .25rem; }
  tr, .warnings { break-inside: avoid; }
  h2, h3, h3 + p, .key { break-after: avoid; }
  .panels { grid-template-columns: repeat(3, 1fr); }
  td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
