"""Plots: their content, their shades of gray, and the input that is refused."""

import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pyfd import Certificate, QTables, plots

FIGURE_3 = {"step": [1, 10, 40], "benign": [1, 0.97, 0.84], "adversarial": [0, 0.1, 0.53]}


def statistics(**changes) -> SimpleNamespace:
    std = np.outer(np.geomspace(500, 5, 8), np.geomspace(1, 0.1, 8)) * np.ones((3, 1, 1))
    return SimpleNamespace(**{"std": std, **changes})


def texts(figure) -> list[list[str]]:
    """Return the texts in the cells of each panel."""
    return [[text.get_text() for text in axes.texts] for axes in figure.axes if axes.texts]


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.texts]


def image(figure, tmp_path) -> np.ndarray:
    plots.save(figure, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as opened:
        return np.asarray(opened.convert("RGB"))


LUMA = np.array([[1, 2, 3], [4, 5, np.inf]])


def certificate(*radii: np.ndarray, subsampling="4:2:2") -> Certificate:
    return Certificate(
        radii,
        qtables=QTables.uniform(40),
        subsampling=subsampling,
        width=20,
        height=16,
        file_radii=np.zeros_like(radii[0], np.uint16),
    )


# ---- heat maps ------------------------------------------------------------


def test_statistics_have_a_map_per_component(tmp_path):
    figure = plots.of_statistics(statistics())
    assert titles(figure) == ["δ of Y", "δ of Cb", "δ of Cr"]
    cells = texts(figure)[0]
    assert len(cells) == 64
    assert cells[0] == "500"
    assert cells[-1] == "0.50"
    assert image(figure, tmp_path).shape[1] > 1200


def test_components_without_blocks_are_left_out():
    std = statistics().std
    std[1:] = np.nan
    assert titles(plots.of_statistics(SimpleNamespace(std=std))) == ["δ of Y"]
    with pytest.raises(ValueError, match="no blocks"):
        plots.of_statistics(SimpleNamespace(std=std * np.nan))


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8), (3, 64)])
def test_statistics_of_another_shape(shape):
    with pytest.raises(ValueError, match="must be 3×8×8"):
        plots.of_statistics(SimpleNamespace(std=np.ones(shape)))


def test_tables_have_a_row_each():
    three = QTables(np.arange(1, 193).reshape(3, 8, 8))
    figure = plots.of_tables(QTables.annex_k(50), QTables.uniform(65535), three)
    assert titles(figure) == [
        "annex-k-50: Y",
        "annex-k-50: Cb and Cr",
        "uniform-65535: all components",
        "Y",
        "Cb",
        "Cr",
    ]
    assert texts(figure)[0] == [str(step) for step in QTables.annex_k(50)[0].ravel()]
    assert set(texts(figure)[2]) == {"65535"}
    with pytest.raises(ValueError, match="no tables"):
        plots.of_tables()


def test_rows_are_vertical_frequencies():
    figure = plots.of_tables(QTables(np.arange(1, 65).reshape(8, 8)))
    (axes,) = figure.axes
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places["1"] == (0, 0)
    assert places["8"] == (7, 0)
    assert places["57"] == (0, 7)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # row 0 is at the top
    assert axes.get_ylabel() == "vertical frequency"


@pytest.mark.parametrize(
    "figure",
    [
        plots.of_statistics(statistics()),
        plots.of_tables(QTables.preset("fd-2018")),
        plots.of_certificate(certificate(LUMA, LUMA, LUMA, subsampling="4:4:4")),
        plots.curves(FIGURE_3),
    ],
)
def test_pictures_are_gray(figure, tmp_path):
    pixels = image(figure, tmp_path).astype(int)
    assert np.ptp(pixels, axis=2).max() == 0
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_numbers_stand_out_from_their_cells():
    figure = plots.of_tables(QTables(np.geomspace(1, 255, 64).astype(int).reshape(8, 8)))
    (axes,) = figure.axes
    (heat,) = axes.images
    gray = heat.cmap(heat.norm(heat.get_array()))[..., 0].ravel()
    for level, text in zip(gray, axes.texts, strict=True):
        assert abs(level - {"black": 0, "white": 1}[text.get_color()]) > 0.4
    assert gray[0] > 0.9  # larger is darker
    assert (np.diff(gray) <= 0).all()


# ---- certificates ---------------------------------------------------------


def test_radii_have_a_map_per_component():
    chroma = np.array([[2.0, 8], [2, 8]])
    figure = plots.of_certificate(certificate(LUMA, chroma, chroma))
    *panels, scale = figure.axes
    assert [axes.get_title() for axes in panels] == ["all components", "Y", "Cb", "Cr"]
    shown = [axes.images[0].get_array() for axes in panels]
    assert np.array_equal(shown[0], [[1, 2, 3], [2, 2, 8]])
    assert np.array_equal(
        shown[1], np.minimum(LUMA, 8)
    )  # infinite radii are as black as the largest finite one
    assert np.array_equal(shown[3], chroma)
    assert {axes.images[0].get_clim() for axes in panels} == {(0, 8)}
    assert scale.get_ylabel() == "radius, in 8-bit levels"
    assert panels[0].get_ylim()[0] > panels[0].get_ylim()[1]  # row 0 is at the top


def test_larger_radii_are_darker():
    panel, _ = plots.of_certificate(certificate(LUMA)).axes
    assert panel.get_title() == "Y"
    (heat,) = panel.images
    gray = heat.cmap(heat.norm(heat.get_array()))[..., 0].ravel()
    assert (np.diff(gray[:5]) < 0).all()
    assert gray[0] > 0.6
    assert gray[5] == gray[4] == 0


@pytest.mark.parametrize("radius", [1, np.inf])
def test_radii_that_are_all_the_same(radius, tmp_path):
    figure = plots.of_certificate(certificate(np.full((2, 3), radius)))
    assert image(figure, tmp_path).shape[1] > 400


# ---- curves ---------------------------------------------------------------


def test_curves_differ_without_color():
    figure = plots.curves(FIGURE_3)
    (axes,) = figure.axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == ["benign", "adversarial"]
    assert lines[1].get_xydata().tolist() == [[1, 0], [10, 0.1], [40, 0.53]]
    assert len({line.get_marker() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2
    assert axes.get_xlabel() == "quantization step"
    assert axes.get_ylim() == (0, 1)


def test_curves_over_other_things():
    figure = plots.curves({"protected": [0, 5], "cost in $ or $$": [0.5, 0.25]})
    assert figure.axes[0].get_xlabel() == "protected frequencies"
    figure.canvas.draw()
    assert plots.curves({"depth": [0.5], "b": [1]}).axes[0].get_xlabel() == "depth"


@pytest.mark.parametrize(
    ("records", "match"),
    [
        ({}, "an x axis and a curve"),
        ({"step": [1]}, "an x axis and a curve"),
        ({"step": [], "benign": []}, "at least one point"),
        ({"step": [1, 2], "benign": [1]}, "benign has 1 values, but step has 2"),
    ],
)
def test_curves_refuse(records, match):
    with pytest.raises(ValueError, match=match):
        plots.curves(records)


# ---- files ----------------------------------------------------------------


def test_svg(tmp_path):
    for name in ("a.svg", "b.SVG"):
        plots.save(plots.curves(FIGURE_3), tmp_path / name)
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.SVG"]


@pytest.mark.parametrize("name", ["x.jpg", "x", "x.eps"])
def test_other_suffixes(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, \.svg or \.pdf"):
        plots.save(plots.curves(FIGURE_3), tmp_path / name)
    assert not list(tmp_path.iterdir())


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    return done.stdout + done.stderr


def test_pyplot_is_left_alone():
    code = "import sys, pyfd.plots; print('matplotlib.pyplot' in sys.modules)"
    assert run(code) == "False\n"


def test_without_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import pyfd; import pyfd.plots"
    assert "ImportError: matplotlib is missing: pip install 'pyfd-jpeg[plots]'" in run(code)


# ---- sweeps of an accuracy function -----------------------------------------


def test_accuracies_by_step():
    scored = {"benign": lambda t: 1 - t[0][0, 0] / 100, "adversarial": lambda t: t[0][7, 7] / 100}
    records = plots.by_step(scored, [1, 10, 40])
    assert records == {
        "step": [1, 10, 40],
        "benign": pytest.approx([0.99, 0.9, 0.6]),
        "adversarial": pytest.approx([0.01, 0.1, 0.4]),
    }
    assert plots.curves(records).axes[0].get_xlabel() == "quantization step"


def test_accuracies_by_protected_frequencies():
    share = {"fine": lambda t: float((t[0] == 1).mean())}
    records = plots.by_protected(share, [0, 15, 64], step=40, protected_step=1)
    assert records == {"protected": [0, 15, 64], "fine": [0, 15 / 64, 1]}
    first = {"dc": lambda t: float(t[0][0, 0] == 1)}
    importance = np.arange(64).reshape(8, 8)
    records = plots.by_protected(first, [63, 64], step=40, protected_step=1, importance=importance)
    assert records["dc"] == [0, 1]
