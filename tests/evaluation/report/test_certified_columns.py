"""The columns of certified accuracy and rate, and the plot of one against the other."""

from __future__ import annotations

import pytest

from pyfd.evaluation import report
from pyfd.evaluation.report import data, drawing, plots
from tests.evaluation.report.reports import (
    ATTACKS,
    COLUMNS,
    DEFENCES,
    HOSTILE,
    LOWEST,
    N,
    Tree,
    captions,
    make,
    rows,
    sections,
    tree,
    wilson,
    words,
)

PROMISES = {"certified:2": (2, 100), "certified:16@1": (1, 110), "two-pass:pixel-2": (2, 119)}
RATES = {"certified:2": 0.934, "certified:16@1": 1.32, "two-pass:pixel-2": 10.5, "two-pass:16": 1}
ALL = {**DEFENCES, **dict.fromkeys(PROMISES, "two-pass")}


def certified(epsilon: int, correct: int, **changes) -> dict:
    share = {"correct": correct, "n": N, "accuracy": correct / N, "interval": wilson(correct, N)}
    return {"epsilon": epsilon, **share, **changes}


def with_promises(defences=ALL, attacks=ATTACKS, **changes) -> dict:
    promises = {name: certified(*found) for name, found in PROMISES.items()}
    return make(defences, attacks, **{"certified": promises, "rates": RATES, **changes})


@pytest.fixture(scope="module")
def page() -> str:
    return report.page(with_promises())


def test_the_page_has_both_columns(page):
    shown = sections(Tree(page).root)
    short, main = rows(shown[LOWEST]), rows(shown["Every defence under every attack"])
    for (name, brief), cells in zip(short.items(), main.values(), strict=True):
        *_, rate = cells
        assert len(cells) == len(COLUMNS) + 2
        assert rate.text == {0.934: "0.93", 1.32: "1.32", 10.5: "10.5", 1: "1.00"}.get(
            RATES.get(name), "–"
        )
        for cell in (cells[1], brief[1]):
            if name not in PROMISES:
                assert (cell.text, cell.get("title")) == ("–", "nothing is certified")
                continue
            epsilon, correct = PROMISES[name]
            assert cell.text == f"{100 * correct / N:.1f}"
            assert words(cell.find("small")) == f"at ε = {epsilon}"
            assert cell.get("title").startswith(f"{correct} of {N} right and certified; 95 %")
    head = next(shown["Every defence under every attack"].iter("thead"))
    assert [words(th) for th in head[0]][:3] == ["Defence", "benign", "certified"]
    assert [words(th) for th in head[0]][-1] == "bits per pixel"
    assert "the exception" in words(shown["How to read the numbers"])


def test_the_text_has_both_columns():
    head, _, *lines = report.text(with_promises()).splitlines()
    assert head.startswith("| defence | benign | certified | adaptive: ")
    assert head.endswith(" | bits per pixel |")
    found = [line.strip("|").split("|") for line in lines]
    assert [line[2].strip() for line in found[-3:]] == [
        f"{100 * correct / N:.1f} ({100 * low:.0f}–{100 * high:.0f}) at ε = {epsilon}"
        for epsilon, correct in PROMISES.values()
        for low, high in [wilson(correct, N)]
    ]
    assert [line[-1].strip() for line in found[-3:]] == ["0.93", "1.32", "10.5"]
    assert (found[0][2].strip(), found[0][-1].strip()) == ("–", "–")


@pytest.mark.parametrize("left_out", ["certified", "rates"])
def test_a_column_of_nothing_is_left_out(page, left_out):
    content = with_promises(attacks=ATTACKS[:2], **{left_out: {}})
    titles = {"certified": "certified", "rates": "bits per pixel"}
    head = report.text(content).splitlines()[0]
    bare = report.page(content)
    for name, title in titles.items():
        assert (f"| {title} |" in head) == (name != left_out)
        assert (f'rowspan="3" scope="col">{title}</th>' in bare) == (name != left_out)
    assert "Certified accuracy against rate" not in bare
    assert 'alt="Certified accuracy against rate: ε = 1' in page


def test_an_older_report_has_neither():
    content = make()
    assert "certified" not in content
    assert "rates" not in content
    assert "certified" not in report.text(content)


def test_each_panel_is_of_one_strength():
    found = plots.by_rate(data.read(with_promises()))
    panels = {name: drawing.alone(panel) for name, panel in found.items()}
    points = {
        name: [
            line.get_xydata().tolist()[0]
            for line in figure.axes[0].lines
            if line.get_marker() != "None"  # as intervals have none
        ]
        for name, figure in panels.items()
    }
    assert points == {
        "ε = 1": [[1.32, 110 / N]],
        "ε = 2": [[0.934, 100 / N], [10.5, 119 / N]],
    }
    for (name, figure), numbers in zip(panels.items(), (["9"], ["8", "10"]), strict=True):
        assert name == f"ε = {len(numbers)}"
        assert [text.get_text() for text in figure.legends[0].get_texts()] == numbers
        (axes,) = figure.axes
        assert axes.get_xlabel() == "bits per pixel"
        assert axes.get_xlim()[0] == 0
        assert axes.get_ylim() == (0, 1)


def test_a_plot_needs_no_attacks():
    assert captions(tree(with_promises(attacks=ATTACKS[:1]))) == ["ε = 1", "ε = 2"]


def test_certified_defences_look_like_no_other():
    """They share kinds with plain two passes, and must not share markers too."""
    names = ["two-pass:2", "certified:2", "certified:2@2", "two-pass:pixel-2", "one-pass:2"]
    names.append("two-pass:certified:2")
    looks = plots.looks({name: name[:8] if name[0] != "c" else "two-pass" for name in names})
    assert len({look[:2] for look in looks.values()}) == len(names)
    assert looks["two-pass:2"].marker == looks["one-pass:2"].marker


def test_certified_tables_are_no_point_among_plain_ones():
    content = with_promises({"two-pass:16": "two-pass", "certified:16@1": "two-pass"})
    for cell in content["cells"]:
        cell["uniform_step"] = 16
    assert data.read(content).uniform == [(16, "two-pass:16")]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"certified": []}, "report.json/certified: Input should be an object"),
        ({"certified": {"x": 3}}, "certified/x: Input should be an object, not 3"),
        ({"certified": {"x": certified(-1, 9)}}, "certified/x/epsilon: .* equal to 0, not -1"),
        ({"certified": {"x": certified(2, 9, n=90, accuracy=0.1)}}, "x is not certified on the"),
        (
            {"certified": {"x": {**certified(2, 9), "correct": 121}}},
            "x: correct must be at most n, 120",
        ),
        ({"certified": {"x": certified(2, 9, accuracy=0.9)}}, "x: accuracy must be correct/n"),
        ({"certified": {"x": certified(2, 9, interval=[0.5, 1])}}, "x: interval must be two"),
        ({"rates": {"x": -1}}, "rates/x: Input should be greater than or equal to 0, not -1"),
        ({"rates": {"x": "1"}}, "rates/x: Input should be a valid number, not '1'"),
        ({"rates": None}, "report.json/rates: Input should be an object, not None"),
    ],
)
def test_refused(changes, match):
    for render in (report.page, report.text):
        with pytest.raises(ValueError, match=match):
            render(with_promises(**changes))


@pytest.mark.parametrize("name", [HOSTILE, "items", "get", "__class__"])
def test_any_name(name):
    defences = {name: "two-pass", "none": "none"}
    promises = {"certified": {name: certified(2, 60)}, "rates": {name: 2.0}}
    shown = rows(sections(tree(with_promises(defences, **promises)))[LOWEST])
    assert [cells[1].text for cells in shown.values()] == ["50.0", "–"]
    assert len(report.text(with_promises(defences, **promises)).splitlines()) == 4
