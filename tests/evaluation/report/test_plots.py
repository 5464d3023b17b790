"""The plots of the page."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from pyfd.evaluation.report import data, drawing, plots
from tests.evaluation.report.reports import (
    ATTACKS,
    COLUMNS,
    DEFENCES,
    N,
    accuracy,
    captions,
    make,
    measured,
    sections,
    tree,
    two_pass,
    wilson,
)


def panels(content: dict, figure: str) -> list:
    return list(plots.panels(data.read(content))[figure].values())


def test_plots_against_epsilon():
    shown = captions(tree(make()))
    assert shown[:5] == [
        "adaptive: BPDA",
        "adaptive: grid-aimed, ε = 4",
        "gray-box: PGD",
        "gray-box: CW L2",
        "black-box: transfer, ε = 4",
    ]
    found = panels(make(), "accuracy-by-epsilon")
    assert [type(panel).__name__ for panel in found] == ["Curves", "Bars", "Curves", "Bars", "Bars"]
    curves, x_label, _ = found[2]
    assert x_label == "ε, in 8-bit levels"
    for defence, curve in zip(DEFENCES, curves, strict=True):
        attacks = [COLUMNS[0], *(("gray-box", "pgd", epsilon) for epsilon in (1, 2, 4))]
        wanted = [accuracy(defence, attack) / N for attack in attacks]
        assert curve.points == list(zip((0, 1, 2, 4), wanted, strict=True))
        intervals = [tuple(wilson(accuracy(defence, attack), N)) for attack in attacks]
        assert curve.intervals == intervals
    assert len(found[0].curves) == sum(measured(d, COLUMNS[1]) for d in DEFENCES)


def test_one_strength_has_bars():
    (found,) = panels(make(attacks=[COLUMNS[0], COLUMNS[6]]), "accuracy-by-epsilon")
    benign = [accuracy(name, COLUMNS[0]) / N for name in DEFENCES]
    attacked = [accuracy(name, COLUMNS[6]) for name in DEFENCES]
    assert [(bar.label, bar.accuracy, bar.benign) for bar in found.bars] == [
        (str(number), correct / N, before)
        for number, (correct, before) in enumerate(zip(attacked, benign, strict=True), 1)
    ]
    (axes,) = drawing.alone(found).axes
    drawn = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert drawn == [(0, correct / N) for correct in attacked]
    spans = [line.get_xdata() for line in axes.lines if line.get_marker() == "None"]
    assert [tuple(span) for span in spans] == [tuple(wilson(c, N)) for c in attacked]
    ticks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    assert ticks == benign


def test_plots_against_step():
    shown = captions(tree(make()))[5:15]
    assert shown == [
        f"{kind}, {attack}"
        for kind in ("two-pass", "one-pass")
        for attack in (
            *("adaptive: BPDA", "adaptive: grid-aimed", "gray-box: PGD"),
            *("gray-box: CW L2", "black-box: transfer"),
        )
    ]
    curves, x_label, _ = panels(make(), "accuracy-by-step")[2]
    assert x_label == "quantization step"
    assert [curve.label for curve in curves] == ["benign", "ε = 1", "ε = 2", "ε = 4"]
    for curve, attack in zip(curves, (COLUMNS[0], *COLUMNS[4:7]), strict=True):
        found = [(step, accuracy(f"two-pass:{step}", attack)) for step in (16, 32)]
        assert curve.points == [(step, correct / N) for step, correct in found]
        assert curve.intervals == [tuple(wilson(correct, N)) for _, correct in found]


def test_uniform_tables_by_another_name():
    """The report says which tables have one step for all frequencies; names do not matter."""
    names = {"two-pass:32": 4, "two-pass:mine": 2, "two-pass:16": None}
    content = make(dict.fromkeys(names, "two-pass"), [COLUMNS[0], COLUMNS[4]])
    for item in content["cells"]:
        item["uniform_step"] = names[item["defence"]]
    assert captions(tree(content))[1] == "two-pass, gray-box: PGD"
    benign, attacked = panels(content, "accuracy-by-step")[0].curves
    for curve, attack in ((benign, COLUMNS[0]), (attacked, COLUMNS[4])):
        wanted = [(names[d], accuracy(d, attack) / N) for d in ("two-pass:mine", "two-pass:32")]
        assert curve.points == wanted


def test_one_step_by_two_names():
    """Both have their points, above each other."""
    names = ("two-pass:32", "two-pass:mine")
    content = make(dict.fromkeys(names, "two-pass"), [COLUMNS[0], COLUMNS[4]])
    for item in content["cells"]:
        item["uniform_step"] = 32
    for curve in panels(content, "accuracy-by-step")[0].curves:
        assert [x for x, _ in curve.points] == [32, 32]
    assert "two-pass, gray-box: PGD" in captions(tree(content))


def test_one_step_is_no_curve():
    content = make({"two-pass:16": "two-pass", "one-pass:32": "one-pass"})
    assert not any(caption.startswith(("one", "two")) for caption in captions(tree(content)))


def test_plots_against_benign_accuracy():
    shown = captions(tree(make()))[15:]
    assert shown == [
        "ε = 1: gray-box",
        "ε = 2: gray-box and adaptive",
        "ε = 4: gray-box and adaptive",
        "ε = 4: black-box",
        "L2: gray-box",
    ]
    found = panels(make(), "accuracy-by-defence")[2].rows
    for number, (defence, row) in enumerate(zip(DEFENCES, found, strict=True), 1):
        assert row.label == str(number)
        wanted = {
            "benign": accuracy(defence, COLUMNS[0]) / N,
            "gray-box": accuracy(defence, ("gray-box", "pgd", 4)) / N,
        }
        if measured(defence, COLUMNS[1]):
            lowest = min(accuracy(defence, ("adaptive", name, 4)) for name in ("bpda", "grid"))
            wanted["adaptive"] = lowest / N
        assert row.accuracies == wanted


def test_an_adaptive_attack_alone_is_a_point_too():
    content = two_pass((("adaptive", "bpda", 4), 50))
    assert captions(tree(content)) == ["adaptive: BPDA, ε = 4", "ε = 4: adaptive"]
    ((row,),) = panels(content, "accuracy-by-defence")[0]
    assert row.accuracies == {"benign": 100 / N, "adaptive": 50 / N}


def test_the_best_benign_accuracy_is_the_first_row():
    found = panels(make(dict(reversed(DEFENCES.items()))), "accuracy-by-defence")[2].rows
    assert [row.label for row in found] == [str(n) for n in range(len(DEFENCES), 0, -1)]
    benign = [row.accuracies["benign"] for row in found]
    assert benign == sorted(benign, reverse=True)


def test_points_of_those_who_know_are_hollow():
    look = drawing.Look()
    all_three = {"benign": 0.9, "gray-box": 0.6, "adaptive": 0.4}
    found = [
        drawing.Row("1", look, all_three),
        drawing.Row("2", look, {"benign": 0.9, "gray-box": 0.5}),
        drawing.Row("3", look, {"benign": 0.9, "adaptive": 0.3}),
    ]
    figure = drawing.alone(drawing.Rows(found))
    (axes,) = figure.axes
    drawn = [
        (list(line.get_xdata()), list(line.get_ydata()), line.get_markerfacecolor())
        for line in axes.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert drawn == [
        *(([0.4], [0], "white"), ([0.6], [0], "black")),
        *(([0.5], [1], "black"), ([0.3], [2], "white")),
    ]
    ticks = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "|"]
    assert ticks == [[[0.9, 0]], [[0.9, 1]], [[0.9, 2]]]
    spans = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == ""]
    assert spans == [[[0.4, 0], [0.9, 0]], [[0.5, 1], [0.9, 1]], [[0.3, 2], [0.9, 2]]]


def test_the_legend_names_the_points_that_are_there():
    def legend(*accuracies: dict[str, float]) -> list[str]:
        figure = drawing.alone(
            drawing.Rows([drawing.Row("1", drawing.Look(), item) for item in accuracies])
        )
        return [text.get_text() for text in figure.legends[0].get_texts()]

    benign = {"benign": 0.9}
    assert legend({**benign, "black-box": 0.1}) == ["benign", "black-box"]
    assert legend({**benign, "gray-box": 0.1}) == ["benign", "gray-box"]
    both = legend({**benign, "gray-box": 0.1}, {**benign, "adaptive": 0.1})
    assert both == ["benign", "adaptive", "gray-box"]


def test_curves_differ_without_color():
    """One pass and two passes with the same table share a marker; all looks differ."""
    tables = {f"{kind}:{n}": kind for n in range(30) for kind in ("one-pass", "two-pass")}
    looks = plots.looks({**tables, **{f"bits:{n}": "transformation" for n in range(6)}})
    assert len({(look.line, look.marker, look.fill) for look in looks.values()}) == 66
    assert len({(look.marker, look.fill) for look in looks.values()}) == 36
    one, two = looks["one-pass:7"], looks["two-pass:7"]
    assert (one.marker, one.fill) == (two.marker, two.fill)


@pytest.mark.parametrize("count", [1, 10, 60])
def test_labels_keep_apart(count):
    """They keep apart from points at 0 % too, even if all defences have equal accuracies."""
    found = [
        drawing.Row(str(n), drawing.Look(), {"benign": 1, "adaptive": 0, "gray-box": 0})
        for n in range(1, count + 1)
    ]
    figure = drawing.alone(drawing.Rows(found))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    labels = [*axes.get_yticklabels(), *axes.get_xticklabels(), axes.xaxis.label, axes.yaxis.label]
    boxes = [Text.get_window_extent(label) for label in labels]
    boxes.append(figure.legends[0].get_window_extent())
    assert [label.get_text() for label in labels[:count]] == [str(n) for n in range(1, count + 1)]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    width, height = canvas.get_width_height()
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
    assert all(box.y0 >= 0 and box.y1 <= height for box in boxes)
    radius = 4 / 72 * figure.dpi
    assert all(box.x1 < axes.bbox.x0 - radius for box in boxes[:count])


@pytest.mark.parametrize(
    ("places", "even"),
    [
        ((0, 1, 2, 4), False),
        ((0, 1, 2, 4, 8, 16, 32, 64), True),
        ((2, 4, 8, 16, 32, 64, 128), True),
        ((8, 16, 24, 32, 40, 48, 64), False),
    ],
)
def test_octaves_are_even(places, even):
    """Strengths up to where everything falls would else lie on one another at the left."""
    points = [(x, 0.5) for x in places]
    curve = drawing.Curve(drawing.Look(), points, [(0.4, 0.6)] * len(points))
    figure = drawing.alone(drawing.Curves([curve], "ε"))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    marks = [axes.transData.transform((x, 0.5))[0] for x in places if x]
    gaps = np.diff(marks)
    assert (gaps.max() < 1.05 * gaps.min()) == even
    if even:
        assert [label.get_text() for label in axes.get_xticklabels()] == [str(x) for x in places]
        assert gaps.min() > 0.08 * axes.bbox.width


@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("strengths", [(0, 4, 8), (0, 1, 32), (0, 1, 2, 4, 8, 16, 32, 64)])
def test_equal_curves_lie_beside_each_other(count, strengths):
    """They are much closer to their own strength than to the next, and have intervals."""
    points = [(x, 0.5 / (1 + x)) for x in strengths]
    intervals = [(0.9 * y, 1.1 * y) for _, y in points]
    curve = drawing.Curve(drawing.Look(), points, intervals)
    figure = drawing.alone(drawing.Curves([curve] * count, "ε"))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    curves = [line for line in axes.lines if line.get_marker() == "o"]
    spans = [line for line in axes.lines if line.get_marker() == "None"]
    assert len(curves) == count
    assert [tuple(line.get_ydata()) for line in spans] == intervals * count
    places = np.array([line.get_transform().transform(points) for line in curves])
    ticks = axes.transData.transform(points)
    assert np.allclose(places[..., 1], ticks[:, 1])
    apart = places[..., 0] - ticks[:, 0]
    closest = np.diff(ticks[:, 0]).min()
    assert np.allclose(apart.sum(0), 0, atol=1e-6)
    assert np.abs(apart).max() <= 0.2 * closest
    room = min(2 * count, 8.6, 0.4 * closest / figure.dpi * 72) / 72 * figure.dpi
    assert count == 1 or np.diff(apart, axis=0).min() > 0.9 * room / count
    assert axes.bbox.x0 < places[..., 0].min()
    assert places[..., 0].max() < axes.bbox.x1


def test_legends_fit_beside_each_other():
    """Strengths of three digits are the widest; the ink of a panel's legend stays within it."""
    columns = [COLUMNS[0], *(("gray-box", "pgd", epsilon) for epsilon in (64, 128, 255))]
    (panel,) = panels(
        make({"two-pass:16": "two-pass", "two-pass:32": "two-pass"}, columns), "accuracy-by-step"
    )
    figure = drawing.alone(panel)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "benign"
    parts = [*legend.get_texts(), *legend.get_lines()]
    boxes = [part.get_window_extent(canvas.get_renderer()) for part in parts]
    assert min(box.x0 for box in boxes) > 5
    assert max(box.x1 for box in boxes) < canvas.get_width_height()[0] - 5


def pictures(root: ElementTree.Element) -> list[tuple[str | None, ElementTree.Element]]:
    """Return the SVG images of the page, each with its alternative text."""
    found = []
    for image in sections(root)["Plots"].iter("img"):
        start, _, data = image.attrib["src"].partition(",")
        assert start == "data:image/svg+xml;base64"
        found.append((image.get("alt"), ElementTree.fromstring(base64.b64decode(data))))
    return found


def test_plots_have_alternative_texts(root):
    """The samples of the key have an empty text, so screen readers skip them."""
    shown, texts = captions(root), [text for text, _ in pictures(root)]
    key, panels = texts[: -len(shown)], texts[-len(shown) :]
    assert key == [""] * len(DEFENCES)
    for text, caption in zip(panels, shown, strict=True):
        assert text.endswith(f": {caption}")
    assert panels[-1] == "Benign against adversarial accuracy: L2: gray-box"


def test_plots_are_whole_in_themselves(root):
    """They load nothing and run no scripts; any font without serifs will do."""
    for _, svg in pictures(root):
        names = {element.tag.rpartition("}")[2] for element in svg.iter()}
        assert names <= {"svg", "g", "defs", "path", "use", "style", "clipPath", "rect", "text"}
        assert all(
            "sans-serif" in e.get("style", "") for e in svg.iter() if e.tag.endswith("}text")
        )
        ids = [element.get("id") for element in svg.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        values = [(name, v) for element in svg.iter() for name, v in element.items()]
        links = [value for name, value in values if name.endswith("href")]
        urls = [url for _, value in values for url in re.findall(r"url\(([^)]*)\)", value)]
        assert {*links, *urls} <= {f"#{name}" for name in ids}
        assert not any(name.startswith("on") for name, _ in values)
        assert "@import" not in ElementTree.tostring(svg, "unicode")


def test_no_epsilon():
    attacks = [a for a in ATTACKS if a[2] is None]
    shown = captions(tree(make(DEFENCES, attacks)))
    assert shown == [
        "gray-box: CW L2",
        *("two-pass, gray-box: CW L2", "one-pass, gray-box: CW L2", "L2: gray-box"),
    ]
