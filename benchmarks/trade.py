"""Measure accuracy against bytes: the figure and the tables of the trade in docs/reproduction.md.

    python -m benchmarks.trade PHOTOS LABELS --output DIR [--write docs/reproduction.md]

PHOTOS and LABELS are those of benchmarks/reproduction.py. Certified files with finer and coarser
tables, grids on pixels, JPEG and near-lossless JPEG-LS are compared at equal rate and at equal
accuracy: what each keeps, proves, costs in bits and milliseconds, and leaves under attack. Each
part is an evaluation in its own folder below DIR; an interrupted run is resumed from there. Needs
'pyfd-jpeg[evaluate]' and imagecodecs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks import pages
from benchmarks.coded import Coded, NearLossless, PlainJPEG, jpeg_xl_bits
from benchmarks.studies import Content, Part, Photos, conduct, percent, promised, read_arguments
from benchmarks.timing import cpu_seconds
from pyfd import plots
from pyfd._core.log import Log
from pyfd.evaluation.defences import Defence, parse

MAKER = "benchmarks/trade.py"
MODEL = "efficientnet-lite0"
EPSILONS = (1, 2, 4)
TABLES = (1, 2, 3, 4, 6, 8)  # strengths whose finest tables are tried: finer and coarser ones
GRIDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 127)
NEAR, QUALITIES = (1, 2, 4, 8, 16), (30, 50, 75, 90, 95)
ATTACKS = ("pgd", "bpda", "grid")
COUNT, ATTACKED = 200, 25  # photographs, and those of them that are attacked
TIMED = 12  # photographs
COLORS = ("tab:blue", "tab:orange", "tab:green")


class Row(NamedTuple):
    """What a defence costs, keeps and proves."""

    defence: str
    bits: float
    """The mean size of its files, in bits per pixel."""
    camera: float
    """The CPU milliseconds in which the camera writes a file."""
    reader: float
    """The milliseconds in which the classifier's side reads it."""
    benign: Content
    certified: Content | None
    """The certified share, or None if nothing is proved."""


def tables(strength: int, epsilon: int) -> str:
    """Return the name of files certified at ε with the finest tables that hold a strength."""
    return f"certified:certified:{strength}@{epsilon}"


def plain(strength: int) -> str:
    """Return the name of plain files with the finest tables that hold a strength."""
    return f"two-pass:certified:{strength}"


def coded() -> list[Coded]:
    """Return the cameras that only compress."""
    return [*map(PlainJPEG, QUALITIES), *map(NearLossless, NEAR)]


def certified() -> list[str]:
    """Return the names of certified files with all tables at each ε."""
    return [tables(t, e) for e in EPSILONS for t in TABLES if t >= e]


def kept() -> Part:
    """Return the part without an attack: what is kept, proved and sent."""
    grids = [f"two-pass:pixel-{epsilon}" for epsilon in GRIDS]
    return Part("trade", MODEL, ["none", *certified(), *grids, *coded()], (), EPSILONS, COUNT)


def few() -> Part:
    """Return the part with what is proved on the photographs that are attacked."""
    return Part("trade-few", MODEL, certified(), (), EPSILONS, ATTACKED)


def attacked(epsilon: int) -> Part:
    """Return the part that attacks plain files at a strength."""
    defences = [plain(t) for t in TABLES if t >= epsilon]
    finest = tables(epsilon, epsilon)
    found: list[str | Defence] = ["none", finest, *defences, *coded()]
    return Part(f"trade-attacked-{epsilon}", MODEL, found, ATTACKS, (epsilon,), ATTACKED)


def parts() -> list[Part]:
    """Return all parts."""
    return [kept(), few(), *map(attacked, EPSILONS)]


# ---- costs ---------------------------------------------------------------------


def costs(photos: Photos, path: Path) -> dict[str, dict[str, float]]:
    """Return the CPU milliseconds of writing and reading by defence, and JPEG XL's rates.

    Finished ones are read from a log.
    """
    images = photos.of(MODEL)[0][:TIMED]
    with Log(path, {"format": "pyfd-trade-costs", "version": 1, "images": len(images)}) as log:
        found = {entry["defence"]: entry for entry in log.entries()}
        for given in kept().defences[1:]:
            defence = parse(given) if isinstance(given, str) else given
            if defence.name not in found:
                found[defence.name] = {"defence": defence.name, **timed(defence, images)}
                log.append(found[defence.name])
    return found


def timed(defence: Defence, images: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the median milliseconds of writing and reading, and the rate as JPEG XL for grids."""
    calls = [defence.service_call(image) for image in images]
    for image, call in zip(images[:2], calls, strict=False):  # they warm up
        defence.file(image), call()
    wrote = [cpu_seconds(partial(defence.file, image)) for image in images]
    read = [cpu_seconds(call) for call in calls]
    times = {"camera": 1000 * float(np.median(wrote)), "reader": 1000 * float(np.median(read))}
    if "pixel-" in defence.name:
        times["jpeg-xl"] = jpeg_xl_bits(defence.camera(images))
    return times


# ---- the tables ----------------------------------------------------------------


def rows(content: Content, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Return a row for each defence of the part without an attack."""
    benign = {c["defence"]: c for c in content["cells"] if c["attack"] == "benign"}
    return [
        Row(
            name,
            content["rates"][name],
            times["camera"],
            times["reader"],
            benign[name],
            content["certified"].get(name),
        )
        for name, times in found.items()
        if name in benign
    ]


def left(content: Content, epsilon: int) -> dict[str, Content]:
    """Return what all attacks of a strength together leave of each defence."""
    return {each["defence"]: each for each in content["together"] if each["epsilon"] == epsilon}


def cost_table(found: Sequence[Row]) -> str:
    """Return a table of all defences, the smallest files first."""
    heads = ["defence", "bits per pixel", "camera, ms", "reader, ms", "benign", "certified"]
    body = [
        [
            row.defence,
            f"{row.bits:.2f}",
            f"{row.camera:.2f}",
            f"{row.reader:.2f}",
            percent(row.benign),
            promised(row.certified),
        ]
        for row in sorted(found, key=lambda row: row.bits)
    ]
    return pages.table(heads, body)


def equal_table(found: Sequence[Row]) -> str:
    """Return a table of two grids on pixels for each certified table.

    Of those that hold its ε, the nearest in rate, and the smallest that keeps as many answers.
    """
    heads = ["certified files", "bits per pixel", "certified"]
    heads += ["grid at equal rate", "its bits", "its share"]
    heads += ["grid at equal accuracy", "its bits", "its share"]
    grids = [row for row in found if "pixel-" in row.defence and row.certified]
    body = []
    for epsilon in EPSILONS:
        (row,) = [row for row in found if row.defence == tables(epsilon, epsilon)]
        holding = [
            grid for grid in grids if grid.certified and grid.certified["epsilon"] >= epsilon
        ]
        share = row.certified["accuracy"] if row.certified else 0.0
        rate = min(holding, key=lambda grid: abs(np.log(grid.bits / row.bits)))
        enough = [grid for grid in holding if grid.benign["accuracy"] >= share]
        same = min(enough, key=lambda grid: grid.bits, default=None)
        body.append([*described(row), *described(rate), *described(same)])
    return pages.table(heads, body)


def described(row: Row | None) -> tuple[str, str, str]:
    """Return what a defence is called, its rate and its certified share; dashes for None."""
    if row is None:
        return "–", "–", "–"
    return row.defence, f"{row.bits:.2f}", promised(row.certified)


def attack_table(contents: Mapping[int, Content]) -> str:
    """Return a table of what all attacks together leave of files that nobody certified."""
    found = {epsilon: left(content, epsilon) for epsilon, content in contents.items()}
    names = dict.fromkeys(itertools.chain.from_iterable(found.values()))
    heads = ["defence", *(f"ε = {epsilon}" for epsilon in found)]
    rows = [[name, *(percent(each.get(name)) for each in found.values())] for name in names]
    return pages.table(heads, rows)


# ---- the figure ------------------------------------------------------------------


def draw(
    found: Sequence[Row], proved: Content | None, contents: Mapping[int, Content], path: Path
) -> None:
    """Write the picture of accuracy against bits per pixel, with curves for each ε.

    The attacked photographs have a panel of their own, because their shares are their own, too.

    Args:
        found: What was measured on all photographs.
        proved: The report of `few`, if there is one.
        contents: The reports of the attacks by ε.
        path: The file to write.
    """
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    every, tried = figure.subplots(1, 2, sharey=True)
    every.set_title(f"{found[0].benign['n']} photographs", fontsize=10)
    draw_certified(every, found, {row.defence: row.certified for row in found})
    draw_grids(every, found)
    counts = {content["setting"]["n"] for content in contents.values()}
    tried.set_title(f"{min(counts, default=0)} of them, attacked", fontsize=10)
    draw_certified(tried, found, proved["certified"] if proved else {})
    draw_attacked(tried, found, contents)
    for axes in (every, tried):
        axes.set_xscale("log")
        axes.set_xticks(ticks := (0.25, 0.5, 1, 2, 4, 8), [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="bits per pixel", ylim=(-0.02, 1.03), xlim=(0.28, 11))
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    every.set_ylabel("accuracy")
    every.yaxis.set_major_formatter(PercentFormatter(1))
    seen = [axes.get_legend_handles_labels() for axes in (every, tried)]
    named = {label: handle for pair in seen for handle, label in zip(*pair, strict=True)}
    figure.legend(
        named.values(), named, loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    plots.save(figure, path)


def draw_certified(axes: Axes, found: Sequence[Row], shares: Mapping[str, Content | None]) -> None:
    """Draw a curve of certified shares for each ε, from the coarsest tables to the finest."""
    bits = {row.defence: row.bits for row in found}
    for epsilon, color in zip(EPSILONS, COLORS, strict=False):
        names = [tables(t, epsilon) for t in TABLES if t >= epsilon]
        points = [(bits[name], share["accuracy"]) for name in names if (share := shares.get(name))]
        if points:
            label = f"certified at ε = {epsilon}"
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=label)


def draw_grids(axes: Axes, found: Sequence[Row]) -> None:
    """Draw the grids on pixels, each with its ε beside it."""
    grids = [row for row in found if "pixel-" in row.defence]
    points = sorted((row.bits, row.benign["accuracy"]) for row in grids)
    label = "grid on pixels, certified at the ε beside it"
    axes.plot(*zip(*points, strict=True), "s-", color="0.4", label=label)
    for row in grids:
        place, number = (row.bits, row.benign["accuracy"]), row.defence.rpartition("-")[2]
        axes.annotate(number, place, (2, -11), textcoords="offset points", fontsize=8)


def draw_attacked(axes: Axes, found: Sequence[Row], contents: Mapping[int, Content]) -> None:
    """Draw what all attacks together leave of plain files, and of those only compressed."""
    bits = {row.defence: row.bits for row in found}
    for epsilon, color in zip(EPSILONS, COLORS, strict=False):
        remaining = left(contents[epsilon], epsilon) if epsilon in contents else {}
        points = [
            (bits[tables(t, epsilon)], remaining[plain(t)]["accuracy"])
            for t in TABLES
            if plain(t) in remaining
        ]
        if points:
            label = f"the same tables, plain: all attacks together, ε = {epsilon}"
            line, *_ = axes.plot(*zip(*points, strict=True), "o:", color=color, label=label)
            line.set_fillstyle("none")
    first = EPSILONS[0]
    if first in contents:
        points = [(bits[name], share) for name, share in unprotected(contents[first])]
        label = f"only compressed: all attacks together, ε = {first}"
        axes.plot(*zip(*points, strict=True), "x", color="0.4", label=label, clip_on=False)


def unprotected(content: Content) -> Iterator[tuple[str, float]]:
    """Yield the cameras that only compress, and what all attacks together leave of them."""
    remaining = left(content, EPSILONS[0])
    for camera in coded():
        if camera.name in remaining:
            yield camera.name, remaining[camera.name]["accuracy"]


# ---- the page --------------------------------------------------------------------


def page(
    contents: Mapping[str, Content], found: Mapping[str, Mapping[str, float]], pictures: Path
) -> str:
    """Return the generated part of docs/reproduction.md, and write its picture.

    Args:
        contents: The reports so far, by the parts' folders; that of `kept` is among them.
        found: The costs by defence.
        pictures: The folder for the picture.
    """
    content = contents[kept().folder]
    folders = {epsilon: attacked(epsilon).folder for epsilon in EPSILONS}
    some = {e: contents[folder] for e, folder in folders.items() if folder in contents}
    measured = rows(content, found)
    draw(measured, contents.get(few().folder), some, pictures / "trade.png")
    smaller = [
        f"{name.rpartition('-')[2]}: {each['jpeg-xl']:.2f}"
        for name, each in found.items()
        if "jpeg-xl" in each
    ]
    sections = [
        "![Accuracy against bits per pixel](images/trade.png)",
        f"{content['setting']['n']} photographs at the network's input size, without an attack; "
        "CPU time:",
        cost_table(measured),
        f"The grids as lossless JPEG XL, in bits per pixel: {', '.join(smaller)}.",
        "Of the grids that hold a table's ε, the nearest to it in rate, and the smallest with at "
        "least its accuracy:",
        equal_table(measured),
    ]
    if some:
        count = next(iter(some.values()))["setting"]["n"]
        sections += [
            f"What {', '.join(ATTACKS)} together leave on {count} of these photographs:",
            attack_table(some),
        ]
    return "\n\n".join(sections)


def main() -> None:
    arguments = read_arguments(__doc__)
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = Photos(arguments.photos, arguments.labels)
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    found = costs(photos, arguments.output / "costs.jsonl")
    conduct(parts(), photos, arguments, MAKER, lambda contents: page(contents, found, pictures))


if __name__ == "__main__":
    main()
