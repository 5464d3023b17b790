"""The slack of `QTables.certified`: what more or less of it costs, at several strengths."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from benchmarks import pages
from benchmarks.certified_files import Cost, Summary, pair, summary
from benchmarks.equal_accuracy import BATCH, probabilities
from benchmarks.speed_plots import LOOKS
from pyfd import QTables, plots
from pyfd._core.pixels import Pixels

EPSILONS = (1, 2, 4)
SLACKS = (0, 1, 2, 4, 6, 8, 10, 12, 16, 24)
DEFAULT = 8
CORES = len(os.sched_getaffinity(0))


class Answers(NamedTuple):
    """A model's answers on certified photographs, and on those of two plain passes."""

    right: float
    """The share that is right on certified photographs: by the theorem, the accuracy under
    every perturbation within ε."""
    plain_right: float
    certainty: float
    """The mean probability of the right class on certified photographs."""
    plain_certainty: float


class Point(NamedTuple):
    """A slack at a strength: its tables, its costs, and a model's answers."""

    epsilon: int
    slack: int
    tables: QTables
    cost: Summary
    answers: Answers


def study(model: nn.Module, photos: Sequence[Pixels], labels: np.ndarray) -> list[Point]:
    """Certify photographs with every slack at every strength, and ask a model about them.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode.
        photos: H×W×3 ``uint8`` arrays of one size.
        labels: The true class of each.
    """
    points = []
    for epsilon in EPSILONS:
        for slack in SLACKS:
            tables = QTables.certified(epsilon, slack=slack)
            costs, answers = tried(model, photos, labels, tables, epsilon)
            points.append(Point(epsilon, slack, tables, summary(costs), answers))
            print(table(points[-1:]).splitlines()[-1], flush=True)
    return points


def tried(
    model: nn.Module,
    photos: Sequence[Pixels],
    labels: np.ndarray,
    tables: QTables,
    epsilon: int,
) -> tuple[list[Cost], Answers]:
    """Certify photographs with tables, and ask a model about them."""

    def batch(start: int) -> tuple[list[Cost], np.ndarray]:
        chosen = slice(start, start + BATCH)
        found = [pair(photo, tables, epsilon, optimize=True) for photo in photos[chosen]]
        truth, places = labels[chosen], np.arange(len(found))
        certified = probabilities(model, [each.certified for each in found])
        plain = probabilities(model, [each.plain for each in found])
        right = [p.argmax(1) == truth for p in (certified, plain)]
        certain = [p[places, truth] for p in (certified, plain)]
        return [each.cost for each in found], np.stack([*right, *certain], axis=1)

    # One thread per core, each with a single torch thread, is the fastest
    with ThreadPoolExecutor(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = list(pool.map(batch, range(0, len(photos), BATCH)))
    numbers = np.concatenate([result[1] for result in results]).mean(0, dtype=np.float64)
    return [cost for result in results for cost in result[0]], Answers(*map(float, numbers))


# ---- the page ----------------------------------------------------------------


def table(points: Sequence[Point]) -> str:
    """Return a table with a row for each slack at each strength."""
    heads = [
        "ε",
        "slack",
        "steps",
        "blocks changed",
        "without a 0 or 255",
        "PSNR in dB, plain → certified",
        "bits per pixel",
        "right, plain → certified",
        "probability of the right class, plain → certified",
    ]
    return pages.table(heads, map(row, points))


def row(point: Point) -> list[str]:
    """Return a slack's row."""
    steps, cost, answers = point.tables.array, point.cost, point.answers
    return [
        str(point.epsilon),
        str(point.slack),
        f"{steps.min()}–{steps.max()}",
        f"{100 * cost.changed:.1f} %",
        f"{100 * cost.whole:.1f} %",
        f"{cost.plain_psnr:.2f} → {cost.psnr:.2f}",
        f"{cost.bits:.2f}",
        f"{100 * answers.plain_right:.1f} → {100 * answers.right:.1f} %",
        f"{100 * answers.plain_certainty:.1f} → {100 * answers.certainty:.1f} %",
    ]


def draw(points: Sequence[Point], path: Path) -> None:
    """Write a picture with a panel for each number against the slack, and a curve for each ε."""
    panels: Mapping[str, list[float]] = {
        "blocks changed, %": [100 * p.cost.changed for p in points],
        "PSNR, dB": [p.cost.psnr for p in points],
        "bits per pixel": [p.cost.bits for p in points],
        "right and certified, %": [100 * p.answers.right for p in points],
    }
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, values) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        axes.set_prop_cycle(**LOOKS)
        for epsilon in dict.fromkeys(p.epsilon for p in points):
            chosen = [i for i, p in enumerate(points) if p.epsilon == epsilon]
            x, y = [points[i].slack for i in chosen], [values[i] for i in chosen]
            axes.plot(x, y, label=f"ε = {epsilon}", markersize=4)
        axes.axvline(DEFAULT, color="0.8", linewidth=1, zorder=0)
        axes.set_xlabel("slack")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    plots.save(figure, path)
