"""Measure what certified files cost: the tables and the picture in docs/certificate-results.md.

    python -m benchmarks.certified PHOTOS LABELS --output DIR [--write docs/certificate-results.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). Every photograph is encoded with and without a radius, with several
tables; the certified file is decoded, checked block by block, and encoded again. Then the
slack of `QTables.certified` is varied, and a model is asked about the certified photographs
that it gets right. DIR gets certified.json with every photograph's numbers. Takes about ten
minutes on two cores. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pyfd
from benchmarks import certified_slack, pages
from benchmarks.certified_files import Cost, pair, summary
from benchmarks.certified_slack import CORES, DEFAULT, Point
from benchmarks.studies import Photos, read_arguments
from benchmarks.timing import cpu_seconds, undisturbed
from pyfd import QTables
from pyfd._core.pixels import Pixels
from pyfd._core.writing import write_file
from pyfd.evaluation import dataset

MAKER = "benchmarks/certified.py"
MODEL = "efficientnet-lite0"
COUNT = 200  # photographs that the model is asked about, of those that it gets right
ANY_SIZE = 1 << 16  # pixels: no photograph is shrunk
OWN, CROPPED = "Photographs at their own size", "The same, cropped to whole blocks"
ROUNDS = 3  # pairs of times for each photograph


class Case(NamedTuple):
    """Tables, and the strength that files with them are certified for."""

    name: str
    tables: QTables
    epsilon: int

    def __str__(self) -> str:
        return f"{self.name}, ε = {self.epsilon}"


class Results(NamedTuple):
    """Everything that was measured."""

    names: list[str]
    """The photographs' names."""
    costs: dict[str, dict[Case, list[Cost]]]
    """Every photograph's costs, by size and case."""
    times: dict[Case, list[float]]
    """Every photograph's time for a certified file, for that of a plain one, by case."""
    asked: int
    """The photographs that the model is asked about."""
    slack: list[Point]


def cases() -> list[Case]:
    """Return the tables whose costs are measured."""
    slacks = [(1, DEFAULT), (2, DEFAULT), (4, DEFAULT), (4, DEFAULT + 2)]
    return [
        Case("fd-cvpr2019", QTables.preset("fd-cvpr2019"), 1),
        Case("24 everywhere", QTables.uniform(24), 1),
        Case("40 everywhere", QTables.uniform(40), 2),
        Case("72 everywhere", QTables.uniform(72), 4),
        *(Case(f"certified, slack {s}", QTables.certified(e, slack=s), e) for e, s in slacks),
    ]


# ---- measuring -----------------------------------------------------------------


def measure(folder: Path, labels: Path) -> Results:
    """Measure everything, and print it."""
    names, photos, *_ = dataset.load(folder, labels, longest_side=ANY_SIZE)
    costs = {OWN: costs_of(photos), CROPPED: costs_of([cropped(photo) for photo in photos])}
    for size, found in costs.items():
        print(f"{size}\n\n{cost_table(found, names)}\n", flush=True)
    times = {case: ratios(photos, case) for case in cases()}
    print(time_table(times, names), flush=True)
    shown = Photos(folder, labels)
    asked, truth = (right[:COUNT] for right in shown.of(MODEL))
    slack = certified_slack.study(shown.model(MODEL), asked, truth)
    return Results(names, costs, times, len(asked), slack)


def cropped(photo: Pixels) -> Pixels:
    """Return a photograph without what lies beyond its last whole blocks."""
    height, width = (max(8, side - side % 8) for side in photo.shape[:2])
    return np.ascontiguousarray(photo[:height, :width])


def costs_of(photos: Sequence[Pixels]) -> dict[Case, list[Cost]]:
    """Certify every photograph with all tables, and return the costs."""

    def each(case: Case) -> list[Cost]:
        return list(pool.map(lambda x: pair(x, case.tables, case.epsilon).cost, photos))

    with ThreadPoolExecutor(CORES) as pool:
        return {case: each(case) for case in cases()}


def ratios(photos: Sequence[Pixels], case: Case) -> list[float]:
    """Return the time of a certified file for that of a plain one, for each photograph."""

    def seconds(photo: Pixels, radius: int | None) -> float:
        return cpu_seconds(partial(pyfd.encode, radius=radius), photo, case.tables)

    def ratio(photo: Pixels) -> float:
        pairs = [(seconds(photo, case.epsilon), seconds(photo, None)) for _ in range(ROUNDS)]
        return float(np.median([ours / theirs for ours, theirs in pairs]))

    with undisturbed():
        return [ratio(photo) for photo in photos]


# ---- the page ----------------------------------------------------------------


def page(found: Results) -> str:
    """Return the generated part of docs/certificate-results.md."""
    sizes = [f"### {size}\n\n{cost_table(c, found.names)}" for size, c in found.costs.items()]
    return "\n\n".join(
        [
            f"pyfd {pyfd.__version__}, {len(found.names)} photographs.",
            *sizes,
            "### Time of a certified file / of a plain one",
            time_table(found.times, found.names),
            f"### The slack: {found.asked} photographs at the input size of {MODEL}",
            certified_slack.table(found.slack),
        ]
    )


def cost_table(costs: Mapping[Case, Sequence[Cost]], names: Sequence[str]) -> str:
    """Return a table of costs, with a row for each case."""
    heads = [
        "tables, ε",
        "blocks that hold in the plain file",
        "certified as a whole, before → after",
        "blocks changed",
        "without padding, a 0 or 255",
        "PSNR in dB, plain → certified",
        "largest loss",
        "bytes, certified / plain",
    ]
    found = {case: summary(each) for case, each in costs.items()}
    rows = [
        [
            str(case),
            f"{100 * cost.held:.1f} %",
            f"{cost.before} → {cost.certified} of {cost.photos}",
            f"{100 * cost.changed:.1f} %",
            f"{100 * cost.whole:.1f} %",
            f"{cost.plain_psnr:.2f} → {cost.psnr:.2f}",
            f"{cost.loss:.1f} dB ({title(names[cost.loser])})",
            f"{cost.bytes:.3f}",
        ]
        for case, cost in found.items()
    ]
    return pages.table(heads, rows)


def time_table(times: Mapping[Case, Sequence[float]], names: Sequence[str]) -> str:
    """Return a table of ratios of times, with a row for each case."""
    heads = ["tables, ε", "median photograph", "nine of ten are below", "slowest photograph"]
    rows = []
    for case, values in times.items():
        median, most = np.quantile(values, (0.5, 0.9))
        slowest = title(names[int(np.argmax(values))])
        rows.append([str(case), f"{median:.1f}", f"{most:.1f}", f"{max(values):.1f} ({slowest})"])
    return pages.table(heads, rows)


def title(name: str) -> str:
    """Return a photograph's name without its suffix and the number of its class."""
    stem = Path(name).stem
    return (stem.partition("_")[2] or stem).replace("_", " ")


def record(found: Results) -> dict[str, Any]:
    """Return everything as JSON can hold it."""
    return {
        "photographs": found.names,
        "costs": {
            size: {str(case): [cost._asdict() for cost in each] for case, each in costs.items()}
            for size, costs in found.costs.items()
        },
        "times": {str(case): each for case, each in found.times.items()},
        "slack": [
            {"epsilon": p.epsilon, "slack": p.slack, **p.cost._asdict(), **p.answers._asdict()}
            for p in found.slack
        ],
    }


def main() -> None:
    arguments = read_arguments(__doc__)
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = measure(arguments.photos, arguments.labels)
    content = json.dumps(record(found), indent=1) + "\n"
    write_file(arguments.output / "certified.json", content.encode())
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    certified_slack.draw(found.slack, pictures / "slack.png")
    text = page(found)
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
