"""The figures of a report for a paper: each with its own key, as a PDF, SVG or PNG file."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyfd._core.extras import missing
from pyfd._core.writing import write_file
from pyfd.evaluation.report import plots
from pyfd.evaluation.report.data import Evaluation, read

try:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
except ModuleNotFoundError as error:
    raise missing("matplotlib", "evaluate", module=error.name) from error

#: The suffixes of the formats that `save` writes.
SUFFIXES = (".pdf", ".svg", ".png")

#: The kinds of figures, and the functions that draw them.
_KINDS: Mapping[str, Callable[[Evaluation], dict[str, Figure]]] = {
    "by-epsilon": plots.by_epsilon,
    "by-defence": plots.by_defence,
    "by-step": plots.by_step,
    "by-rate": plots.by_rate,
}
_COMPLETE = {"by-step"}  # its panels name everything that they draw
_ROW = 0.16  # inches: a row of a key
_MOST_COLUMNS = 3
_DOTS = 300  # per inch
_FORMAT: Mapping[str, Any] = {  # nothing that differs from run to run
    ".pdf": {"CreationDate": None},
    ".svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    ".png": {"Software": None},
}


def figures(content: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of an evaluation by name, such as "by-epsilon: gray-box: PGD".

    They are those of its page, each as wide as a column (3.4 inches), with a key to the
    defences below it.

    Args:
        content: The content of a report.json.

    Raises:
        ValueError: The content is not an evaluation's; the message names the field.
    """
    evaluation = read(content)
    found = {}
    for kind, draw in _KINDS.items():
        for title, figure in draw(evaluation).items():
            if kind not in _COMPLETE:
                _add_key(figure, plots.looks(evaluation.defences))
            found[f"{kind}: {title}"] = figure
    return found


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse a file whose suffix names none of the formats that `save` writes.

    Raises:
        ValueError: It is another suffix.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all; the same figure gives the same bytes.

    Args:
        figure: Any figure of matplotlib.
        path: A .pdf file, whose fonts are embedded as TrueType; a .svg file, whose letters
            are curves; or a .png file of 300 dots per inch.

    Raises:
        ValueError: The suffix is another one, or the figure is too large for a .png file.
        OSError: The file cannot be written.
    """
    check_suffix(path)
    suffix, buffer = Path(path).suffix.lower(), io.BytesIO()
    embedded: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "pyfd"}
    with rc_context(embedded), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # it draws a box
        figure.savefig(buffer, format=suffix[1:], dpi=_DOTS, metadata=_FORMAT[suffix])
    write_file(path, buffer.getvalue())


# ---- the key -------------------------------------------------------------------


def _add_key(figure: Figure, looks: Mapping[str, plots.Look]) -> None:
    """Add a key to the defences' numbers, lines and markers below everything else."""
    drawn = {_mark(line) for axes in figure.axes for line in axes.lines}
    handles = {
        f"{number}: {name}": _sample(look) for number, (name, look) in enumerate(looks.items(), 1)
    }
    shown = {n: handle for n, handle in handles.items() if _mark(handle) in drawn} or handles
    columns = min(_MOST_COLUMNS, len(shown))
    longest = max(map(len, shown))
    while not _fits(figure, legend := _legend(figure, shown, columns, longest)):
        legend.remove()
        columns, longest = (columns - 1, longest) if columns > 1 else (1, longest - 4)
    _make_room(figure, legend, _ROW * -(-len(shown) // columns))


def _sample(look: plots.Look) -> Line2D:
    """Return a piece of a defence's curve."""
    line = Line2D([], [], markerfacecoloralt="white", markersize=5.0, linewidth=1.2)
    line.set(linestyle=look.line, marker=look.marker, color=look.color, fillstyle=look.fill)
    return line


def _mark(line: Line2D) -> tuple[Any, ...]:
    return line.get_marker(), line.get_color(), line.get_fillstyle()


def _legend(figure: Figure, shown: Mapping[str, Line2D], columns: int, longest: int) -> Legend:
    legend = figure.legend(
        list(shown.values()),
        [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in shown],
        loc="lower center",
        ncols=columns,
        fontsize=7,
        frameon=False,
        handlelength=2.4,
        handletextpad=0.4,
        columnspacing=1.0,
        labelspacing=0.3,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may have dollar signs
    return legend


def _fits(figure: Figure, legend: Legend) -> bool:
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        width = legend.get_window_extent(renderer).width
    return bool(width <= figure.get_figwidth() * figure.dpi)


def _make_room(figure: Figure, key: Legend, below: float) -> None:
    """Make a figure higher by `below` inches, and move all but the key up by as much."""
    before = figure.get_figheight()
    after = before + below
    figure.set_figheight(after)
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        place = (bottom * before + below) / after
        axes.set_position((left, place, width, height * before / after))
    for legend in figure.legends:
        if legend is not key:
            legend.set_bbox_to_anchor((0, below / after, 1, before / after), figure.transFigure)
