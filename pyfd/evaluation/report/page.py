"""The page of an evaluation: report.json becomes one HTML file that says the bad news first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

from pyfd.evaluation.report import data as reading
from pyfd.evaluation.report import markup
from pyfd.evaluation.report import plots as figures
from pyfd.evaluation.report.data import BENIGN, Cell, Example, Report
from pyfd.evaluation.report.markup import code


def page(content: Mapping[str, Any]) -> str:
    """The evaluation as an HTML page, whole in itself; the same content, the same page.

    Args:
        content: What report.json holds.

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    report = reading.read(content)
    sections = (
        _warnings(report),
        _verdict(report),
        _main_table(report),
        _plots(report),
        _examples(report),
        _costs(report),
        markup.section("What the numbers mean, and what they do not", _MEANING),
        _setting(report),
    )
    title = f"{report.setting['model']} on {report.setting['images']}"
    return markup.page(title, "\n".join(section for section in sections if section))


def text(content: Mapping[str, Any]) -> str:
    """The main table in Markdown: accuracy in % and its 95 % interval.

    Raises:
        ValueError: As `page`.
    """
    report = reading.read(content)
    titles = [c.label if c == BENIGN else f"{c.threat}: {c.label}" for c in report.columns]
    rows = [["defence", *titles], ["---", *["---:"] * len(titles)]]
    for defence in report.defences:
        cells = [report.cell(defence, column) for column in report.columns]
        shown = [f"{_percent(c.accuracy)} ({_span(c)})" if c else "–" for c in cells]
        rows.append([defence, *shown])
    return "".join(
        f"| {' | '.join(row if number == 1 else map(_markdown, row))} |\n"
        for number, row in enumerate(rows)
    )


# ---- words -----------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _span(cell: Cell) -> str:
    low, high = cell.interval
    return f"{100 * low:.0f}–{100 * high:.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds * 1e6)} µs"


def _three_digits(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _markdown(value: str) -> str:
    """A text as it is, in a cell of a Markdown table."""
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", escape(" ".join(value.split()), quote=False))


# ---- the verdict -----------------------------------------------------------

_NAMED = 8


def _warnings(report: Report) -> str:
    if not report.warnings:
        return ""
    count = len(report.warnings)
    return markup.section(
        f"Read this first: {count} warning{'s' if count > 1 else ''}",
        "<p>The built-in checks found reasons to doubt numbers below.</p>",
        markup.items(map(escape, report.warnings)),
        kind="warnings",
    )


def _verdict(report: Report) -> str:
    """Sentences, the bad news first, and the lowest accuracy of each defence."""
    sentences = [*_adaptive_news(report), *_undefended_news(report)]
    if not report.warnings:
        sentences.append("The built-in checks of the evaluation raised no warning.")
    setting = report.setting
    return markup.section(
        "What came out",
        f"<p>Model {code(setting['model'])}, images {code(setting['images'])}. Counted are the "
        f"{setting['n']} of {setting['loaded']} images that the undefended model gets right: the "
        "base set.</p>",
        markup.items(sentences),
        _lowest_table(report),
    )


def _adaptive_news(report: Report) -> Iterator[str]:
    defended = [name for name, kind in report.defences.items() if kind != "none"]
    missing = [name for name in defended if not report.of(name, "adaptive")]
    if defended and missing == defended:
        yield (
            "<strong>No adaptive attack was run.</strong> What the defences are worth against "
            "somebody who knows them, this page cannot tell."
        )
        return
    if pairs := [pair for name in defended for pair in _pairs(report, name)]:
        yield _comparison(*max(pairs, key=lambda pair: pair[0].accuracy - pair[1].accuracy))
    if missing:
        names = ", ".join(map(code, missing[:_NAMED]))
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        yield (
            f"<strong>Not attacked adaptively:</strong> {names}{more}. "
            "Their accuracies are upper bounds."
        )


def _pairs(report: Report, defence: str) -> Iterator[tuple[Cell, Cell]]:
    """The lowest gray-box and the lowest adaptive cell at each strength that has both."""
    for epsilon in dict.fromkeys(cell.column.epsilon for cell in report.of(defence, "adaptive")):
        gray = report.lowest(defence, "gray-box", epsilon)
        adaptive = report.lowest(defence, "adaptive", epsilon)
        if gray and adaptive:
            yield gray, adaptive


def _comparison(gray: Cell, adaptive: Cell) -> str:
    if adaptive.accuracy < gray.accuracy:
        return (
            "<strong>An attacker who knows the defence does better.</strong> Of all defences "
            f"{code(gray.defence)} loses most: {escape(adaptive.column.label)} leaves "
            f"{_percent(adaptive.accuracy)} %, where {escape(gray.column.label)}, which ignores "
            f"it, leaves {_percent(gray.accuracy)} %."
        )
    return (
        "No adaptive attack did better than the attacks that ignore the defence. "
        "Either the defences hold, or the adaptive attacks were weak."
    )


def _undefended_news(report: Report) -> Iterator[str]:
    undefended = [cell for cell in report.cells.values() if report.defences[cell.defence] == "none"]
    if attacked := [cell for cell in undefended if cell.column != BENIGN]:
        worst = min(attacked, key=lambda cell: cell.accuracy)
        yield (
            f"Without a defence, {escape(worst.column.label)} leaves the model right on "
            f"{worst.correct} of {worst.n} images ({_percent(worst.accuracy)} %)."
        )


def _lowest_table(report: Report) -> str:
    """Each defence's benign accuracy beside the lowest under the two threats: fits a phone."""
    threats = [t for t in ("adaptive", "gray-box") if any(c.threat == t for c in report.columns)]
    if not threats:
        return ""
    rows = []
    for name, kind in report.defences.items():
        benign = report.benign(name)
        cells = [_number_cell(benign, _span(benign))]
        for threat in threats:
            if lowest := report.lowest(name, threat):
                label = lowest.column.label.replace(" = ", "\u00a0=\u00a0")
                cells.append(_number_cell(lowest, label))
            else:
                ignorant = (kind, threat) == ("none", "adaptive")
                why = "nothing to know" if ignorant else "not attacked"
                cells.append(f'<td class="empty"><small>{why}</small></td>')
        rows.append((code(name), cells))
    return markup.table(
        "Accuracy in % at its lowest, over all attacks and strengths that were run. "
        "Adaptive: the attacker knows the defence. Gray-box: the attacker knows the model alone.",
        markup.header("Defence", "Benign", *(f"Lowest, {threat}" for threat in threats)),
        rows,
        kind="short",
    )


# ---- tables ----------------------------------------------------------------


def _number_cell(cell: Cell, below: str) -> str:
    """Accuracy, something small below it, and the counts for those who point at it."""
    low, high = map(_percent, cell.interval)
    title = f"{cell.correct} of {cell.n} right; 95 % interval {low} to {high} %"
    shade = min(4, int(5 * cell.accuracy))
    return (
        f'<td class="a{shade}" title="{title}">{_percent(cell.accuracy)}'
        f"<small>{escape(below)}</small></td>"
    )


def _main_table(report: Report) -> str:
    rows = []
    for number, defence in enumerate(report.defences, 1):
        cells = [
            _number_cell(cell, _span(cell))
            if (cell := report.cell(defence, column))
            else '<td class="empty" title="not measured">–</td>'
            for column in report.columns
        ]
        rows.append((_numbered(number, defence), cells))
    caption = (
        f"Accuracy in %, with its 95 % interval below. {report.setting['n']} images in each cell; "
        "the darker, the more of them lost; – was not measured."
    )
    table = markup.table(caption, _head(report), rows, kind="numbered")
    return markup.section("Every defence under every attack", table)


def _numbered(number: int, defence: str, sample: str = "") -> str:
    """A defence with the number that stands for it in the plots."""
    return f'<span class="row">{number}</span> {sample} {code(defence)}'


def _head(report: Report) -> str:
    """Three rows of headers: threats, attacks, strengths."""
    threats = "".join(f'<th rowspan="3" scope="col">{name}</th>' for name in ("Defence", "benign"))
    attacks = ""
    for threat, group in groupby(report.attacks, key=lambda column: column.threat):
        columns = list(group)
        threats += f'<th colspan="{len(columns)}" scope="colgroup"><span>{threat}</span></th>'
        for name, same in groupby(columns, key=lambda column: column.name):
            count = len(list(same))
            attacks += f'<th colspan="{count}" scope="colgroup">{escape(name)}</th>'
    strengths = markup.header(*(column.strength for column in report.attacks))
    return f"<tr>{threats}</tr><tr>{attacks}</tr>{strengths}"


def _costs(report: Report) -> str:
    if not report.costs:
        return ""
    costs = sorted(report.costs.items(), key=lambda item: item[1])
    cheapest = costs[0][1] or 1e-9  # below what a clock can tell
    table = markup.table(
        "Time per image of the defence alone, without the model, in this run.",
        markup.header("Defence", "Time per image", "Against the cheapest"),
        [
            (code(name), markup.cells(_time(cost), f"{_three_digits(cost / cheapest)}×"))
            for name, cost in costs
        ],
    )
    return markup.section("What a defence costs", table)


# ---- plots and examples ----------------------------------------------------

_PLOTS = (
    (
        "epsilon",
        figures.by_epsilon,
        "Accuracy against ε",
        "Higher is better. A curve for each defence; at ε = 0 the images are benign.",
    ),
    (
        "step",
        figures.by_step,
        "Accuracy against the quantization step",
        "Tables with one step for all frequencies. A larger step erases stronger perturbations "
        "and costs benign accuracy.",
    ),
    (
        "benign",
        figures.by_benign,
        "Benign against adversarial accuracy",
        "Up and right is better. Each defence stands at the lowest accuracy that attacks of that "
        "strength left it. Filled: they ignore the defence. Hollow: they know it. A defence "
        "without a hollow point was not attacked by anybody who knows it.",
    ),
)


def _plots(report: Report) -> str:
    if not report.attacks:
        return ""
    looks = [
        _numbered(number, name, figures.inline(figures.sample(look), name, f"key-{number}"))
        for number, (name, look) in enumerate(figures.looks(report.defences).items(), 1)
    ]
    groups = []
    for key, draw, title, explained in _PLOTS:
        panels = [
            markup.figure(figures.inline(drawn, f"{title}: {name}", f"{key}-{n}"), escape(name))
            for n, (name, drawn) in enumerate(draw(report).items())
        ]
        if panels:
            groups.append(markup.figures(title, panels, "panels", f"<p>{explained}</p>"))
    listed = markup.items(looks, 'class="key" aria-label="Key to the plots"')
    return markup.section("The same in plots", listed, *groups)


def _examples(report: Report) -> str:
    return markup.section("Examples", *map(_example, report.examples)) if report.examples else ""


def _example(example: Example) -> str:
    amplified = f"Perturbation, {example['amplified']} times amplified"
    behind = f"Behind {code(example['defence'])}{_says(example, 'defended')}"
    shown = {
        "original": (example["original"], f"Original{_says(example, 'benign')}"),
        "adversarial": (example["adversarial"], f"Adversarial{_says(example, 'attacked')}"),
        "perturbation": (example["perturbation"], amplified),
        "defended": (example["defended"], behind),
    }
    title = escape(example["title"])
    pictures = [
        markup.figure(f'<img src="data:image/png;base64,{png}" alt="{key}: {title}">', caption)
        for key, (png, caption) in shown.items()
    ]
    return markup.figures(title, pictures, "pictures")


def _says(example: Example, key: str) -> str:
    said, label = example["predicted"][key], example["label"]
    verdict = "right" if said == label else f"<strong>wrong</strong>, it is {label}"
    return f"<br>The model says {said}: {verdict}"


# ---- what it means, and how it was made ------------------------------------

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

_SETTING_WORDS = {"scale": "Attacked at", "loaded": "Images loaded", "n": "Images counted"}
_SCALES = {"photo": "the photograph's own size", "model": "the model's input size"}


def _setting(report: Report) -> str:
    terms = []
    for key, value in report.setting.items():
        name = _SETTING_WORDS.get(key, key[:1].upper() + key[1:])
        said = _SCALES.get(value, value) if key == "scale" else value
        terms.append(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>")
    inner = "\n".join(terms)
    return markup.section("Setting", f"<dl>\n{inner}\n</dl>", _attack_table(report))


def _attack_table(report: Report) -> str:
    """How each attack was run, and how far it went."""
    rows = []
    for column in report.attacks:
        cells = [cell for (_, under), cell in report.cells.items() if under == column]
        parameters = " / ".join(dict.fromkeys(cell.parameters for cell in cells if cell.parameters))
        time = _time(sum(cell.seconds for cell in cells))
        values = markup.cells(column.threat, parameters or "–", _distances(cells), time)
        rows.append((escape(column.label), values))
    if not rows:
        return ""
    return markup.table(
        "The attacks as they were run. L2: mean length of the perturbation, pixels in 0...1, "
        "from the lowest defence's to the highest's.",
        markup.header("Attack", "Threat", "Parameters", "L2", "Time"),
        rows,
        kind="words",
    )


def _distances(cells: Iterable[Cell]) -> str:
    found = [cell.l2 for cell in cells if cell.l2 is not None]
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(found), max(found))) if found else ["–"]
    return "–".join(ends)
