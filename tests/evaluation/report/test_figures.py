"""The figures of a report for a paper."""

import io

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyfd.evaluation import report
from tests.evaluation.report.reports import ATTACKS, DEFENCES, HOSTILE, make, poisoned
from tests.evaluation.report.test_certified_columns import with_promises


def test_their_names():
    assert list(report.figures(with_promises())) == [
        *("accuracy-by-epsilon", "accuracy-by-step"),
        *("accuracy-by-defence", "accuracy-by-rate"),
    ]
    assert report.figures(make({"tvm": "transformation"}, ATTACKS[:1])) == {}


def test_each_has_a_key_and_a_title_for_each_panel():
    for name, figure in report.figures(make()).items():
        key = [text.get_text() for text in figure.legends[-1].get_texts()]
        defences = [f"{number}  {defence}" for number, defence in enumerate(DEFENCES, 1)]
        assert key == defences + ["95 % interval"] * (name != "accuracy-by-defence")
        assert len(figure.texts) == len(figure.axes) > 1
        assert figure.get_size_inches()[0] <= 6.8


@pytest.mark.parametrize(
    "content", [make(), poisoned(HOSTILE), poisoned("漢字🦊_$\\frac{1}{0}$ " * 9)]
)
def test_nothing_is_cut_off(content):
    """Names are texts, however long they are and whatever letters they have."""
    for figure in report.figures(content).values():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        for text in (*figure.texts, *(t for found in figure.legends for t in found.get_texts())):
            box = text.get_window_extent()
            assert box.x0 >= 0 <= box.y0
            assert box.x1 <= width
            assert box.y1 <= height


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_files(kind):
    buffer = io.BytesIO()
    report.figures(make())["accuracy-by-epsilon"].savefig(buffer, format=kind)
    assert len(buffer.getvalue()) > 5000
