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
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import pyfd
from benchmarks import pages
from benchmarks.coded import Coded, NearLossless, PlainJPEG, jpeg_xl_bits
from benchmarks.reproduction import Content, Part, Photos, read_arguments, run
from benchmarks.timing import cpu_seconds
from pyfd import plots
from pyfd._core.log import Log
from pyfd.evaluation.defences import Defence, parse

MAKER = "benchmarks/trade.py"
MODEL = "efficientnet-lite0"
EPSILONS = (1, 2, 4)
TABLES = (1, 2, 3, 4, 6, 8)  # strengths whose finest tables are tried: finer and coarser ones
GRIDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
NEAR, QUALITIES = (1, 2, 4, 8, 16), (30, 50, 75, 90, 95)
ATTACKS = ("pgd", "bpda", "grid")
COUNT, ATTACKED = 200, 24  # photographs, and those of them that are attacked
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
    benign: float
    certified: Mapping[str, Any] | None
    """The certified share and its interval, or None if nothing is proved."""


def tables(strength: int, epsilon: int) -> str:
    """Return the name of files certified at ε with the finest tables that hold a strength."""
    return f"certified:certified:{strength}@{epsilon}"


def plain(strength: int) -> str:
    """Return the name of plain files with the finest tables that hold a strength."""
    return f"two-pass:certified:{strength}"


def coded() -> list[Coded]:
    """Return the cameras that only compress."""
    return [*map(PlainJPEG, QUALITIES), *map(NearLossless, NEAR)]


def kept() -> Part:
    """Return the part without an attack: what is kept, proved and sent."""
    certified = [tables(t, e) for e in EPSILONS for t in TABLES if t >= e]
    grids = [f"two-pass:pixel-{epsilon}" for epsilon in GRIDS]
    return Part("trade", MODEL, ["none", *certified, *grids, *coded()], (), EPSILONS, COUNT)


def attacked(epsilon: int) -> Part:
    """Return the part that attacks plain files at a strength."""
    defences = [plain(t) for t in TABLES if t >= epsilon]
    finest = tables(epsilon, epsilon)
    found: list[str | Defence] = ["none", finest, *defences, *coded()]
    return Part(f"trade-attacked-{epsilon}", MODEL, found, ATTACKS, (epsilon,), ATTACKED)


def parts() -> list[Part]:
    """Return all parts."""
    return [kept(), *map(attacked, EPSILONS)]


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
    benign = {c["defence"]: c["accuracy"] for c in content["cells"] if c["attack"] == "benign"}
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


def best(content: Content, epsilon: int) -> dict[str, tuple[float, str]]:
    """Return what the best attack leaves of each defence, and the attack's name."""
    left: dict[str, tuple[float, str]] = {}
    for cell in content["cells"]:
        if cell["epsilon"] == epsilon:
            found = (cell["accuracy"], cell["attack"])
            left[cell["defence"]] = min(found, left.get(cell["defence"], found))
    return left


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
    """Return a table of the grids on pixels that come nearest to each certified table."""
    heads = ["certified files", "bits per pixel", "certified"]
    heads += ["grid at equal rate", "its bits", "its share", "grid at equal accuracy", "its bits"]
    grids = [row for row in found if "pixel-" in row.defence and row.certified]
    body = []
    for epsilon in EPSILONS:
        (row,) = [row for row in found if row.defence == tables(epsilon, epsilon)]
        holding = [
            grid for grid in grids if grid.certified and grid.certified["epsilon"] >= epsilon
        ]
        share = row.certified["accuracy"] if row.certified else 0.0
        rate = min(holding, key=lambda grid: abs(np.log(grid.bits / row.bits)))
        same = min(holding, key=lambda grid: (abs(grid.benign - share), grid.bits))
        body.append(
            [
                *(row.defence, f"{row.bits:.2f}", promised(row.certified)),
                *(rate.defence, f"{rate.bits:.2f}", promised(rate.certified)),
                *(f"{same.defence} ({percent(same.benign)})", f"{same.bits:.2f}"),
            ]
        )
    return pages.table(heads, body)


def attack_table(contents: Mapping[int, Content]) -> str:
    """Return a table of what the best attack leaves of files that nobody certified."""
    left = {epsilon: best(content, epsilon) for epsilon, content in contents.items()}
    names = dict.fromkeys(itertools.chain.from_iterable(left.values()))
    heads = ["defence", *(f"ε = {epsilon}" for epsilon in left)]
    body = []
    for name in names:
        cells = [left[epsilon].get(name) for epsilon in left]
        body.append([name, *("–" if c is None else f"{percent(c[0])} ({c[1]})" for c in cells)])
    return pages.table(heads, body)


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f}"


def promised(certified: Mapping[str, Any] | None) -> str:
    """Return a certified share in percent, with its interval and its strength."""
    if certified is None:
        return "–"
    low, high = (f"{100 * end:.0f}" for end in certified["interval"])
    share = f"{percent(certified['accuracy'])} ({low}–{high})"
    return f"{share} at ε = {certified['epsilon']}"


# ---- the figure ------------------------------------------------------------------


def draw(found: Sequence[Row], contents: Mapping[int, Content], path: Path) -> None:
    """Write the picture of accuracy against bits per pixel, with a curve for each ε."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    bits = {row.defence: row.bits for row in found}
    for epsilon, color in zip(EPSILONS, COLORS, strict=False):
        proved = list(certified_curve(found, epsilon))
        axes.plot(
            *zip(*proved, strict=True), "o-", color=color, label=f"certified at ε = {epsilon}"
        )
        left = best(contents[epsilon], epsilon)
        names = {plain(t): tables(t, epsilon) for t in TABLES if t >= epsilon}
        points = [(bits[same], left[name][0]) for name, same in names.items() if name in left]
        label = f"the same tables, plain: best attack, ε = {epsilon}"
        axes.plot(*zip(*points, strict=True), "o:", color=color, fillstyle="none", label=label)
    grids = [row for row in found if "pixel-" in row.defence]
    points = sorted((row.bits, row.benign) for row in grids)
    axes.plot(*zip(*points, strict=True), "s-", color="0.4", label="grid on pixels, certified at E")
    for row in grids:
        place, number = (row.bits, row.benign), row.defence.rpartition("-")[2]
        axes.annotate(number, place, (0, 5), textcoords="offset points", fontsize=7)
    points = [(bits[name], left) for name, left in unprotected(contents[EPSILONS[0]])]
    axes.plot(
        *zip(*points, strict=True), "x", color="0.4", label="only compressed: best attack, ε = 1"
    )
    axes.set_xscale("log")
    axes.set_xticks(ticks := (0.25, 0.5, 1, 2, 4, 8), [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="bits per pixel", ylabel="accuracy", ylim=(-0.02, 1.03))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    plots.save(figure, path)


def certified_curve(found: Sequence[Row], epsilon: int) -> Iterator[tuple[float, float]]:
    """Yield the rates and the shares of certified files at a strength."""
    by_name = {row.defence: row for row in found}
    for strength in TABLES:
        row = by_name.get(tables(strength, epsilon))
        if row is not None and row.certified is not None:
            yield row.bits, row.certified["accuracy"]


def unprotected(content: Content) -> Iterator[tuple[str, float]]:
    """Yield the cameras that only compress, and what the best attack leaves of them."""
    left = best(content, EPSILONS[0])
    for camera in coded():
        if camera.name in left:
            yield camera.name, left[camera.name][0]


# ---- the page --------------------------------------------------------------------


def page(
    content: Content, contents: Mapping[int, Content], found: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the generated part of docs/reproduction.md.

    Args:
        content: The report of the part without an attack.
        contents: The reports of the parts with attacks, by ε.
        found: The costs by defence.
    """
    measured = rows(content, found)
    smaller = [
        f"{name.rpartition('-')[2]}: {each['jpeg-xl']:.2f}"
        for name, each in found.items()
        if "jpeg-xl" in each
    ]
    sections = [
        f"{content['setting']['n']} photographs at the network's input size, without an attack; "
        "CPU time:",
        cost_table(measured),
        f"The grids as lossless JPEG XL, in bits per pixel: {', '.join(smaller)}.",
        "The grids that come nearest to certified files, at equal rate and at equal accuracy:",
        equal_table(measured),
        f"What the best of {', '.join(ATTACKS)} leaves on "
        f"{contents[EPSILONS[0]]['setting']['n']} of these photographs:",
        attack_table(contents),
    ]
    return "\n\n".join(sections)


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    contents = {}
    for part in parts():
        print(part.folder, flush=True)
        contents[part.folder] = run(part, photos, arguments.output, arguments.photos.name)
    found = costs(photos, arguments.output / "costs.jsonl")
    content, some = contents[kept().folder], {e: contents[attacked(e).folder] for e in EPSILONS}
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    draw(rows(content, found), some, pictures / "trade.png")
    picture = "![Accuracy against bits per pixel](images/trade.png)"
    text = f"pyfd {pyfd.__version__}. Accuracy in %.\n\n{picture}\n\n{page(content, some, found)}"
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
