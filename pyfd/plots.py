"""Plots of statistics, tables, certificates and accuracies, readable in black and white.

Needs matplotlib: the extra ``plots``. Each function returns a `matplotlib.figure.Figure`,
and `save` writes it. Nothing here uses pyplot or any other global state.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing
from pyfd._core.writing import write_file
from pyfd.qtables import QTables, served
from pyfd.refinement import Accuracy

if TYPE_CHECKING:
    from pyfd.certificate import Certificate

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator, PercentFormatter
except ModuleNotFoundError as error:
    raise missing("matplotlib", "plots", module=error.name) from error

#: The suffixes of the formats that `save` writes.
SUFFIXES = (".png", ".svg", ".pdf")

#: The metadata of each format, without anything that would change from run to run.
_METADATA: Mapping[str, Mapping[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}

_PANEL = 3.6  # inches: the side of a panel
_DARKEST = 0.8  # the darkest shade of a heat map, black being 1
_X_LABELS = {
    "step": "quantization step",
    "protected": "protected frequencies",
    "epsilon": "epsilon, in 8-bit levels",
}
_STYLES = (("-", "o", "black"), ("--", "s", "0.35"), (":", "^", "black"), ("-.", "D", "0.35"))


class Statistics(Protocol):
    """The part of a `pyfd.FrequencyStatistics` that `of_statistics` uses."""

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """The standard deviations of the DCT coefficients, 3×8×8."""


def of_statistics(statistics: Statistics) -> Figure:
    """Plot the standard deviations δ of the DCT coefficients, for Y, Cb and Cr.

    The larger δ is, the more a network relies on that frequency (Liu et al., CVPR 2019).
    Components without blocks are left out.

    Raises:
        ValueError: The statistics are not 3×8×8, or hold no blocks.
    """
    std = np.asarray(statistics.std, dtype=np.float64)
    if std.shape != (3, 8, 8):
        raise ValueError(f"the statistics must be 3×8×8, not {std.shape}")
    counted = [i for i in range(3) if not np.isnan(std[i]).all()]
    if not counted:
        raise ValueError("the statistics hold no blocks")
    return _heat_maps([[_Map(f"δ of {('Y', 'Cb', 'Cr')[i]}", std[i]) for i in counted]])


def of_tables(*tables: QTables) -> Figure:
    """Plot the steps of tables, with a row of grids for each `QTables`.

    Raises:
        ValueError: There are no tables.
    """
    if not tables:
        raise ValueError("there are no tables to plot")
    return _heat_maps(
        [
            [
                _Map(f"{item.name}: {component}" if item.name else component, steps)
                for component, steps in zip(served(len(item)), item, strict=True)
            ]
            for item in tables
        ]
    )


def of_certificate(certificate: Certificate) -> Figure:
    """Plot the radii of an image's blocks: of all components together, and of each.

    The darker a block, the stronger a perturbation must be to change it. Infinite radii
    are drawn like the largest finite one.
    """
    names = ("Y", "Cb", "Cr")[: len(certificate.radii)]
    panels = [_Map(name, radii) for name, radii in zip(names, certificate.radii, strict=True)]
    if len(panels) > 1:
        panels.insert(0, _Map("all components", certificate.blocks))
    return _block_maps(panels, certificate.height / certificate.width)


def curves(records: Mapping[str, Sequence[float]]) -> Figure:
    """Plot accuracies against a parameter of tables.

    These are figures 3 and 5 of Liu et al., version 1; `by_step` and `by_protected`
    compute the records.

    Args:
        records: Lists of numbers by name, all of the same length. The first is the
            x axis, such as "step" (figure 3) or "protected" (figure 5). Each of the
            others is a curve of accuracies, 0 to 1, such as "benign" and "adversarial".

    Raises:
        ValueError: There is no curve or no point, or the lists differ in length.
    """
    (x_name, x), *series = records.items() if records else [("", ())]
    if not series or not len(x):
        raise ValueError("there must be an x axis and a curve, with at least one point")
    for name, values in series:
        if len(values) != len(x):
            raise ValueError(f"{name} has {len(values)} values, but {x_name} has {len(x)}")
    figure = _figure(5.6, 3.8)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(series):
        line, marker, color = _STYLES[number % len(_STYLES)]
        axes.plot(x, values, line, marker=marker, color=color, label=_plain(name), clip_on=False)
    axes.set_xlabel(_plain(_X_LABELS.get(x_name, x_name)))
    axes.set_ylabel("accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=all(value == int(value) for value in x)))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def by_step(accuracies: Mapping[str, Accuracy], steps: Sequence[int]) -> dict[str, list[float]]:
    """Score uniform tables of several steps, for `curves` (figure 3).

    Args:
        accuracies: Functions that score tables, 0 to 1, by the name of their curve,
            such as "benign" and "adversarial".
        steps: The steps to try.

    Returns:
        The steps under "step", and the scores of each function under its name.
    """
    tables = [QTables.uniform(step) for step in steps]
    return {"step": list(steps), **_scores(accuracies, tables)}


def by_protected(
    accuracies: Mapping[str, Accuracy],
    counts: Sequence[int],
    *,
    step: int,
    protected_step: int,
    importance: npt.ArrayLike | None = None,
) -> dict[str, list[float]]:
    """Score tables with several numbers of protected frequencies, for `curves` (figure 5).

    Args:
        accuracies: As in `by_step`.
        counts: The numbers of protected frequencies to try, 0...64.
        step: The step of the other frequencies.
        protected_step: The step of the protected frequencies.
        importance: As in `QTables.two_band`; by default the lowest frequencies, in
            zigzag order, are protected.

    Returns:
        The numbers under "protected", and the scores of each function under its name.
    """
    ranked = np.zeros((8, 8)) if importance is None else importance
    tables = [
        QTables.two_band(ranked, step=step, protected_step=protected_step, protected=count)
        for count in counts
    ]
    return {"protected": list(counts), **_scores(accuracies, tables)}


def _scores(
    accuracies: Mapping[str, Accuracy], tables: Sequence[QTables]
) -> dict[str, list[float]]:
    return {name: [float(score(t)) for t in tables] for name, score in accuracies.items()}


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a figure as PNG, SVG or PDF, according to the path's suffix.

    The same figure gives the same bytes, and the file is never half-written. The letters of
    an SVG are curves; a PDF has its fonts, as TrueType.

    Args:
        figure: The figure.
        path: The file.
        dpi: The dots per inch of a PNG.

    Raises:
        ValueError: The path has another suffix.
        OSError: The file cannot be written.
    """
    suffix = check_suffix(path)
    buffer = io.BytesIO()
    fonts: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "pyfd"}
    with rc_context(fonts):
        figure.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=_METADATA[suffix])
    write_file(path, buffer.getvalue())


def check_suffix(path: str | os.PathLike[str]) -> str:
    """Return the path's suffix in lower case.

    Raises:
        ValueError: The suffix is not one of `SUFFIXES`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise ValueError(f"a picture's name must end in {known}, not {suffix!r}")
    return suffix


# ---- heat maps ------------------------------------------------------------


class _Map(NamedTuple):
    title: str
    values: npt.NDArray[np.generic]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def _heat_maps(rows: Sequence[Sequence[_Map]]) -> Figure:
    """Draw grids of numbers, shaded on one logarithmic scale."""
    columns = max(map(len, rows))
    figure = _figure(_PANEL * columns, _PANEL * len(rows))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    sizes = np.concatenate([np.log1p(panel.values.ravel()) for row in rows for panel in row])
    low, high = float(sizes.min()), float(sizes.max())
    for axes_row, row in zip(panels, rows, strict=True):
        for axes, panel in zip(axes_row, row, strict=False):
            shades = (np.log1p(panel.values) - low) / max(high - low, 1e-9) * _DARKEST
            _heat_map(axes, panel, shades)
        for axes in axes_row[len(row) :]:
            axes.set_axis_off()
    return figure


def _heat_map(axes: Axes, panel: _Map, shades: npt.NDArray[np.float64]) -> None:
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1)
    texts = [[_number(value) for value in row] for row in panel.values.tolist()]
    size = 9 if max(len(text) for row in texts for text in row) <= 3 else 7
    for (row, column), shade in np.ndenumerate(shades):
        color = "white" if shade > 0.55 else "black"
        text = texts[row][column]
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    axes.set_title(_plain(panel.title), fontsize=10)
    axes.set_xticks(range(8))
    axes.set_yticks(range(8))
    axes.set_xlabel("horizontal frequency")
    axes.set_ylabel("vertical frequency")
    axes.tick_params(length=0)


def _block_maps(panels: Sequence[_Map], proportion: float) -> Figure:
    """Draw maps of radii side by side, shaded on one scale from white at 0 to black."""
    radii = np.concatenate([panel.values.ravel() for panel in panels])
    darkest = radii[np.isfinite(radii)].max(initial=1)
    height = _PANEL * min(max(proportion, 0.3), 3)
    figure = _figure(_PANEL * len(panels) + 0.6, height + 0.6)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        shown = np.minimum(panel.values, darkest)
        image = axes.imshow(shown, cmap="Greys", vmin=0, vmax=darkest, interpolation="nearest")
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel("column of blocks")
        axes.set_ylabel("row of blocks")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    scale = figure.colorbar(image, ax=row.tolist(), ticks=MaxNLocator(integer=True))
    scale.set_label("radius, in 8-bit levels")
    return figure


def _number(value: float) -> str:
    """Format a step as it is, and a deviation with about three digits."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def _plain(text: str) -> str:
    """Escape the dollar signs, which matplotlib would take for mathematics."""
    return text.replace("$", r"\$")
