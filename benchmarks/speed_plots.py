"""The pictures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pyfd import plots

#: Properties of the curves, which tell up to five apart in black and white.
LOOKS = {
    "linestyle": ("-", "--", ":", "-.", "-"),
    "marker": ("o", "s", "^", "D", "x"),
    "color": ("black", "0.35", "black", "0.35", "0.6"),
}


def draw(curves: Mapping[str, Any], folder: Path) -> None:
    """Write three pictures: time by size, throughput by workers, and time by pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes, workers, pixels = curves["by_size"], curves["by_workers"], curves["by_pixels"]
    figure = lines(sizes["sides"], sizes["milliseconds"], "side in pixels", "ms per image")
    axes = figure.axes[0]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes["sides"], [str(side) for side in sizes["sides"]])
    plots.save(figure, folder / "time-by-size.png")
    figure = lines(workers["workers"], workers["files_per_second"], "workers", "files per second")
    figure.axes[0].set_xticks(workers["workers"])
    figure.axes[0].set_ylim(bottom=0)
    plots.save(figure, folder / "throughput.png")
    per_pixel = pixels["nanoseconds_per_pixel"]
    figure = lines(pixels["megapixels"], per_pixel, "megapixels", "ns per pixel")
    figure.axes[0].set_ylim(bottom=0)
    plots.save(figure, folder / "scaling.png")


def lines(x: Sequence[float], series: Mapping[str, Sequence[float]], below: str, left: str) -> Any:
    """Return a figure of curves by name over one axis, with labels below and on the left."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_prop_cycle(**LOOKS)
    for name, values in series.items():
        axes.plot(x, values, label=name)
    axes.set_xlabel(below)
    axes.set_ylabel(left)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
