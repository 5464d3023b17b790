"""Reproduce the paper's figures and headline numbers: the tables in docs/reproduction.md.

    python -m benchmarks.reproduction PHOTOS LABELS --output DIR [--write docs/reproduction.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). Each part is an evaluation in its own folder below DIR, with a
report.html; an interrupted run is resumed from there. The page is written after each part.
Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pages
from benchmarks.quilting import Quilting, patch_bank
from benchmarks.studies import (
    MODELS,
    SIZES,
    Content,
    Part,
    Photos,
    Scale,
    conduct,
    find,
    percent,
    promised,
    read_arguments,
    together,
)
from pyfd import QTables, plots
from pyfd.evaluation.defences import Distillation

MAKER = "benchmarks/reproduction.py"
COUNT = 100  # photographs, of those that the model gets right
STEPS = (8, 16, 24, 32, 48)
PROTECTED = (0, 6, 15)
FEW = 25  # photographs for the slow baselines, total-variation minimization and quilting
KINDS, PRESETS = ("one-pass", "two-pass"), ("fd-2018", "fd-cvpr2019")
ONE_PASS, TWO_PASS = "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019"

#: How many photographs the headlines are measured on. Larger pictures and networks are slower.
COUNTS: Mapping[Scale, Sequence[int]] = {"model": (COUNT, 25, 50), "photo": (25, 10, 25)}


def parts() -> list[Part]:
    """Return all parts except that of the slow baselines."""
    return [*adaptive_and_steps(), *headlines()]


def headlines() -> Iterator[Part]:
    """Yield the parts of both papers' tables: each model, at both sizes."""
    others = ("jpeg:90", "jpeg:75", "bits:4", "shield")
    proved = (f"certified:{PRESETS[1]}@1", "certified:1", "certified:4")
    tables = tuple(f"{kind}:{name}" for kind in KINDS for name in PRESETS)
    defences = ("none", *tables, *proved, *others)
    for scale, counts in COUNTS.items():
        for model, count in zip(MODELS, counts, strict=True):
            weak, strong = ("bim", "deepfool", "cw-l2"), ("pgd",)
            yield Part("headline", model, defences, weak, (1,), count, scale)
            yield Part("strong", model, defences, strong, (4,), count, scale)


def adaptive_and_steps() -> Iterator[Part]:
    """Yield the parts of adaptive attacks and of the step, for the first model only."""
    model = MODELS[0]
    adaptive = (ONE_PASS, TWO_PASS, "two-pass:16", "jpeg:75")
    yield Part("adaptive", model, adaptive, ("bpda", "grid"), (4,), COUNT)
    by_step = {str(step): QTables.uniform(step) for step in STEPS}
    protected = {f"40, {count} protected": two_band(count) for count in PROTECTED}
    # One pass at the paper's strength, and at one that two passes need to show differences
    for name, tables in (("steps", by_step), ("protected", protected)):
        defences = [distillation("one-pass", *item) for item in tables.items()]
        yield Part(f"{name}-one-pass", model, defences, ("pgd",), (1, 4), COUNT)
    defences = [distillation("two-pass", *item) for item in by_step.items()]
    yield Part("steps-two-pass", model, defences, ("pgd",), (4,), COUNT)


def distillation(kind: str, label: str, tables: QTables) -> Distillation:
    """Return a table defence of one of `KINDS`, named after a label."""
    defence = Distillation(tables, two_pass=kind == "two-pass")
    defence.name = f"{kind}:{label}"
    return defence


def two_band(protected: int) -> QTables:
    """Return tables with a step of 40, but 1 for the first frequencies in zigzag order."""
    return QTables.two_band(np.zeros((8, 8)), step=40, protected_step=1, protected=protected)


def slow(photos: Photos) -> Part:
    """Return the part of the slow baselines; the patches come from other photographs."""
    others, _ = photos.of(MODELS[0])
    quilting = Quilting(patch_bank(others[COUNT:], count=20_000))
    defences = ("none", "one-pass:fd-cvpr2019", TWO_PASS, "jpeg:75", "tvm", quilting)
    return Part("slow", MODELS[0], defences, ("pgd", "cw-l2"), (4,), FEW)


# ---- the page -----------------------------------------------------------------


def page(contents: Mapping[str, Content], pictures: Path) -> str:
    """Return the generated part of docs/reproduction.md, and write its pictures.

    Args:
        contents: The reports so far, by the parts' folders.
        pictures: The folder for the pictures.
    """
    return "\n\n".join([*_headlines(contents), *_adaptive(contents, pictures), *_slow(contents)])


def _headlines(contents: Mapping[str, Content]) -> Iterator[str]:
    columns = [("benign", None), ("bim", 1), ("deepfool", None), ("cw-l2", None), ("pgd", 4)]
    for part in headlines():
        if part.name == "headline" and part.folder in contents:
            strong = part._replace(name="strong").folder
            found = [contents[name] for name in (part.folder, strong) if name in contents]
            yield heading(part.model, f"at {SIZES[part.scale]}", found[0]) + table(found, columns)


def _adaptive(contents: Mapping[str, Content], pictures: Path) -> Iterator[str]:
    model = MODELS[0]
    if content := contents.get(f"adaptive-{model}"):
        columns = [("benign", None), ("bpda", 4), ("grid", 4)]
        title = heading(model, "adaptive attacks", content)
        yield title + table([content], columns, both=4)
    labels = [f"40, {count} protected" for count in PROTECTED]
    draw(contents, "steps", STEPS, [str(step) for step in STEPS], pictures / "steps.png")
    draw(contents, "protected", PROTECTED, labels, pictures / "protected.png")


def _slow(contents: Mapping[str, Content]) -> Iterator[str]:
    model = MODELS[0]
    if content := contents.get(f"slow-{model}"):
        columns = [("benign", None), ("pgd", 4), ("cw-l2", None)]
        yield heading(model, "the slow baselines", content) + table([content], columns)
        yield costs(content)


def table(
    contents: Iterable[Content],
    columns: Sequence[tuple[str, int | None]],
    both: int | None = None,
) -> str:
    """Return a table of accuracies in percent, with a row for each defence.

    What is certified stands beside the attacks, if something is.

    Args:
        contents: The reports, of the same photographs.
        columns: The attacks and their strengths.
        both: A strength, for a column with what its attacks leave together.
    """
    merged: Content = {"cells": [], "certified": {}, "together": []}
    for content in contents:
        merged["cells"] += content["cells"]
        merged["certified"] |= content["certified"]
        merged["together"] += content["together"]
    heads = ["defence", *(a if e is None else f"{a} ε = {e}" for a, e in columns)]
    heads += [] if both is None else [f"together ε = {both}"]
    heads += ["certified"] if merged["certified"] else []
    rows = []
    for defence in dict.fromkeys(found["defence"] for found in merged["cells"]):
        row = [defence, *(percent(find(merged, defence, *column)) for column in columns)]
        row += [] if both is None else [percent(together(merged, defence, both))]
        row += [promised(merged["certified"].get(defence))] if merged["certified"] else []
        rows.append(row)
    return pages.table(heads, rows)


def draw(
    contents: Mapping[str, Content],
    name: str,
    x: Sequence[int],
    labels: Sequence[str],
    path: Path,
) -> None:
    """Write a picture of accuracies against the step, or against the protected frequencies."""
    one = contents.get(f"{name}-one-pass-{MODELS[0]}")
    two = contents.get(f"{name}-two-pass-{MODELS[0]}")
    if one is None:
        return
    series: dict[str, Sequence[Any]] = {
        name.removesuffix("s"): x,
        "benign": [share(one, f"one-pass:{label}", "benign", None) for label in labels],
    }
    if two is not None:
        series["two passes, PGD ε = 4"] = [
            share(two, f"two-pass:{label}", "pgd", 4) for label in labels
        ]
    for epsilon in (1, 4):
        series[f"one pass, PGD ε = {epsilon}"] = [
            share(one, f"one-pass:{label}", "pgd", epsilon) for label in labels
        ]
    plots.save(plots.curves(series), path)


def share(content: Content, defence: str, attack: str, epsilon: int | None) -> float | None:
    """Return the accuracy in a report's cell, or None if there is no such cell."""
    found = find(content, defence, attack, epsilon)
    return None if found is None else float(found["accuracy"])


def heading(model: str, what: str, content: Content) -> str:
    """Return the heading of a table."""
    return f"### {model}, {what}, {content['setting']['n']} photographs\n\n"


def costs(content: Content) -> str:
    """Return a table of the defences' times per image."""
    seconds = content["costs"]
    rows = [
        [name, f"{1000 * value:.2f}", f"{value / seconds[TWO_PASS]:,.1f}"]
        for name, value in sorted(seconds.items(), key=lambda item: item[1])
    ]
    return pages.table(["defence", "ms per image", "times a defended decode"], rows)


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    everything = [slow(photos), *parts()]  # the slow ones take minutes, the last headlines hours
    conduct(everything, photos, arguments, MAKER, lambda contents: page(contents, pictures))


if __name__ == "__main__":
    main()
