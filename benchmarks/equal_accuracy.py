"""Compare families of tables at equal benign accuracy: the table in docs/tables.md.

    python -m benchmarks.equal_accuracy PHOTOS LABELS [--output DIR] [--write docs/tables.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). DIR gets the log of the search and an evaluation with its
report.html, from which an interrupted run is resumed. Needs 'pyfd-jpeg[evaluate]'; uses a
CUDA device if there is one.

The codec and the attacker work at the photographs' own size (longest side at most 640).
The photographs that the model gets right are split into two halves: tables are chosen on
one half and scored on the other, which the search never sees. Each family of tables is
represented by its strongest member that loses at most `BUDGET` of the benign score on the
first half. The score is the mean probability of the right class, which 170 photographs
measure more finely than the share that is right. Each photograph counts twice there: as it
is, and mirrored, with the grid of blocks moved by half a block.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import pyfd
from benchmarks import pages
from pyfd import QTables
from pyfd.evaluation import dataset, evaluate, models
from pyfd.evaluation.defences import Distillation
from pyfd.evaluation.fingerprint import Fingerprints
from pyfd.torch import batches, device_of, predict

MAKER = "benchmarks/equal_accuracy.py"
MODEL = "efficientnet-lite0"
BUDGET, PROTECTED = 0.01, 6
EPSILONS = (1, 2, 4)
BATCH = 10
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CORES = len(os.sched_getaffinity(0))

Content = Mapping[str, Any]


# ---- choosing the tables -----------------------------------------------------


def certainty(
    model: nn.Module, images: Sequence[np.ndarray], labels: np.ndarray, qtables: QTables
) -> float:
    """Return the mean probability of the right class after two passes with tables.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode.
        images: H×W×3 ``uint8`` arrays; their sizes may differ.
        labels: The true class of each.
        qtables: The tables.
    """
    defence = Distillation(qtables)

    def total(chosen: list[int]) -> float:
        found = probabilities(model, defence([images[i] for i in chosen]))
        return float(found[np.arange(len(chosen)), labels[chosen]].sum())

    parts = batches([image.shape for image in images], BATCH)
    # One thread per core, each with a single torch thread, is the fastest
    with ThreadPoolExecutor(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return sum(pool.map(total, parts)) / len(images)


@torch.no_grad()
def probabilities(model: nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the N×K probabilities that a model gives the classes of images of one size."""
    batch = torch.from_numpy(np.stack(images)).to(device_of(model))
    found: np.ndarray = model(batch.permute(0, 3, 1, 2).float() / 255).softmax(1).cpu().numpy()
    return found


def strongest(members: Sequence[QTables], fits: Callable[[QTables], bool]) -> QTables:
    """Return the last of the members, ordered from weak to strong, that fits, by bisection."""
    low, high = 0, len(members)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(members[middle]) else (low, middle)
    return members[low]


def chosen_tables(
    score: Callable[[QTables], float], images: Sequence[np.ndarray], log: Path
) -> dict[str, QTables]:
    """Return each family's strongest tables within the budget.

    Args:
        score: A function that returns the benign score of tables.
        images: The photographs whose statistics `QTables.for_threat` gets.
        log: The log of the trials of `pyfd.refine`.
    """
    statistics = pyfd.calibrate(images)
    key = Fingerprints().of(score)
    refined = pyfd.refine(score, budget=BUDGET, log=log, key=key, progress=True)
    least = refined.baseline - BUDGET - 1e-12
    print(f"refined: {refined.trials} trials, sensitivity {dict(refined.sensitivity)}")
    threats = [step / 8 for step in range(4, 250)]
    protecting = partial(
        QTables.for_threat, statistics=statistics, protected=PROTECTED, protected_step=4
    )
    members = {
        f"for_threat, {PROTECTED} protected": [protecting(threat) for threat in threats],
        "for_threat": [QTables.for_threat(threat) for threat in threats],
        "uniform step": [QTables.uniform(step) for step in range(1, 256)],
        "IJG quality": [QTables.annex_k(quality) for quality in range(100, 0, -1)],
    }
    found = {
        name: strongest(tables, lambda candidate: score(candidate) >= least)
        for name, tables in members.items()
    }
    return {"refined": refined.qtables, **found}


# ---- the page ----------------------------------------------------------------


def table(
    content: Content, families: Mapping[str, QTables], defences: Mapping[QTables, Distillation]
) -> str:
    """Return a table of accuracies in percent, with 95 % intervals.

    Args:
        content: The result of `evaluate`.
        families: Each family's tables.
        defences: The evaluated defence of each family's tables.
    """
    columns = [("benign", None), *(("pgd", epsilon) for epsilon in EPSILONS)]
    cells = {(c["defence"], c["attack"], c["epsilon"]): c for c in content["cells"]}

    def row(name: str, defence: str, which: str) -> list[str]:
        return [name, *(percent(cells[(defence, *column)]) for column in columns), which]

    heads = ["tables", "benign", *(f"PGD ε = {epsilon}" for epsilon in EPSILONS), "which"]
    rows = [row(name, defences[t].name, describe(t)) for name, t in families.items()]
    return pages.table(heads, [*rows, row("none", "none", "")])


def percent(cell: Content) -> str:
    """Return a cell's accuracy and its interval, in percent."""
    low, high = cell["interval"]
    return f"{100 * cell['accuracy']:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def describe(tables: QTables) -> str:
    """Return the tables' name and the range of each table's steps."""
    ranges = (f"{t.min()}–{t.max()}" if t.min() < t.max() else f"{t.min()}" for t in tables)
    return f"{tables.name}: steps {', '.join(ranges)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/equal-accuracy"))
    parser.add_argument("--write", type=Path, help="the page to put the table in")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = models.load(MODEL).to(DEVICE)
    _, images, labels, *_ = dataset.load(arguments.photos, arguments.labels)
    right = np.flatnonzero(predict(model, images) == labels)
    chosen = np.random.default_rng(0).permutation(right)
    search, held_out = np.sort(chosen[::2]), np.sort(chosen[1::2])

    searched = [images[i] for i in search]
    views = [*searched, *(np.ascontiguousarray(x[4:, -5::-1]) for x in searched)]
    score = partial(certainty, model, views, np.tile(labels[search], 2))
    families = chosen_tables(score, searched, arguments.output / "trials.jsonl")
    # Families that chose the same tables share a defence
    defences = {tables: Distillation(tables, two_pass=True) for tables in families.values()}
    content = evaluate(
        model,
        [images[i] for i in held_out],
        labels[held_out],
        output=arguments.output,
        defences=["none", *defences.values()],
        attacks=["pgd"],
        epsilons=EPSILONS,
        workers=CORES if DEVICE == "cpu" else 1,
        progress=True,
        setting={"model": MODEL, "images": arguments.photos.name, "scale": "photo"},
    )
    text = (
        f"{len(right)} of {len(images)} photographs that the model gets right: {len(search)} for "
        f"the search, {len(held_out)} held out. Accuracy in %, with 95 % intervals; {DEVICE}."
        f"\n\n{table(content, families, defences)}"
    )
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
